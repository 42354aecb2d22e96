"""How many threads a model is run on, which changes how soon it answers and nothing of what it says."""

from __future__ import annotations

import numpy as np

from models.runtime.bundle import DEMO_BUNDLE, load_bundle
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.threads import MANY_BEDS, default_threads, keep_threads, threads_for


def test_many_beds_leave_the_other_core_to_the_stream() -> None:
    assert threads_for(1) is None and threads_for(MANY_BEDS - 1) is None
    assert threads_for(MANY_BEDS) == threads_for(100) == 1


def test_what_was_measured_on_another_machine_does_not_count(tmp_path) -> None:
    path = tmp_path / "threads.json"
    keep_threads(1, path)
    assert default_threads(path) == 1
    path.write_bytes(path.read_bytes().replace(b'"machine":"', b'"machine":"another '))
    assert default_threads(path) == default_threads(tmp_path / "none.json")


def test_one_thread_says_what_two_say_bit_for_bit() -> None:
    """A worker, which has one, takes over from a process with two."""
    bundle = load_bundle(DEMO_BUNDLE)
    backends = [OnnxBackend(bundle.model_path, bundle.spec, threads=threads) for threads in (1, 2)]
    for inputs, _ in bundle.golden().values():
        one, two = (backend.run(inputs) for backend in backends)
        assert all(np.array_equal(one[name], two[name], equal_nan=True) for name in one)
