"""A short animated picture: the built-in patient, whose arterial line is pulled and put back."""

from __future__ import annotations

import time
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage

from benchmarks.tour.scenes import Scene
from benchmarks.tour.stage import Stage

FRAMES_HZ, COLOURS = 8, 96
ACTS = ((2.0, "2"), (11.0, "2"))
"""Seconds of the film and the key pressed then: row 2, the pressure, is withheld and comes back."""
LASTS_S, BEGINS_S = 15.0, 100.0
WIDTH = 960


def make_film(path: Path) -> int:
    """Writes the GIF; returns its bytes."""
    from PIL import Image

    scene = Scene(source="demo", at_s=BEGINS_S, width=1280, height=720)
    frames = []
    with Stage(scene) as stage:
        stage.play_to(BEGINS_S)
        began, acts = time.monotonic(), list(ACTS)
        for number in range(round(LASTS_S * FRAMES_HZ)):
            stage.live(max(0.0, began + number / FRAMES_HZ - time.monotonic()))
            if acts and time.monotonic() - began >= acts[0][0]:
                stage.press(acts.pop(0)[1])
            frames.append(_small(stage.window.grab().toImage()))
    images = [Image.frombytes("RGB", (f.width(), f.height()), _rgb(f)) for f in frames]
    # One palette for all: frames differ by the few columns that the beam has passed, and only those are kept.
    palette = images[len(images) // 2].quantize(COLOURS)
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=round(1000 / FRAMES_HZ), loop=0, optimize=True)
    return path.stat().st_size


def _small(image: QImage) -> QImage:
    smooth = image.scaledToWidth(WIDTH, Qt.TransformationMode.SmoothTransformation)
    return smooth.convertToFormat(QImage.Format.Format_RGB888)


def _rgb(image: QImage) -> bytes:
    line, used = image.bytesPerLine(), image.width() * 3
    rows = bytes(image.constBits())
    return b"".join(rows[y * line : y * line + used] for y in range(image.height()))
