"""What a replay achieves, told only where it falls back."""

from __future__ import annotations

import pytest

from models.signals.times import SECOND_NS
from streams.sources.pace import SPAN_NS, Pace


def play(pace: Pace, speed: float, seconds: float, begin: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Ticks of 50 ms at ``speed``; (monotonic, event) at the end."""
    now, event = begin
    for _ in range(round(seconds * speed / 0.05)):
        event += SECOND_NS // 20
        now += round(SECOND_NS / 20 / speed)
        pace.sent(event, now)
    return now, event


def test_a_speed_that_is_kept_is_not_told() -> None:
    pace = Pace()
    now, _ = play(pace, 10.0, 5.0)
    assert pace.achieved(now) is None and pace.given_up_ns == 0


@pytest.mark.parametrize("speed", [0.4, 1.0, 6.3, 40.0])
def test_what_is_achieved_is_event_time_over_wall_time(speed: float) -> None:
    pace = Pace()
    now, event = play(pace, speed, 4.0)
    pace.fell_back(300_000_000, now)
    assert pace.achieved(now) == pytest.approx(speed, rel=0.03)
    # another pace is told within the span
    now, event = play(pace, speed / 2, SPAN_NS / SECOND_NS + 1.0, (now, event))
    pace.fell_back(100_000_000, now)
    assert pace.achieved(now) == pytest.approx(speed / 2, rel=0.05)
    assert pace.given_up_ns == 400_000_000


def test_it_is_told_for_a_while_and_no_longer() -> None:
    pace = Pace()
    now, event = play(pace, 4.0, 4.0)
    pace.fell_back(300_000_000, now)
    now, event = play(pace, 4.0, 2.0, (now, event))
    assert pace.achieved(now) is not None
    now, _ = play(pace, 4.0, 2.0, (now, event))
    assert pace.achieved(now) is None


def test_a_pause_or_seek_begins_anew() -> None:
    pace = Pace()
    now, _ = play(pace, 4.0, 4.0)
    pace.fell_back(1, now)
    pace.restart()
    assert pace.achieved(now) is None
