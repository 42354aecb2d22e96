"""Reads what we call of TensorRT from an installed binding, into ``tensorrt_signatures.json``; needs no GPU.

    python -m tests.models.read_signatures FOLDER MODULE VERSION

FOLDER is where the wheel was unpacked or installed, MODULE ``tensorrt_bindings.tensorrt`` (of tensorrt-cu13-bindings)
or ``tensorrt_rtx_bindings.tensorrt_rtx`` (of tensorrt-rtx-cu13-bindings), VERSION the name of the entry. A binding
wants libraries of gigabytes: where they are missing, empty ones with the same names and functions are compiled in a
temporary folder, since signatures are read from docstrings and nothing is called.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FACTS = Path(__file__).with_name("tensorrt_signatures.json")
MEMBERS = {
    "Builder": "__init__ create_network create_builder_config build_serialized_network",
    "INetworkDefinition": "num_inputs get_input",
    "ITensor": "shape",
    "OnnxParser": "__init__ parse num_errors get_error",
    "ParserError": "desc",
    "IBuilderConfig": "set_memory_pool_limit builder_optimization_level max_aux_streams clear_flag progress_monitor "
    "create_timing_cache set_timing_cache num_compute_capabilities set_compute_capability",
    "ITimingCache": "serialize",
    "IHostMemory": "nbytes",
    "IProgressMonitor": "__init__ phase_start phase_finish step_complete",
    "IProfiler": "__init__ report_layer_time",
    "ILogger": "__init__ log INTERNAL_ERROR ERROR WARNING",
    "Runtime": "__init__ deserialize_cuda_engine",
    "ICudaEngine": "num_io_tensors get_tensor_name get_tensor_mode get_tensor_dtype get_tensor_shape "
    "create_execution_context create_runtime_config",
    "IExecutionContext": "set_tensor_address infer_shapes execute_async_v3 profiler",
    "IRuntimeConfig": "cuda_graph_strategy create_runtime_cache set_runtime_cache",
    "IRuntimeCache": "serialize deserialize",
}
"""What we use, by class; a class or member that a version lacks is left out of its entry."""
ENUMS = (
    "NetworkDefinitionCreationFlag", "BuilderFlag", "MemoryPoolType", "TensorIOMode", "DataType", "CudaGraphStrategy",
    "ComputeCapability",
)  # fmt: skip


def compile_missing(binary: Path) -> None:
    """Empty libraries for those that ``binary`` needs and this machine lacks, loaded for it to find."""
    needed = subprocess.run(["readelf", "-d", binary], check=True, capture_output=True, text=True).stdout
    symbols = subprocess.run(["nm", "-D", "--undefined-only", binary], check=True, capture_output=True, text=True)
    functions = re.findall(r"^\s+U ((?:create\w+_INTERNAL|get\w+Registry|getNv\w+|initLib\w+))$", symbols.stdout, re.M)
    for library in re.findall(r"NEEDED.*\[(lib(?:nv|tensorrt)\S+)\]", needed):
        try:
            ctypes.CDLL(library)
        except OSError:
            folder = Path(tempfile.mkdtemp())
            source = folder / "empty.c"
            source.write_text("".join(f"void* {name}() {{ return 0; }}\n" for name in functions))
            command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", folder / library, source]
            subprocess.run(command, check=True)
            ctypes.CDLL(str(folder / library), mode=ctypes.RTLD_GLOBAL)


def signatures(member: object) -> list[str] | str:
    """Signatures of a method, all its overloads; "property" of what is none."""
    if not callable(member):
        return "property"
    name, text = re.escape(getattr(member, "__name__", "")), member.__doc__ or ""
    lines = re.findall(rf"^(?:\d+\. )?{name}\((.*)\) -> (.*)$", text, re.M)
    return [f"({shortened(a)}) -> {shortened(r)}" for a, r in lines if not a.startswith("*args")]


def shortened(text: str) -> str:
    modules = r"\btensorrt(?:_rtx)?(?:_bindings\.tensorrt(?:_rtx)?)?\.|collections\.abc\.|typing(?:_extensions)?\."
    return re.sub(modules, "", text)


def read(library: Any) -> dict[str, object]:
    facts: dict[str, object] = {}
    for name, members in MEMBERS.items():
        known = vars(getattr(library, name, object))
        facts[name] = {m: signatures(known[m]) for m in members.split() if m in known and name in vars(library)}
    for name in ENUMS:
        if hasattr(library, name):
            facts[name] = sorted(getattr(library, name).__members__)
    return {name: found for name, found in facts.items() if found}


if __name__ == "__main__":
    folder, module, version = sys.argv[1:]
    package, _, extension = module.partition(".")
    compile_missing(Path(folder, package, f"{extension}.so"))
    sys.path.insert(0, str(Path(folder, package)))  # the extension alone: the package around it imports much more
    facts = json.loads(FACTS.read_text("utf-8")) if FACTS.is_file() else {}
    facts[version] = read(importlib.import_module(extension))
    FACTS.write_text(json.dumps(dict(sorted(facts.items())), indent=1) + "\n", "utf-8")
