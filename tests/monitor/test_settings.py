"""What a user may type wrongly gets one sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from monitor.settings import check_outputs, parse_drops, parse_precision, parse_speed, parse_widest
from streams.sources.bed_replay import Drop


def test_speeds() -> None:
    assert parse_speed("1") == 1.0
    assert parse_speed("0.25x") == 0.25
    assert parse_speed("MAX") is None
    for bad in ("0", "51", "-1", "fast", "nan", "inf", ""):
        with pytest.raises(BadInput):
            parse_speed(bad)


def test_precisions() -> None:
    assert [parse_precision(text) for text in ("auto", "FP16", " bf16", "fp32")] == ["auto", "fp16", "bf16", "fp32"]
    for bad in ("fp8", "", "half"):
        with pytest.raises(BadInput, match="a precision out of auto, fp32, fp16, bf16"):
            parse_precision(bad)


def test_widest_estimates() -> None:
    assert [parse_widest(text) for text in ("0", "10", "7.5", "50")] == [0.0, 10.0, 7.5, 50.0]
    for bad in ("-1", "51", "wide", "nan", "inf", ""):
        with pytest.raises(BadInput, match="--widest-estimate"):
            parse_widest(bad)


def test_drops() -> None:
    assert parse_drops(["abp:120-240.5, PPG:0-1", "EEG:3-", "co2:7-"]) == (
        Drop(Modality.ABP, 120.0, 240.5),
        Drop(Modality.PPG, 0.0, 1.0),
        Drop(Modality.EEG, 3.0, math.inf),
        Drop(Modality.CO2, 7.0, math.inf),
    )


@pytest.mark.parametrize("bad", ["ABP", "ABP:", "ABP:120", "ABP:240-120", "ABP:5-5", "ABP:-5-10", "XYZ:1-2", "ABP:a-b"])
def test_a_wrong_drop_is_one_sentence(bad: str) -> None:
    with pytest.raises(BadInput, match=r"--drop|modalities") as caught:
        parse_drops([bad])
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_no_text_gives_another_error(text: str) -> None:
    for parse in (lambda: parse_drops([text]), lambda: parse_speed(text)):
        try:
            parse()
        except BadInput as error:
            assert str(error).startswith("Expected ")


def test_outputs_are_checked_before_the_run(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    check_outputs({"--report": report, "--vitals": None}, ["demo"])
    assert not report.exists()
    null = Path("/dev/null")
    check_outputs({"--vitals": null, "--predictions": null}, ["demo"])
    for path, words in (
        (tmp_path, "folder"),
        (tmp_path / "no" / "report.json", "existing folder"),
        (Path("/proc/nothing.csv"), "can be written"),
        (tmp_path / ("n" * 300), "can be written"),
        (tmp_path / "nul\0", "can be written"),
    ):
        with pytest.raises(BadInput, match=words):
            check_outputs({"--report": path}, ["demo"])


def test_an_output_never_takes_the_place_of_the_recording_or_another_output(tmp_path: Path) -> None:
    case, link, out = tmp_path / "case.vital", tmp_path / "link", tmp_path / "out.csv"
    case.write_bytes(b"a patient's recording")
    link.symlink_to(case)
    for path in (case, link):
        with pytest.raises(BadInput, match="recording"):
            check_outputs({"--vitals": path}, ["demo", str(case)])
    with pytest.raises(BadInput, match="--vitals"):
        check_outputs({"--vitals": out, "--predictions": tmp_path / "." / "out.csv"}, ["demo", str(case)])
    assert case.read_bytes() == b"a patient's recording"
