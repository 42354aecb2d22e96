"""What restored tokens are worth: the gate, what its sentence says, whose slots are swapped, and what tokens say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.batches.features import cache_features
from models.batches.group import Group
from models.data.dataset import WindowDataset
from models.data.generate import PatientOrder, make_patient
from models.evaluation import token_words, token_worth
from models.evaluation.token_words import solved_readouts, word_rows
from models.evaluation.token_worth import Row, gate, verdict, worth_row
from models.imputers import RestorationImputer, ZeroImputer
from models.physiome import PhysioME
from models.signals.modalities import Modality
from models.sizes import SIZES

CI = SIZES["ci"]
ABP = CI.modalities.index(Modality.ABP)


def row(true: tuple[float, float], restored: tuple[float, float], selfmask: tuple[float, float] | None = None) -> Row:
    """Gains over zeros and where their intervals begin."""
    found: Row = {
        "zeros": 3.0, "gain of true tokens": true[0], "true tokens from": true[1],
        "gain of restored": restored[0], "restored from": restored[1],
    }  # fmt: skip
    if selfmask is not None:
        found |= {"gain of SelfMask": selfmask[0], "SelfMask from": selfmask[1]}
    return found


@pytest.mark.parametrize(
    ("rows", "passed", "words"),
    [
        ([], "", "is not known"),
        ([{"worth_windows": 0.0}], "", "is not known"),
        ([row((1.0, 0.5), (0.6, 0.1)), row((1.0, 0.5), (0.5, 0.1))], "restored", "restored ones recover 50% or more"),
        (
            [row((1.0, 0.5), (0.6, 0.1)), row((1.0, -0.1), (0.9, 0.1))],
            "",
            "up to 0.9 mmHg against zeros (at 2 of 2 ages)",
        ),
        (
            [row((0.1, -0.1), (0.1, -0.1)), row((0.1, -0.1), (0.6, 0.1))],
            "",
            "(at 1 of 2 ages), and yet true ones do not (at 2)",
        ),
        (
            [row((1.0, 0.5), (0.6, -0.1)), row((1.0, -0.1), (0.9, -0.1))],
            "",
            "no better than with zeros (at 1 of 2 ages)",
        ),
        ([row((1.0, 0.5), (0.6, 0.1)), row((1.0, 0.5), (0.49, 0.1))], "", "no imputer recovers half"),
        ([row((1.0, 0.5), (0.8, -0.1))], "", "no imputer recovers half"),
        ([row((1.0, 0.5), (0.1, 0.0), (0.7, 0.2))], "SelfMask", "SelfMask ones recover 70% or more"),
        ([row((1.0, 0.5), (0.9, 0.3)), {"worth_windows": 0.0}], "restored", "recover 90%"),
    ],
)
def test_the_gate_and_its_sentence(rows: list[Row], passed: str, words: str) -> None:
    assert gate(rows) == passed
    assert words in verdict(rows)


# -- on windows -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhysioME, Group]:
    """A simulated patient of four minutes; the model knows its last tokens and has never learnt anything."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    model = PhysioME(CI)
    model.add_memory()
    model.eval()
    with torch.no_grad():
        model.bedside.pressure.out.weight.normal_(std=0.3)
        assert model.memory is not None
        for parameter in model.memory.parameters():
            parameter.normal_(std=0.3)
    folder = tmp_path_factory.mktemp("patient") / "p"
    make_patient(PatientOrder(folder, "train", 5, 240, 4, CI.window_spec))
    found = Group(WindowDataset([folder]), CI, 0)
    cache_features(model, found, lambda *progress: None, "test")
    return model, found


def test_only_the_slots_of_the_pressure_are_swapped(
    group: tuple[PhysioME, Group], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each figure is that of a pass in which the ABP's slots hold what its name says, and the others what is restored;
    "missing token" leaves all of them."""
    model, windows = group
    rows = np.flatnonzero(windows.labels["end_s"] > 120)[:5]
    ages = np.zeros((len(rows), len(CI.modalities)))
    ages[:, ABP], ages[:, CI.modalities.index(Modality.EEG)] = 60.0, 60.0  # the EEG is absent as well
    lost = windows.lost(rows, ages)
    filled: dict[str, torch.Tensor | None] = {}
    predict = token_worth.predict

    def listening(*args: object, imputer: object, **named: object) -> object:
        batch = windows.batch(rows, lost, 0)
        with torch.no_grad():
            tokens = model.encode(batch.features, batch.presence)
            state = model.pass_one(tokens, batch.presence, model.context(batch.context, batch.presence)[1])
            given = imputer.impute(model, state)  # type: ignore[attr-defined]
            restored = RestorationImputer().impute(model, state)
        if given is not None:
            others = [m for m in range(4) if m != ABP]
            assert torch.equal(given[:, others], restored[:, others])
        filled[str(len(filled))] = given
        return predict(*args, imputer=imputer, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(token_worth, "predict", listening)
    found = worth_row(model, windows, rows, lost, True)
    restored, zeros, missing, selfmask, true = filled.values()
    assert missing is None and zeros is not None and not zeros[:, ABP].any()
    complete = windows.batch(rows, windows.lost(rows, np.zeros_like(ages)), 0)
    with torch.no_grad():
        expected = model.encode(complete.features, complete.known)[:, ABP]
    assert true is not None and torch.allclose(true[:, ABP], expected)
    assert restored is not None and selfmask is not None and not torch.allclose(restored[:, ABP], selfmask[:, ABP])
    for name in ("true tokens", "restored", "SelfMask"):
        assert found[f"gain of {name}"] == pytest.approx(float(found["zeros"]) - float(found[name]), abs=1e-4)


def test_what_tokens_say_is_read_from_whoever_fills_the_slots(
    group: tuple[PhysioME, Group], monkeypatch: pytest.MonkeyPatch
) -> None:
    """True tokens on which the read-outs were solved say it best; the usual value's error is the spread about it."""
    model, windows = group
    readouts = solved_readouts(model, windows, 0)
    found = word_rows(model, windows, readouts, 0, True)
    named = {(r["modality"], r["quantity"], r["age_s"]): r for r in found}
    assert len(named) == 6 and {age for *_, age in named} == {60}  # four minutes hold no loss of five
    for r in found:
        assert float(r["true"]) < float(r["usual"]) and float(r["word_windows"]) > 10
        assert float(r["gain"]) == pytest.approx(float(r["held"]) - float(r["restored"]), abs=1e-4)
    pressure = named["ABP", "MAP (mmHg)", 60]
    whole = windows.presence[:, ABP].all(-1) & (windows.labels["end_s"] >= 120)
    truth = windows.labels["pressures"][whole][..., 0].astype(np.float64)
    assert float(pressure["usual"]) == pytest.approx(np.nanmean(np.nanmean(np.abs(truth - 80.0), axis=1)), rel=1e-4)

    batch = windows.batch(np.flatnonzero(whole)[:3], windows.lost(np.flatnonzero(whole)[:3], np.zeros((3, 4))), 0)
    tokens = token_words._tokens(model, batch, ABP, selfmask=False)
    with torch.no_grad():
        assert torch.allclose(tokens["true"], model.encode(batch.features, batch.known)[:, ABP])
    monkeypatch.setattr(token_words, "RestorationImputer", lambda: ZeroImputer())
    assert not token_words._tokens(model, batch, ABP, selfmask=False)["restored"].any()
