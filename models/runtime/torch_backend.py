"""PyTorch itself, eager, on the CPU: for comparison with what was exported, not for the bedside.

It needs torch, and the trained model: the one that the bundle carries (:mod:`models.runtime.carried`), or that of the
run folder in which the bundle still lies, RUN/bundle beside RUN/model.safetensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.runtime.backend import Arrays, BackendInfo, RuntimeOptions
from models.runtime.bundle import Bundle
from models.runtime.carried import carries_model
from models.runtime.inputs import InputForm
from models.runtime.threads import default_threads
from models.signals.errors import BackendFailed, BackendUnavailable, BadInput
from models.signals.install import install_hint

if TYPE_CHECKING:
    from models.physiome import PhysioME

CHECKPOINT = "model.safetensors"


def load(bundle: Bundle, options: RuntimeOptions) -> TorchBackend:
    """Raises BackendUnavailable where there is no torch, no checkpoint in or beside the bundle, or another model's."""
    try:
        import torch

        from models.training.run_folder import open_run
    except ImportError as error:
        raise BackendUnavailable(
            f"torch: {error.name or error} is not installed; install it with: {install_hint('train')}"
        ) from error
    carried = carries_model(bundle.path)
    run = bundle.path if carried else bundle.path.resolve().parent
    if not carried and not (run / CHECKPOINT).is_file():
        raise BackendUnavailable(
            f"torch needs the checkpoint that the bundle was made from: {CHECKPOINT} beside the bundle's folder, as "
            "`vigil train` leaves it, or in a bundle that carries it"
        )
    try:
        model = open_run(run).model
    except BadInput as error:
        raise BackendUnavailable(f"torch cannot read the model that the bundle was made from: {error}") from error
    own = [m.value for m in model.config.modalities]
    if own != bundle.spec.modalities or model.config.width != bundle.spec.token_width:
        raise BackendUnavailable(f"torch: the {CHECKPOINT} beside the bundle is another model's")
    threads = options.threads or default_threads()
    torch.set_num_threads(threads)
    return TorchBackend(model, bundle, f"PyTorch {torch.__version__}, CPU, {threads} threads")


class TorchBackend:
    """The model of a run, adapters merged; for a bundle without imputers without them."""

    def __init__(self, model: PhysioME, bundle: Bundle, detail: str) -> None:
        from models.export import plain

        if not bundle.spec.imputers:
            model = plain(model)
        model.merge_adapters()
        self._model, self._form, self._info = model, InputForm.of(bundle.spec), BackendInfo("torch", detail)

    @property
    def info(self) -> BackendInfo:
        """Which backend this is, in name, words and precision."""
        return self._info

    def warm_up(self) -> None:
        """One run of an empty window."""
        self.run(self._form.nothing(1))

    def run(self, inputs: Arrays) -> Arrays:
        """The outputs by name. Raises BadInput for inputs that do not fit, BackendFailed where PyTorch fails."""
        from models.export import run_torch

        self._form.check(inputs)
        try:
            return run_torch(self._model, {name: np.ascontiguousarray(values) for name, values in inputs.items()})
        except RuntimeError as error:
            raise BackendFailed(f"PyTorch failed: {str(error).splitlines()[0]}") from error

    def close(self) -> None:
        """Nothing to free by hand: the weights go with the object."""
