"""What is said of a broker that is away: once when it goes, once when it is back, and now and then what waits."""

from __future__ import annotations

from monitor.reach import NOTES_S, ReachWords


def test_it_is_said_once_that_the_broker_is_away_and_once_that_it_is_back() -> None:
    words = ReachWords()
    said = [words.look(away_s, now) for now, away_s in enumerate([0.0, 0.0, 5.1, 5.6, 61.9, 0.0, 0.0, 7.0])]
    assert said == [
        [],
        [],
        ["the broker has not answered for 5 s; waiting for it"],
        [],
        [],
        ["the broker answers again, after some 62 s"],
        [],
        ["the broker has not answered for 7 s; waiting for it"],
    ]


def test_what_waits_is_said_at_first_then_seldom_and_when_it_is_over() -> None:
    words = ReachWords()
    assert words.look(0.0, 0.0, ["1 waits"]) == ["1 waits"]
    assert words.look(0.0, 1.0, ["2 wait"]) == []
    assert words.look(0.0, NOTES_S, ["9 wait", "and 1 was dropped"]) == ["9 wait", "and 1 was dropped"]
    assert "has got to the broker" in words.look(0.0, NOTES_S + 1, [])[0]
    assert words.look(0.0, NOTES_S + 2, []) == []
