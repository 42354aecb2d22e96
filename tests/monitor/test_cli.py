"""The command line as a user meets it: what is wrong is said in one sentence, with exit code 2."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
import vitaldb

from monitor import cli

Vigil = Callable[..., tuple[int, str, str]]
FAST = ("--headless", "--speed", "max")


@pytest.fixture
def vigil(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Vigil:
    """Calls the command line in this process: exit code, output, error output."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["vigil", *arguments])
        monkeypatch.setattr(cli, "log_to_file", lambda: None)  # the suite's own log rules stay in force
        capfd.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return call


def vital_file(path: Path, tracks: dict[str, tuple[np.ndarray, float, str]]) -> Path:
    """A .vital file with wave tracks name -> (samples, rate, unit), written by the vitaldb package."""
    file = vitaldb.VitalFile()
    file.dtstart = 1_000_000_000.0
    for name, (samples, rate, unit) in tracks.items():
        step = max(1, int(rate))
        records = [
            {"dt": file.dtstart + i / max(rate, 1.0), "val": samples[i : i + step].astype(np.float32)}
            for i in range(0, len(samples), step)
        ]
        file.add_track(name, records, srate=rate, unit=unit)
    file.dtend = file.dtstart + max(len(s) / max(r, 1.0) for s, r, _ in tracks.values())
    file.to_vital(str(path))
    return path


def pulse(seconds: int, rate: float = 100.0) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return 90 + 20 * np.sin(2 * np.pi * 1.2 * t) + 8 * np.sin(4 * np.pi * 1.2 * t + 0.8)


def one_sentence(err: str) -> str:
    (line,) = [line for line in err.strip().splitlines() if line.startswith("vigil: ")]
    assert "Traceback" not in err
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "/no/such/file.vital", *FAST), "no file"),
        (("run", "demo:colour=red", *FAST), "colour"),
        (("run", "demo:scenario=flood", *FAST), "hypovolaemia"),
        (("run", "demo", "--drop", "ABP:240-120", *FAST), "--drop"),
        (("run", "demo", "--drop", "ABP:99990-99991", *FAST), "range to drop"),
        (("run", "demo", "--from", "1e9", *FAST), "start"),
        (("run", "demo", "--for", "0", *FAST), "above 0"),
        (("run", "demo", "--speed", "0"), "speed"),
        (("run", "demo", "--channels", "ECG=III", *FAST), "SIM/ECG_II"),
        (("run", "demo", "--channels", "ECG", *FAST), "MODALITY=TRACK"),
        (("run", "demo", "--bundle", "/no/bundle", *FAST), "bundle"),
        (("run", "demo", "--backend", "abacus", *FAST), "abacus"),
        (("run", "demo", "--backend", "onnx", "--precision", "fp16", *FAST), "onnx computes in fp32"),
        (("run", "demo", "--precision", "fp8", *FAST), "fp16, bf16"),
        (("run", "demo", "--imputer", "magic", *FAST), "magic"),
        (("run", "demo", "--report", "/no/such/folder/r.json", *FAST), "--report"),
        (("run", "demo", "--alarms", "/no/such/folder/a.csv", *FAST), "--alarms"),
        (("inspect", "/no/such/file"), "no file"),
        (("display", "--recording", "/no/such/night.mcap"), "a readable recording"),
        (("display", "--recording", __file__), "an MCAP recording"),
    ],
    ids=lambda v: " ".join(v[:4]) if isinstance(v, tuple) else "",
)
def test_bad_input_is_one_sentence_and_exit_code_2(vigil: Vigil, arguments: tuple[str, ...], words: str) -> None:
    code, _, err = vigil(*arguments)
    assert code == 2, err
    assert words in one_sentence(err)


def test_files_that_are_no_recording(vigil: Vigil, tmp_path: Path) -> None:
    text = tmp_path / "notes.vital"
    text.write_text("not a recording")
    empty = tmp_path / "empty.vital"
    empty.touch()
    headless_header = tmp_path / "r.hea"
    headless_header.write_text("r 1 100 1000\nr.dat 16 200/mmHg 16 0 0 0 0 ABP\n")
    for path in (text, empty, headless_header, tmp_path):
        code, _, err = vigil("run", str(path), *FAST)
        assert code == 2, (path, err)
        one_sentence(err)


def test_a_truncated_vital_file(vigil: Vigil, tmp_path: Path) -> None:
    whole = vital_file(tmp_path / "whole.vital", {"SNUADC/ART": (pulse(20), 100.0, "mmHg")})
    cut = tmp_path / "cut.vital"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    code, _, err = vigil("run", str(cut), *FAST)
    assert code == 0, err
    assert "vigil: cut.vital: the file ends in the middle of its data" in err
    cut.write_bytes(whole.read_bytes()[:100])
    code, _, err = vigil("run", str(cut), *FAST)
    assert code == 2, err
    one_sentence(err)


def test_nothing_that_can_be_mapped_lists_the_tracks(vigil: Vigil, tmp_path: Path) -> None:
    path = vital_file(tmp_path / "gas.vital", {"Pump/RATE": (pulse(5), 62.5, "mL/h")})
    code, _, err = vigil("run", str(path), *FAST)
    assert code == 2
    assert "Pump/RATE" in one_sentence(err)


