"""A strip on paper, measured in the file itself; and the table, read back against the rings."""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.records import CommandRecord
from tests.ui.harness import Screen
from tests.ui.synthetic import Patient
from ui.bed.strip import Strip, strip_of, table
from ui.style.theme import default_theme
from ui.waves.strip_paper import DISCLAIMER, areas, write_strip

Make = Callable[..., Screen]
MM = 72.0 / 25.4
Segment = tuple[float, float, float, float]


class Drawn:
    """The lines of one page in points from the lower left corner, by a reader of the few operators that Qt writes.

    ``lines``: (segments, width in points, dashed, colour) of each stroke."""

    def __init__(self, content: str) -> None:
        self.lines: list[tuple[list[Segment], float, bool, tuple[float, ...]]] = []
        self.fills = 0
        matrix, width, dashed, colour = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), 1.0, False, (0.0,)
        kept: list[tuple[tuple[float, ...], float, bool, tuple[float, ...]]] = []
        path: list[Segment] = []
        numbers: list[float] = []
        at = (0.0, 0.0)
        for token in re.findall(r"\[[^\]]*\]|<[^>]*>|[^\s\[\]<>]+", content):
            if re.fullmatch(r"-?\d*\.?\d+", token):
                numbers.append(float(token))
                continue
            a, b, c, d, e, f = matrix
            if token == "cm":
                g, h, i, j, k, m = numbers[-6:]
                matrix = (
                    g * a + h * c,
                    g * b + h * d,
                    i * a + j * c,
                    i * b + j * d,
                    k * a + m * c + e,
                    k * b + m * d + f,
                )
            elif token == "q":
                kept.append((matrix, width, dashed, colour))
            elif token == "Q":
                found, width, dashed, colour = kept.pop()
                matrix = found  # type: ignore[assignment]
            elif token == "w":
                width = numbers[-1] * abs(a)
            elif token.startswith("["):
                dashed = len(token) > 2
            elif token == "SCN":
                colour = tuple(numbers[-3:])
            elif token in ("m", "l"):
                x, y = numbers[-2:]
                point = (a * x + c * y + e, b * x + d * y + f)
                if token == "l":
                    path.append((*at, *point))
                at = point
            elif token in ("S", "B", "b", "f", "f*", "n"):
                if token == "S":
                    self.lines.append((path, width, dashed, colour))
                self.fills += token in ("f", "f*")
                path = []
            numbers = []


def pages(path: Path) -> list[Drawn]:
    raw = path.read_bytes()
    assert b"/MediaBox [0 0 842" in raw
    found = []
    for stream in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", raw, re.S):
        try:
            content = zlib.decompress(stream.group(1))
        except zlib.error:
            continue
        if b" l\n" in content and b" cm\n" in content:
            found.append(Drawn(content.decode("latin-1")))
    return found


@pytest.fixture
def taken(screen: Make) -> tuple[Screen, Strip]:
    patient = Patient(absent={Modality.ABP: [(8, 12, Absence.NO_DATA)]})
    s = screen(patient)
    s.run_to(14.0)
    word = {"time_s": 9.0, "word": "incision"}
    s.feed.push(
        CommandRecord(bed="Bed 3", session="s", epoch=0, id="1", operator="o", time_ns=0, name="mark", args=word)
    )
    s.frames(2)
    head_s = s.window.sweep.head_s
    assert head_s is not None
    marks = s.window.freeze.flags(4.0, head_s)
    strip = strip_of(s.window.state.lanes, 4.0, head_s, bed="Bed 3", title="t", when="then", marks=marks)
    return s, strip


