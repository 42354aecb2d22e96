"""Opening a source by name: what is recognised, and one sentence for everything else."""

from __future__ import annotations

import gzip
import http.server
import os
import socket
import sys
import threading
import types
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models.signals.errors import BadInput
from models.signals.readers import open_recording, vitaldb_open
from models.signals.readers.vitaldb_open import open_case
from tests.signals.recording_files import vitaldb_case, write_edf, write_wfdb

RAMP = np.arange(1000.0)


def test_by_suffix_and_by_content(tmp_path: Path) -> None:
    vital = vitaldb_case(tmp_path / "a.vital", seconds=7)
    edf = write_edf(tmp_path / "b.edf", {"ECG": (250.0, "mV", RAMP)})
    bdf = write_edf(tmp_path / "c.bdf", {"ECG": (250.0, "mV", RAMP)})
    hea = write_wfdb(tmp_path, "d", 250, {"II": ("mV", RAMP)})
    for path, name in [(vital, "a.vital"), (edf, "b.edf"), (bdf, "c.bdf"), (hea, "d"), (hea.with_suffix(""), "d")]:
        recording = open_recording(str(path))
        assert recording.name == name
        assert recording.tracks
        recording.close()
    for path in (vital, edf, bdf):
        bare = path.rename(path.with_suffix(""))
        assert open_recording(str(bare)).tracks
        bare.unlink()


def test_a_record_beside_a_folder_of_its_name(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "041s", 250, {"II": ("mV", RAMP)})
    (tmp_path / "041s").mkdir()
    assert open_recording(str(tmp_path / "041s")).name == "041s"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "empty text"),
        (".", "the folder '.'"),
        ("missing.vital", "no file"),
        ("surgery.vita", "did you mean 'surgery.vital'"),
        ("folder", "the folder 'folder'"),
        ("empty.vital", "the empty file"),
        ("notes.txt", "none of these"),
        ("r.dat", "open 'r.hea'"),
        ("text.hea", "cannot be read as one"),
        ("text.edf", "other content"),
        ("text.bdf", "other content"),
        ("text.vital", "gzip"),
        ("lonely.hea", "no such file"),
        ("https://example.org/1.vital", "the address"),
        ("vitaldb:", "a VitalDB case from 1 to 6388"),
        ("vitaldb:abc", "a VitalDB case"),
        ("vitaldb:0", "a VitalDB case"),
        ("vitaldb:6389", "a VitalDB case"),
        ("vitaldb:-1", "a VitalDB case"),
        ("vitaldb:٣", "a VitalDB case"),
        ("nul\0byte", "recording|path"),
        ("x" * 5000, "recording|path"),
    ],
)
def test_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.vital").touch()
    vitaldb_case(tmp_path / "surgery.vital", seconds=7)
    for name in ("notes.txt", "text.hea", "text.edf", "text.bdf", "text.vital"):
        (tmp_path / name).write_text("nothing that is a recording\n")
    write_wfdb(tmp_path, "r", 250, {"II": ("mV", RAMP)})
    (tmp_path / "lonely.hea").write_text((tmp_path / "r.hea").read_text().replace("r.dat", "lonely.dat"))
    with pytest.raises(BadInput, match=message) as caught:
        open_recording(source)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = vitaldb_case(tmp_path / "a.vital", seconds=7)
    path.chmod(0)
    with pytest.raises(BadInput, match="permissions"):
        open_recording(str(path))


def test_a_named_pipe_is_no_recording(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.vital")
    with pytest.raises(BadInput, match="no ordinary file"):
        open_recording(str(tmp_path / "pipe.vital"))


@pytest.mark.parametrize("source", ["demo", "demo:seed=7,scenario=hypovolaemia", "Demo"])
def test_the_simulator_is_opened_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # does not stand in the way
    simulator = types.ModuleType("models.data.simulator")
    simulator.open_demo = lambda spec: ("opened", spec)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "models.data.simulator", simulator)
    assert open_recording(source) == ("opened", source)


