"""Pictures of the screen to files, in a thread of its own: compressing one takes longer than a frame."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QStandardPaths
from PySide6.QtGui import QImage, QImageWriter


class Pictures:
    """``folder``: where they go, the user's pictures unless set."""

    def __init__(self, writer: Executor) -> None:
        self._writer = writer
        self._writing: list[tuple[Path, str, Future[bool]]] = []
        self.folder: Path | None = None

    def take(self, image: QImage) -> None:
        """Save a picture under a name of this second; :meth:`done` says where."""
        name = Path(f"vigil-{datetime.now():%Y%m%d-%H%M%S}.png")
        self.write(name, lambda path: write_picture(image, path))

    def write(self, name: Path, write: Callable[[Path], bool], more: str = "") -> None:
        """Have ``write`` write a file of a name; it tells whether it could. more: to be said besides where it is."""
        usual = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
        path = (self.folder or Path(usual or ".")) / name
        self._writing.append((path, f" {more}" if more else "", self._writer.submit(write, path)))

    def done(self) -> list[str]:
        """A sentence for each that has been written, or could not be, since the last call."""
        done = [picture for picture in self._writing if picture[2].done()]
        self._writing = [picture for picture in self._writing if picture not in done]
        return [
            f"saved {path}{more}" if written.result() else f"could not write {path}" for path, more, written in done
        ]

    def close(self) -> None:
        """No more of them; waits for nothing."""
        self._writer.shutdown(wait=False)


def write_picture(image: QImage, path: Path) -> bool:
    """Write a PNG, making its folder; False where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return QImageWriter(str(path), b"PNG").write(image)
