"""One window a test, closed at its end."""

from collections.abc import Callable, Iterator

import pytest

from tests.ui.harness import Screen


@pytest.fixture
def screen(qapp: object) -> Iterator[Callable[..., Screen]]:
    """Make a :class:`Screen`; it is closed when the test ends."""
    made: list[Screen] = []

    def make(*args: object, **kwargs: object) -> Screen:
        made.append(Screen(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()
