"""Percentiles in bounded memory agree with numpy's to the width of a bucket; the accounting adds up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.accounting import Accounting
from streams.latency import LatencyBook, Percentiles
from streams.records import CellRecord, WaveChunk, WaveTick


@given(st.lists(st.floats(0.002, 3e6), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_quantiles_within_a_bucket_of_numpy(values: list[float], q: float) -> None:
    percentiles = Percentiles()
    for value in values:
        percentiles.add(value)
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    found = percentiles.quantile(q)
    assert found is not None and exact / 1.0001 <= found * 1.0001 and found <= exact * 1.0205
    assert percentiles.max_ms == max(values)


def test_no_values_no_number() -> None:
    assert Percentiles().quantile(0.5) is None
    assert LatencyBook(lambda: 0.0).report() == {}


@pytest.mark.parametrize("ms", [float("nan"), float("inf")])
def test_a_latency_is_a_number(ms: float) -> None:
    with pytest.raises(ValueError):
        Percentiles().add(ms)


def test_outliers_fall_in_the_outer_buckets() -> None:
    percentiles = Percentiles()
    for ms in (0.0, 1e-9, 1e12):
        percentiles.add(ms)
    assert percentiles.count == 3 and percentiles.max_ms == 1e12


def test_recent_forgets_after_a_minute_and_the_report_does_not() -> None:
    now = [1000.0]
    book = LatencyBook(lambda: now[0])
    book.add_ns("inference", 1, 500_000_001)
    now[0] += 30
    book.add_ns("inference", 1, 10_000_001)
    assert book.recent()["inference"][1] == pytest.approx(500, rel=0.021)
    now[0] += 45
    assert book.recent()["inference"][1] == pytest.approx(10, rel=0.021)
    now[0] += 100
    assert book.recent() == {}
    assert book.report()["inference"]["max"] == 500.0


def test_what_was_never_due_has_no_latency() -> None:
    book = LatencyBook(lambda: 0.0)
    book.add_ns("sample_to_feed", 0, 10**9)
    assert book.report() == {}


def tick(samples: int) -> WaveTick:
    chunk = WaveChunk("ECG", "II", 100.0, 0, 0, b"\0" * 4 * samples)
    return WaveTick(bed="a", session="s", epoch=0, tick_seq=0, start_ns=0, end_ns=10**9, chunks=[chunk])


def test_samples_add_up() -> None:
    book = Accounting()
    book.sent(tick(10))
    book.received("ECG", 7, withheld=False)
    book.lost("ECG", 2)
    book.duplicated(tick(4))
    assert book.samples(complete=False)["ECG"] == {
        "sent": 10, "received": 7, "lost": 2, "duplicated": 4, "withheld": 0,
    }  # fmt: skip
    assert book.samples(complete=True)["ECG"]["lost"] == 3
    book.lost("ECG", -1)
    assert book.samples_lost == 1


def test_presence_is_a_fraction_of_cells_with_reasons() -> None:
    book = Accounting()
    for second, reason in enumerate(["", "", "", "flat"]):
        book.cell(CellRecord(bed="a", session="s", epoch=0, second=second, absence={"EEG": "flat", "ECG": reason}))
    assert book.presence() == {"ECG": 0.75, "EEG": 0.0}
    assert list(book.presence()) == ["ECG", "EEG"]
    assert book.absent_reasons() == {"ECG": {"flat": 1}, "EEG": {"flat": 4}}
