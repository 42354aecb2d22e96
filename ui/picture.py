"""A picture of the screen to a file."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtGui import QImage, QImageWriter


def write_picture(image: QImage, path: Path) -> bool:
    """Write a PNG, making its folder; False where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return QImageWriter(str(path), b"PNG").write(image)
