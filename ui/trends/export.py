"""The trends that are shown as files: a picture, a drawing, and the numbers.

Picture and drawing are made from the scene, on the window's thread, as Qt wants it; compressing, and
writing numbers, is for another thread (:meth:`Export.write`).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pyqtgraph.exporters import ImageExporter
from PySide6.QtCore import QBuffer
from PySide6.QtGui import QImage, QImageWriter, QPainter
from PySide6.QtSvg import QSvgGenerator

from ui.bed.series import ALL, CODES, HI, LO, MEASURED, MID, Stretch
from ui.bed.trends import COLUMNS, MODALITIES, UNITS

_WIDTH = 1600  # pixels at least, of the picture
_UNIT_WORDS = {"/min": "_per_min", "mmHg": "_mmhg", "Hz": "_hz", "%": "_percent", "°C": "", "": ""}


def picture_of(canvas: Any) -> QImage:
    """The plots with their values, at least 1600 pixels wide."""
    exporter = ImageExporter(canvas.scene())
    exporter.parameters()["width"] = max(_WIDTH, round(canvas.width() * canvas.devicePixelRatioF()))
    exporter.parameters()["background"] = canvas.backgroundBrush().color()
    image: QImage = exporter.export(toBytes=True)
    return image


def svg_of(canvas: Any) -> bytes:
    """The same as a drawing. By Qt: pyqtgraph 0.14's exporter stumbles over closed paths."""
    scene, memory = canvas.scene(), QBuffer()
    place = scene.sceneRect()
    made = QSvgGenerator(QSvgGenerator.SvgVersion.Svg11)  # the older one does not clip
    made.setOutputDevice(memory)
    made.setTitle("Trends")
    made.setSize(place.size().toSize())
    made.setViewBox(place)
    painter = QPainter(made)
    painter.fillRect(place, canvas.backgroundBrush())
    scene.render(painter, place, place)
    painter.end()
    return bytes(memory.data().data())


@dataclass(frozen=True, slots=True)
class Sheet:
    """The numbers of a stretch. first_unix_s: of its beginning by the clock on the wall, None where there is none."""

    stretch: Stretch
    first_unix_s: float | None

    def rows(self) -> Iterator[list[str]]:
        """Names, then a line a bucket: event time of its beginning, the middle value of every column and, where buckets
        are of several seconds, the least and the greatest; what is unknown is empty. Then of every channel whether it
        was measured ("measured", or why not) and in what part."""
        stretch = self.stretch
        lo, mid, hi = (stretch.values[:, side] for side in (LO, MID, HI))
        spread = bool(np.any(lo < hi))
        sides = (("", mid), ("_least", lo), ("_greatest", hi)) if spread else (("", mid),)
        names = [_name(column) for column in COLUMNS]
        head = ["time_s"] + (["time_utc"] if self.first_unix_s is not None else [])
        head += [f"{name}{end}" for name in names for end, _ in sides]
        head += [f"{modality.value.lower()}{end}" for modality in MODALITIES for end in ("", "_measured_share")]
        yield head
        values = np.stack([side for _, side in sides], 2).reshape(len(mid), -1)
        for number, (row, presence) in enumerate(zip(values, stretch.presence, strict=True)):
            seconds = number * stretch.step_s
            line = [f"{stretch.first_s + seconds:g}"]
            if self.first_unix_s is not None:
                at = datetime.fromtimestamp(self.first_unix_s + seconds, UTC)
                line.append(at.isoformat(timespec="seconds").replace("+00:00", "Z"))
            line += ["" if math.isnan(value) else f"{value:.6g}" for value in row.tolist()]
            for code, share in presence.T.tolist():
                line += _presence(code, share)
            yield line


def _name(column: str) -> str:
    """With its unit.

    >>> _name("abp_map"), _name("risk_15_lo"), _name("map_estimated_hi")
    ('abp_map_mmhg', 'risk_15_lo', 'map_estimated_hi_mmhg')
    """
    return column + _UNIT_WORDS[UNITS[column.removesuffix("_lo").removesuffix("_hi")]]


def _presence(code: int, share: int) -> list[str]:
    if not code and not share:
        return ["", ""]
    return [CODES[code - MEASURED] if code else "measured", f"{share / ALL:.3g}"]


@dataclass(frozen=True, slots=True)
class Export:
    """What was on the page at one moment."""

    image: QImage
    svg: bytes
    sheet: Sheet

    def write(self, path: Path) -> bool:
        """Writes ``path`` with the endings .png, .svg and .csv; False where the picture cannot be, else OSError."""
        path.with_suffix(".svg").write_bytes(self.svg)
        with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(self.sheet.rows())
        return QImageWriter(str(path.with_suffix(".png")), b"PNG").write(self.image)
