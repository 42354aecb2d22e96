"""The benchmark of a ward on a real Kafka: its roles begin, what comes of its beds is heard, and all of it ends."""

from __future__ import annotations

import pytest

from benchmarks.ward import main

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("retries_are_no_errors"), pytest.mark.timeout(300)]


def test_every_window_of_two_beds_is_counted(kafka_bootstrap: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--beds", "2", "--seconds", "6", "--broker", f"kafka://{kafka_bootstrap}", "--workers", "1"]) == 0
    row = [cell.strip() for cell in capsys.readouterr().out.splitlines()[4].strip("|").split("|")]
    beds, _, _, windows, predictions, missing = row[:6]
    assert (beds, windows, predictions, missing) == ("2", "12", "12", "0")
