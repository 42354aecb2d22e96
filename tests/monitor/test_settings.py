"""What a user may type wrongly gets one sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from monitor.settings import check_writable, parse_drops, parse_speed
from streams.replay import Drop


def test_speeds() -> None:
    assert parse_speed("1") == 1.0
    assert parse_speed("0.25x") == 0.25
    assert parse_speed("MAX") is None
    for bad in ("0", "51", "-1", "fast", "nan", "inf", ""):
        with pytest.raises(BadInput):
            parse_speed(bad)


def test_drops() -> None:
    assert parse_drops(["abp:120-240.5, PPG:0-1", "EEG:3-"]) == (
        Drop(Modality.ABP, 120.0, 240.5),
        Drop(Modality.PPG, 0.0, 1.0),
        Drop(Modality.EEG, 3.0, math.inf),
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
    check_writable(None, "--report")
    check_writable(tmp_path / "report.json", "--report")
    with pytest.raises(BadInput, match="folder"):
        check_writable(tmp_path, "--report")
    with pytest.raises(BadInput, match="existing folder"):
        check_writable(tmp_path / "no" / "report.json", "--report")
