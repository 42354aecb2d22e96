"""``python -m tests.mutations [SUBJECT ...] [--tests FILE ...] [--only WORD] [--list]``: puts each wrong in, in turn.

torch is imported once; a process is forked for each wrong, so that one takes as long as its tests. ``--tests`` runs
other tests than those declared: what would an older suite have seen?
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutations.declared import ROOT, Outdated, Wrong, declared

PRELOADED = (
    "torch", "torch.onnx", "onnx", "onnxruntime", "numpy", "scipy.stats", "matplotlib.pyplot", "msgspec", "hypothesis",
    "pytest", "safetensors.torch", "wfdb", "torch._dynamo",
    "torch.utils.tensorboard", "PySide6.QtWidgets", "PySide6.QtTest",
)  # fmt: skip
"""Large packages of others that the tests import: once, not once a wrong."""
LIMIT_S = 900
SEEN, UNSEEN, BROKEN = "seen", "NOT SEEN", "BROKEN"


class _Loader(SourceFileLoader):
    """Loads one module from changed text."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        """The changed text, compiled; never a cached file."""
        return compile(self._text, self.path, "exec")


class _Finder(MetaPathFinder):
    """Finds one module with its changed text, before the real one."""

    def __init__(self, module: str, path: Path, text: str) -> None:
        self._module, self._path, self._text = module, str(path), text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the changed module; None for any other."""
        if fullname != self._module:
            return None
        loader = _Loader(fullname, self._path, self._text)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


def tried(wrong: Wrong | None, tests: Sequence[str], output: Path) -> int:
    """Exit status of pytest with the wrong in place (None: as it is), in a forked process; its output goes to a file.

    A run of more than ``LIMIT_S`` is ended and counts as failed (1): a wrong may well loop for ever.
    """
    text = "" if wrong is None else wrong.applied()
    child = os.fork()
    if child == 0:
        os.setsid()
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        if wrong is not None:
            sys.meta_path.insert(sys.meta_path.index(PathFinder), _Finder(wrong.module, ROOT / wrong.file, text))
        import pytest

        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line", *tests])
        sys.stdout.flush()
        os._exit(int(status))
    ends = time.monotonic() + LIMIT_S
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1


def first_failure(output: Path) -> str:
    """The test that saw it."""
    for line in output.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split(" ", 1)[1].split(" - ")[0].rsplit("/", 1)[-1]
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for and prints a line a wrong and the score."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("subjects", nargs="*", help="names of the *.toml files here; all by default")
    parser.add_argument("--tests", nargs="+", help="run these tests instead of those declared")
    parser.add_argument("--only", default="", help="wrongs whose name contains this")
    parser.add_argument("--list", action="store_true", help="only list the wrongs")
    asked = parser.parse_args(arguments)
    try:
        wrongs = [w for w in declared(asked.subjects) if asked.only in w.name]
        for wrong in wrongs:
            wrong.applied()
    except Outdated as error:
        print(error, file=sys.stderr)
        return 2
    if asked.list:
        for wrong in wrongs:
            print(f"{wrong.subject}: {wrong.name}{f'  (harmless: {wrong.harmless})' if wrong.harmless else ''}")
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        return _run(wrongs, asked.tests, Path(folder) / "output")


def _run(wrongs: Sequence[Wrong], tests: Sequence[str] | None, output: Path) -> int:
    for chosen in dict.fromkeys(tuple(tests or w.tests) for w in wrongs):
        if tried(None, chosen, output) != 0:
            said = first_failure(output) or output.read_text(encoding="utf-8", errors="replace")[-500:]
            print(f"Expected tests that pass, found a failure without any wrong: {said}; mend it", file=sys.stderr)
            return 2
    found: dict[str, str] = {}
    for wrong in wrongs:
        began = time.monotonic()
        status = tried(wrong, tests or wrong.tests, output)
        result = {0: UNSEEN, 1: SEEN}.get(status, BROKEN)
        found[f"{wrong.subject}: {wrong.name}"] = result
        said = first_failure(output) if status else wrong.harmless
        print(f"{result:8}  {time.monotonic() - began:5.1f} s  {wrong.subject}: {wrong.name}  [{said}]", flush=True)
    count = {what: sum(result == what for result in found.values()) for what in (SEEN, UNSEEN, BROKEN)}
    harmless = [w for w in wrongs if w.harmless]
    late = [w.name for w in harmless if found[f"{w.subject}: {w.name}"] == SEEN]
    unseen = f"{count[UNSEEN]} not, {len(harmless)} declared harmless; {count[BROKEN]} broken"
    print(f"{count[SEEN]} of {len(wrongs)} wrongs seen; {unseen}")
    if late:
        print(f"Declared harmless, but seen: {'; '.join(late)}")
    missed = count[UNSEEN] - (len(harmless) - len(late))
    return int(bool(missed or count[BROKEN] or late))


if __name__ == "__main__":
    sys.exit(main())
