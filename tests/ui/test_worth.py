"""What each sensor is worth, on the screen: asked, answered, withdrawn by bad news; and what was said and came."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from importlib import resources

import numpy as np
import pytest
from msgspec.structs import replace
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtTest import QTest

from models.signals.absence import Absence
from models.signals.errors import BadInput
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from streams.records import ExplainRecord, LeftOutRow
from tests.ui.harness import Screen, near
from tests.ui.synthetic import Chapter, FakeSession, Patient
from ui.bed.risk_history import LowStretch, MapPoint, low_stretches, measured_at, unbroken
from ui.bed.worth_view import ASKING, NO_ANSWER, NOT_ASKED, NOT_NOW, WorthWords
from ui.style.risk_marks import draw_mark
from ui.style.theme import default_theme, parse_theme

M = Modality
NS = 10**9
THEME = default_theme()
Make = Callable[..., Screen]


@pytest.fixture
def screen() -> Iterator[Make]:
    made: list[Screen] = []

    def make(*args: object, **options: object) -> Screen:
        made.append(Screen(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


ROWS = [
    LeftOutRow("", risk={"5": (0.2, 0.1, 0.3), "15": (0.6, 0.5, 0.7)}, no_map="measured", depth=(46.0, 42.0, 50.0)),
    LeftOutRow("ECG", risk={"5": (0.1, 0.0, 0.3), "15": (0.9, 0.8, 1.0)}, no_map="measured", no_depth="no EEG"),
    LeftOutRow("ABP", no_risk="no ABP now", map_mmhg=(78.0, 69.0, 87.0), depth=(46.0, 41.0, 51.0)),
    LeftOutRow("PPG", "not there now: the first row is without it"),
]


def answered(s: Screen, end_s: float, **changes: object) -> None:
    record = ExplainRecord(
        bed=s.patient.bed, session=s.patient.session, epoch=s.patient.epoch, window_end_ns=round(end_s * NS),
        asked_ns=0, window_s=30, model="m", backend="b", rows=ROWS,
    )  # fmt: skip
    s.feed.push(replace(record, **changes))
    s.frames(8)


def words(s: Screen) -> WorthWords:
    assert s.window.face.worth.words is not None
    return s.window.face.worth.words


def test_a_question_its_answer_and_its_age(screen: Make) -> None:
    s = screen()
    s.run_to(4.0)
    s.window.toggle_worth()
    table = s.window.face.worth
    assert table.isVisible() and words(s).instead == ASKING and ("explain",) in s.session.calls
    answered(s, 3.0)
    assert [row.title for row in words(s).rows] == ["with all", "without ECG", "without ABP", "without PPG"]
    first, ecg, abp, ppg = words(s).rows
    assert (first.mean.text, first.mean.value) == ("86 measured", 86.0) and first.depth.text == "46 (42–50)"
    assert [cell.text for cell in ecg.risks] == ["10", "90"] and [cell.band for cell in ecg.risks] == ["low", "high"]
    assert (ecg.depth.text, ecg.depth.why) == ("-?-", "no EEG")
    assert {cell.text for cell in abp.risks} == {"-?-"} and abp.risks[0].why == "no ABP now"
    assert (abp.mean.text, abp.mean.lo, abp.mean.hi) == ("78 (69–87)", 69.0, 87.0)
    assert ppg.why.startswith("not there") and ppg.risks == ()
    assert not words(s).old and "1 s ago" in words(s).age
    image = table.grab().toImage().convertToFormat(s.image().format())
    assert near(s.pixels(table.rect(), image), THEME.colour["risk_high"], 30).any()
    answered(s, 3.0, window_s=2)
    s.run_to(6.5)
    assert words(s).old and "OLD" in words(s).age
    stale = table.grab().toImage().convertToFormat(s.image().format())
    assert not near(s.pixels(table.rect(), stale), THEME.colour["risk_low"], 30).any()
    s.window.escape()
    assert not table.isVisible()


def test_nobody_answers_or_says_why_not(screen: Make) -> None:
    s = screen()
    s.run_to(3.0)
    s.window.ask_worth()
    s.run_to(10.0)
    assert words(s).instead == NO_ANSWER
    answered(s, 3.0, rows=[], reason="the model is not loaded yet")
    assert words(s).instead == "no answer: the model is not loaded yet" and not words(s).rows
    s.session.failing = RuntimeError("the broker is away")
    s.window.ask_worth()
    s.frames(3)
    assert "the broker is away" in s.window.toast.text()


def test_an_answer_of_before_a_seek_is_not_shown(screen: Make) -> None:
    s = screen()
    s.run_to(4.0)
    s.window.toggle_worth()
    answered(s, 3.0)
    assert words(s).rows
    s.patient.epoch = 1
    s.run_to(6.0)
    assert words(s).instead == NOT_ASKED
    answered(s, 3.0, epoch=0)
    assert words(s).instead == NOT_ASKED and s.window.state.explained is None
    s.window.ask_worth()
    answered(s, 5.0)
    assert words(s).rows


def test_it_is_of_the_bed_that_was_on_show(screen: Make) -> None:
    session = FakeSession(beds=("Bed 3", "Bed 4"))
    s = screen(session=session, others=[Patient(bed="Bed 4", session="t")])
    s.run_to(4.0)
    s.window.toggle_worth()
    s.window.operator.next_bed(1.0)
    answered(s, 3.0)  # of Bed 3
    assert s.window.ward.on_show.name == "Bed 4" and words(s).instead == NOT_ASKED
    assert session.called_for[session.calls.index(("explain",))] == "Bed 3"


ARREST = Chapter(5, 99, Rhythm.FIBRILLATION, {M.ABP: Pulse.NONE, M.PPG: Pulse.NONE})


def test_an_arrest_withdraws_the_table(screen: Make) -> None:
    s = screen(Patient(story=[ARREST]))
    s.run_to(4.0)
    s.window.toggle_worth()
    answered(s, 3.0)
    high = s.window.face.worth.height()
    assert words(s).rows
    s.run_to(7.5)
    assert words(s).instead == NOT_NOW and not words(s).rows and s.window.face.worth.height() < high
    assert words(s).news is not None and words(s).news.priority == "high"


def test_a_low_pressure_withdraws_the_risks_of_every_row(screen: Make) -> None:
    s = screen(Patient(story=[Chapter(5, 99, vitals={"abp_map": 52.0})]))
    s.run_to(4.0)
    s.window.toggle_worth()
    answered(s, 3.0)
    s.run_to(7.5)
    shown = [cell for row in words(s).rows for cell in row.risks]
    assert {cell.text for cell in shown} == {"-?-"} and {cell.why for cell in shown} == {"MAP < 65 NOW"}
    assert s.window.prediction.words is not None and s.window.prediction.words.news is not None


def test_an_estimate_that_is_forbidden_now_is_withdrawn(screen: Make) -> None:
    s = screen(Patient(absent={M.PPG: [(5, 99, Absence.NO_DATA)]}))
    s.run_to(4.0)
    s.window.toggle_worth()
    answered(s, 3.0)
    assert words(s).rows[2].mean.text == "78 (69–87)"
    s.run_to(7.5)
    assert words(s).rows[2].mean.text == "-?-" and "no pulse on PPG" in words(s).rows[2].mean.why


def test_a_click_on_made_from_asks_and_the_table_leaves_numbers_and_tiles_free(screen: Make) -> None:
    s = screen(size=(1024, 700))
    s.run_to(3.0)
    QTest.mouseClick(s.window.made_from, Qt.MouseButton.LeftButton)
    answered(s, 2.0)
    table = s.window.face.worth
    assert table.isVisible() and len(words(s).rows) == 4
    for other in (s.window.numerics, s.window.prediction, s.window.top):
        place = other.rect().translated(other.mapTo(s.window.face, other.rect().topLeft()))
        assert not table.geometry().intersects(place)
    QTest.mouseClick(table, Qt.MouseButton.LeftButton)
    assert not table.isVisible()


# -- what was said, and what came -------------------------------------------------------------------------------------


def course(*parts: tuple[int, float, bool]) -> list[MapPoint]:
    """(seconds, mmHg, estimated), one after the other; NaN: nothing."""
    points, at = [], 0
    for seconds, mmhg, estimated in parts:
        points += [MapPoint(float(at + k + 1), mmhg, estimated) for k in range(seconds) if not math.isnan(mmhg)]
        at += seconds
    return points


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(90, 80.0, False)], []),
        ([(10, 80.0, False), (60, 60.0, False), (9, 80.0, False)], [(10.0, 70.0, True)]),
        ([(10, 80.0, False), (59, 64.9, False), (9, 65.0, False)], [(10.0, 69.0, False)]),
        ([(5, 60.0, False), (10, math.nan, False), (70, 60.0, False)], [(0.0, 5.0, False), (15.0, 85.0, True)]),
        ([(70, 50.0, True)], []),  # an estimate is no event
        ([], []),
    ],
)
def test_an_event_is_a_minute_of_measured_pressure(
    parts: list[tuple[int, float, bool]], expected: list[tuple[float, float, bool]]
) -> None:
    found = low_stretches(course(*parts))
    assert [(s.begin_s, s.end_s, s.event) for s in found] == expected
    assert all(isinstance(s, LowStretch) for s in found)


def test_runs_and_values_at_a_time() -> None:
    points = course((3, 80.0, False), (4, math.nan, False), (2, 70.0, True))
    assert [len(run) for run in unbroken(points)] == [3, 2]
    assert measured_at(points, 3.4) == 80.0 and measured_at(points, 8.0) is None and measured_at([], 0.0) is None


def test_the_history_keeps_the_interval_and_the_band_of_then(screen: Make) -> None:
    s = screen(Patient(risk_15=0.95, story=[Chapter(4, 99, predicted={"risk": {"15": (0.2, 0.1, 0.3)}})]))
    s.run_to(9.0)
    old, new = s.window.state.trend[0], s.window.state.trend[-1]
    assert old.risk["15"] == (0.95, 0.66, 0.90) and new.risk["15"] == (0.2, 0.1, 0.3)
    tile = s.window.prediction
    picture = s.pixels(tile.rect(), tile.grab().toImage().convertToFormat(s.image().format()))
    assert near(picture, THEME.colour["risk_high"], 30).any(), "what was high is drawn as high"
    assert near(picture, THEME.colour["risk_low"], 30).any()


def test_a_sentence_takes_the_place_of_the_numbers(screen: Make) -> None:
    abstains = {"abstain": True, "risk": {}, "reason": "no ABP now"}
    s = screen(Patient(story=[Chapter(0, 99, predicted=abstains)]))
    s.run_to(4.0)
    assert s.window.prediction.words.reason == "no risk given: no ABP now"
    tile = s.window.prediction
    pixels = s.pixels(tile.rect(), tile.grab().toImage().convertToFormat(s.image().format()))
    assert near(pixels, THEME.colour["alarm_medium"], 40).sum() > 100


def test_bands_differ_without_their_colours(screen: Make) -> None:
    """As masks of ink, not as colours: a third of the pixels of any two shapes differ."""
    s = screen()
    masks = []
    for band in ("low", "middle", "high", "plain"):
        image = QImage(40, 40, QImage.Format.Format_RGB32)
        image.fill(Qt.GlobalColor.black)
        painter = QPainter(image)
        draw_mark(painter, QPointF(20, 20), 10, band, s.window.look, QColor("white"))
        painter.end()
        masks.append(s.pixels(image.rect(), image)[..., 0] > 127)
    for i, one in enumerate(masks):
        for other in masks[i + 1 :]:
            assert np.logical_xor(one, other).sum() > 0.15 * np.logical_or(one, other).sum()


def test_a_theme_with_a_shape_that_nobody_draws_is_refused() -> None:
    text = resources.files("ui.style").joinpath("theme.toml").read_text("utf-8")
    with pytest.raises(BadInput, match="star"):
        parse_theme(text.replace('high = "square"', 'high = "star"'))


def test_beside_a_high_alarm_no_risk_has_a_colour(screen: Make) -> None:
    s = screen()
    s.run_to(4.0)
    s.window.toggle_worth()
    answered(s, 3.0)
    assert {cell.band for row in words(s).rows[:2] for cell in row.risks} == {"low", "middle", "high"}
    s.feed.push(s.patient.alarm("tachy", "TACHY", "high", "physiological", time_s=4.0))
    s.frames(12)
    assert words(s).rows and {cell.band for row in words(s).rows[:2] for cell in row.risks} == {"plain"}
