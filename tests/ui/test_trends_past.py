"""What was recorded before the window was there is in the trends as if it had been there; what was seen stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.records import AlarmRecord, AnyRecord, BedRecord, PredictionRecord, WaveTick
from streams.sources.look_back import LookBack
from tests.ui.harness import Later, Screen
from tests.ui.recorded import UNIX_S, Recorder, alarm, described
from tests.ui.synthetic import NS, Chapter, FakeSession, Patient
from ui.bed.past import wall_words
from ui.bed.series import BLOCK_S, MID, Series
from ui.bed.state import DisplayState
from ui.bed.trends import AT, JOINED_S, MODALITIES, Trends
from ui.bed.trends_past import TrendsFold
from ui.style.theme import default_theme
from ui.trends.page import TrendsPage
from ui.window import trends_past
from ui.window.trends import TRENDS

Make = Callable[..., Screen]
Told = list[tuple[int, AnyRecord]]
AHEAD_S = 5000.0 - UNIX_S
"""By how much the clock of the display here is ahead of the wall clock."""


def sick() -> Patient:
    """Loses the pressure from 40 to 70 s, and has a fast heart from 20 to 30."""
    return Patient(
        absent={Modality.ABP: [(40, 70, Absence.NO_DATA)]},
        story=[Chapter(20, 30, vitals={"hr": 171.0, "hr_source": "ECG"})],
    )


def told(patient: Patient, begin: int, end: int, alarms: Iterable[AlarmRecord] = ()) -> Told:
    """What was said of the seconds [begin, end), and alarms among it, as it was taken."""
    found: Told = []
    for second in range(begin, end):
        taken_ns = round((UNIX_S + second) * NS)
        found += [(taken_ns, record) for record in (*patient.second(second), patient.prediction(second))]
        found += [(taken_ns, record) for record in alarms if record.time_ns // NS == second]
    return found


def seen(records: Told) -> DisplayState:
    """A display that was told them as they came."""
    state = DisplayState(default_theme(), "Bed 3")
    state.set_channels(FakeSession().channels)
    for taken_ns, record in records:
        state.apply(record, taken_ns / NS + AHEAD_S)
    return state


def joined_at(records: Told, second: float) -> Trends:
    """Of a display that came then, with what was recorded before."""
    here = seen([one for one in records if one[0] >= (UNIX_S + second) * NS]).trends
    fold = TrendsFold(default_theme(), "Bed 3", "s", described())
    fold.tell(one for one in records if one[0] <= (UNIX_S + second + JOINED_S) * NS)
    here.adopt(fold.trends, AHEAD_S)
    return here


def same(one: Trends, other: Trends) -> None:
    assert one.span_s == other.span_s and one.now_s == other.now_s
    assert one.span_s is not None
    here, there = (trends.stretch(*one.span_s, 10**6) for trends in (one, other))
    np.testing.assert_array_equal(here.values, there.values)
    np.testing.assert_array_equal(here.presence, there.presence)
    spans = [[(a.key, a.priority, a.begin_s, a.end_s) for a in t.alarms(-1e9, 1e9)] for t in (one, other)]
    assert spans[0] == spans[1]


STORY = (
    alarm(22, "HR 171 > 120"),
    alarm(32, "HR 171 > 120", active=False),
    alarm(45, "ABP LOST", key="abp", priority="low"),
    *(alarm(second, "ABP LOST", key="abp", priority="low") for second in (50, 55, 60, 65, 70, 75)),
    alarm(78, "ABP LOST", key="abp", priority="low", active=False),
    *(alarm(second, "HR 130 > 120") for second in (90, 95, 100, 105)),
)
"""What stands is said again every five seconds."""


@pytest.mark.parametrize("second", [2, 25, 33, 48, 57, 66, 77, 80, 95])
def test_it_is_as_if_the_display_had_been_there(second: int) -> None:
    records = told(sick(), 1, 110, STORY)
    same(joined_at(records, second), seen(records).trends)


def test_after_a_seek_each_second_is_as_it_was_last_played() -> None:
    first = told(sick(), 1, 60, STORY)
    again = Patient(epoch=1, story=[Chapter(0, 99, vitals={"hr": 90.0, "hr_source": "ECG"})])
    records = [*first, *((ns + 60 * NS, record) for ns, record in told(again, 15, 65))]
    for second in (80, 100):
        same(joined_at(records, second), seen(records).trends)
    here, there = (trends.stretch(0, 60, 60).values for trends in (joined_at(records, 30), seen(records).trends))
    np.testing.assert_array_equal(here, there, "the second before the seek, of which only the cell was told again, too")


def test_a_seek_before_the_page_leaves_no_hole() -> None:
    """What is said after it of the second before it, or said later than the numerics, hides nothing."""
    first = told(sick(), 1, 60)
    again = [(ns, r) for ns, r in told(Patient(epoch=1), 15, 65) if not isinstance(r, PredictionRecord)]
    records = [*first, *((ns + 60 * NS, record) for ns, record in again)]
    here, there = joined_at(records, 50), seen(records).trends
    same(here, there)
    values = here.stretch(0, 60, 60).values[:, MID]
    assert np.isfinite(values[1:60, AT["hr"]]).all() and np.isfinite(values[15:59, AT["depth"]]).all()


def test_a_cuff_that_measured_before_the_page_is_marked_once() -> None:
    story = [
        Chapter(second - 0.5, second + 0.5, vitals={"nibp_sys": 124.0, "nibp_age_s": second - 57.0})
        for second in range(57, 110)
    ]
    records = told(Patient(story=story), 1, 110)
    for second in (56, 60, 100):
        trends = joined_at(records, second)
        same(trends, seen(records).trends)
        assert np.flatnonzero(np.isfinite(trends.stretch(0, 110, 110).values[:, MID, AT["nibp_sys"]])).tolist() == [57]


def test_nothing_is_glued_over_what_was_not_recorded() -> None:
    patient = sick()
    records = [*told(patient, 1, 30), *told(patient, 60, 100)]
    trends = joined_at(records, 80)
    heart = trends.stretch(0, 100, 100).values[:, MID, AT["hr"]]
    assert np.isnan(heart[30:60]).all() and np.isfinite(heart[1:30]).all() and np.isfinite(heart[60:100]).all()


def test_what_was_seen_here_is_not_changed_by_what_was_recorded() -> None:
    here = seen(told(Patient(), 100, 160)).trends
    before = here.stretch(100 + JOINED_S, 160, 1000)
    other = Patient(story=[Chapter(0, 999, vitals={"hr": 33.0, "hr_source": "ECG"})])
    fold = TrendsFold(default_theme(), "Bed 3", "s", described())
    fold.tell(told(other, 1, 160))
    here.adopt(fold.trends, AHEAD_S)
    np.testing.assert_array_equal(here.stretch(100 + JOINED_S, 160, 1000).values, before.values)
    assert here.stretch(50, 51, 1).values[0, MID, AT["hr"]] == 33.0


def test_another_session_is_not_added() -> None:
    here = seen(told(Patient(), 100, 160)).trends
    fold = TrendsFold(default_theme(), "Bed 3", "other", described())
    fold.tell([(ns, record) for ns, record in told(Patient(session="other"), 1, 90)])
    here.adopt(fold.trends, AHEAD_S)
    assert here.span_s == (99.0, 160.0) and not here.adopted
    mixed = TrendsFold(default_theme(), "Bed 3", "s", described())
    mixed.tell(told(Patient(session="other"), 1, 90))
    assert mixed.trends.span_s is None


def test_a_session_that_began_here_was_not_joined() -> None:
    state = seen(told(Patient(), 1, 10))
    assert state.trends.joined_s == UNIX_S + 1 + AHEAD_S
    for ns, record in told(Patient(session="s+2", epoch=1), 1, 10):
        state.apply(record, ns / NS)
    assert state.trends.joined_s is None


def test_when_a_recorded_moment_was_is_known_by_the_clock_here() -> None:
    trends = joined_at(told(sick(), 1, 100), 80)
    assert trends.ahead_s(30.0) == pytest.approx(UNIX_S + AHEAD_S) == trends.ahead_s(99.0)


def test_no_estimate_where_the_findings_had_gone_stale() -> None:
    records = told(sick(), 1, 60)
    quiet = [(ns, r) for ns, r in records if isinstance(r, PredictionRecord) or ns < (UNIX_S + 50) * NS]
    fold = TrendsFold(default_theme(), "Bed 3", "s", described())
    fold.tell(quiet)
    mean = fold.trends.stretch(0, 60, 60).values[:, MID, AT["map_estimated"]]
    assert np.isfinite(mean[45:50]).all() and np.isnan(mean[55:]).all()


def rows(series: Series, seconds: Iterable[int], value: float) -> None:
    for second in seconds:
        series.put(second, slice(0, 2), [value, value + second % 7])
        series.put_codes(second, (0,), (1,))


@pytest.mark.parametrize(("mine", "theirs"), [(4, 4), (4, 1), (1, 4), (1, 1)])
def test_what_is_kept_coarser_is_added_too_and_kept_within_bounds(mine: int, theirs: int) -> None:
    here, older = Series(2, 1, mine), Series(2, 1, theirs)
    rows(older, range(3 * BLOCK_S + 200), 10.0)
    rows(here, range(3 * BLOCK_S + 200, 5 * BLOCK_S), 50.0)
    here.adopt(older, range(0))
    assert (here.begin_s, here.end_s) == (0.0, 5.0 * BLOCK_S)
    found = here.stretch(0, 5 * BLOCK_S, 5 * BLOCK_S // 10)
    at = (3 * BLOCK_S + 200) // 10
    assert (found.values[:at, :, 0] == 10.0).all() and (found.values[at:, :, 0] == 50.0).all()
    assert (found.presence[:, 1] == 250).all()
    fine = [number for number, block in here._blocks.items() if block.fine is not None]
    assert len(fine) <= mine + 1 and list(here._blocks) == sorted(here._blocks), "in order of the last write"


# In the window ------------------------------------------------------------------------------------------------------


def night(path: Path, seconds: int, alarms: Iterable[AlarmRecord] = (), **more: float) -> Recorder:
    recorder = Recorder(path, sick(), list(alarms), **more)
    recorder.run_to(seconds)
    return recorder


def live(make: Make, recording: Path | None, at_s: float, run_s: float = 15.0, **more: object) -> Screen:
    """A window that is opened at ``at_s``, on the trends, and so long."""
    session = FakeSession(**more)  # type: ignore[arg-type]
    session.changes = {"seekable": False, "duration_s": 0.0}
    s = make(sick(), session, recording=recording, unix_s=UNIX_S)
    s.start_at(at_s)
    s.window.turn_page(TRENDS)
    s.run_to(at_s + run_s)
    return s


def page_of(s: Screen) -> TrendsPage:
    page = s.window.trends.page
    assert page is not None
    return page


def test_the_page_shows_what_was_recorded_before_the_window(screen: Make, tmp_path: Path) -> None:
    night(tmp_path / "x.mcap", 120, STORY)
    s = live(screen, tmp_path / "x.mcap", 100.0)
    s.frames(14)
    page = page_of(s)
    page.do("all")
    s.frames(14)
    trends = s.window.state.trends
    assert trends.span_s is not None and trends.span_s[0] == 0.0
    values = trends.stretch(0, 110, 110)
    assert values.values[25, MID, AT["hr"]] == 171.0 and np.isfinite(values.values[50, MID, AT["map_estimated"]])
    assert values.presence[50, 0, MODALITIES.index(Modality.ABP)] > 1
    assert [a.key for a in trends.alarms(0, 100)] == ["hr.high", "abp", "hr.high"]
    assert f"recorded since {wall_words(UNIX_S)}" in page.note.text() and "%" not in page.note.text()
    assert page._stretch is not None and page._stretch.first_s == 0.0, "and draws it"


def test_it_is_read_aside_and_its_progress_is_said(
    screen: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trends_past, "PIECE_BYTES", 20_000)
    night(tmp_path / "x.mcap", 120)
    s = live(screen, tmp_path / "x.mcap", 100.0, 5.0)
    later = Later()
    s.window.trends.past._worker = later
    said: list[str] = []

    def rest(*_: object) -> None:
        s.frames(7)
        said.append(page_of(s).note.text())

    s.window.trends.past._rest = rest
    s.run_to(115.0)
    assert "reading what was recorded before" in page_of(s).note.text()
    assert s.window.state.trends.span_s == (100.0, 116.0), "nothing yet"
    later.run()
    s.frames(14)
    assert s.window.state.trends.adopted
    shares = [int(text.rpartition(": ")[2].removesuffix(" %")) for text in said]
    assert shares == sorted(shares) and shares[0] == 0 and len(set(shares)) > 5 and shares[-1] > 80


def test_another_bed_that_goes_on_show_gives_up_the_reading(screen: Make, tmp_path: Path) -> None:
    night(tmp_path / "x.mcap", 120)
    s = live(screen, tmp_path / "x.mcap", 100.0, 5.0, beds=("Bed 3", "Bed 4"))
    later = Later()
    s.window.trends.past._worker = later
    s.run_to(115.0)
    s.window.show_bed("Bed 4")
    s.frames(14)
    later.run()
    s.frames(14)
    assert not s.window.state.trends.adopted
    s.window.show_bed("Bed 3")
    s.frames(14)
    later.run()
    s.frames(14)
    assert s.window.state.trends.adopted, "and is read again when it is looked at again"


def test_a_thread_of_its_own_reads_and_ends_with_the_window(screen: Make, tmp_path: Path) -> None:
    night(tmp_path / "x.mcap", 120)
    s = live(screen, tmp_path / "x.mcap", 100.0, 5.0)
    past = s.window.trends.past
    past._worker, past._own = None, True
    asleep, names = threading.Event(), []

    def rest(cancel: threading.Event, _: float) -> None:
        names.append(threading.current_thread().name)
        asleep.set()
        cancel.wait(30.0)

    past._rest = rest
    s.run_to(115.0)
    assert asleep.wait(30.0) and names[0].startswith("display-trends")
    reading = past._reading
    assert reading is not None and not reading[1].done()
    s.window.close()
    reading[1].result(10.0)
    assert not s.window.state.trends.adopted


def test_a_recording_that_is_not_there_is_said_and_looked_for_again(screen: Make, tmp_path: Path) -> None:
    s = live(screen, tmp_path / "x.mcap", 100.0)
    s.frames(14)
    assert "what was before is not known: there is no recording x.mcap" in page_of(s).note.text()
    night(tmp_path / "x.mcap", 120)
    s.run_to(125.0)
    assert s.window.state.trends.adopted and "not known" not in page_of(s).note.text()


def test_a_recording_that_cannot_be_read_is_one_sentence(screen: Make, tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(b"no recording at all")
    s = live(screen, tmp_path / "x.mcap", 100.0)
    s.frames(14)
    note = page_of(s).note.text()
    assert note.count("the recording cannot be read: Expected an MCAP recording") == 1
    assert s.window.numerics.readouts["ECG"].value == "75", "and the rest goes on"


def test_a_damaged_part_is_left_out_and_said(screen: Make, tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    night(path, 120)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    s = live(screen, path, 100.0)
    s.frames(14)
    assert "some of what was recorded before is damaged" in page_of(s).note.text()
    heart = s.window.state.trends.stretch(0, 110, 110).values[:, MID, AT["hr"]]
    assert np.isfinite(heart[10:40]).all() and np.isfinite(heart[80:]).all()


def test_of_a_long_recording_the_newest_is_read_and_that_is_said(
    screen: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = night(tmp_path / "x.mcap", 120, STORY, part_s=30.0)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert len(recorder.told) > 100 and len(list(tmp_path.iterdir())) > 2
    monkeypatch.setattr(trends_past, "MOST_BYTES", size // 3)
    s = live(screen, tmp_path / "x.mcap", 100.0)
    s.frames(14)
    span_s = s.window.state.trends.span_s
    assert span_s is not None and 40.0 < span_s[0] < 90.0
    assert "only the newest 0 MB were read" in page_of(s).note.text()


def test_without_a_recording_nothing_is_read_or_said(screen: Make) -> None:
    s = live(screen, None, 100.0)
    page_of(s).do("all")
    s.frames(14)
    assert s.window.trends.past._reading is None and page_of(s).note.text().endswith(
        f"seen here since {wall_words(UNIX_S + 100)}"
    )


def test_the_file_is_gone_through_in_pieces_across_its_parts(tmp_path: Path) -> None:
    recorder = night(tmp_path / "x.mcap", 60, part_s=20.0)
    found = LookBack(tmp_path / "x.mcap")
    while found.follow():
        pass
    until_ns = round((UNIX_S + 50) * NS)
    begun = found.beginning("Bed 3", until_ns, 1 << 30)
    assert begun.whole and begun.described == recorder.told[0][1] and not begun.alarms
    spot, read, pieces = begun.spot, [], 0
    while spot is not None:
        words = found.words("Bed 3", spot, until_ns, 4000)
        read += words.told
        spot, pieces = words.spot, pieces + 1
        assert not words.damaged
    want = [(ns, r) for ns, r in recorder.told if ns <= until_ns and not isinstance(r, WaveTick | BedRecord)]
    assert [(ns, r) for ns, r in read if not isinstance(r, BedRecord)] == want
    assert pieces > 5 and begun.spot is not None
    assert not found.words("nobody", begun.spot, until_ns, 1 << 30).told
