"""The truth under an estimate: right to the digit, off until asked for, unlike anything measured, and seen by nobody
but the operator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from models.signals.absence import Absence
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.codec import samples_to_bytes
from streams.records import AnyRecord, VitalsRecord, WaveChunk, WaveTick
from streams.windower import BedWindower
from tests.signals.waves import RATE
from tests.streams.bedside import ABP, S, well
from tests.ui.harness import Screen, near
from tests.ui.synthetic import Patient
from ui.bed.truth import KEPT, Truth, TruthNumbers
from ui.waves.truth_tags import ON

Make = Callable[..., Screen]
TICK_NS = S // 4


def ticks(seconds: int, held: tuple[float, float], epoch: int = 0) -> list[WaveTick]:
    """A patient whose pressure is withheld for some time."""
    waves, found = well(seconds), []
    waves[ABP] = waves[ABP] + 8 * np.sin(np.arange(len(waves[ABP])) / RATE / 5)  # so that each second has its own mean
    for seq, start in enumerate(range(0, seconds * S, TICK_NS)):
        lo, hi = start * RATE // S, (start + TICK_NS) * RATE // S
        chunks = [
            WaveChunk(m.value, m.value, float(RATE), 0, lo, samples_to_bytes(x[lo:hi]),
                      m is ABP and held[0] * S <= start < held[1] * S)
            for m, x in waves.items()
        ]  # fmt: skip
        found.append(WaveTick(bed="a", session="s", epoch=epoch, tick_seq=seq, start_ns=start, end_ns=start + TICK_NS,
                              chunks=chunks))  # fmt: skip
    return found


HELD = ticks(4, (0.0, 9.0))[0]


def played(truth: Truth, given_ticks: list[WaveTick]) -> TruthNumbers:
    numbers = TruthNumbers()
    for tick in given_ticks:
        truth.see(tick)
        truth.told(truth.stretch, numbers.take(truth.taken()))
    return numbers


def test_the_true_mean_is_the_one_that_the_monitor_would_have_shown() -> None:
    sent = ticks(50, (30.0, 99.0))
    windower = BedWindower(WindowSpec(), Accounting())
    shown = {}
    for tick in ticks(50, (99.0, 99.0)):
        shown |= {r.time_ns: r.abp_map for r in windower.handle(tick, 0).records if isinstance(r, VitalsRecord)}
    truth = Truth()
    played(truth, sent)
    found = dict(truth._true)
    assert sorted(found) == [s * S for s in range(31, 50)]
    assert found == {at: pytest.approx(shown[at], abs=0.05) for at in found}
    assert max(found.values()) - min(found.values()) > 3.0, "else the test shows nothing"


def test_the_score_is_the_mean_absolute_error_of_the_seconds_that_have_both_and_how_often_the_interval_held() -> None:
    truth = Truth()
    numbers = [(t * S, m) for t, m in ((11, 70.0), (12, 72.0), (13, None), (14, 80.0))]
    truth.see(replace(ticks(4, (0.0, 9.0))[0], start_ns=10 * S, end_ns=10 * S + TICK_NS))
    truth.told(truth.stretch, numbers)
    for time_s, mean in (
        (9, (0.0, 0.0, 0.0)),
        (11, (73.0, 69.0, 77.0)),
        (12, (71.0, 66.0, 71.5)),
        (14, (80.5, 79, 82)),
    ):
        truth.estimated(time_s * S, mean)
    score = truth.score()
    assert score is not None and score.seconds == 3
    assert score.error_mmhg == pytest.approx((3.0 + 1.0 + 0.5) / 3) and score.covered == pytest.approx(2 / 3)
    assert (score.true_mmhg, score.off_mmhg) == (80.0, 0.5)
    truth.told(truth.stretch, [(15 * S, 81.0)])
    assert truth.score().off_mmhg is None, "of that second there is no estimate"  # type: ignore[union-attr]
    truth.told(truth.stretch - 1, [(16 * S, 0.0)])
    assert truth.score().true_mmhg == 81.0, "of another stretch"  # type: ignore[union-attr]
    truth.clear()
    assert truth.score() is None


def test_a_stretch_that_ends_is_over_and_the_next_begins_anew() -> None:
    truth, sent = Truth(), ticks(30, (10.0, 15.0))
    for tick in sent[: 14 * 4]:
        truth.see(tick)
    first = truth.stretch
    assert truth.held and truth.score() is not None
    for tick in sent[14 * 4 :]:
        truth.see(tick)
    assert not truth.held and truth.score() is None
    truth.see(replace(sent[-1], chunks=[replace(c, withheld=True) for c in sent[-1].chunks]))
    assert truth.stretch == first + 1 and truth.score().seconds == 0  # type: ignore[union-attr]


@given(st.lists(st.floats(0, 200), min_size=1, max_size=900))
def test_what_is_kept_is_bounded(means: list[float]) -> None:
    truth = Truth()
    truth.see(HELD)
    truth.told(truth.stretch, [(n * S, mean) for n, mean in enumerate(means, 1)])
    for n, mean in enumerate(means, 1):
        truth.estimated(n * S, (mean, mean - 1, mean + 1))
    score = truth.score()
    assert score is not None and score.seconds == min(len(means), KEPT)
    assert score.error_mmhg == 0.0 and score.covered == 1.0


# -- on the screen ---------------------------------------------------------------------------------------------------


class Withheld(Patient):
    """The samples of an absent channel come along, marked."""

    def tick(self, seq: int, due_ns: int = 0, eos: bool = False) -> list[AnyRecord]:
        wave, *rest = super().tick(seq, due_ns, eos)
        assert isinstance(wave, WaveTick)
        held = {m.value for m in self.modalities if self.reason(m, seq / 20) == Absence.WITHHELD.value}
        return [replace(wave, chunks=[replace(c, withheld=c.modality in held) for c in wave.chunks]), *rest]


def dots(s: Screen, modality: Modality = Modality.ABP) -> np.ndarray:
    """Where the wave area has the colour of the truth."""
    return near(s.pixels(s.wave_area(modality)), s.window.look.colour("truth"), 75.0)


def withheld(screen: Make, until_s: float = 6.0) -> Screen:
    s = screen(Withheld(absent={Modality.ABP: [(3, 99, Absence.WITHHELD)]}, keep_samples=True))
    s.run_to(until_s)
    return s


def test_it_is_off_until_asked_for_and_unlike_all_else(screen: Make, qtbot: QtBot) -> None:
    s = withheld(screen)
    w = s.window
    assert w.sweep.truth is None and dots(s)[:, s.columns(3.2, 5.5)].mean() < 0.002
    before = w.numerics.readouts["ABP"]
    qtbot.keyClick(w, Qt.Key.Key_T)
    s.run_to(6.5)
    assert w.sweep.truth is not None and dict(w.sweep.truth.lanes)["ABP"].startswith("TRUTH")
    held, measured = dots(s)[:, s.columns(3.5, 5.5)], dots(s)[:, s.columns(0.5, 2.5)]
    share = held.any(axis=0).mean()
    assert 0.15 < share < 0.95, "dots, from where it is withheld on"
    assert not measured.any() and not dots(s, Modality.PPG)[:, s.columns(0.5, 5.5)].any()
    after = w.numerics.readouts["ABP"]
    assert (after.value, after.estimated, before.estimated) == (before.value, True, True)
    assert w.state.lane("ABP").trace.raw.ring.end < 3.1 * 125 + 1  # type: ignore[union-attr]
    qtbot.keyClick(w, Qt.Key.Key_T)
    s.run_to(6.8)
    assert w.sweep.truth is None and dots(s)[:, s.columns(3.2, 5.5)].mean() < 0.002


def test_while_it_is_on_the_screen_says_so_also_where_nothing_is_withheld(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.run_to(2.0)
    plain = s.image().copy()
    qtbot.keyClick(s.window, Qt.Key.Key_T)
    s.session.changes = {"paused": True}
    s.frames(12)
    s.window.sweep.put_stamp(None)
    assert s.window.sweep.truth is not None and s.window.sweep.truth.lanes == () and "TRUTH" in ON
    assert s.image() != plain


def test_the_error_stands_in_the_lane_and_a_seek_begins_it_anew(screen: Make, qtbot: QtBot) -> None:
    s = withheld(screen, 9.0)
    qtbot.keyClick(s.window, Qt.Key.Key_T)
    s.run_to(10.0)
    words = dict(s.window.sweep.truth.lanes)["ABP"]  # type: ignore[union-attr]
    score = s.window.state.truth.score()
    assert score is not None and score.true_mmhg is not None and score.error_mmhg is not None
    assert score.error_mmhg == pytest.approx(abs(66.0 - score.true_mmhg), abs=3.0)
    assert f"mean {score.true_mmhg:.0f} mmHg" in words and "mean error" in words and "interval held" in words
    s.patient = Withheld(absent={Modality.ABP: [(0, 999, Absence.WITHHELD)]}, keep_samples=True, epoch=1)
    s.start_at(100.0)
    s.run_to(100.3)
    assert s.window.state.truth.score().seconds == 0  # type: ignore[union-attr]


def test_a_live_source_has_no_truth(screen: Make, qtbot: QtBot) -> None:
    s = withheld(screen, 5.0)
    s.session.changes = {"seekable": False}
    s.frames(12)
    qtbot.keyClick(s.window, Qt.Key.Key_T)
    s.frames(12)
    assert not s.window.operator.truth.on and s.window.sweep.truth is None
