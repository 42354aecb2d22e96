"""Consumer groups of the hub: whatever the order of joining, leaving and answering, all end in one settled round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.transport.group import Group, Lead, Rejoin, Take, Wait


class Member:
    def __init__(self, name: str) -> None:
        self.name = name
        self.woken = True
        self.taken: Take | None = None

    def wake(self) -> bool:
        self.woken = True
        return True

    def act(self, group: Group) -> None:
        """One step of the loop every consumer runs."""
        step = group.step(self.name)
        if isinstance(step, Rejoin):
            self.taken = None
            group.join(self.name, f"of {self.name}", self.wake)
        elif isinstance(step, Lead):
            assert step.members[self.name] == f"of {self.name}"
            group.sync(step.generation, {name: sorted(step.members) for name in step.members})
        elif isinstance(step, Take):
            self.taken = step
        else:
            assert isinstance(step, Wait)
            self.woken = False


def settle(group: Group, members: dict[str, Member], order: list[int]) -> None:
    order = [*order, *range(1000)]
    for turn in order:
        awake = [member for member in members.values() if member.woken]
        if not awake:
            return
        awake[turn % len(awake)].act(group)
    raise AssertionError("the group never settled")


@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["join", "leave", "again"]), st.integers(0, 4), st.lists(st.integers(0, 9), max_size=6)
        ),
        max_size=20,
    )
)
def test_any_history_settles_with_everyone_in_one_generation(events):
    group, members = Group("g"), {}
    for what, number, order in events:
        name = f"m{number}"
        if what == "join":
            members.setdefault(name, Member(name))
        elif what == "leave" and name in members:
            del members[name]
            group.leave(name)
        elif what == "again" and name in members:
            group.join(name, f"of {name}", members[name].wake)  # subscribed anew
            members[name].taken = None
        # Not settled between events: members act in any order and not always to the end.
        for turn in order:
            awake = [member for member in members.values() if member.woken]
            if awake:
                awake[turn % len(awake)].act(group)
    settle(group, members, [])
    assert set(group.members()) == set(members)
    for member in members.values():
        assert member.taken == Take(group.generation, sorted(members))


def test_a_commit_from_an_earlier_round_is_refused():
    group = Group("g")
    one, two = Member("one"), Member("two")
    members = {"one": one}
    settle(group, members, [])
    old = group.generation
    assert group.commit({("waves", 0): 5}, "one", old)
    group.join("two", "of two", two.wake)
    assert group.commit({("waves", 0): 5}, "one", old), "what was handled may be committed until it gives up"
    one.act(group)
    assert not group.commit({("waves", 0): 9}, "one", old), "now it has given up"
    members["two"] = two
    settle(group, members, [])
    assert group.generation > old
    assert not group.commit({("waves", 0): 9}, "one", old)
    assert not group.commit({("waves", 0): 9}, "stranger", group.generation)
    assert group.committed(("waves", 0)) == 5
    assert group.commit({("waves", 0): 6}, "two", group.generation)
    assert group.committed(("waves", 0)) == 6


def test_an_assignment_of_a_round_that_was_overtaken_is_refused():
    group = Group("g")
    one = Member("one")
    one.act(group)
    lead = group.step("one")
    assert isinstance(lead, Lead)
    group.join("two", "of two", lambda: True)
    assert not group.sync(lead.generation, {"one": []})
    again = group.step("one")
    assert isinstance(again, Lead) and set(again.members) == {"one", "two"}


def test_leaving_twice_or_unknown_is_nothing():
    group = Group("g")
    group.leave("nobody")
    assert group.members() == ()
    assert group.generation == 0


def test_a_member_that_died_without_leaving_is_put_out():
    group = Group("g")
    alive = True
    members = {"one": Member("one")}
    group.join("dead", "of dead", lambda: alive)
    alive = False
    settle(group, members, [])
    assert group.members() == ("one",)
    assert members["one"].taken == Take(group.generation, ["one"])
