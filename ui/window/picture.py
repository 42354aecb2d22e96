"""Pictures of the screen to files, in a thread of its own: compressing one takes longer than a frame."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QStandardPaths
from PySide6.QtGui import QImage, QImageWriter


class Pictures:
    """``folder``: where they go, the user's pictures unless set."""

    def __init__(self, writer: Executor) -> None:
        self._writer = writer
        self._writing: list[tuple[Path, Future[bool]]] = []
        self.folder: Path | None = None

    def take(self, image: QImage) -> None:
        """Save a picture under a name of this second; :meth:`done` says where."""
        usual = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
        path = (self.folder or Path(usual or ".")) / f"vigil-{datetime.now():%Y%m%d-%H%M%S}.png"
        self._writing.append((path, self._writer.submit(write_picture, image, path)))

    def done(self) -> list[str]:
        """A sentence for each that has been written, or could not be, since the last call."""
        done = [picture for picture in self._writing if picture[1].done()]
        self._writing = [picture for picture in self._writing if picture not in done]
        return [f"saved {path}" if written.result() else f"could not write {path}" for path, written in done]

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
