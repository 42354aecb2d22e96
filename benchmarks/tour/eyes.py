"""What a picture looks like to eyes without one of the three cones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QImage

from models.signals.errors import BadInput

KINDS: dict[str, npt.NDArray[np.float64]] = {
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
"""Linear RGB to linear RGB at full severity (Machado, Oliveira and Fernandes 2009, table 1)."""


def seen_by(kind: str, picture: QImage) -> QImage:
    """The picture as eyes of that kind see it. BadInput for a kind that is not in :data:`KINDS`."""
    if kind not in KINDS:
        raise BadInput(f"a kind of eyes out of {', '.join(KINDS)}", repr(kind), "choose one of these")
    image = picture.convertToFormat(QImage.Format.Format_RGB888)
    width, height, line = image.width(), image.height(), image.bytesPerLine()
    rows = np.frombuffer(image.constBits(), np.uint8)[: height * line].reshape(height, line)
    srgb = rows[:, : width * 3].reshape(height, width, 3) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ KINDS[kind].T, 0.0, 1.0)
    out = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    pixels = np.ascontiguousarray(np.round(out * 255.0).astype(np.uint8))
    return QImage(pixels.tobytes(), width, height, width * 3, QImage.Format.Format_RGB888).copy()
