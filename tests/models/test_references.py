"""Weights that a graph file says lie elsewhere: nothing but byte ranges of model.onnx, for a part alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.export import seal
from models.runtime.bundle import DEMO_BUNDLE, FRAMES_PART, PARTS, load_bundle
from models.runtime.references import WHOLE, check_references
from models.signals.errors import BadInput

OUTSIDE = "weights inside"
NO_GRAPH = "an ONNX graph"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shipped") / "bundle"
    shutil.copytree(DEMO_BUNDLE, folder)
    seal(folder)
    return folder


@pytest.fixture
def bundle(shipped: Path, tmp_path: Path) -> Path:
    """A copy of the shipped bundle whose files may be replaced (not written to: they are hard links)."""
    shutil.copytree(shipped, tmp_path / "bundle", copy_function=lambda a, b: Path(b).hardlink_to(a))
    return tmp_path / "bundle"


def replaced(folder: Path, name: str, data: bytes) -> None:
    (folder / name).unlink()
    (folder / name).write_bytes(data)
    (folder / "manifest.json").unlink()
    seal(folder, limit=1 << 30)


def entries(tensor: TensorProto, **values: object) -> None:
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in values.items():
        tensor.external_data.add(key=key, value=str(value))


def referring(data: bytes, **values: object) -> bytes:
    """The part with its last reference changed: an entry is replaced, or left out where None."""
    model = onnx.load_model_from_string(data)
    tensor = [t for t in model.graph.initializer if t.external_data][-1]
    merged = {e.key: e.value for e in tensor.external_data} | values
    entries(tensor, **{key: value for key, value in merged.items() if value is not None})
    return model.SerializeToString()


def test_the_shipped_bundle_and_every_part_of_it_pass(bundle: Path) -> None:
    assert load_bundle(bundle).spec.parts
    for name in PARTS:
        check_references(bundle / name, (bundle / WHOLE).stat().st_size)


@pytest.mark.parametrize(
    "change",
    [
        {"location": "unlisted.bin"},
        {"location": "../outside.bin"},
        {"location": "/etc/passwd"},
        {"location": "./model.onnx"},
        {"location": ""},
        {"location": None},
        {"location": "*/_ORT_MEM_ADDR_/*"},  # ONNX Runtime takes the offset for an address
        {"location": "model.onnx\0"},
        {"offset": 1 << 40},
        {"offset": -1},
        {"offset": None},
        {"length": 0},
        {"length": "0x10"},
        {"length": "9" * 30},
        {"length": None},
        {"checksum": "0"},
    ],
    ids=str,
)
def test_a_part_refers_to_bytes_of_the_whole_alone(bundle: Path, change: dict[str, object]) -> None:
    (bundle / "unlisted.bin").write_bytes(bytes(1 << 20))
    (bundle.parent / "outside.bin").write_bytes(bytes(1 << 20))
    replaced(bundle, FRAMES_PART, referring((bundle / FRAMES_PART).read_bytes(), **change))
    with pytest.raises(BadInput, match=OUTSIDE):
        load_bundle(bundle)


def test_a_range_may_end_where_the_whole_does_and_no_later(bundle: Path) -> None:
    size, data = (bundle / WHOLE).stat().st_size, (bundle / FRAMES_PART).read_bytes()
    replaced(bundle, FRAMES_PART, referring(data, offset=size - 16, length=16))
    check_references(bundle / FRAMES_PART, size)
    replaced(bundle, FRAMES_PART, referring(data, offset=size - 15, length=16))
    with pytest.raises(BadInput, match=f"up to byte {size + 1} of model.onnx, which has {size}"):
        load_bundle(bundle)


@pytest.mark.parametrize("location", ["weights", WHOLE])
def test_the_whole_graph_holds_all_its_weights(bundle: Path, location: str) -> None:
    model = onnx.load(str(bundle / WHOLE))
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    entries(tensor, location=location, offset=0, length=length)
    replaced(bundle, WHOLE, model.SerializeToString())
    with pytest.raises(
        BadInput, match=f"{OUTSIDE} model.onnx of the bundle, found a constant in the file '{location}'"
    ):
        load_bundle(bundle)


# -- everywhere a tensor may stand ------------------------------------------------------------------------------------


def constant(outside: bool) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "location of a constant")
    if outside:
        tensor.ClearField("raw_data")
        entries(tensor, location="weights.bin", offset=0, length=16)
    return tensor


def holder(nodes: list[onnx.NodeProto], **more: object) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph(nodes, "location", [], [], **more))


def in_node(t: TensorProto) -> onnx.ModelProto:
    return holder([helper.make_node("Constant", [], ["location"], value=t)])


def in_list(t: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Odd", [], ["y"])
    node.attribute.append(onnx.AttributeProto(name="a", type=onnx.AttributeProto.TENSORS, tensors=[t]))
    return holder([node])


def in_branch(t: TensorProto) -> onnx.ModelProto:
    return holder([helper.make_node("If", ["c"], ["y"], then_branch=in_initializer(t).graph)])


def in_initializer(t: TensorProto) -> onnx.ModelProto:
    return holder([], initializer=[t])


def sparse(t: TensorProto) -> onnx.ModelProto:
    return holder([], sparse_initializer=[onnx.SparseTensorProto(values=t, dims=[4])])


def in_function(t: TensorProto) -> onnx.ModelProto:
    model = holder([])
    model.functions.add(name="f").node.extend(in_node(t).graph.node)
    return model


def in_training(t: TensorProto) -> onnx.ModelProto:
    model = holder([])
    model.training_info.add().initialization.CopyFrom(in_initializer(t).graph)
    return model


PLACES = [in_initializer, in_node, in_list, in_branch, sparse, in_function, in_training]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_reference_is_found_wherever_it_stands(tmp_path: Path, place: Callable[[TensorProto], onnx.ModelProto]):
    file = tmp_path / "model.onnx"
    file.write_bytes(place(constant(False)).SerializeToString())
    check_references(file, None)  # although the word stands in names
    file.write_bytes(place(constant(True)).SerializeToString())
    with pytest.raises(BadInput, match=r"'weights\.bin'"):
        check_references(file, None)


def test_only_constants_of_the_graph_itself_lie_in_the_whole(tmp_path: Path) -> None:
    tensor = constant(True)
    entries(tensor, location=WHOLE, offset=0, length=16)
    for place in PLACES:
        (tmp_path / "part.onnx").write_bytes(place(tensor).SerializeToString())
        if place is in_initializer:
            check_references(tmp_path / "part.onnx", 16)
        else:
            with pytest.raises(BadInput, match=OUTSIDE):
                check_references(tmp_path / "part.onnx", 16)


def test_a_location_without_its_mark_or_a_mark_without_location_is_refused(tmp_path: Path) -> None:
    for clear in ("data_location", "external_data"):
        tensor = constant(True)
        tensor.ClearField(clear)
        (tmp_path / "model.onnx").write_bytes(in_initializer(tensor).SerializeToString())
        with pytest.raises(BadInput, match=OUTSIDE):
            check_references(tmp_path / "model.onnx", None)


# -- bytes that are no message ----------------------------------------------------------------------------------------


def message(number: int, content: bytes) -> bytes:
    """A field of bytes; sizes up to 16383."""
    assert number < 16 and len(content) < 1 << 14
    return bytes([number << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content


def tensor_with(*fields: bytes) -> bytes:
    return message(7, message(5, b"".join(fields)))


LOCATION = message(1, b"location") + message(2, b"model.onnx")
MALFORMED = {
    "empty": b"",
    "text": b"not a graph",
    "field 0": b"\x02\x00",
    "group": b"\x0b\x0c",
    "cut off": message(7, bytes(20))[:-1],
    "longer than its graph": message(7, b"\x2a\x05abc"),
    "endless number": b"\x08" + b"\xff" * 30,
    "number cut off": b"\x08\xff",
    "size cut off": b"\x3a",
    "a tag of 33 bits": b"\xea\x80\x80\x80\x10" + b"\x00",
    "a graph as a number": b"\x38\x01",
    "an entry as a number": tensor_with(b"\x68\x01"),
    "the mark as bytes": tensor_with(b"\x72\x01\x01"),
    "two values": tensor_with(message(13, LOCATION + message(2, b"other"))),
    "an entry with more": tensor_with(message(13, LOCATION + message(3, b"more"))),
    "a long key": tensor_with(message(13, message(1, b"k" * 5000))),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_message_is_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "part.onnx").write_bytes(data)
    with pytest.raises(BadInput, match=NO_GRAPH) as found:
        check_references(tmp_path / "part.onnx", 1 << 20)
    assert "\n" not in str(found.value)


def test_keys_said_twice_and_fields_from_the_future_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "part.onnx"
    for data in (tensor_with(message(13, LOCATION), message(13, LOCATION)), message(7, message(9, LOCATION))):
        file.write_bytes(data)
        with pytest.raises(BadInput, match=OUTSIDE):
            check_references(file, 1 << 20)
    file.write_bytes(message(7, message(9, b"anything else")))
    check_references(file, 1 << 20)


def test_work_and_depth_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "part.onnx"
    deep = b"location"
    for _ in range(20):
        deep = message(1, message(5, message(6, deep)))
    file.write_bytes(message(7, deep))
    with pytest.raises(BadInput, match="deep"):
        check_references(file, None)
    monkeypatch.setattr("models.runtime.references.MAX_FIELDS", 100)
    file.write_bytes(b"\x08\x01" * 101)
    with pytest.raises(BadInput, match="more than 100 fields"):
        check_references(file, None)


@pytest.mark.parametrize("name", [WHOLE, *PARTS])
def test_a_truncated_graph_is_refused(bundle: Path, name: str) -> None:
    data = (bundle / name).read_bytes()
    for size in (len(data) - 1, len(data) // 2, 7):
        replaced(bundle, name, data[:size])
        with pytest.raises(BadInput, match=NO_GRAPH):
            load_bundle(bundle)


# -- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [WHOLE, FRAMES_PART, "spec.json", "golden.npz", "manifest.json"])
def test_a_link_is_no_file_of_a_bundle(bundle: Path, name: str) -> None:
    (bundle / name).rename(bundle.parent / name)
    (bundle / name).symlink_to(bundle.parent / name)
    with pytest.raises(BadInput, match="a symbolic link"):
        load_bundle(bundle)


def test_the_folder_itself_may_be_a_link(bundle: Path) -> None:
    (bundle.parent / "link").symlink_to(bundle)
    assert load_bundle(bundle.parent / "link").spec.parts


def test_a_part_that_the_spec_does_not_use_is_checked_too(bundle: Path) -> None:
    spec = json.loads((bundle / "spec.json").read_text("utf-8"))
    replaced(bundle, FRAMES_PART, referring((bundle / FRAMES_PART).read_bytes(), location="unlisted.bin"))
    replaced(bundle, "spec.json", json.dumps(spec | {"parts": False}).encode())
    with pytest.raises(BadInput, match=OUTSIDE):
        load_bundle(bundle)
