"""Minutes of pressure: which are known, what their outcome is, and that a trend knows nothing of what comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.pressure_history import History, as_sampled, figures, minute_means, minutes, recorded, running, trend
from models.signals.errors import BadInput
from tests.signals.recording_files import write_wfdb


def samples(mean: float, pulse_mmhg: float = 20.0, seed: int = 0) -> np.ndarray:
    """A minute of instantaneous pressures."""
    return mean + pulse_mmhg * np.sin(np.random.default_rng(seed).uniform(0, 2 * np.pi, 60))


def test_a_minute_that_strobes_the_pulse_is_a_gap() -> None:
    strobed = 95.0 + 0.5 * np.sin(np.arange(60))  # every second the same moment of the pulse
    flushed = np.where(np.arange(60) < 20, 300.0, samples(80))
    some = np.where(np.arange(60) < 10, np.nan, samples(80, seed=1))
    found = minute_means(np.concatenate([samples(80), strobed, flushed, some, samples(70)[:30]]))
    assert len(found) == 4 and np.isnan(found[[1, 2]]).all()
    assert found[0] == pytest.approx(samples(80).mean()) and found[3] == pytest.approx(np.nanmean(some))


def test_the_outcome_of_a_minute() -> None:
    """Low at minute 12 (its end: 780 s); unknown where a gap could hide an event, and near the end."""
    mean = np.full(40, 85.0)
    mean[12], mean[30] = 60.0, np.nan
    found = minutes(iter([History("a", mean)]))
    five = found.labels[:, 0]
    assert five[6] == 0 and (five[7:12] == 1).all() and five[13] == 0
    assert np.flatnonzero(found.now).tolist() == [12], "the minute before an event is not within it"
    assert np.isnan(five[25:31]).all(), "minute 30 may have been low"
    assert five[31] == 0 and np.isnan(five[-5:]).all()
    assert np.isnan(found.features[30]).all()


def test_a_trend_is_made_of_the_past() -> None:
    rng = np.random.default_rng(3)
    mean = rng.normal(80, 8, 50)
    mean[[5, 20]] = np.nan
    other = mean.copy()
    other[31:] = rng.normal(60, 8, 19)
    np.testing.assert_array_equal(trend(mean)[:31], trend(other)[:31])
    np.testing.assert_allclose(running(mean, 5)[22], np.nanmean(mean[18:23]))
    assert np.isnan(running(np.array([np.nan, 80.0]), 3)[0])
    steady = trend(np.full(12, 75.0))
    np.testing.assert_allclose(steady, 0.0, atol=1e-12)


def test_a_score_that_knows_is_found_out_and_people_are_counted_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    people = []
    for number in range(12):  # a fall over ten minutes says what comes
        mean = np.full(60, 90.0) + rng.normal(0, 1, 60)
        if number % 2:
            mean[30:40] = np.linspace(90, 55, 10)
            mean[40:] = 55.0
        people.append(History(str(number), mean))
    test = minutes(iter(people[:6]))
    rows = figures("made", test, {"trend": minutes(iter(people[6:]))})
    assert [row[1] for row in rows] == [6] * 6
    auroc = {(row[2], str(row[5])[:5]): float(str(row[6])) for row in rows}
    assert auroc[5, "MAP ("] > 0.8 and auroc[5, "trend"] > 0.8
    values = samples(80).repeat(1)
    for record in ("a", "b"):
        write_wfdb(tmp_path, record, 1, {"ART": ("mmHg", np.concatenate([values, values]))})
    with pytest.raises(BadInput, match=r"index\.csv"):
        list(recorded(tmp_path))
    (tmp_path / "index.csv").write_text("record,group\na,p1\nb,p1\n", encoding="utf-8")
    (one,) = recorded(tmp_path)
    assert one.who == "p1" and np.isfinite(one.mean).any()


def test_what_leads_the_pressure_is_found_and_what_does_not_adds_nothing() -> None:
    """A pressure that wanders, and one number that knows it five minutes ahead."""
    rng = np.random.default_rng(8)

    def person(number: int, knows: bool) -> History:
        mean = 72.0 + np.convolve(rng.normal(0, 10, 340), np.ones(20) / 5, mode="valid")[:300]
        ahead = np.concatenate([mean[4:], np.full(4, 72.0)])
        column = (ahead - 72.0) / 10.0 if knows else rng.normal(0, 1, 300)
        return History(str(number), mean, precursors=column[:, None])

    for knows in (True, False):
        fit, test = ([person(k, knows) for k in range(first, first + 8)] for first in (0, 8))
        rows = figures("made", minutes(test), {"trend": minutes(fit)})
        auroc = {str(row[5]): float(str(row[6])) for row in rows if row[2] == 5}
        if knows:
            assert auroc["trend, precursors"] > auroc["trend"] + 0.03
            gain = next(str(row[8]) for row in rows if row[2] == 5 and row[5] == "trend, precursors")
            assert float(gain.split()[0]) == pytest.approx(
                auroc["trend, precursors"] - auroc["MAP (alarm below 73)"], abs=2e-3
            )
        else:
            assert abs(auroc["trend, precursors"] - auroc["trend"]) < 0.02


def test_only_a_simulated_person_can_be_sampled() -> None:
    one = History("a", np.full(3, 80.0), sampled=np.array([81.0, np.nan, 79.0]))
    np.testing.assert_array_equal(as_sampled(one).mean, [81.0, np.nan, 79.0])
    with pytest.raises(ValueError, match="b has no samples"):
        as_sampled(History("b", np.full(3, 80.0)))
