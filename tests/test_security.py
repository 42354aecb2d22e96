"""What nobody who sends us bytes may bring about: no code is run, nothing listens, nothing is written where they say.

Bombs, lies about lengths and other hostile files: ``signals/test_hostile_files.py`` and
``streams/sinks/test_hostile_mcap.py``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from models.signals.errors import VigilError
from monitor.convert import convert
from tests.monitor.conftest import make as make  # the fixture
from tests.monitor.sessions import Make
from tests.sockets import listening
from tests.streams.sinks.records_made import bed_record, patient, record, ticks
from tests.test_layout import modules

RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "runpy"}
CALLS = {"eval", "exec", "compile", "__import__"}
OF_MODULES = {("os", "system"), ("os", "popen"), ("yaml", "load"), ("torch", "load"), ("pd", "read_pickle")}
HOSTILE = ["../evil", "/tmp/vigil-evil", "..\\evil", "a/../../evil", "evil\x00.hea", "~/evil", "$(touch evil)"]


def wrongs(path: Path) -> Iterator[str]:
    """What in a module could run what it was given."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in RUNS_CODE)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in RUNS_CODE:
            yield node.module or ""
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in CALLS:
                yield called.id
            dotted = ast.unparse(called)
            if tuple(dotted.split(".")) in OF_MODULES:
                yield dotted
            for keyword in node.keywords:
                on = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                if keyword.arg in ("shell", "allow_pickle") and on:
                    yield f"{keyword.arg}=True"


def test_nothing_that_is_read_can_be_run() -> None:
    found = {module: said for module, path in modules() if (said := list(wrongs(path)))}
    assert not found


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from marshal import loads", "eval(x)", "os.system(x)", "np.load(f, allow_pickle=True)",
     "subprocess.run(x, shell=True)", "torch.load(f)"],
)  # fmt: skip
def test_and_this_is_how_it_would_be_found(line: str, tmp_path: Path) -> None:
    module = tmp_path / "m.py"
    module.write_text(line)
    assert list(wrongs(module))


def test_a_run_listens_nowhere(make: Make) -> None:
    before = listening()
    session = make(20.0)
    session.start()
    assert session.wait_opened(30) and listening() == before
    assert session.wait(30) and listening() == before


@pytest.mark.parametrize("suffix", [".hea", ".edf", ".vital"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_recording_cannot_say_where_it_is_written(name: str, suffix: str, tmp_path: Path) -> None:
    """Its title, bed and tracks are called so; the files have the name that was asked for, in the folder asked for."""
    channels = patient()
    described = bed_record(channels, bed=name)
    described = replace(
        described, title=name, channels=[replace(c, label=f"{name}{i}") for i, c in enumerate(described.channels)]
    )
    made = [
        replace(tick, chunks=[replace(c, label=f"{name}{i}") for i, c in enumerate(tick.chunks)])
        for tick in ticks(channels, 0, 4, bed=name)
    ]
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    source = record(inside / "x.mcap", [described, *made])
    try:
        written = convert(str(source), inside / f"out{suffix}")
    except VigilError:
        written = []  # refused in one sentence: as good
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == {source, *written}
    assert all(p.parent == inside and p.name.startswith("out") for p in written)
    assert not Path("/tmp/vigil-evil").exists()