class Server(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "/77." in self.path:  # promises more than it sends
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"short")
            return
        super().do_GET()

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def vitaldb_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    from vitaldb import dataset

    folder = tmp_path / "site" / dataset.DATASET_VERSION
    folder.mkdir(parents=True)
    vitaldb_case(folder / "3.vital", seconds=7, packed=True)
    (folder / "4.vital").write_bytes((folder / "3.vital").read_bytes()[:100])
    handler = type("Handler", (Server,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path / "site")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(dataset, "api_url", f"http://127.0.0.1:{server.server_port}")
    yield handler.asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_case_is_fetched_once(tmp_path: Path, vitaldb_server: list[str]) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        recording = open_case("3", cache)
        assert recording.name == "vitaldb:3"
        assert "SNUADC/ART" in [t.name for t in recording.tracks]
    assert len(vitaldb_server) == 1
    assert vitaldb_server[0].endswith("/3.vital")


@pytest.mark.parametrize(
    ("case", "message"), [("5", "404"), ("77", "no connection|bytes"), ("4", "middle of its first records")]
)
def test_a_case_that_cannot_be_had(tmp_path: Path, vitaldb_server: list[str], case: str, message: str) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(BadInput, match=message) as caught:
        open_case(case, cache)
    assert "\n" not in str(caught.value)
    assert not list(cache.glob("*.part"))
    assert not (cache / "77.vital").exists()


def test_the_cache_keeps_the_cases_used_last(
    tmp_path: Path, vitaldb_server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitaldb_open, "CASES_KEPT", 2)
    for number, age in ((10, 300), (11, 200), (12, 100)):
        path = tmp_path / f"{number}.vital"
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    open_case("3", tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.vital")) == ["12.vital", "3.vital"]


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitaldb import dataset

    with socket.socket() as closed:  # a port that nothing listens on
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(dataset, "api_url", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(BadInput, match=r"no connection.*or download case 1 elsewhere"):
            open_case("1", tmp_path)


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitaldb import dataset

    monkeypatch.setattr(vitaldb_open, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(dataset, "api_url", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(BadInput, match="timed out"):
            open_case("1", tmp_path)


def test_gz_of_any_format_is_opened_or_named(tmp_path: Path) -> None:
    """A .vital file is packed by itself, whatever its name ends in; of the others it is said what they are."""
    vital = vitaldb_case(tmp_path / "a.vital", seconds=7)
    (tmp_path / "b.vital.gz").write_bytes(vital.read_bytes())
    assert len(open_recording(str(tmp_path / "b.vital.gz")).tracks) == len(open_recording(str(vital)).tracks)
    edf = write_edf(tmp_path / "c.edf", {"ECG": (250.0, "mV", np.arange(2500.0))})
    hea = write_wfdb(tmp_path, "d", 250, {"II": ("mV", np.arange(2500.0))})
    packed = {
        "a.vital.gz": (vital, "a .vital file packed once more"),
        "c.edf.gz": (edf, "a packed EDF or BDF file"),
        "c.rec": (edf, "a packed EDF or BDF file"),
        "d.hea.gz": (hea, "a packed file of a WFDB record"),
        "d.dat.gz": (hea.with_suffix(".dat"), "a packed file of a WFDB record"),
    }
    for name, (original, words) in packed.items():
        (tmp_path / name).write_bytes(gzip.compress(original.read_bytes()))
        with pytest.raises(BadInput, match=f"{words}; unpack it first: gunzip {name}"):
            open_recording(str(tmp_path / name))
    hea.with_suffix(".dat").unlink()
    with pytest.raises(BadInput, match=r"found it packed; unpack it first: gunzip d\.dat\.gz"):
        open_recording(str(hea))
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(BadInput, match="a ZIP archive; unpack it first"):
        open_recording(str(tmp_path / "x.zip"))
