"""Each window that was cut has one record, in order, however slow the model is: valid, late, or skipped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runtime.guard import Service
from models.runtime.prediction import Prediction
from models.signals.windows import Window, WindowSpec
from streams.accounting import Accounting
from streams.codec import DecodeError, decode, encode
from streams.inference import InferenceThread, Result, skipped_record
from streams.latency import LatencyBook
from streams.mailbox import BEHIND, CATCH_UP, NOT_LOADED, EndOfBed, Mailbox, SkippedWindow, WindowJob
from streams.records import PredictionRecord
from tests.streams.sources import FakeEngine
from tests.streams.test_inference import job

S = 10**9
SPEC = WindowSpec()
FOREVER_S = 1e6


class Slow(FakeEngine):
    """A model on which time passes: see :class:`Ward`."""

    def __init__(self, ward: Ward) -> None:
        super().__init__()
        self._ward = ward

    def predict(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
        self._ward.pass_by(self._ward.takes(len(windows)))
        return super().predict(windows, keys)


class Ward:
    """Beds with a window a second each, on a clock that only the model moves; in one thread, and so always the same.

    load_s: until the model serves. batches_s: what the next windows take it, batch by batch; then ``usual_s`` each.
    seek: after so many windows of a bed its next epoch begins. speed: of the replay.
    """

    def __init__(
        self,
        beds: int,
        seconds: int,
        batches_s: Sequence[float] = (),
        *,
        load_s: float = 0.0,
        usual_s: float = 0.01,
        batch: int | None = None,
        seek: int | None = None,
        speed: float = 1.0,
    ) -> None:
        self.now_ns = 0
        self.told: list[Result] = []
        self.skips: list[tuple[float, str]] = []  # told at once: when, and why
        self.accounting = Accounting()
        self.box = Mailbox()
        self.box.on_skipped(self._skipped)
        self._usual_s, self._load_s, self._slow = usual_s, load_s, list(batches_s)
        self._coming = sorted(
            (round((second + bed / beds) * S / speed), f"bed{bed}", second, seek is not None and second > seek)
            for bed in range(beds) for second in range(1, seconds + 1)
        )  # fmt: skip
        self._seek, self._beds = seek or 0, beds
        thread = InferenceThread(
            self.box, self._load, SPEC, self._deliver, self.accounting, LatencyBook(lambda: 0.0), batch=batch,
            gather_s=0.0, monotonic_ns=lambda: self.now_ns,
        )  # fmt: skip
        self._deliver([])  # the first window comes
        thread.run()

    def takes(self, windows: int) -> float:
        return self._slow.pop(0) if self._slow else self._usual_s * windows

    def pass_by(self, seconds: float) -> None:
        """Time passes, and what is due in it comes."""
        self.now_ns += round(seconds * S)
        while self._coming and self._coming[0][0] <= self.now_ns:
            due_ns, bed, second, sought = self._coming.pop(0)
            stamps = {"due": due_ns, "window": due_ns}
            cut = job(second - self._seek if sought else second, bed)
            coming = WindowJob(bed, "s", int(sought), cut.window, stamps)
            self.accounting.count("skipped_windows", self.box.keep_newest(coming))
        if not self._coming and self._beds:
            for number in range(self._beds):
                self.box.offer(EndOfBed(f"bed{number}", "s", 0, 0))
            self._beds = 0

    def _load(self) -> Slow:
        self.pass_by(self._load_s)
        return Slow(self)

    def _skipped(self, windows: Sequence[SkippedWindow]) -> None:
        self.skips += [(self.now_ns / S, w.said.reason) for w in windows]
        self.told += [skipped_record(w, SPEC, "", "", Service()) for w in windows]

    def _deliver(self, results: Sequence[Result]) -> None:
        self.told += results
        while not len(self.box) and self._coming:
            self.pass_by((self._coming[0][0] - self.now_ns) / S)
        if not len(self.box):
            self.box.close()

    @property
    def records(self) -> list[PredictionRecord]:
        return [r for r in self.told if isinstance(r, PredictionRecord)]

    def ends(self) -> dict[str, list[tuple[int, int]]]:
        """Epoch and second of each record, by bed."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for record in self.records:
            found[record.bed].append((record.epoch, record.window_end_ns // S))
        return found


took_s = st.sampled_from([0.001, 0.01, 0.04, 0.3, 0.6, 1.4, 3.0, 12.0, 80.0])


@given(
    beds=st.integers(1, 5),
    seconds=st.integers(1, 40),
    batches_s=st.lists(took_s, max_size=40),
    load_s=st.sampled_from([0.0, 0.5, 2.5, 30.0]),
    usual_s=st.sampled_from([0.001, 0.02, 0.2, 0.7, 1.6]),
    batch=st.none() | st.integers(1, 4),
    seek=st.none() | st.integers(1, 20),
)
def test_every_window_has_one_record_in_order_whatever_the_pattern_of_slow_batches(
    beds: int,
    seconds: int,
    batches_s: list[float],
    load_s: float,
    usual_s: float,
    batch: int | None,
    seek: int | None,
) -> None:
    ward = Ward(beds, seconds, batches_s, load_s=load_s, usual_s=usual_s, batch=batch, seek=seek)
    cut = min(seek or seconds, seconds)
    expected = [(0, s) for s in range(1, cut + 1)] + [(1, s) for s in range(1, seconds - cut + 1)]
    assert ward.ends() == {f"bed{bed}": expected for bed in range(beds)}
    last = [item for item in ward.told if isinstance(item, EndOfBed)]
    assert len(last) == beds and all(isinstance(item, EndOfBed) for item in ward.told[-1:])
    kinds = [record.missed for record in ward.records]
    assert kinds.count("skipped") == ward.accounting.counted("skipped_windows")
    assert len(kinds) - kinds.count("skipped") == ward.accounting.counted("predictions")
    assert kinds.count("late") == ward.accounting.counted("invalid_predictions")
    for record in ward.records:
        assert record.valid == (record.missed == "") and decode(encode(record)) == record
        assert bool(record.risk) == (record.missed != "skipped")
        if record.missed == "skipped":
            assert record.reason in (BEHIND, NOT_LOADED)


def test_after_a_short_stop_the_windows_are_computed_and_marked_late() -> None:
    ward = Ward(2, 20, [0.01] * 6 + [5.0])
    assert not [r for r in ward.records if r.missed == "skipped"]
    late = [r for r in ward.records if r.missed == "late"]
    assert 4 <= len(late) <= 10 and all(r.risk and "after its window" in r.reason for r in late)
    assert all(r.valid for r in ward.records[-10:])


def test_a_long_stop_leaves_the_oldest_out_and_no_queue_behind() -> None:
    ward = Ward(1, 300, [0.01, 0.01, 200.0])
    skipped = [r.window_end_ns // S for r in ward.records if r.missed == "skipped"]
    late = [r.window_end_ns // S for r in ward.records if r.missed == "late"]
    assert len(late) < CATCH_UP / 0.01 + 2 and skipped == list(range(skipped[0], min(late[1:])))
    assert all(r.valid for r in ward.records if r.window_end_ns > 205 * S)


@pytest.mark.parametrize("usual_s", [0.2, 0.4, 0.6])
def test_a_model_that_is_too_slow_for_good_skips_and_drags_no_queue_behind_it(usual_s: float) -> None:
    """Seven beds: what it computes is never older than the newest of its bed was, the model's own time, and what may
    be caught up with."""
    ward = Ward(7, 60, usual_s=usual_s, batch=1)
    skipped = [record for record in ward.records if record.missed == "skipped"]
    assert len(skipped) > 0.5 * len(ward.records) * (1 - 1 / (7 * usual_s))
    assert {record.reason for record in skipped} == {BEHIND}
    stamps = [record.stamps_ns for record in ward.records if record.missed != "skipped"]
    # After second 60 no newer ones come in place of those that wait.
    ages_ns = [s["inference_end"] - s["due"] for s in stamps if s["inference_end"] < 60 * S]
    assert len(ages_ns) > 0.9 * 60 / usual_s and max(ages_ns) <= (1.0 + usual_s + CATCH_UP) * S


def test_a_fast_replay_is_not_caught_up_with_over_many_seconds_of_the_patient() -> None:
    """At 50 times a window comes each 20 ms, and the model takes 30: a queue of half a second would be 25 s old."""
    ward = Ward(1, 500, usual_s=0.03, speed=50.0)
    stamps = [r.stamps_ns for r in ward.records if r.missed != "skipped"]
    assert max(s["inference_end"] - s["due"] for s in stamps) <= 0.06 * S


def test_while_the_model_is_loaded_windows_are_told_as_skipped_when_the_next_has_come() -> None:
    ward = Ward(1, 10, load_s=6.0)
    assert ward.skips and {why for _, why in ward.skips} == {NOT_LOADED}
    box = Mailbox()
    told: list[int] = []
    box.on_skipped(lambda windows: told.extend(w.said.window_end_s for w in windows))
    for second in range(1, 5):
        box.keep_newest(job(second))
        assert told == list(range(1, second))


def test_what_is_skipped_while_the_model_has_the_bed_comes_after_what_it_has() -> None:
    box = Mailbox()
    told: list[tuple[str, int]] = []
    box.on_skipped(lambda windows: told.extend((w.bed, w.said.window_end_s) for w in windows))
    box.keep_newest(job(1))
    (first,) = box.take(1)
    assert isinstance(first, WindowJob)
    for second in (2, 3):
        box.keep_newest(job(second))
        box.keep_newest(job(second, "bed2"))
    assert told == [("bed2", 2)]  # of the other bed the model has none
    taken = box.take(9)
    assert [(type(item), item.bed) for item in taken] == [
        (SkippedWindow, "bed1"), (WindowJob, "bed1"), (WindowJob, "bed2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields", [{"valid": True}, {"risk": {"5": (0.1, 0.0, 0.2)}}, {"depth": (1.0, 0.0, 2.0)}, {"missed": "gone"}]
)
def test_a_skipped_window_with_a_value_is_refused(fields: dict[str, object]) -> None:
    skipped = dict(
        bed="a", session="s", epoch=0, window_end_ns=S, model="", backend="", modalities=[], presence=[], ages_s=[],
        valid=False, abstain=False, reason=BEHIND, risk={}, missed="skipped",
    )  # fmt: skip
    assert decode(encode(PredictionRecord(**skipped)))  # type: ignore[arg-type]
    with pytest.raises(DecodeError):
        decode(encode(PredictionRecord(**skipped | fields)))  # type: ignore[arg-type]
