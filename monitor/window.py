"""What each command that opens a window begins it with: language, looks, sound, settings and a report of problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from monitor.config import InForce
from monitor.config_uses import Appearance, appearance_of, sound_of
from monitor.problem_report import ProblemReport
from monitor.settings_store import StoredSettings
from ui.sound.choice import SoundChoice
from ui.style.language import speak

if TYPE_CHECKING:
    from ui.window.manners import Surroundings


class WindowChoices(Appearance):
    """Arguments that :func:`ui.window.app.run_display` and :func:`ui.window.app.run_door` have in common."""

    sound: SoundChoice
    around: Surroundings


def begin_window(
    force: InForce, report: Callable[[], Mapping[str, Any] | None], names: Callable[[], Iterable[str]]
) -> WindowChoices:
    """Load Qt and make its application as ``force`` has it, which takes its time: to be called while the session opens.
    report, names: of the session on the screen, as of :class:`monitor.problem_report.ProblemReport`. What the window is
    shown with. BadInput for a theme that there is not."""
    from ui.window.application import make_application
    from ui.window.manners import Surroundings

    speak(force.keys.display.language)
    look = appearance_of(force)
    make_application(look["theme"])
    around = Surroundings(store=StoredSettings(force), report=ProblemReport(force, report, names).save)
    return WindowChoices(**look, sound=sound_of(force), around=around)