def test_a_channel_of_nothing_but_nan(vigil: Vigil, tmp_path: Path) -> None:
    nothing = np.full(1000, np.nan)
    path = vital_file(tmp_path / "nan.vital", {"SNUADC/ART": (nothing, 100.0, "mmHg")})
    code, _, err = vigil("run", str(path), *FAST)
    assert code == 2
    assert "ART" in one_sentence(err)


def test_a_run_leaves_its_files(vigil: Vigil, tmp_path: Path) -> None:
    names = {n: tmp_path / n for n in ("report.json", "vitals.csv", "predictions.csv", "alarms.csv", "restored.npz")}
    code, _, err = vigil(
        "run", "demo:faults=off", "--for", "40", "--drop", "ABP:20-30", *FAST,
        *(part for name, path in names.items() for part in (f"--{name.partition('.')[0]}", str(path))),
    )  # fmt: skip
    assert code == 0, err
    report = json.loads(names["report.json"].read_text())
    assert report["seconds_streamed"] == 40
    assert report["latency_ms"] is None
    assert report["samples"]["ECG"]["sent"] == report["samples"]["ECG"]["received"] == 40 * 500
    assert report["samples"]["ABP"]["withheld"] == 10 * 125
    assert report["absent_reasons"]["ABP"] == {"withheld": 10}
    assert all(counts["lost"] == counts["duplicated"] == 0 for counts in report["samples"].values())
    assert report["windows"] == report["predictions"] == 40
    assert len(names["vitals.csv"].read_text().splitlines()) == 41
    assert len(names["predictions.csv"].read_text().splitlines()) == 41
    alarms = [line.split(",") for line in names["alarms.csv"].read_text().splitlines()]
    assert alarms[0] == ["time_s", "key", "priority", "kind", "text", "event", "reason"]
    withheld = [(float(row[0]), row[5]) for row in alarms if row[1] == "technical.ABP"]
    assert [event for _, event in withheld] == ["began", "ended"]
    assert 20 <= withheld[0][0] <= 22 and 30 <= withheld[1][0] <= 34
    count = report["alarms"]["technical.ABP"]
    assert (count["count"], count["highest_priority"], count["first_s"]) == (1, "low", withheld[0][0])
    assert count["seconds_active"] == pytest.approx(withheld[1][0] - withheld[0][0])
    assert set(report["alarms"]) == {row[1] for row in alarms[1:]}
    with np.load(names["restored.npz"]) as saved:
        estimated = saved["ABP_estimated"]
        time_s, truth = saved["ABP_time_s"], saved["ABP_truth"]
    assert estimated.any()
    assert time_s[estimated].min() >= 20
    assert time_s[estimated].max() < 30
    assert np.isfinite(truth[estimated]).mean() > 0.99


def test_a_run_that_cannot_begin_leaves_earlier_results_alone(vigil: Vigil, tmp_path: Path) -> None:
    names = {name: tmp_path / name for name in ("vitals", "predictions", "alarms", "restored")}
    for path in names.values():
        path.write_text("of an earlier run")
    options = [part for name, path in names.items() for part in (f"--{name}", str(path))]
    code, _, err = vigil("run", "/no/such/file.vital", *FAST, *options)
    assert code == 2, err
    assert {path.read_text() for path in names.values()} == {"of an earlier run"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("option", ["--report", "--vitals", "--alarms", "--restored"])
def test_a_full_disk_is_said_in_one_sentence(vigil: Vigil, option: str) -> None:
    code, _, err = vigil("run", "demo", "--for", "2", *FAST, option, "/dev/full")
    assert code == 1, err
    assert "could not be written" in one_sentence(err)


def test_inspect_says_what_each_track_is_taken_for(vigil: Vigil, tmp_path: Path) -> None:
    path = vital_file(tmp_path / "case.vital", {"SNUADC/ART": (pulse(20), 100.0, "mmHg")})
    code, out, _ = vigil("inspect", str(path))
    assert code == 0
    assert "SNUADC/ART" in out
    assert "ABP" in out


@pytest.mark.parametrize("command", [(), ("run",), ("inspect",), ("doctor",), ("train", "demo")])
def test_help_teaches(vigil: Vigil, command: tuple[str, ...]) -> None:
    code, out, _ = vigil(*command, "--help")
    assert code == 0
    assert "Usage" in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("screen", [{}, {"QT_QPA_PLATFORM": "offscreen"}], ids=["no screen", "window"])
def test_a_run_that_is_ended_from_outside_finishes_its_files(
    tmp_path: Path, number: signal.Signals, screen: dict[str, str]
) -> None:
    vitals, report = tmp_path / "v.csv", tmp_path / "r.json"
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    command = [sys.executable, "-m", "monitor", "run", "demo", "--vitals", str(vitals), "--report", str(report)]
    # A suite that was started in the background ignores SIGINT, and so would its children.
    process = subprocess.Popen(
        command,
        env=environment | screen,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not vitals.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(30) in (0, 130)
    finally:
        process.kill()
    assert vitals.read_text().count("\n") >= 2
    assert json.loads(report.read_text())["samples"]["ECG"]["sent"] > 0


def test_the_starter_passes_every_command_on() -> None:
    """Any other word is a source, so a command that it does not know would be taken for a recording."""
    starter = (Path(__file__).resolve().parents[2] / "run").read_text(encoding="utf-8")
    lines = [line for line in starter.splitlines() if line.endswith(") ;;")]
    known = {word for line in lines for word in re.findall(r"[a-z]+", line)}
    assert known == set(typer.main.get_group(cli.app).commands)  # type: ignore[attr-defined]
