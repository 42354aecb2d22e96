"""Waits between attempts grow, stay within bounds, and differ between those who wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.transport.backoff import FACTOR, JITTER, Backoff

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.lists(CHANCE, min_size=1, max_size=40), st.floats(0.01, 1.0), st.floats(1.0, 100.0))
def test_waits_grow_to_a_limit(chances: list[float], first_s: float, most_s: float) -> None:
    drawn = iter(chances)
    backoff = Backoff(lambda: next(drawn), first_s=first_s, most_s=most_s)
    whole = first_s
    for chance in chances:
        wait_s = backoff.failed()
        assert wait_s == pytest.approx(whole * (1 - JITTER * chance))
        assert 0 < wait_s <= most_s
        whole = min(whole * FACTOR, most_s)


@given(st.integers(1, 30))
def test_a_success_begins_anew(failures: int) -> None:
    backoff = Backoff(lambda: 0.0)
    first = backoff.failed()
    for _ in range(failures):
        assert backoff.failed() > first
    backoff.succeeded()
    assert backoff.failed() == first


def test_waits_that_do_not_grow_are_refused() -> None:
    with pytest.raises(ValueError, match="waits grow"):
        Backoff(lambda: 0.0, first_s=0.0)
