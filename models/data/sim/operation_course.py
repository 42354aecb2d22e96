"""The course of a patient in an operation: heart and vessels of :class:`Course`, with the theatre around them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from models.data.sim.noise import Stream, generator
from models.data.sim.operation import Operation
from models.data.sim.physiology import CHAPTER_S, LEAD_IN_S, Acting, Chapter, Course, State
from models.data.sim.subject import Device, Subject
from models.data.sim.theatre import WAVES_S, Seen, Theatre


@dataclass(slots=True)
class _State(State):
    theatre: Theatre

    def copy(self) -> _State:
        other = State.copy(self)
        assert isinstance(other, _State)
        other.theatre = self.theatre.copy()
        return other


class OperationCourse(Course):
    """A :class:`Course` that follows an :class:`Operation`."""

    def __init__(self, seed: int, subject: Subject, device: Device, plan: Operation) -> None:
        self._operation = plan
        self._noise: list[list[float]] = []
        self._luck: list[list[float]] = []
        self._noise_from_s = 0
        super().__init__(seed, subject, device, plan)

    def _initial(self) -> State:
        start = generator(self._seed, Stream.THEATRE).standard_normal(len(WAVES_S)).tolist()
        theatre = Theatre.begin(self._operation.temper, self._operation.events, -float(LEAD_IN_S), start)
        plain = super()._initial()
        return _State(**{f.name: getattr(plain, f.name) for f in fields(State)}, theatre=theatre)

    def _advance(self, index: int) -> Chapter:
        rng = generator(self._seed, Stream.OPERATION, index)
        self._noise = rng.standard_normal((CHAPTER_S, len(WAVES_S))).tolist()
        self._luck = rng.random((CHAPTER_S, 2)).tolist()
        self._noise_from_s = index * CHAPTER_S - LEAD_IN_S
        return super()._advance(index)

    def _target(self, st: State, second: float) -> float:
        assert isinstance(st, _State)
        return super()._target(st, second) * (1.0 + st.theatre.deeper)

    def _episode(self, st: State, second: float, treatments: list[tuple[float, str]]) -> None:
        assert isinstance(st, _State)
        row = int(second) - self._noise_from_s
        given = st.theatre.step(
            second, Seen(st.map_slow, 60.0 / st.slow_rr, st.depth), 1.0 - 0.9 * st.effect, self._noise[row],
            self._luck[row],
        )  # fmt: skip
        if given is not None:
            treatments.append((second, given))

    def _acting(self, st: State) -> Acting:
        assert isinstance(st, _State)
        return st.theatre.acting
