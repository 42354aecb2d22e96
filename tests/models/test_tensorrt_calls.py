"""Every call we make of TensorRT, in every version whose signatures were read, and of CUDA where its bindings are."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from models.runtime.tensorrt import api, backend
from models.runtime.tensorrt.api import RTX, TENSORRT, Library, load_library
from models.runtime.tensorrt.builder import Settings, build_plan
from models.runtime.tensorrt.device import Cuda, open_device
from models.runtime.tensorrt.session import Session
from models.signals.errors import BackendUnavailable
from tests.models import fake_cuda, fake_tensorrt
from tests.models.fake_tensorrt import FACTS, RTX_VERSION, VERSIONS
from tests.models.read_signatures import ENUMS, MEMBERS
from tests.models.tensorrt_fakes import Rig, is_right, rig, toy_graph, toy_inputs

__all__ = ["rig"]

OURS = Path(load_library.__wrapped__.__code__.co_filename).parent


def test_signatures_of_both_majors_and_of_rtx_are_there() -> None:
    assert {version.split(".")[0] for version in FACTS} == {"10", "11", "rtx 1"}
    for version, facts in FACTS.items():
        for name, members in MEMBERS.items():
            rtx_only = name in ("IRuntimeConfig", "IRuntimeCache")
            if version.startswith("rtx") or not rtx_only:
                rtx_members = {"num_compute_capabilities", "set_compute_capability"}
                known = set(members.split()) - (set() if version.startswith("rtx") else rtx_members)
                assert known <= set(facts[name]), (version, name)


@pytest.mark.parametrize("version", [*VERSIONS, RTX_VERSION])
def test_a_build_and_a_run_call_nothing_that_a_version_lacks(rig: Rig, version: str) -> None:
    """Each name, argument and returned None is checked by the fake; and what was read of a version is what is used."""
    trt = rig.install(version)
    library = load_library(RTX if version.startswith("rtx") else TENSORRT)
    cuda, device = open_device(0)
    plan, timing = build_plan(
        library, toy_graph(), 4, Settings(), capability=device.capability, timing=b"" if library.is_rtx else b"timed"
    )
    assert (timing == b"timed+") is not library.is_rtx
    session = Session(library, cuda, {4: plan}, {4: b"compiled before"})
    session.record()
    inputs = toy_inputs(3)
    assert is_right(session.run(inputs), inputs) and session.replays
    assert session.layer_times(4, 3) == {"attention": 0.75, "convolution": 0.25}
    assert is_right(session.run(inputs), inputs)
    assert session.compiled() == ({4: b"compiled for the fake"} if library.is_rtx else {})
    session.close()
    build_plan_of_garbage(library)
    rtx_only = {"num_compute_capabilities", "set_compute_capability", "create_runtime_config"}
    mainline_only = {"create_timing_cache", "set_timing_cache"}
    kinds = {name: set(members) for name, members in FACTS[version].items() if isinstance(members, dict)}
    for name, members in kinds.items():
        unused = members - {member for kind, member in trt.used if kind == name}
        allowed = mainline_only if library.is_rtx else rtx_only
        unused -= allowed | {"INTERNAL_ERROR", "ERROR", "WARNING"}
        assert not unused or name in ("ITimingCache", "IHostMemory"), (name, unused)


def build_plan_of_garbage(library: Library) -> None:
    with pytest.raises(BackendUnavailable, match=r"cannot read the graph: In node -1.*\("):
        build_plan(library, b"garbage", 1, Settings(), capability=(8, 9))


@pytest.mark.parametrize("version", [*VERSIONS, RTX_VERSION])
def test_every_name_of_an_enumeration_in_our_source_is_in_the_version(version: str) -> None:
    """Also those on paths that no test takes."""
    source = "\n".join(path.read_text("utf-8") for path in sorted(OURS.glob("*.py")))
    source = source.replace("modes.", "TensorIOMode.").replace("kinds.", "DataType.")
    named = {(kind, member) for kind, member in re.findall(rf"\b({'|'.join(ENUMS)})\.([A-Z]\w+)", source)}
    assert {kind for kind, _ in named} == set(ENUMS) - {"ComputeCapability"}
    for kind, member in named:
        if kind in FACTS[version] or kind != "CudaGraphStrategy":
            assert member in FACTS[version][kind] or member.startswith("cuda"), (version, kind, member)


def test_the_fake_refuses_what_the_binding_would_refuse(rig: Rig) -> None:
    trt = rig.install(VERSIONS[-1])
    library = load_library(TENSORRT)
    builder = trt.Builder(library.logger)
    with pytest.raises(AttributeError, match="platform_has_fast_fp16"):
        _ = builder.platform_has_fast_fp16
    with pytest.raises(TypeError, match="create_network"):
        builder.create_network(flag=1)
    with pytest.raises(TypeError, match="set_memory_pool_limit"):
        builder.create_builder_config().set_memory_pool_limit("WORKSPACE", 1)
    with pytest.raises(AttributeError, match="max_workspace_size"):
        builder.create_builder_config().max_workspace_size = 1
    assert not hasattr(trt.BuilderFlag, "FP16") and hasattr(fake_tensorrt.make(VERSIONS[0]).BuilderFlag, "FP16")


def test_an_old_version_and_a_missing_one_are_a_sentence(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.install(VERSIONS[0]), "__version__", "8.6.1")
    with pytest.raises(BackendUnavailable, match=r"as 8\.6\.1, and 10\.x or 11\.x is needed.*'\.\[gpu\]'"):
        load_library(TENSORRT)
    monkeypatch.setattr("importlib.import_module", _nothing)
    with pytest.raises(BackendUnavailable, match=r"TensorRT-RTX is not installed.*pip install -e '\.\[rtx\]'"):
        load_library(RTX)


def test_who_lacks_the_driver_is_not_sent_to_pip_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", _nothing)
    for lacks, words in (
        (True, r"\[gpu\]' in Vigil's folder \(and the driver of an NVIDIA GPU, which this machine lacks\)$"),
        (False, r"\[gpu\]' in Vigil's folder$"),
    ):
        monkeypatch.setattr(backend, "lacks_driver", lambda lacks=lacks: lacks)
        with pytest.raises(BackendUnavailable, match=rf"TensorRT is not installed.*pip install -e '\.{words}"):
            rig.load()


def test_a_library_of_another_version_than_its_bindings_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.install(RTX_VERSION)
    monkeypatch.setattr(api, "_preload", lambda flavour, module: "1.8.0")
    with pytest.raises(
        BackendUnavailable, match=r"bindings of TensorRT-RTX are 1\.7\.1\.116 and its library is 1\.8\.0; install"
    ):
        load_library(RTX)


def _nothing(name: str) -> None:
    raise ImportError(f"No module named {name!r}")


def test_a_gpu_that_rtx_does_not_support_is_named(rig: Rig) -> None:
    rig.install(RTX_VERSION)
    rig.cuda.capability = (9, 0)
    with pytest.raises(BackendUnavailable, match=r"SM75.*not of SM90; choose the backend tensorrt or onnx"):
        rig.load()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"driver": 0}, "there is no NVIDIA driver on this machine"),
        ({"driver": 11080}, r"brings CUDA 11\.8 and cuda-python needs 13\.0; update the driver"),
        ({"devices": 0}, r"no NVIDIA GPU can be used \(NoDevice\)"),
    ],
)
def test_what_is_missing_of_the_gpu_is_one_sentence(rig: Rig, state: dict[str, int], words: str) -> None:
    rig.cuda.__dict__.update(state)
    with pytest.raises(BackendUnavailable, match=words):
        rig.load()


def test_a_gpu_that_is_not_there_is_counted(rig: Rig) -> None:
    with pytest.raises(BackendUnavailable, match="there is no GPU 3: this machine has 1"):
        rig.load(device=3)


def test_the_device_is_described(rig: Rig) -> None:
    _, device = open_device(0)
    assert (device.name, device.capability, device.processors) == ("Fake RTX", (8, 9), 128)
    assert device.driver.endswith("CUDA 13.0")


# -- the real CUDA bindings --------------------------------------------------------------------------------------------

needs_cuda = pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="cuda-python is not installed")


@needs_cuda
def test_cuda_functions_take_as_many_arguments_as_the_fake_ones() -> None:
    from cuda.bindings import runtime

    functions = [n for n, v in vars(fake_cuda).items() if re.match("cuda[A-Z]", n) and inspect.isfunction(v)]
    assert len(functions) > 18
    for name in functions:
        real = re.match(rf"{name}\((.*?)\)", (getattr(runtime, name).__doc__ or "").strip())
        assert real is not None, name
        body = vars(fake_cuda)[name]
        closed = inspect.getclosurevars(body).nonlocals.get("body", body)
        wanted = [part for part in real.group(1).split(",") if part.strip()]
        assert len(inspect.signature(closed).parameters) == len(wanted), (name, real.group(1))
    for kind in (n for n in vars(fake_cuda) if n.startswith("cuda") and isinstance(vars(fake_cuda)[n], type)):
        for member in vars(fake_cuda)[kind]:
            assert int(getattr(getattr(runtime, kind), member.name)) == int(member), member
    assert runtime.cudaStreamNonBlocking == fake_cuda.cudaStreamNonBlocking
    assert runtime.cudaHostAllocDefault == fake_cuda.cudaHostAllocDefault


@needs_cuda
def test_a_machine_without_a_driver_says_so() -> None:
    from cuda.bindings import runtime

    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        assert isinstance(open_device(0)[0], Cuda)
        return
    with pytest.raises(BackendUnavailable, match=r"driver|no NVIDIA GPU can be used"):
        open_device(0)
