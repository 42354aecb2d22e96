"""Faults of the authors' public code, and the rules of the static graph: each test would find its fault.

Found elsewhere: gradients of both reconstruction losses and of LoRA, frozen weights and BatchNorm (test_training), the
exact count of kept tokens and detached targets (test_training, test_negatives, test_objectives), augmentation a sample
that keeps the rhythm (test_training), the best weights as a copy (test_loop), content under the mask, removal of a
modality, the finite prior and imputed tokens (test_physiome), one graph whatever the batch (test_export).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.data.missingness import LossPlan, draw_ages
from models.networks.fusion import Fusion
from models.networks.transformer import MASKED_KEY_BIAS, Attention, key_bias
from models.objectives import draw_tokens
from models.physiome import PhysioME
from models.runtime.spec import OUTPUTS
from models.signals.modalities import MODEL_MODALITIES
from models.signals.windows import CONTEXT_FIELDS
from models.training.config import FusionConfig
from models.training.fusion_stage import FusionParts, FusionStage
from tests.models.lost_material import make_group
from tests.models.small import CI, stacked

ORDER = (2, 0, 3, 1)  # PPG, ECG, EEG, ABP
D, C = CI.width, len(CONTEXT_FIELDS)


# -- modalities are not mixed up --------------------------------------------------------------------------------------


def reordered(model: PhysioME) -> PhysioME:
    """The same model for rows in another order: whatever belongs to a modality moves with it."""
    other = PhysioME(replace(CI, modalities=tuple(MODEL_MODALITIES[i] for i in ORDER))).eval()
    state = other.state_dict()
    for name, value in model.state_dict().items():
        parts = name.split(".")
        if parts[0] in ("encoders", "restoration") or name.startswith("fusion.adapters"):
            at = 1 if parts[0] == "encoders" else 2
            parts[at] = str(ORDER.index(int(parts[at])))
            state[".".join(parts)] = value
        elif name in ("fusion.modality", "fusion.missing"):
            state[name] = value[:, list(ORDER)]
        elif name in (
            "context.unknown", "heads.hypotension.temperature_missing", "heads.hypotension.offset_missing",
        ):  # fmt: skip
            state[name] = value[list(ORDER)]
        elif name == "context.embed.0.weight":
            fields, anchored = value[:, :-2], value[:, -2:]
            moved = fields.unflatten(1, (4, 2 * C + 1))[:, list(ORDER)].flatten(1)
            state[name] = torch.cat([moved, anchored], dim=1)
        elif name == "pool.0.weight":
            slots = value[:, D:].unflatten(1, (2, 4, D))[:, :, list(ORDER)]
            state[name] = torch.cat([value[:, :D], slots.flatten(1)], dim=1)
        elif parts[0] != "selfmask":
            state[name] = value
    other.load_state_dict(state)
    return other


@torch.no_grad()
@pytest.mark.parametrize("absent", [(), (1,), (0, 3), (0, 1, 2)])
def test_the_order_of_modalities_does_not_matter(small_model, absent) -> None:
    """Kept tokens cut by the wrong count, or restored ones read in another order, would show here."""
    signals, presence, context = stacked(2)
    presence[:, list(absent)] = False
    presence[0, 2, :3] = False
    a = small_model(signals, presence, context)
    rows = list(ORDER)
    b = reordered(small_model)(signals[:, rows], presence[:, rows], context[:, rows])
    for name in set(OUTPUTS) - {"tokens", "restored_tokens"}:
        assert torch.allclose(a[name], b[name], rtol=1e-4, atol=2e-4), name
    assert torch.allclose(a["restored_tokens"][:, rows], b["restored_tokens"], atol=1e-4)


@torch.no_grad()
def test_a_modality_is_restored_by_its_own_decoder(small_model) -> None:
    signals, presence, context = stacked(1)
    presence[:, [1, 3]] = False
    before = small_model(signals, presence, context)["restored_tokens"]
    small_model.restoration.decoders[3].out.bias += 1.0
    after = small_model(signals, presence, context)["restored_tokens"]
    assert (after != before).any(-1).any(-1).tolist() == [[False, False, False, True]]


# -- what is drawn ----------------------------------------------------------------------------------------------------


def test_a_share_of_one_samples_every_token() -> None:
    """Nothing is masked, nothing shuffled: the fault was that mask_ratio = 0 still shuffled."""
    kept = torch.rand(5, 4, 8, generator=torch.Generator().manual_seed(0)) < 0.7
    assert torch.equal(draw_tokens(kept, 1.0, torch.Generator().manual_seed(1)), kept)


def test_sensors_are_lost_a_sample_and_the_full_set_is_trained() -> None:
    ages, ragged = draw_ages(np.random.default_rng(0), 4000, 4, LossPlan())
    kept = ages == 0
    subsets = {tuple(row) for row in kept[~ragged].tolist()}
    assert len(subsets) == 15 and (True,) * 4 in subsets  # all but the empty one
    assert (kept[:48] != kept[0]).any()


def test_each_contrast_has_a_projector_of_its_own() -> None:
    projectors = FusionParts(PhysioME(CI)).projectors
    assert len({id(p) for p in projectors}) == len({id(p[0].weight) for p in projectors}) == 5


# -- gradients of the whole step --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> FusionStage:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = PhysioME(CI)
    group = make_group(tmp_path_factory.mktemp("patients"), range(2), model)
    settings = FusionConfig(steps=3, batch=8, lora_rank=4)
    stage = FusionStage(model, group, group, settings, seed=2)
    with torch.no_grad():  # B is zero at the start, so A would have no gradient yet
        for name, parameter in model.encoders.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.1)
    return stage


REACHED = {  # loss -> parts it must train, and parts it must not
    "intra": (("intra.decoders", "model.fusion", "lora"), ("model.restoration", "model.heads")),
    "missing": (("model.restoration.decoders",), ("lora", "model.fusion", "model.context", "intra", "model.heads")),
    "contrastive": (("projectors", "model.fusion", "lora"), ("model.restoration", "intra", "model.heads")),
    "pressure": (("model.heads.pressure", "model.fusion", "lora", "model.restoration"), ("intra", "projectors")),
    "hypotension": (("model.heads.hypotension",), ("model.fusion", "lora", "model.pool", "model.restoration")),
}


@pytest.mark.parametrize("name", list(REACHED))
def test_each_loss_trains_what_it_should_and_nothing_else(stage, name: str) -> None:
    """Stop-gradient on the input of the restoration decoders only; the risk cannot bend the representation."""
    stage.module.train()
    with torch.no_grad():  # zero at the start: nothing would pass it back
        stage.model.heads.pressure.out.weight.normal_(std=0.1)
    stage.module.zero_grad(set_to_none=True)
    stage.losses(0)[name].backward()
    reached = {
        ("lora " + n if n.endswith((".up", ".down")) else n)
        for n, p in stage.module.named_parameters()
        if p.grad is not None and bool(p.grad.any())
    }
    wanted, spared = REACHED[name]
    for part in wanted:
        assert any(n.startswith(part) for n in reached), part
    for part in spared:
        assert not any(n.startswith(part) for n in reached), part
    if name in ("intra", "missing"):
        bank = "intra.decoders" if name == "intra" else "model.restoration.decoders"
        assert all(any(n.startswith(f"{bank}.{m}.") for n in reached) for m in range(4))


# -- the rules of the graph -------------------------------------------------------------------------------------------


def test_masked_keys_have_a_finite_bias_and_exactly_no_weight() -> None:
    """Not −inf: a row of masked keys only must stay finite. In fp32 the weight of a masked key is 0, not small."""
    keep = torch.tensor([[True, False, True], [False, False, False]])
    bias = key_bias(keep)
    assert torch.isfinite(bias).all() and float(bias.min()) == MASKED_KEY_BIAS == -1e4
    torch.manual_seed(0)
    attention = Attention(8, 2)
    memory = torch.randn(2, 3, 8)
    other = torch.where(keep.unsqueeze(-1), memory, 50.0 * torch.ones_like(memory))
    x = torch.randn(2, 4, 8)
    a, b = attention(x, memory, bias), attention(x, other, bias)
    assert torch.equal(a[0], b[0]) and torch.isfinite(b).all()


def test_attention_weighs_in_fp32_under_mixed_precision(monkeypatch) -> None:
    kinds: list[torch.dtype] = []
    softmax = torch.softmax

    def noted(x: Tensor, dim: int) -> Tensor:
        out = softmax(x, dim=dim)
        kinds.append(out.dtype)
        return out

    monkeypatch.setattr(torch, "softmax", noted)
    attention = Attention(8, 2)
    with torch.autocast("cpu", torch.bfloat16):
        attention(torch.randn(1, 3, 8), torch.randn(1, 3, 8), key_bias(torch.ones(1, 3, dtype=torch.bool)))
    assert kinds == [torch.float32]


def test_there_is_no_key_bias_and_no_batch_norm_outside_the_frame_networks() -> None:
    model = PhysioME(CI)
    names = dict(model.named_modules())
    assert all(m.key_value.linear.bias is None for m in names.values() if isinstance(m, Attention))
    norms = [n for n, m in names.items() if isinstance(m, nn.BatchNorm1d)]
    assert norms and all(".frame_network." in n for n in norms)
    fusion = names["fusion"]
    assert isinstance(fusion, Fusion)
    assert all(isinstance(adapter[0], nn.LayerNorm) for adapter in fusion.adapters)


@torch.no_grad()
def test_a_window_does_not_depend_on_its_neighbours_in_the_batch(small_model) -> None:
    signals, presence, context = stacked(3)
    presence[1, 1], presence[2, 0, 4:] = False, False
    together = small_model(signals, presence, context)
    for i in range(3):
        alone = small_model(signals[i : i + 1], presence[i : i + 1], context[i : i + 1])
        for name in OUTPUTS:
            assert torch.allclose(alone[name][0], together[name][i], rtol=1e-4, atol=1e-4), name


@torch.no_grad()
def test_every_modality_is_encoded_whatever_the_mask(small_model) -> None:
    """Latency must not depend on what is absent: as many calls of each part for everything as for nothing."""
    calls: list[str] = []
    for name, module in small_model.named_modules():
        if name:
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    signals, presence, context = stacked(1)
    found = []
    for mask in (presence, torch.zeros_like(presence)):
        calls.clear()
        small_model(signals, mask, context)
        found.append(list(calls))
    assert found[0] == found[1]


@torch.no_grad()
def test_frame_networks_alone_give_features_that_may_be_cached(small_model) -> None:
    """A frame's feature depends on that frame alone: features found frame by frame stand for those of the window."""
    model = small_model
    signals, presence, context = stacked(1)
    presence[:, 2, 3:] = False
    signals[:, 2, 900:] = float("nan")
    n = CI.frame_samples
    scaled, _ = model.scaling(signals, presence, context)
    cached = torch.stack(
        [torch.stack([enc.frame_network(scaled[:, m, f * n : (f + 1) * n]) for m, enc in enumerate(model.encoders)], 1)
         for f in range(CI.frames)], dim=2,
    )  # fmt: skip
    assert cached.shape == (1, 4, CI.frames, CI.width)
    a = model(signals, presence, context)
    b = model(signals, presence, context, features=cached)
    for name in set(OUTPUTS) - {"tokens"}:
        assert torch.allclose(a[name], b[name], rtol=1e-4, atol=1e-4), name
