"""What is done to the paper: freezing and measuring it, marking it, printing it. Three desks, made at one go."""

from __future__ import annotations

from collections.abc import Callable

from ui.bed.ward import Ward
from ui.style.look import Look
from ui.window.control_link import ControlLink
from ui.window.freeze import Freeze
from ui.window.history import History
from ui.window.marking import Marking
from ui.window.operator import Operator
from ui.window.picture import Pictures
from ui.window.screen import Screen
from ui.window.strips import Strips


class PaperDesk:
    """``desks``: those whose methods keys and menu call. What Freeze means by a key comes before the operator's."""

    def __init__(
        self,
        link: ControlLink,
        ward: Ward,
        history: History,
        operator: Operator,
        pictures: Pictures,
        look: Look,
        face: Screen,
        say: Callable[[str], None],
        now_s: Callable[[], float],
    ) -> None:
        self.freeze = Freeze(ward, face.sweep, history, look, operator, say, now_s)
        self.strips = Strips(self.freeze, pictures, look.theme, say)
        self.marking = Marking(link, ward, look, face, say)
        self.desks = (self.freeze, self.strips, self.marking)

    def put_away(self) -> None:
        """Another bed is on show."""
        self.marking.entry.hide()
        self.freeze.thaw()
