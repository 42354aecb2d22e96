"""The paper's three modalities of VitalDB: the whole of a bedside model without an EEG."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from models.batches.batch import Batch
from models.batches.group import Group
from models.physiome import PhysioME
from models.signals.modalities import Modality
from models.training.calibrate import calibrate
from models.training.config import FusionConfig
from models.training.fusion_stage import FusionStage
from tests.models.lost_material import make_group
from tests.models.small import CI

ROWS = tuple(CI.modalities.index(m) for m in (Modality.ABP, Modality.ECG, Modality.PPG))
THREE = replace(CI, modalities=(Modality.ABP, Modality.ECG, Modality.PPG))


class ThreeOfFour(Group):
    """A group of four modalities read as the three, in another order."""

    def __init__(self, four: Group, model: PhysioME) -> None:
        super().__init__(four.dataset, model.config, 0)
        rows = list(ROWS)
        self.presence, self.known = self.presence[:, rows], self.known[:, rows]
        self.history = self.history[:, :, rows]
        signals = torch.from_numpy(four.dataset.signals(np.arange(len(four)))[:, rows])
        natural = self.lost(np.arange(len(self)), np.zeros((len(self), 3)))
        with torch.no_grad():
            scaled, _ = model.scaling(signals, torch.from_numpy(self.known), torch.from_numpy(natural.context))
            self.features = model.frame_features(scaled)

    def batch(self, rows, lost, signal_rows=None) -> Batch:
        return super().batch(rows, lost, 0)


def test_three_modalities_train_and_calibrate(tmp_path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = PhysioME(THREE)
    group = ThreeOfFour(make_group(tmp_path, range(2), PhysioME(CI)), model)
    stage = FusionStage(model, group, group, FusionConfig(steps=1, batch=6, lora_rank=4))
    parts = stage.losses(0)
    assert {"intra", "missing", "contrastive", "pressure", "hypotension"} <= set(parts)
    assert not {"depth", "eeg"} & set(parts)
    torch.stack(list(parts.values())).sum().backward()
    tables = calibrate(model.eval(), group, 0)
    assert set(tables) == {"map", "sbp", "dbp"}
    assert all(np.isfinite(t.widen).all() for t in tables.values())
