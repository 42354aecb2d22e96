"""The scenes of a tour as data: which recording, when, on what screen, and what is done before the picture."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import msgspec

from models.signals.errors import BadInput

LEAD_S = 75.0
"""Seconds of the recording that are played before a scene, fast: windows, numerics and context are full then."""


RECORDING = "RECORDING"
"""The source of a scene of whichever recording the command line names."""


class Scene(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One picture. at_s: seconds of the recording. drops: as in ``--drop``. keys: pressed one after the other at
    ``at_s``, each as Qt writes it ("Shift+G"), where a keyboard's would go: in a dialog once one is open; after them
    ``wait_s`` seconds pass. scale: of the desktop; its pixels are ``width`` × ``height`` before it. colour_blind:
    "protan" or "deutan", as such eyes see the picture. language: of the screen. remarks: with what the program says in
    passing, which pictures are else without."""

    source: str
    at_s: float
    words: str = ""
    drops: list[str] = []
    keys: list[str] = []
    wait_s: float = 0.6
    width: int = 1456
    height: int = 819
    scale: float = 1.0
    theme: str = "dark"
    font_scale: float = 1.0
    colour_blind: str = ""
    language: str = "en"
    remarks: bool = False
    lead_s: float = LEAD_S

    @property
    def begin_s(self) -> float:
        """Where the recording is begun."""
        return max(0.0, self.at_s - self.lead_s)


def read_scenes(path: Path | None = None) -> dict[str, Scene]:
    """Name -> scene, in the order of the file; the tour's own without a path. BadInput for a table that is none."""
    text = path.read_bytes() if path is not None else resources.files(__package__).joinpath("scenes.toml").read_bytes()
    try:
        return msgspec.toml.decode(text, type=dict[str, Scene])
    except msgspec.DecodeError as error:
        raise BadInput("a table of scenes like benchmarks/tour/scenes.toml", str(error), "mend it there") from error
