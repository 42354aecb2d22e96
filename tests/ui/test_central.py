"""The central view in the real window: each tile says what its bed's own screen would say, as loudly; nothing is hidden
and nothing moves under a hand; one click to a bed and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRect, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from models.signals.absence import Absence
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from tests.ui.harness import Screen, hue_like, near
from tests.ui.synthetic import MODEL, Chapter, FakeSession, Patient
from ui.bed.liveness import Life
from ui.bed.readouts import readout
from ui.central.order import UP_S
from ui.central.page import CENTRAL
from ui.style.look import draw_text
from ui.style.theme import default_theme
from ui.window.screen import BEDSIDE

Make = Callable[..., Screen]
THEME = default_theme()
HIGH = THEME.alarm.colours["high"]
ASYSTOLE = ("asystole", "ASYSTOLE", "high", "physiological")


def ward(screen: Make, *patients: Patient, announced: tuple[str, ...] = (), **kwargs: object) -> Screen:
    """The central view of these beds, of which the first is on show, and of such as have only been ``announced``."""
    beds = (*(patient.bed for patient in patients), *announced)
    s = screen(patients[0], FakeSession(beds=beds), others=patients[1:], **kwargs)
    s.window.turn_page(CENTRAL)
    return s


def many(count: int, **kwargs: object) -> list[Patient]:
    return [Patient(bed=f"Bed {n}", **kwargs) for n in range(1, count + 1)]  # type: ignore[arg-type]


def image(s: Screen) -> QImage:
    return s.window.central.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)


def tile(s: Screen, bed: str, part: QRect | None = None) -> np.ndarray:
    """RGB of a tile, or of a part of it."""
    place = s.window.central.place_of(bed)
    assert place is not None, f"{bed} is not on this page"
    area = place if part is None else part.translated(place.topLeft())
    return s.pixels(area, image(s))


def head(s: Screen, bed: str) -> np.ndarray:
    return tile(s, bed, s.window.central._shape.head)


def wave(s: Screen, bed: str, number: int = 0) -> np.ndarray:
    return tile(s, bed, s.window.central._shape.waves[number])


def click(s: Screen, qtbot: QtBot, bed: str) -> None:
    place = s.window.central.place_of(bed)
    assert place is not None
    qtbot.mouseClick(s.window.central, Qt.MouseButton.LeftButton, pos=place.center())


# To a bed and back ------------------------------------------------------------------------------------------------


def test_a_click_opens_a_bed_and_escape_leads_back_once(screen: Make, qtbot: QtBot) -> None:
    s = ward(screen, *many(3))
    s.run_to(1.5)
    w = s.window
    click(s, qtbot, "Bed 3")
    assert w.face.page == BEDSIDE and w.ward.on_show.name == s.session.bed == "Bed 3"
    s.run_to(2.0)
    assert w.numerics.readouts["ECG"].value == "75" and w.top._bed == "Bed 3" and w.beds.isVisible()
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    assert w.face.page == CENTRAL and w.ward.on_show.name == "Bed 3"
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    assert w.face.page == BEDSIDE
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    assert w.face.page == BEDSIDE, "back is undone once, not for ever"


def test_the_key_and_the_menu_turn_to_it_and_the_key_back(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.run_to(1.2)
    w = s.window
    qtbot.keyClick(w, Qt.Key.Key_B)
    assert w.face.page == CENTRAL and w.focusWidget() is w.central
    s.run_to(2.0)
    assert w.central.shown == ("Bed 3",) and w.central.summary == ("1 bed, by urgency", "no alarm", "")
    qtbot.keyClick(w.central, Qt.Key.Key_B)
    assert w.face.page == BEDSIDE
    entry = next(action for action in w.menu.actions() if action.text().startswith("Central view: all"))
    entry.trigger()
    assert w.face.page == CENTRAL


def test_arrows_choose_enter_opens_and_neither_seeks(screen: Make, qtbot: QtBot) -> None:
    s = ward(screen, *many(6))
    s.run_to(1.5)
    w, grid = s.window, s.window.central._grid
    assert (grid.columns, grid.rows) == (3, 2)
    seen = []
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Up, Qt.Key.Key_Left, Qt.Key.Key_Down,
                Qt.Key.Key_Down):  # fmt: skip
        qtbot.keyClick(w.central, key)
        seen.append(w.ward.on_show.name)
    assert seen == ["Bed 2", "Bed 5", "Bed 4", "Bed 1", "Bed 1", "Bed 4", "Bed 4"]
    s.frames(15)
    edges = {bed: near(tile(s, bed)[:, :3], THEME.colour["text"], 30).mean() for bed in w.central.shown}
    assert edges["Bed 4"] > 0.7 and max(v for bed, v in edges.items() if bed != "Bed 4") < 0.1
    qtbot.keyClick(w.central, Qt.Key.Key_Return)
    assert w.face.page == BEDSIDE and w.ward.on_show.name == s.session.bed == "Bed 4" and s.session.calls == []
    qtbot.keyClick(w, Qt.Key.Key_Left)
    assert s.session.calls and s.session.calls[-1][0] == "seek", "on the bedside it is an arrow of the replay"


def test_what_is_chosen_is_what_the_keys_and_the_bars_are_about(screen: Make, qtbot: QtBot) -> None:
    patients = many(3)
    s = ward(screen, *patients)
    s.run_to(1.2)
    for patient in patients:
        s.feed.push(patient.alarm(*ASYSTOLE))
    s.run_to(1.5)
    qtbot.keyClick(s.window.central, Qt.Key.Key_Right)
    assert s.window.ward.on_show.name == "Bed 2"
    qtbot.keyClick(s.window.central, Qt.Key.Key_A)
    s.run_to(1.9)
    seen = {words.bed: words.worst.acknowledged for words in s.window.ward.said}
    assert seen == {"Bed 1": False, "Bed 2": True, "Bed 3": False} and s.window.top._bed == "Bed 2"
    assert near(head(s, "Bed 2"), HIGH.held, 12).mean() > 0.4
    assert near(head(s, "Bed 1"), HIGH.held, 12).mean() < 0.05


def test_what_nobody_sees_drawn_is_not_reported_as_late(screen: Make) -> None:
    s = ward(screen, *many(2))
    s.run_to(2.0)
    s.session.reports.clear()
    s.run_to(4.0)
    assert not [r for r in s.session.reports if r[0] == "sample_to_screen"]
    s.window.turn_page(CENTRAL)
    s.run_to(5.0)
    due_s = [due / 1e9 - s.begin for stage, due, _ in s.session.reports if stage == "sample_to_screen"]
    assert due_s and min(due_s) > 3.9, "those that were due in the meantime are nobody's"


# What a tile says -------------------------------------------------------------------------------------------------


STORIES = {
    "well": Chapter(0, 99), "arrest": Chapter(0, 99, rhythm=Rhythm.STILL, pulse={m: Pulse.NONE for m in MODEL[1:3]},
        vitals={"hr": None, "abp_map": 12.0, "abp_sys": None, "abp_dia": None, "pulse_rate": None}),
    "low": Chapter(0, 99, vitals={"abp_map": 52.0, "abp_sys": 78.0}),
    "nothing": Chapter(0, 99, vitals=dict.fromkeys(("hr", "pulse_rate", "abp_sys", "abp_dia", "abp_map", "resp_rate"))),
    "not a number": Chapter(
        0, 99, vitals=dict.fromkeys(("hr", "pulse_rate", "abp_map", "resp_rate", "abp_sys"), np.nan)),
}  # fmt: skip


@pytest.mark.parametrize("off", [(), (Modality.ABP,), (Modality.PPG, Modality.EEG), MODEL])
def test_a_tile_says_what_the_large_tiles_say(screen: Make, off: tuple[Modality, ...]) -> None:
    absent = {modality: [(1, 99, Absence.LEAD_OFF)] for modality in off}
    s = ward(screen, *(Patient(bed=name, story=[story], absent=absent) for name, story in STORIES.items()))
    s.run_to(3.6)
    for bed in s.window.ward.beds:
        said, lanes = s.window.central.words_of(bed.name), {lane.modality: lane for lane in bed.state.lanes}
        large = {m: readout(bed.state, lane, bed.moment) for m, lane in lanes.items()}
        assert said.heart.value == large[Modality.ECG].value
        assert said.pressure.value == large[Modality.ABP].value
        assert (said.pressure.mean, said.pressure.estimated) == (
            large[Modality.ABP].value if large[Modality.ABP].estimated else large[Modality.ABP].second,
            large[Modality.ABP].estimated,
        )
        assert ("–" in said.pressure.value) == said.pressure.estimated
        small = {number.label: number.value for number in said.small}
        assert small["PR"] == large[Modality.PPG].value
        known = bed.name not in ("nothing", "not a number")
        assert small["RR"] == ("12" if known else "-?-")
        assert small["DEPTH"] == ("-?-" if Modality.EEG in off else "46")
        assert {sensor.modality: sensor.state for sensor in said.sensors} == {
            m: "off" if m in off else "on" for m in MODEL
        }
        assert "0" not in (said.heart.value, said.pressure.mean, *small.values())
    lost = s.window.central.words_of("arrest")
    if Modality.ABP not in off:
        assert lost.news is not None and lost.risk == "-?-" and not lost.pressure.estimated


def test_an_estimate_is_outlined_says_so_and_ends_with_the_pulse(screen: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {Modality.ABP: [(2, 99, Absence.NO_DATA)]}
    ends = Chapter(8, 99, pulse={Modality.PPG: Pulse.NONE})
    s = ward(screen, Patient(bed="Bed 1"), Patient(bed="Bed 2", absent=gone, story=[ends]))
    s.run_to(6.6)
    body = s.window.central._shape.body
    said = s.window.central.words_of("Bed 2").pressure
    assert said.mean == "59–73" and said.estimated
    right = QRect(body.center().x(), body.top(), body.width() // 2, round(body.height() * 0.6))
    outlined = near(tile(s, "Bed 2", right), THEME.lanes[Modality.ABP].estimated, 60).mean()
    with monkeypatch.context() as patch:
        patch.setattr("ui.central.tile.draw_outlined", draw_text)
        s.window.central.resize(s.window.central.width() - 1, s.window.central.height())
        s.frames(20)
        filled = near(tile(s, "Bed 2", right), THEME.lanes[Modality.ABP].estimated, 60).mean()
    assert 0.0 < outlined < 0.8 * filled, "hollow digits hold less ink"
    s.run_to(9.8)
    said = s.window.central.words_of("Bed 2").pressure
    assert said.mean in ("", "-?-") and said.value == "-?-" and not said.estimated


def test_a_wave_is_drawn_and_a_flat_line_is_flat(screen: Make) -> None:
    flat = Chapter(0, 99, waves={Modality.ECG: lambda t: 0.02 * np.sin(40 * t), Modality.ABP: lambda t: 14.0 + 0 * t})
    s = ward(screen, Patient(bed="Bed 1"), Patient(bed="Bed 2", story=[flat]))
    s.run_to(8.3)
    ecg, abp = (THEME.lanes[m].colour for m in (Modality.ECG, Modality.ABP))
    heights = {}
    for bed in ("Bed 1", "Bed 2"):
        for number, colour in enumerate((ecg, abp)):
            ink = hue_like(wave(s, bed, number), colour, 0.95, 60)
            across = ink.any(axis=0)
            assert 0.9 < across.mean() < 1.0, "all the way but for the gap"
            assert across.size - across.sum() < 0.09 * across.size
            rows = np.flatnonzero(ink.any(axis=1))
            heights[bed, number] = (rows[-1] - rows[0]) / ink.shape[0]
            if bed == "Bed 2" and number == 1:
                assert rows[0] > 0.85 * ink.shape[0], "a pressure of 14 lies low"
    assert heights["Bed 1", 0] > 0.4 and heights["Bed 1", 1] > 0.2
    assert heights["Bed 2", 0] < 0.06 and heights["Bed 2", 1] < 0.06


def test_missing_samples_are_no_line_and_infinite_ones_no_harm(screen: Make) -> None:
    def broken(t: np.ndarray) -> np.ndarray:
        values = np.zeros_like(t)
        values[(t > 3.0) & (t < 5.0)] = np.nan
        values[(t > 5.5) & (t < 5.6)] = np.inf
        return values

    bad = Chapter(0, 99, waves={m: broken for m in MODEL})
    s = ward(screen, Patient(bed="Bed 1", keep_samples=True, story=[bad]))
    s.run_to(6.9)
    ink = hue_like(wave(s, "Bed 1"), THEME.lanes[Modality.ECG].colour, 0.95, 60).any(axis=0)
    width = len(ink)
    assert not ink[round(width * 3.1 / 6) : round(width * 4.9 / 6)].any(), "two seconds without a sample"
    assert ink[round(width * 1.5 / 6) : round(width * 2.9 / 6)].mean() > 0.95


def test_a_wave_comes_back_with_what_was_there_before_its_sensor_was_off(screen: Make) -> None:
    s = ward(screen, Patient(bed="Bed 1", absent={Modality.ECG: [(2, 4, Absence.LEAD_OFF)]}))
    s.run_to(3.4)
    ecg = THEME.lanes[Modality.ECG].colour
    assert s.window.central._tiles["Bed 1"].no_wave == ["sensor off", ""]
    s.run_to(5.4)
    ink = hue_like(wave(s, "Bed 1"), ecg, 0.95, 60).any(axis=0)
    width = len(ink)
    assert ink[round(width * 0.4 / 6) : round(width * 1.8 / 6)].mean() > 0.95
    assert not ink[round(width * 2.2 / 6) : round(width * 3.8 / 6)].any()
    assert ink[round(width * 4.2 / 6) : round(width * 5.1 / 6)].mean() > 0.95


def test_all_not_a_number_is_drawn_as_nothing(screen: Make) -> None:
    void = Chapter(0, 99, waves={m: lambda t: np.full_like(t, np.nan) for m in MODEL},
                   vitals=STORIES["not a number"].vitals,
                   predicted={"risk": {"15": (np.nan,) * 3}, "depth": (np.nan,) * 3})  # fmt: skip
    s = ward(screen, Patient(bed="Bed 1", story=[void]))
    s.run_to(5.0)
    said = s.window.central.words_of("Bed 1")
    assert said.life is Life.LIVE and said.risk == said.heart.value == "-?-" and said.pressure.mean in ("", "-?-")
    assert not hue_like(wave(s, "Bed 1"), THEME.lanes[Modality.ECG].colour, 0.95, 60).any()


def test_the_bands_of_risk_have_shapes_of_their_own(screen: Make) -> None:
    risks = {"low": 0.2, "middle": 0.7, "high": 0.95}
    s = ward(screen, *(Patient(bed=band, risk_15=risk) for band, risk in risks.items()))
    s.run_to(4.0)
    body, shapes = s.window.central._shape.body, {}
    body = QRect(body.left() + round(0.66 * body.width()), body.top() + round(0.66 * body.height()), *(
        round(0.34 * body.width()), round(0.34 * body.height())))  # fmt: skip
    for band in risks:
        assert s.window.central.words_of(band).band == band
        ink = near(tile(s, band, body), THEME.colour[f"risk_{band}"], 40)
        columns = np.flatnonzero(ink.any(axis=0))
        first = columns[: int(np.flatnonzero(np.diff(columns, append=columns[-1] + 99) > 1)[0]) + 1]
        mark = ink[:, first[0] : first[-1] + 1]
        rows = np.flatnonzero(mark.any(axis=1))
        shapes[band] = mark[rows[0] : rows[-1] + 1]
    filled = {band: float(mark.mean()) for band, mark in shapes.items()}
    assert 0.65 < filled["low"] < 0.9 and 0.35 < filled["middle"] < 0.65, "a circle, a triangle"
    assert filled["high"] > 0.9, "a square"


# Live, lost, ended, never seen ------------------------------------------------------------------------------------


def test_who_is_not_live_never_looks_like_who_is_well(screen: Make) -> None:
    s = ward(screen, *many(5), announced=("Bed 6",), size=(1600, 900))
    s.run_to(3.0)
    s.session.of = {"Bed 3": {"ended": True}, "Bed 4": {"paused": True}, "Bed 6": {"vacant": "waiting for a device"}}
    s.others = [patient for patient in s.others if patient.bed in ("Bed 5",)]
    s.run_to(8.0)
    page, words = s.window.central, s.window.central.words_of
    lives = {"Bed 1": (Life.LIVE, "LIVE"), "Bed 2": (Life.LOST, "NOT LIVE 5 s"), "Bed 3": (Life.ENDED, "ENDED"),
             "Bed 4": (Life.PAUSED, "PAUSED"), "Bed 5": (Life.LIVE, "LIVE"),
             "Bed 6": (Life.WAITING, "NO SAMPLES YET")}  # fmt: skip
    assert {bed: (words(bed).life, words(bed).life_words) for bed in page.shown} == lives
    assert page.shown == ("Bed 2", "Bed 4", "Bed 3", "Bed 1", "Bed 5", "Bed 6")
    assert page.summary[1] == "1 NOT LIVE, 1 PAUSED, 1 ENDED, 1 NO SAMPLES YET"
    assert words("Bed 6").vacant == "waiting for a device"
    assert {words(bed).heart.value for bed in ("Bed 2", "Bed 3", "Bed 6")} == {"-?-"}
    ecg, red = THEME.lanes[Modality.ECG].colour, HIGH.lit
    for bed, (life, _) in lives.items():
        assert hue_like(wave(s, bed), ecg, 0.95, 60).any() == (life is Life.LIVE), f"a wave of {bed}"
        assert (near(tile(s, bed), red, 12).mean() > 0.03) == (life is Life.LOST)
    calm = tile(s, "Bed 5")
    for bed in ("Bed 2", "Bed 3", "Bed 4", "Bed 6"):
        assert (np.abs(tile(s, bed).mean(axis=-1) - calm.mean(axis=-1)) > 20).mean() > 0.08, f"{bed} is seen"
    s.others = many(5)[1:]
    s.session.of = {"Bed 6": {}}
    s.run_to(9.5)
    assert {words(bed).life for bed in ("Bed 1", "Bed 2", "Bed 3", "Bed 4")} == {Life.LIVE}
    assert hue_like(wave(s, "Bed 2"), ecg, 0.95, 60).any()


def test_a_dead_session_leaves_nothing_live(screen: Make) -> None:
    s = ward(screen, *many(3))
    s.run_to(3.0)
    s.alive = False
    s.run_to(6.0)
    assert {s.window.central.words_of(bed).life for bed in s.window.central.shown} == {Life.LOST}
    assert not hue_like(wave(s, "Bed 2"), THEME.lanes[Modality.ECG].colour, 0.95, 60).any()


# Alarms -----------------------------------------------------------------------------------------------------------


def test_a_bed_that_is_not_on_show_flashes_in_step_with_the_top_bar_and_comes_forward(
    screen: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.central.order.DOWN_S", 2.0)
    patients = many(4)
    s = ward(screen, *patients)
    s.run_to(1.2)
    for patient in (patients[0], patients[3]):
        s.feed.push(patient.alarm(*ASYSTOLE, now="0"))
    seen = set()
    for tenth in range(14):
        s.run_to(1.5 + 0.1 * tenth)
        lit = s.window.top.fields[0].lit[0]
        assert near(head(s, "Bed 4"), HIGH.lit if lit else HIGH.dark, 14).mean() > 0.5
        seen.add(lit)
    assert seen == {True, False} and s.window.central.shown[0] == "Bed 1", "it has not moved yet"
    s.run_to(1.5 + UP_S + 0.5)
    assert s.window.central.shown[:3] == ("Bed 1", "Bed 4", "Bed 2")
    s.feed.push(patients[3].alarm(*ASYSTOLE, active=False))
    s.run_to(4.5)
    assert s.window.central.words_of("Bed 4").heart.alarm is None, "what it says follows at once"
    assert s.window.central.shown[1] == "Bed 4", "its place later"
    s.run_to(7.0)
    assert s.window.central.shown[1] == "Bed 4", "nobody has seen that it was: before those that are well"
    s.window.ward.beds[3].state.alarms.acknowledge()
    s.run_to(10.0)
    assert s.window.central.shown == tuple(f"Bed {n}" for n in range(1, 5))


def test_what_has_been_painted_bit_by_bit_is_what_would_be_painted_at_once(
    screen: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.central.order.DOWN_S", 1.0)
    patients = many(6)
    s = ward(screen, *patients)
    s.run_to(1.2)
    for patient in patients[2:4]:
        s.feed.push(patient.alarm(*ASYSTOLE))
    s.run_to(4.0)
    s.feed.push(patients[2].alarm(*ASYSTOLE, active=False))
    s.others = [patient for patient in s.others if patient.bed != "Bed 5"]
    s.run_to(10.2)
    page = s.window.central
    assert page.shown[:2] == ("Bed 4", "Bed 5")
    before = image(s)
    page._tiles, page._head_said = {}, None
    page.renew(s.window.ward, page._now_s)
    page.advance(s.window.ward, page._now_s + 1.0)
    after = image(s)
    a, b = (s.pixels(QRect(0, 0, found.width(), found.height()), found) for found in (before, after))
    differs = np.abs(a - b).max(axis=-1) > 40
    for bed in page.shown:  # a wave drawn piece by piece is not the same to the last grey pixel
        for area in page._shape.waves:
            place = area.translated(page.place_of(bed).topLeft())
            part = differs[place.top() : place.bottom() + 1, place.left() : place.right() + 1]
            assert part.mean() < 0.08
            part[:] = False
    assert not differs.any()


# Many beds --------------------------------------------------------------------------------------------------------


def test_sixty_one_beds_in_a_small_window_and_nobody_is_hidden_silently(
    screen: Make, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.central.page._HOME_S", 3.0)
    names = tuple(f"Bed {n}" for n in range(3, 62))
    patients = many(2)
    late = Patient(bed="Bed 61")
    s = ward(screen, *patients, announced=names, size=(1024, 700))
    s.run_to(2.0)
    page = s.window.central
    slots = page._grid.slots
    assert slots < 61 and len(page.order) == 61 and len(page.shown) == slots
    assert {*page.shown, *(words.bed for words in page.hidden)} == {f"Bed {n}" for n in range(1, 62)}
    assert f"{61 - slots} not seen here: no alarm, {61 - slots} NO SAMPLES YET" in page.summary[2]
    s.window.sort_central()
    s.feed.push(late.tick(0)[0])
    s.feed.push(late.alarm(*ASYSTOLE))
    seen = []
    for tenth in range(12):
        s.run_to(2.3 + 0.1 * tenth)
        assert "Bed 61" not in page.shown and "not seen here: 1 HIGH" in page.summary[2]
        lit = page._lit["high"]
        above = s.pixels(QRect(page.width() // 2, 0, page.width() // 2, page.place_of("Bed 1").top()), image(s))
        seen.append(lit)
        assert near(above, HIGH.lit if lit else HIGH.dark, 14).mean() > 0.2, "as loud as it would be"
    assert set(seen) == {True, False}
    qtbot.mouseClick(page, Qt.MouseButton.LeftButton, pos=QPoint(page.width() - 30, 8))
    s.frames(10)
    assert page.page == 1 and "Bed 61" in page.shown
    turn = QWheelEvent(QPointF(9, 90), QPointF(9, 90), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton,
                       Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)  # fmt: skip
    QApplication.sendEvent(page, turn)
    s.frames(10)
    assert page.page == 0
    s.window.show_bed(page.shown[-1])
    s.frames(10)
    qtbot.keyClick(page, Qt.Key.Key_Right)
    s.frames(10)
    assert page.page == 1 and s.window.ward.on_show.name == page.shown[0]
    s.run_to(7.5)
    assert page.page == 0, "whoever left it is not left with the calm half"
    s.window.sort_central()
    s.run_to(7.9)
    assert page.shown[0] == "Bed 61" and page.summary[0] == "61 beds, by urgency"


def test_beds_come_and_are_called_whatever_they_like(screen: Make) -> None:
    long = "Intensive care west wing bed by the window at the far end of the corridor 17"
    names = ["<b>Bold</b><img src='x'>", long, "床 12 Ünïcödé ♥", "", "Bed\n9"]
    patients = [Patient(bed=f"Bed {n}") for n in (1, 2)]
    s = ward(screen, *patients)
    s.run_to(1.5)
    assert s.window.central.shown == ("Bed 1", "Bed 2")
    s.others += [Patient(bed=name) for name in names if name]
    s.session.beds = (*s.session.beds, *(name for name in names if name))
    s.run_to(3.5)
    assert set(s.window.central.shown) == {"Bed 1", "Bed 2", *filter(None, names)}
    place = s.window.central.place_of(long)
    gutter = s.pixels(QRect(place.right() + 1, place.top(), 3, place.height()), image(s))
    assert near(gutter, THEME.colour["panel"], 20).all() or place.right() > s.window.central.width() - 12
    assert "<b>" in s.window.central._tooltip(names[0]), "as it is; the tooltip escapes it"


def test_a_new_patient_in_a_bed_is_drawn_anew_and_a_resize_leaves_nothing(screen: Make) -> None:
    patients = many(2)
    s = ward(screen, *patients)
    s.run_to(4.0)
    patients[1].epoch = 1
    s.run_to(4.3)
    ink = hue_like(wave(s, "Bed 2"), THEME.lanes[Modality.ECG].colour, 0.95, 60).any(axis=0)
    assert 0.005 < ink.mean() < 0.12, "nothing of the one before"
    s.window.resize(1500, 900)
    s.application.processEvents()  # without a frame in between
    assert hue_like(wave(s, "Bed 1"), THEME.lanes[Modality.ECG].colour, 0.95, 60).any(axis=0).mean() > 0.5
    s.run_to(4.6)
    place = s.window.central.place_of("Bed 1")
    assert place.width() > 700 and (tile(s, "Bed 1").mean(axis=-1) > 60).mean() > 0.03


def test_withheld_and_unconnected_sensors_are_marked(screen: Make) -> None:
    absent = {Modality.PPG: [(1, 99, Absence.WITHHELD)]}
    s = ward(screen, Patient(bed="Bed 1", absent=absent, modalities=MODEL[:3]))
    s.session.lacking = {"Bed 1": (Modality.EEG,)}
    s.run_to(3.0)
    states = {sensor.modality.value: sensor.state for sensor in s.window.central.words_of("Bed 1").sensors}
    assert states == {"ECG": "on", "ABP": "on", "PPG": "withheld", "EEG": "none"}
    assert "DEPTH" not in {number.label for number in s.window.central.words_of("Bed 1").small}


def test_where_alarms_are_paused_a_tile_does_not_flash(screen: Make) -> None:
    patient = Patient(bed="Bed 1")
    s = ward(screen, patient, Patient(bed="Bed 2"))
    s.run_to(1.0)
    s.feed.push(patient.alarm("map.low", "ABP LOW 60 < 65", "medium", "physiological", time_s=1.0))
    s.window.desk.silence_alarms("ALARM PAUSED")
    style = THEME.alarm.colours["medium"]
    for tenth in range(1, 22):
        s.run_to(1.2 + 0.1 * tenth)
        assert near(head(s, "Bed 1"), style.held, 12).mean() > 0.4
        assert near(head(s, "Bed 1"), style.lit, 12).mean() < 0.05
