"""What the pipeline has found in the last ten seconds, the numerics do not seek again, unless they see other
samples."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from models.data.simulator import open_demo
from models.signals.channels import map_channels
from models.signals.found_beats import FoundBeats
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.records import BeatRecord, VitalsRecord, WaveTick
from streams.sources.bed_replay import BedReplay, Drop
from streams.vitals import monitor
from streams.windower import BedWindower
from ui.sound.figures import default_figures

S = 10**9


def told(drops: list[Drop], until_s: int, ticks_per_s: int) -> list[tuple[float, Any]]:
    """Beats and numerics, each with the event time in seconds at which it is known."""
    patient: Any = map_channels(open_demo(f"demo:seed=5,scenario=stable,faults=off,duration={until_s + 5}"), {})
    replay = BedReplay("b", "s", patient, until_s * S, drops)
    windower = BedWindower(WindowSpec(), Accounting())
    records: list[tuple[float, Any]] = []
    for at in range(ticks_per_s * until_s):
        a, b = at * S // ticks_per_s, (at + 1) * S // ticks_per_s
        chunks = replay.chunks(replay.decode(a, b), a, b)
        tick = WaveTick(
            bed="b", session="s", epoch=0, tick_seq=at, start_ns=a, end_ns=b, chunks=chunks
        )  # fmt: skip
        records += [(b / S, r) for r in windower.handle(tick, 0).records if isinstance(r, BeatRecord | VitalsRecord)]
    return records


def said(drops: list[Drop]) -> list[Any]:
    return [record for _, record in told(drops, until_s=40, ticks_per_s=4)]


def test_a_beat_is_told_before_its_tone_is_due() -> None:
    after_s = [at_s - r.time_ns / S for at_s, r in told([], until_s=40, ticks_per_s=20) if isinstance(r, BeatRecord)]
    assert len(after_s) > 30 and min(after_s) > 0.3 and max(after_s) < 1.4, "the figures of docs/sound.md"
    assert max(after_s) < default_figures().beat.delay_s


@pytest.fixture
def sought(monkeypatch: pytest.MonkeyPatch) -> Counter[Modality]:
    """How often the numerics seek beats of their own."""
    found: Counter[Modality] = Counter()

    class Counting:
        @staticmethod
        def of(modality: Modality, samples: Any) -> FoundBeats:
            found[modality] += 1
            return FoundBeats.of(modality, samples)

    monkeypatch.setattr(monitor, "FoundBeats", Counting)
    return found


def test_once_while_all_is_measured(sought: Counter[Modality]) -> None:
    said([])
    assert not sought


def test_again_where_seconds_are_left_out(sought: Counter[Modality]) -> None:
    """A withheld stretch lies in the pipeline's block too, but the numerics blank the whole of its cells."""
    said([Drop(Modality.ECG, 20.5, 22.5)])
    assert 8 <= sought[Modality.ECG] <= 12 and not sought[Modality.ABP]


@pytest.mark.parametrize("drops", [[], [Drop(Modality.ECG, 20.5, 22.5), Drop(Modality.PPG, 25.0, 27.0)]])
def test_it_changes_nothing(drops: list[Drop], monkeypatch: pytest.MonkeyPatch) -> None:
    shared = said(drops)
    monkeypatch.setattr(FoundBeats, "are_of", lambda self, samples: False)
    assert said(drops) == shared


def test_the_same_samples_and_no_others() -> None:
    samples = np.array([1.0, np.nan, 3.0], dtype=np.float32)
    found = FoundBeats.of(Modality.RESP, samples)
    assert found.are_of(samples.copy())
    samples[1] = 2.0  # the block was copied
    assert not found.are_of(samples) and not found.are_of(samples[:2])