def test_a_millimetre_is_a_millimetre(taken: tuple[Screen, Strip], tmp_path: Path) -> None:
    s, strip = taken
    scales = [s.window.sweep.scale_of(lane).scale for lane in s.window.sweep.lanes]
    path = tmp_path / "x.pdf"
    assert write_strip(strip, default_theme(), scales, str(path))
    (page,) = pages(path)
    black = [line for line in page.lines if line[3] == (0.0, 0.0, 0.0) and not line[2]]
    bars = [seg[0] for seg, width, _, _ in black if width == pytest.approx(0.3 * MM, rel=0.01) and len(seg) == 1]
    upright = [abs(y1 - y0) for x0, y0, x1, y1 in bars if x0 == pytest.approx(x1, abs=1e-3)]
    assert upright[0] == pytest.approx(10 * MM, abs=0.02), "1 mV of ECG"
    ticks = sorted(
        seg[0][0]
        for seg, width, _, _ in black
        if len(seg) == 1 and abs(seg[0][3] - seg[0][1]) == pytest.approx(2 * MM, abs=0.01)
    )
    assert len(ticks) == 10 and np.diff(ticks) == pytest.approx(25 * MM, abs=0.02), "a second"
    # The wave itself: R waves of the synthetic patient, 0.8 s apart, about 1 mV above the line.
    waves = [seg for seg, width, _, _ in black if width == pytest.approx(0.25 * MM, rel=0.01) and len(seg) > 100]
    ecg = np.array([(x, y) for _, _, x, y in max(waves, key=len)])
    peaks = ecg[1:-1][
        (ecg[1:-1, 1] > ecg[:-2, 1]) & (ecg[1:-1, 1] >= ecg[2:, 1]) & (ecg[1:-1, 1] > np.median(ecg[:, 1]) + 6 * MM)
    ]
    assert len(peaks) >= 12 and np.diff(peaks[:, 0]) == pytest.approx(0.8 * 25 * MM, abs=0.2)
    shown = strip.lanes[0].measured.values.astype(float)
    assert np.ptp(ecg[:, 1]) == pytest.approx(10 * MM * np.nanmax(shown) - 10 * MM * np.nanmin(shown), rel=0.002)


def test_an_estimate_is_dashed_and_where_it_is_no_line_is_measured(taken: tuple[Screen, Strip], tmp_path: Path) -> None:
    s, strip = taken
    scales = [s.window.sweep.scale_of(lane).scale for lane in s.window.sweep.lanes]
    write_strip(strip, default_theme(), scales, str(tmp_path / "x.pdf"))
    (page,) = pages(tmp_path / "x.pdf")
    blue = [line for line in page.lines if line[3][2] > line[3][0] + 0.2 and len(line[0]) > 20]
    assert blue and all(dashed for _, _, dashed, _ in blue), "the estimate"
    left = min(x for seg, _, _, _ in blue for x, _, _, _ in seg)
    ticks = [8.0 - strip.begin_s, 12.0 - strip.begin_s]
    assert left == pytest.approx((26.0 + ticks[0] * 25.0) * MM, abs=1.0)
    area = areas(strip, default_theme(), scales)[1]
    top, bottom = (595.0 - mm * MM for mm in (area.top, area.top + area.height))
    x0, x1 = ((26.0 + t * 25.0) * MM for t in ticks)
    for seg, width, _, colour in page.lines:
        if colour == (0.0, 0.0, 0.0) and width == pytest.approx(0.25 * MM, rel=0.01) and len(seg) > 20:
            inside = [x for x, y, _, _ in seg if bottom < y < top and x0 + 1 < x < x1 - 1]
            assert not inside, "nothing was measured there"
    hatches = [
        seg[0]
        for seg, _, _, colour in page.lines
        if colour == pytest.approx((0.467, 0.467, 0.467), abs=0.01) and len(seg) == 1
    ]
    slanted = [x0 for x0, y0, x1, y1 in hatches if abs(x1 - x0) > 1 and abs(y1 - y0) > 1]
    assert len(slanted) > 50


