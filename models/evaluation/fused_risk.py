"""A risk head that reads the whole fused representation, beside the shipped one, which reads a few concepts of it.

One logistic regression a horizon, on training windows that lost sensors as in training; ridge-penalised as late fusion
is. If it is better than the shipped head, the bottleneck throws something away; if not, there is nothing more to read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.batches.batch import TRAINING
from models.batches.group import Group
from models.batches.predict import predict
from models.evaluation.baselines import fit_risks
from models.evaluation.linear import sigmoid
from models.physiome import PhysioME

PROBE_WINDOWS = 6000
PENALTY = 0.02
"""Ridge penalty a window, on inputs of unit variance."""

Floats = npt.NDArray[np.floating]


class FusedRisk:
    """Fitted on the training patients of one model."""

    def __init__(self, model: PhysioME, train: Group, seed: int) -> None:
        rng = np.random.default_rng([seed, 47])
        rows = np.sort(rng.permutation(len(train))[:PROBE_WINDOWS])
        lost = train.draw(rng, rows, TRAINING)
        x = predict(model, train, rows, lost, ("fused",)).values["fused"].astype(np.float64)
        self.mean, self.sd = x.mean(0), x.std(0) + 1e-6
        self.weights = fit_risks((x - self.mean) / self.sd, train, rows, PENALTY * len(rows))

    def __call__(self, fused: Floats) -> Floats:
        """Risks [W, 3] of fused representations [W, d]."""
        z = (fused.astype(np.float64) - self.mean) / self.sd
        return np.stack([sigmoid(w[0] + z @ w[1:]) for w in self.weights], axis=1)
