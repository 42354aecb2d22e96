"""A few seconds of ``python -m benchmarks fuzz``, and every case that it once failed on."""

from __future__ import annotations

import asyncio
from collections import Counter

import numpy as np
import pytest

from benchmarks.fuzz.messages import House, base_messages, run_case
from benchmarks.fuzz.mutations import Damage
from benchmarks.fuzz.recordings import KINDS, Recordings
from models.signals.resample import Resampler
from streams.codec import DecodeError, decode
from streams.records import TOPICS

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of overflows in absurd samples

FOUND_MESSAGES = (7,)
FOUND_RECORDINGS = (275, 311)
"""Seeds of failures: infinite numbers in a window, of finite samples; a recording with a bed's second lead alone."""


@pytest.mark.parametrize("seed", [*range(1000, 1006), *FOUND_MESSAGES])
def test_mutated_messages_are_handled_or_refused(seed: int) -> None:
    counts = run_case(seed)
    assert counts["mutated"] == 96 and counts["refused"] > 10 and counts["taken"] > 100


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("fuzz"))


def test_mutated_recordings_are_played_or_refused_in_a_sentence(recordings: Recordings) -> None:
    found = Counter(recordings.run_case(seed) for seed in range(1000, 1064))
    assert {f"{kind}: {what}" for kind in KINDS for what in ("played", "sentence")} == set(found)


@pytest.mark.parametrize("seed", FOUND_RECORDINGS)
def test_recordings_that_it_once_failed_on(recordings: Recordings, seed: int) -> None:
    recordings.run_case(seed)


def test_the_same_seed_is_the_same_damage_and_most_of_it_is_no_message_any_more() -> None:
    honest = [message for _, message in base_messages()]
    made = [[Damage(seed).message(honest[seed % len(honest)], honest) for seed in range(300)] for _ in range(2)]
    assert made[0] == made[1]
    allowed = 0
    for message in made[0]:
        try:
            decode(message)
            allowed += 1
        except DecodeError:
            pass
    assert 60 < allowed < 240, "damage that is always refused, or never, looks at one half of the program only"


def test_honest_messages_are_of_every_topic_and_all_taken() -> None:
    assert {topic for topic, _ in base_messages()} == set(TOPICS)

    messages = base_messages()

    async def run() -> Counter[str]:
        house = House()
        for topic, message in messages:
            await house.take(topic, message, 0)
        house.look()
        house.close()
        return house.counts

    counts = asyncio.run(run())
    assert not counts["refused"] and counts["windows"] > 20


def test_a_crash_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from streams.alarms.engine import AlarmEngine

    def broken(engine: AlarmEngine, record: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(AlarmEngine, "on_vitals", broken)
    with pytest.raises(ZeroDivisionError):
        run_case(1000)


def test_samples_that_no_float32_holds_between_them_are_no_value() -> None:
    """Seed 7: finite on the wire, infinite once the kernel swings over."""
    wave = np.where(np.arange(500) < 250, -3.4e38, 3.4e38).astype(np.float32)
    values = Resampler(500.0)(wave, 0, 10, 90)
    assert not np.isinf(values).any() and np.isnan(values).any()
