"""DP-NeuroNet's loss by its equation, the networks as black boxes: which frames are seen, which are predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.networks.encoder import ModalityEncoder
from models.networks.transformer import key_bias
from models.objectives import negative_weights
from models.signals.modalities import Modality
from models.training import pretrain
from models.training.config import PretrainConfig
from models.training.pretrain import DPNeuroNet, PretrainStage
from tests.models.equations import by_hand
from tests.models.equations.material import TINY, array, groups, tiny_model

B, N = 5, TINY.frames
KEPT = [
    torch.rand(B, N, generator=torch.Generator().manual_seed(seed)).argsort(-1) < 2 for seed in range(4)
]  # four maskings, all different


def net_of(mask_ratio: float = 0.5) -> DPNeuroNet:
    torch.manual_seed(0)
    c = TINY
    encoder = ModalityEncoder(c.frames, c.frame_samples, c.channels, c.width, c.heads, 1)
    return DPNeuroNet(encoder, Modality.ECG, c.rate_hz, c.heads, mask_ratio, 16, 1).eval()


def test_the_loss_is_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    """L = ½ Σ_views (rec_a + rec_b) + ½ Σ_views NTXent(two maskings) + NTXent(view 1, view 2)."""
    net = net_of()
    views = [torch.randn(B, TINY.samples, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    log_weight = negative_weights(torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 20, 0, 90, 0]))
    given, drawn = iter(views), iter(KEPT)
    monkeypatch.setattr(pretrain, "augment", lambda x, modality, generator: next(given))
    monkeypatch.setattr(net, "_keep", lambda batch, generator: next(drawn))
    with torch.no_grad():
        found = net.loss(torch.zeros(B, TINY.samples), 0.2, 0.7, None, log_weight)
    assert next(given, None) is None and next(drawn, None) is None  # two views, and two maskings of each

    weight, reconstruction, maskings, summaries = array(log_weight.exp()), 0.0, 0.0, []
    with torch.no_grad():
        for v, view in enumerate(views):
            features = net.encoder.features(view)
            classes = []
            for keep in KEPT[2 * v : 2 * v + 2]:
                unseen = torch.where(keep.unsqueeze(-1), features, torch.randn_like(features))  # must not matter
                tokens, cls = net.encoder(unseen, keep)
                entered = torch.where(keep.unsqueeze(-1), net.enter(tokens), net.mask_token) + net.positions
                predicted = net.predict(net.decoder(entered, key_bias(torch.ones(B, N, dtype=torch.bool))))
                reconstruction += 0.5 * by_hand.token_error(array(predicted), array(features), ~array(keep))
                classes.append(cls)
            one, two = (array(net.project_masks(c)) for c in classes)
            maskings += 0.5 * by_hand.nt_xent(one, two, 0.2, None, weight)
            summaries.append(array(net.project_views(classes[0])))
        whole, _ = net.encoder(net.encoder.features(views[0]), torch.ones(B, N, dtype=torch.bool))
        goal = (net._physiology(views[0]) - net.readout_mean) / net.readout_scale
        readout = 0.7 * float(((array(net.readout(whole)) - array(goal)) ** 2).mean())
    expected = {
        "reconstruction": reconstruction, "maskings": maskings,
        "views": by_hand.nt_xent(*summaries, 0.2, None, weight), "readout": readout,
    }  # fmt: skip
    assert {n: float(v) for n, v in found.items() if n != "total"} == pytest.approx(expected, rel=1e-4)
    assert float(found["total"]) == pytest.approx(sum(expected.values()), rel=1e-4)


def test_maskings_keep_their_share_drawn_a_window() -> None:
    net = net_of(0.25)
    assert net.kept == 4  # of five: 3.75
    drawn = net._keep(200, torch.Generator().manual_seed(0))
    assert (drawn.sum(1) == 4).all() and torch.unique(drawn, dim=0).shape[0] == N
    assert net_of(0.99).kept == 1  # never none


def test_reconstruction_trains_the_encoder_but_through_its_input_only() -> None:
    """No gradient by way of the target: with it, features that are all alike would be predicted best."""
    net = net_of()
    features = torch.randn(B, N, TINY.width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    tokens, _ = net.encoder(features, KEPT[0])
    net._reconstruct(tokens, features, KEPT[0]).backward()
    assert features.grad is not None
    assert torch.equal(features.grad.abs().sum(-1) > 0, KEPT[0])


def test_frame_readouts_by_their_definition() -> None:
    """Mean, log variance, log peak-to-peak and log band power of each frame."""
    time = torch.arange(TINY.samples) / TINY.rate_hz
    x = (2.0 * torch.sin(2 * torch.pi * 4.0 * time) + 0.5).unsqueeze(0)
    found = array(pretrain.frame_readouts(x, TINY.frame_samples, TINY.frame_samples, TINY.rate_hz))[0, 1]
    assert found[0] == pytest.approx(0.5, abs=1e-3)
    assert found[1] == pytest.approx(np.log10(2.0), abs=0.01)  # variance of 2 sin is 2
    assert found[2] == pytest.approx(np.log10(4.0), abs=0.02)
    assert np.argmax(found[3:]) == 1  # 4 Hz lies in (2.5, 5)


# -- the stage --------------------------------------------------------------------------------------------------------


def stage_of(monkeypatch: pytest.MonkeyPatch) -> PretrainStage:
    model, (train, stop) = tiny_model(), groups()
    for group in (train, stop):
        group.known[:] = True
        group.known[::3, 1, 2] = False  # every third window lacks a frame of one modality

    def scaled(self: PretrainStage, group: object, rows: np.ndarray) -> Tensor:
        picked: Tensor = group.batch(rows, group.draw(np.random.default_rng(0), rows, None)).signals  # type: ignore[attr-defined]
        return picked

    monkeypatch.setattr(PretrainStage, "_scaled", scaled)
    settings = PretrainConfig(steps=2, batch=8, mask_ratio=0.5, readout_weight=1.0, temperature=0.3)
    return PretrainStage(model, train, stop, settings, 3)  # type: ignore[arg-type]


def test_training_and_stopping_look_at_their_own_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(monkeypatch)
    train, stop = stage._train, stage._stop
    train.seen = stop.seen = 0  # type: ignore[attr-defined]
    stage.losses(0)
    assert (train.seen, stop.seen) == (16, 0)  # type: ignore[attr-defined]
    with torch.no_grad():
        stage.module.eval()
        found = stage.score()
    assert (train.seen, stop.seen) == (16, 24 + 16)  # type: ignore[attr-defined]
    assert found["score"] == pytest.approx(sum(v for n, v in found.items() if n != "score"))


def test_every_encoder_gets_its_rows_weights_and_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(monkeypatch)
    calls: list[tuple[Tensor, float, float, Tensor]] = []

    def loss(x: Tensor, temperature: float, weight: float, generator: object, log_weight: Tensor) -> dict[str, Tensor]:
        calls.append((x, temperature, weight, log_weight))
        return {"views": x.sum(), "total": x.sum()}

    for net in stage.nets:
        monkeypatch.setattr(net, "loss", loss)
    found = stage.losses(1)
    assert set(found) == {f"{m.value.lower()}_views" for m in TINY.modalities}
    train = stage._train.windows  # type: ignore[attr-defined]
    for m, (x, temperature, weight, log_weight) in zip((0, 2, 3, 1), calls, strict=True):
        rows = [int((train.signals[:, m] == one).all(1).nonzero()) for one in x]
        expected = by_hand.negatives(train.patient[rows].tolist(), train.end_s[rows].tolist())
        np.testing.assert_allclose(array(log_weight.exp()), expected, rtol=1e-5)
        assert (temperature, weight) == (0.3, 1.0)
        assert stage._train.known[rows, m].all()
