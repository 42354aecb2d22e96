"""Built engines on disk: one folder an engine set, with a sidecar of what it was built from and what the gate said.

``ROOT/KEY/``: ``batch_1.plan … entry.json``, and later ``gate.json``, ``opened`` and, for TensorRT-RTX, the kernels it
compiled. KEY is the sha256 of everything that the plans depend on. A folder appears whole or not at all. One that is
damaged or foreign is set aside as ``quarantine-…`` and built again. Plans are code: the folders are the user's alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs

from models.runtime.tensorrt.build import plan_name
from models.signals.errors import BackendUnavailable

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("vigil.inference")

SCHEMA = 1
MAX_ENTRIES = 12
"""Sets of engines that are kept, the last used ones: 100 to 200 MB each."""
MAX_QUARANTINED = 2
_WAIT_S = 0.1

Keyed = dict[str, str | int | float | bool | list[int] | dict[str, int]]


class Sidecar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``entry.json``. plans: bucket -> sha256."""

    schema: int
    keyed: Keyed
    plans: dict[str, str]


class Damaged(Exception):
    """An entry is not what its sidecar says; the text says where."""


def key_of(keyed: Keyed) -> str:
    """sha256 over all that was keyed and the schema."""
    return hashlib.sha256(msgspec.json.encode([SCHEMA, keyed], order="deterministic")).hexdigest()


def default_root() -> Path:
    """The folder of engines in the user's cache."""
    return Path(platformdirs.user_cache_dir("vigil", appauthor=False)) / "engines"


@dataclass(frozen=True, slots=True)
class Entry:
    """digest: of the sidecar, and so of every plan."""

    folder: Path
    digest: str
    plans: dict[int, str]

    @property
    def key(self) -> str:
        """Under which the gate's result is kept: that of these very plans."""
        return f"{self.digest}@{self.folder}"

    @property
    def opened(self) -> bool:
        """Whether a process has opened these plans without a crash."""
        return self._marker.is_file()

    def mark_opened(self) -> None:
        """Remembers that these engines open here."""
        with _not_kept("that an engine opens"):
            write_whole(self._marker, b"")

    @property
    def _marker(self) -> Path:
        return self.folder / f"opened-{self.digest[:16]}"

    def read(self) -> dict[int, bytes]:
        """The plans by bucket. Raises Damaged if one is not what the sidecar says, OSError."""
        found = {}
        for bucket, wanted in self.plans.items():
            plan = (self.folder / plan_name(bucket)).read_bytes()
            if hashlib.sha256(plan).hexdigest() != wanted:
                raise Damaged(f"the plan for batches of {bucket} was altered or damaged")
            found[bucket] = plan
        return found

    def extra(self, name: str) -> bytes:
        """What was kept beside the plans under this name, b"" if nothing is or it is damaged."""
        try:
            content = (self.folder / name).read_bytes()
        except OSError:
            return b""
        return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else b""

    def keep_extra(self, name: str, content: bytes) -> None:
        """Keeps a file that the engines themselves bring about, with its sha256 before it."""
        with _not_kept(name):
            write_whole(self.folder / name, hashlib.sha256(content).digest() + content)