def test_thirty_seconds_are_three_pages_and_a_folder_that_is_not_there_is_said(screen: Make, tmp_path: Path) -> None:
    s = screen()
    s.run_to(33.0)
    w = s.window
    w.pictures.folder = tmp_path / "new"
    w.paper.strips.print_strip(30.0)
    s.frames(8)
    (path,) = (tmp_path / "new").glob("*.pdf")
    assert len(pages(path)) == 3 and w.toast.text() == f"saved {path}"
    assert DISCLAIMER.startswith("Research and teaching only")
    w.pictures.folder = path  # a file
    w.paper.strips.print_strip()
    w.paper.strips.save_table()
    s.frames(8)
    assert w.toast.text().startswith("could not write")


def test_the_table_is_what_the_rings_hold(taken: tuple[Screen, Strip]) -> None:
    s, strip = taken
    rows = list(csv.DictReader(io.StringIO(table(strip))))
    assert list(rows[0])[:6] == [
        "time_s",
        "ECG_II_mV",
        "ECG_II_estimated_mV",
        "ECG_II_low_mV",
        "ECG_II_high_mV",
        "ECG_II_presence",
    ]
    by_time = {round(float(row["time_s"]), 6): row for row in rows}
    assert len(by_time) == len(rows) and [float(r["time_s"]) for r in rows] == sorted(float(r["time_s"]) for r in rows)
    head_s = strip.end_s
    for lane, unit in zip(s.window.state.lanes, ("mV", "mmHg", "au", "uV"), strict=True):
        name = f"{lane.title}_{lane.label.replace(' ', '_')}"
        lines = [(f"{name}_{unit}", lane.trace.shown, head_s)]  # type: ignore[union-attr]
        if lane.estimate is not None:
            drawn_s = head_s - lane.estimate.lag_s
            for what, ring in (
                ("estimated", lane.estimate.line),
                ("low", lane.estimate.lo),
                ("high", lane.estimate.hi),
            ):
                lines.append((f"{name}_{what}_{unit}", ring, drawn_s))
        for column, ring, until_s in lines:
            first, last = ring.index_at(strip.begin_s), ring.index_at(min(until_s, head_s))
            held = ring.ring.read(first, last)
            read = [by_time[round(t, 6)][column] for t in ring.times(first, last)]
            back = np.array([float(text) if text else np.nan for text in read], np.float32)
            assert np.array_equal(back, held, equal_nan=True), column
            assert sum(bool(row[column]) for row in rows) == np.isfinite(held).sum(), "and nothing anywhere else"
    absent = [row for row in rows if 8 <= float(row["time_s"]) < 12]
    assert {row["ABP_ART_presence"] for row in absent} == {Absence.NO_DATA.value}
    assert {row["ABP_ART_mmHg"] for row in absent} == {""}, "never 0"
    assert any(row["ABP_ART_estimated_mmHg"] for row in absent)
    assert [round(float(row["time_s"]), 2) for row in rows if row["mark"] == "incision"] == [9.0]
    assert {row["ECG_II_presence"] for row in rows if float(row["time_s"]) >= 13.0} <= {"present", ""}


def test_what_no_sensor_measures_is_a_table_of_times_that_claims_nothing(screen: Make) -> None:
    s = screen(Patient(modalities=()))
    s.run_to(3.0)
    strip = strip_of(s.window.state.lanes, 0.0, 3.0, bed="b", title="", when="")
    assert len(table(strip).splitlines()) == 1


def test_no_more_of_an_estimate_is_told_than_was_drawn(screen: Make) -> None:
    s = screen(Patient(absent={Modality.ABP: [(3, 60, Absence.NO_DATA)]}))
    s.run_to(8.0)
    head_s, estimate = s.window.sweep.head_s, s.lane(Modality.ABP).estimate
    assert head_s is not None and estimate is not None
    drawn_s = head_s - estimate.lag_s
    assert estimate.line.ring.end / estimate.line.rate_hz > drawn_s + 0.02, "there is more, not drawn yet"
    strip = strip_of(s.window.state.lanes, 0.0, head_s, bed="b", title="", when="")
    told = strip.lanes[1].estimated
    assert drawn_s - 0.03 < told.times[np.isfinite(told.values)].max() < drawn_s
