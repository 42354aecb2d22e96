"""What the operator measured of the screens, and the text that keeps it. Pure.

A screen is known by maker, model, serial number, connector and its pixels: at another resolution a pixel has another
size.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping

from models.signals.errors import BadInput
from ui.style.words import quoted
from ui.waves.geometry import MM_PER_INCH

PX_PER_MM = (30.0 / MM_PER_INCH, 1000.0 / MM_PER_INCH)
"""Device pixels a millimetre that a screen can have: from a wall of light to a telephone's."""
MOST_SCREENS = 100


def with_screen(sizes: Mapping[str, float], screen: str, px_per_mm: float | None) -> dict[str, float]:
    """With this size of a screen, or for None without."""
    rest = {name: size for name, size in sizes.items() if name != screen}
    if px_per_mm is not None:
        rest[screen] = px_per_mm
    return dict(list(rest.items())[-MOST_SCREENS:])


def parse_sizes(text: str, where: str) -> dict[str, float]:
    """Device pixels a millimetre by screen; BadInput with a sentence that names ``where`` for another text."""
    try:
        found = tomllib.loads(text).get("px_per_mm", {})
        sizes = {str(name): float(size) for name, size in found.items()}
        wrong = [name for name, size in sizes.items() if not (PX_PER_MM[0] <= size <= PX_PER_MM[1])]
    except (tomllib.TOMLDecodeError, AttributeError, TypeError, ValueError) as error:
        raise BadInput(f"sizes of screens in {where}", str(error), "correct or delete the file") from error
    if wrong:
        raise BadInput(f"sizes of screens in {where}", f"none that {wrong[0]!r} can have", "correct or delete the file")
    return sizes


def sizes_text(sizes: Mapping[str, float]) -> str:
    """As TOML."""
    lines = "".join(f"{quoted(name)} = {float(size)!r}\n" for name, size in sizes.items())
    return f"# Device pixels a millimetre, as measured with a ruler (menu: Size of this screen).\n[px_per_mm]\n{lines}"


def measured_scale(pixels: float, typed: str) -> float | None:
    """Device pixels a millimetre from a line of so many ``pixels`` and its length in mm as typed; None where that is no
    length that a screen can have.

    >>> measured_scale(600.0, "150"), measured_scale(600.0, " 158,7 mm"), measured_scale(600.0, "15 cm")
    (4.0, 3.780718336483932, None)
    """
    try:
        length_mm = float(typed.strip().removesuffix("mm").strip().replace(",", "."))
    except ValueError:
        return None
    if not math.isfinite(length_mm) or length_mm <= 0 or not PX_PER_MM[0] <= pixels / length_mm <= PX_PER_MM[1]:
        return None
    return pixels / length_mm