class EngineCache:
    """The folder of all entries. Whatever cannot be written raises OSError, and nothing is left half written."""

    def __init__(self, root: Path | None) -> None:
        self.root = root or default_root()

    def find(self, key: str) -> Entry | None:
        """The entry, its sidecar checked; a foreign or unreadable one is quarantined. None in a folder of others."""
        if not self._is_private():
            return None
        folder = self.root / key
        try:
            content = (folder / "entry.json").read_bytes()
        except OSError:
            if folder.is_dir():
                self.quarantine(folder, "it has no readable entry.json")
            return None
        try:
            sidecar = msgspec.json.decode(content, type=Sidecar)
            plans = {int(bucket): digest for bucket, digest in sidecar.plans.items()}
        except ValueError as error:  # that of msgspec too
            self.quarantine(folder, f"entry.json cannot be read ({error})")
            return None
        if sidecar.schema != SCHEMA or key_of(sidecar.keyed) != key:
            self.quarantine(folder, "it was built from something else than its name says")
            return None
        with contextlib.suppress(OSError):
            os.utime(folder)  # last used
        return Entry(folder, hashlib.sha256(content).hexdigest(), plans)

    def store(self, key: str, keyed: Keyed, plans: Mapping[int, Path]) -> Entry:
        """Copy the plans in, under the lock; an older entry of this key is replaced. Raises OSError."""
        self._tidy()
        part = Path(tempfile.mkdtemp(prefix="part-", dir=self.root))
        try:
            hashes = {}
            for bucket, path in plans.items():
                shutil.copyfile(path, part / plan_name(bucket))
                with (part / plan_name(bucket)).open("r+b") as handle:
                    hashes[str(bucket)] = hashlib.file_digest(handle, "sha256").hexdigest()
                    os.fsync(handle.fileno())
            sidecar = msgspec.json.encode(Sidecar(SCHEMA, keyed, hashes))
            write_whole(part / "entry.json", msgspec.json.format(sidecar))
            folder = self.root / key
            if folder.exists():
                self.quarantine(folder, "it was built anew")
            part.rename(folder)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            raise
        found = self.find(key)
        if found is None:
            raise OSError("it cannot be read back")
        return found

    def quarantine(self, folder: Path, why: str) -> None:
        """Set the entry aside; the last few are kept for a look."""
        log.warning("A cached engine is set aside and built again: %s (%s)", why, folder.name[:12])
        names = (self.root / f"quarantine-{folder.name[:12]}-{n}" for n in itertools.count())
        try:
            folder.rename(next(path for path in names if not path.exists()))
        except OSError as error:
            log.warning("It could not be set aside: %s", error.strerror or error)
            return
        for old in self._by_use("quarantine-*")[MAX_QUARANTINED:]:
            shutil.rmtree(old, ignore_errors=True)

    def timing(self, name: str) -> bytes:
        """The builder's measurements on this machine, b"" if there are none."""
        try:
            return (self.root / f"timing-{name}.bin").read_bytes()
        except OSError:
            return b""

    def keep_timing(self, name: str, content: bytes) -> None:
        """Keeps a timing cache, which makes the next build faster."""
        with _not_kept("the timing cache"):
            write_whole(self.root / f"timing-{name}.bin", content)

    @contextlib.contextmanager
    def locked(self, cancel: threading.Event, waiting: Callable[[], None]) -> Iterator[None]:
        """One build at a time in this folder, over all processes: two would also disturb each other's measurements.

        ``waiting`` is called while another process builds. Raises OSError where there can be no lock, and
        BackendUnavailable when cancelled.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_private():
            raise OSError(errno.EPERM, "another user owns it or may write to it, and engines are code")
        handle = os.open(self.root / "build.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _lock(handle):
                waiting()
                if cancel.wait(_WAIT_S):
                    raise BackendUnavailable("waiting for another process that builds engines was cancelled")
            yield
        finally:
            os.close(handle)  # gives the lock back

    def _is_private(self) -> bool:
        """Whether nobody else can put an engine there; where the system does not tell, it counts as so."""
        if not hasattr(os, "getuid") or not self.root.exists():
            return True
        found = self.root.stat()
        return found.st_uid == os.getuid() and not found.st_mode & 0o022

    def _tidy(self) -> None:
        """What a killed process left, and the entries that were not used for longest."""
        for left in (*self._by_use("part-*"), *self._by_use("[0-9a-f]" * 8 + "*")[MAX_ENTRIES - 1 :]):
            shutil.rmtree(left, ignore_errors=True)

    def _by_use(self, pattern: str) -> list[Path]:
        def used(path: Path) -> float:
            try:
                return path.stat().st_mtime
            except OSError:
                return 0.0

        return sorted((p for p in self.root.glob(pattern) if p.is_dir()), key=used, reverse=True)


def write_whole(path: Path, content: bytes) -> None:
    """Written beside and moved into place. Raises OSError and leaves nothing."""
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_native_id()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


class GateRecord(msgspec.Struct, frozen=True):
    """``gate.json``: digest of the entry that was tried, and the gate's own words."""

    entry: str
    result: msgspec.Raw


def store_gate(key: str, result: bytes) -> None:
    """Keep the gate's result (JSON) beside the engines of a backend's ``cache_key``. Does nothing if they were built
    anew meanwhile or nothing can be written."""
    digest, folder = _parts(key)
    if _digest(folder) == digest:
        with _not_kept("the gate's result"):
            write_whole(folder / "gate.json", msgspec.json.encode(GateRecord(digest, msgspec.Raw(result))))


def stored_gate(key: str) -> bytes | None:
    """The gate's result for these very engines, None if there is none."""
    digest, folder = _parts(key)
    try:
        record = msgspec.json.decode((folder / "gate.json").read_bytes(), type=GateRecord)
    except (OSError, ValueError):
        return None
    return bytes(record.result) if record.entry == digest == _digest(folder) else None


def plan_bytes(key: str) -> dict[int, int]:
    """Bytes of each bucket's plan of a backend's ``cache_key``; empty once the entry is gone."""
    plans = _parts(key)[1].glob("batch_*.plan")
    return {int(path.stem.removeprefix("batch_")): path.stat().st_size for path in sorted(plans)}


def _parts(key: str) -> tuple[str, Path]:
    digest, _, folder = key.partition("@")
    return digest, Path(folder)


def _digest(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / "entry.json").read_bytes()).hexdigest()
    except OSError:
        return ""


def _lock(handle: int) -> bool:
    """False while another process has it; OSError where the file system knows no locks."""
    if fcntl is None:  # pragma: no cover - no such library on Windows: then the last to finish replaces the others
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _not_kept(what: str) -> Iterator[None]:
    """What only spares time the next time may fail to be written."""
    try:
        yield
    except OSError as error:
        log.info("The engine cache does not keep %s: %s", what, error.strerror or error)
