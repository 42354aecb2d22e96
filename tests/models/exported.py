"""A small bundle with everything in it, exported once for all the files that look at it: that takes half a minute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.export import BundleText, example_inputs, export_bundle, run_torch
from models.physiome import PhysioME
from models.runtime.spec import BOTH_IMPUTERS, CHOICE_INPUT
from tests.models.small import CI

CONFIG = replace(CI, backbone="vit", use_memory=True)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A small model with LoRA in it, exported once. Its frames are read by one linear map: a graph with the CNNs of
    four encoders takes twice as long to export, and that of one is proved in test_students."""
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = PhysioME(CONFIG)
    model.freeze_encoders(4, 4.0, 0.1)
    with torch.no_grad():
        model.bedside.pressure.out.weight.normal_(std=0.1)
        for name, parameter in model.encoders.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.1)
        for name, parameter in model.memory.named_parameters():
            if "changes" in name or "unknown" in name:
                parameter.normal_(std=0.2)
    folder = tmp_path_factory.mktemp("bundle")
    inputs = example_inputs(CONFIG, 3, seed=1) | {CHOICE_INPUT: np.array([True, False, True])}
    before = run_torch(model, inputs)
    export_bundle(model, folder, BundleText("tiny", "0", "nothing", "test", "# card"), BOTH_IMPUTERS)
    return model, folder, inputs, before
