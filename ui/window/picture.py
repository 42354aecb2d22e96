"""Pictures of the screen to files, in a thread of its own: compressing one takes longer than a frame."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QStandardPaths
from PySide6.QtGui import QImage, QImageWriter

from ui.style.language import tr


class Pictures:
    """``folder``: where they go, the user's pictures unless set."""

    def __init__(self, writer: Executor) -> None:
        self._writer = writer
        self._writing: list[tuple[Path, str, Future[bool]]] = []
        self.folder: Path | None = None

    def take(self, image: QImage) -> None:
        """Save a picture under a name of this second; :meth:`done` says where."""
        self.write("png", lambda path: _png(image, path))

    def write(self, suffix: str, write: Callable[[Path], bool], more: str = "", what: str = "vigil") -> None:
        """Have ``write`` write a file with a name of this second, in a folder that is there; it tells whether it could,
        or raises OSError. more: to be said besides where it is. what: the name begins so."""
        usual = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
        path = (self.folder or Path(usual or ".")) / f"{what}-{datetime.now():%Y%m%d-%H%M%S}.{suffix}"
        self._writing.append((path, f" {more}" if more else "", self._writer.submit(_written, write, path)))

    def done(self) -> list[str]:
        """A sentence for each that has been written, or could not be, since the last call."""
        done = [picture for picture in self._writing if picture[2].done()]
        self._writing = [picture for picture in self._writing if picture not in done]
        return [
            tr("saved {path}", path=path) + more if written.result() else tr("could not write {path}", path=path)
            for path, more, written in done
        ]

    def close(self) -> None:
        """No more of them; waits for nothing."""
        self._writer.shutdown(wait=False)


def write_picture(image: QImage, path: Path) -> bool:
    """Write a PNG, making its folder; False where that cannot be done."""
    return _written(lambda path: _png(image, path), path)


def _png(image: QImage, path: Path) -> bool:
    return QImageWriter(str(path), b"PNG").write(image)


def _written(write: Callable[[Path], bool], path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return write(path)
    except OSError:
        return False
