"""Consumer groups of an embedded hub: committed offsets, membership, and the eager rebalance of Kafka's protocol.

Every member runs the same small loop (see :mod:`streams.transport.consumer`): ask :meth:`Group.step` what to do, do
it, wait to be woken. A rebalance is a round: all members give up their partitions and join with what they subscribe
to; the longest-standing member (the leader) computes the assignment with Faust's own assignor; each member takes its
share. As in Kafka, a commit from an earlier round is refused.

No Faust, no event loop; thread-safe, since workers of one process may run in loops of different threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TopicPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Rejoin:
    """Give up your partitions and call :meth:`Group.join`."""


@dataclass(frozen=True, slots=True)
class Lead:
    """Compute the assignment of this round from the members' metadata and call :meth:`Group.sync`."""

    generation: int
    members: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Take:
    """The round is over: this is your share."""

    generation: int
    assignment: Any


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until woken."""


Step = Rejoin | Lead | Take | Wait


@dataclass(slots=True)
class _Member:
    metadata: Any
    wake: Callable[[], bool]
    joined: bool = True
    took: int = 0  # the generation whose share it holds, 0 for none


class Group:
    """One consumer group: its offsets, its members and the round they are in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._offsets: dict[TopicPartition, int] = {}
        self._members: dict[str, _Member] = {}  # in order of arrival: the first is the leader
        self._generation = 0
        self._assignments: dict[str, Any] | None = None

    # -- offsets --------------------------------------------------------------------------------------------------

    def committed(self, tp: TopicPartition) -> int | None:
        """The offset that was committed last; None if none was."""
        with self._lock:
            return self._offsets.get((tp[0], tp[1]))

    def commit(
        self, offsets: Mapping[TopicPartition, int], member: str | None = None, generation: int | None = None
    ) -> bool:
        """Commit; False (and nothing done) if ``member`` no longer holds its share of ``generation``.

        It holds it until it joins the next round, so that it can commit what it handled before it gives up.
        """
        with self._lock:
            if member is not None:
                me = self._members.get(member)
                if me is None or me.took != generation:
                    return False
            for (topic, partition), offset in offsets.items():
                self._offsets[(topic, partition)] = offset
            return True

    # -- membership -----------------------------------------------------------------------------------------------

    def join(self, member: str, metadata: Any, wake: Callable[[], bool]) -> None:
        """Enter, or enter again with new metadata; starts a round unless one is gathering already.

        wake: called from any thread when :meth:`step` may have something new; False if the member is no more.
        """
        with self._lock:
            known = self._members.get(member)
            if known is None or known.joined:
                self._unsettle()
            self._members[member] = _Member(metadata, wake)
        self.wake_all()

    def leave(self, member: str) -> None:
        """Go; the others share out anew."""
        with self._lock:
            if self._members.pop(member, None) is None:
                return
            self._unsettle()
        self.wake_all()

    def step(self, member: str) -> Step:
        """What this member has to do now."""
        with self._lock:
            me = self._members.get(member)
            if me is None or not me.joined:
                return Rejoin()
            if self._assignments is not None:
                if me.took == self._generation:
                    return Wait()
                me.took = self._generation
                return Take(self._generation, self._assignments[member])
            everyone_is_here = all(one.joined for one in self._members.values())
            if everyone_is_here and member == next(iter(self._members)):
                return Lead(self._generation, {name: one.metadata for name, one in self._members.items()})
            return Wait()

    def sync(self, generation: int, assignments: Mapping[str, Any]) -> bool:
        """The leader's assignment; False if the round was overtaken by another in the meantime."""
        with self._lock:
            if generation != self._generation or set(assignments) != set(self._members):
                return False
            self._assignments = dict(assignments)
        self.wake_all()
        return True

    @property
    def generation(self) -> int:
        """Counts the rounds of assignment."""
        return self._generation

    def members(self) -> tuple[str, ...]:
        """Present members, the leader first."""
        with self._lock:
            return tuple(self._members)

    def wake_all(self) -> None:
        """Tell every member to look again; one that died without leaving (its event loop is closed) is put out."""
        with self._lock:
            wakes = [(name, member.wake) for name, member in self._members.items()]
        for name, wake in wakes:
            if not wake():
                self.leave(name)

    def _unsettle(self) -> None:
        # A new generation, so that an assignment computed for the old one is refused. A round that is still gathering
        # takes a newcomer in, or goes on without one that left: those who have joined need not do so again.
        self._generation += 1
        if self._assignments is not None:
            self._assignments = None
            for one in self._members.values():
                one.joined = False
