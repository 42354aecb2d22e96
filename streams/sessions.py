"""Sessions of a bed: what they are called, and which of two records is of the past.

A source begins with the session that its role gives it, and goes on in another one when its device has another patient:
``NAME``, ``NAME+2``, ``NAME+3``, … Epochs count on from one to the next. So of two records of one source that have come
by different topics, and in any order, the larger epoch is the newer one, and nothing of a patient who has left can come
back.
"""

from __future__ import annotations

_BETWEEN = "+"


def of_next_patient(session: str) -> str:
    """The session after ``session``.

    >>> of_next_patient("7-1-a"), of_next_patient("7-1-a+2")
    ('7-1-a+2', '7-1-a+3')
    """
    name, number = _split(session)
    return f"{name}{_BETWEEN}{number + 1}"


def same_source(one: str, other: str) -> bool:
    """Whether two sessions are of one run of one source.

    >>> same_source("7-1-a", "7-1-a+2"), same_source("7-1-a", "8-1-b")
    (True, False)
    """
    return _split(one)[0] == _split(other)[0]


def is_past(session: str, epoch: int, now_session: str, now_epoch: int) -> bool:
    """Whether a record is of an earlier epoch, or patient, than what has been seen of its source."""
    return epoch < now_epoch and same_source(session, now_session)


def _split(session: str) -> tuple[str, int]:
    name, between, number = session.rpartition(_BETWEEN)
    return (name, int(number)) if between and number.isascii() and number.isdecimal() else (session, 1)
