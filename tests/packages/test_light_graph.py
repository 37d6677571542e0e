"""A graph is read without the weights inside its file, and is otherwise what ONNX itself reads."""

from __future__ import annotations

import hashlib
import os
import shutil

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from quantgate.errors import InvalidMeasurement
from quantgate.packages import light_graph
from quantgate.packages.light_graph import LARGE, read_light
from quantgate.packages.onnx_files import read_graph
from quantgate.packages.package import open_package
from tests.running import backend_of

GRAPH = "model.onnx"
needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@pytest.fixture(scope="module")
def inline_folder(tiny_folder, tmp_path_factory):
    """The plain package in one file."""
    folder = tmp_path_factory.mktemp("inline") / "package"
    shutil.copytree(tiny_folder, folder)
    onnx.save(onnx.load(folder / GRAPH), folder / GRAPH)
    (folder / f"{GRAPH}.data").unlink()
    return folder


def whole(model: ModelProto, folder) -> tuple[dict[str, np.ndarray], bytes]:
    """Weights by name, and all else."""
    load_external_data_for_model(model, str(folder))
    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for tensor in model.graph.initializer:
        for field in ("raw_data", "data_location", "external_data"):
            tensor.ClearField(field)
    return weights, model.SerializeToString(deterministic=True)


def assert_same(path) -> None:
    found, rest = whole(read_light(path), path.parent)
    expected, expected_rest = whole(onnx.load(path), path.parent)
    assert rest == expected_rest
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert np.array_equal(found[name], array), name


def test_large_weights_stay_in_their_file(inline_folder):
    model = read_light(inline_folder / GRAPH)
    assert model.ByteSize() < 20 * LARGE
    for tensor in model.graph.initializer:
        stays = tensor.data_location == TensorProto.EXTERNAL
        assert stays == (np.prod(tensor.dims) * 4 >= LARGE)
        assert not (stays and tensor.raw_data)
    assert_same(inline_folder / GRAPH)


def test_package_of_one_file_has_no_other_file_and_the_same_digest(inline_folder):
    package = open_package(inline_folder)
    config = package.folder / "genai_config.json"
    assert package.external == ()
    assert package.files == (inline_folder / GRAPH, config)
    digest = hashlib.sha256()
    for path in (config, inline_folder / GRAPH):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.name}:{content}\n".encode())
    digest.update(package.tokenizer_digest.encode())
    assert package.digest == digest.hexdigest()


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4", "fp16"])
def test_packages_in_one_file_and_in_two_compute_the_same(built, tmp_path, precision):
    """Weights in a graph's file lie at odd places, where no vector register would have them."""
    inside = shutil.copytree(built[precision], tmp_path / "inside")
    onnx.save(onnx.load(inside / GRAPH), inside / GRAPH)
    (inside / f"{GRAPH}.data").unlink()
    weights = open_package(inside).graph.graph.initializer
    offsets = [int(e.value) for t in weights for e in t.external_data if e.key == "offset"]
    assert any(offset % 2 for offset in offsets)
    logits = []
    for folder in (inside, built[precision]):
        decoding = backend_of(folder).decoding(64)
        decoding.append(tuple(range(3, 40)))
        logits.append(decoding._logits.copy())
    assert np.array_equal(*logits)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4", "fp16"])
def test_builders_graphs_are_read_whole(built, tmp_path, precision, monkeypatch):
    monkeypatch.setattr(light_graph, "LARGE", 64)
    assert_same(built[precision] / GRAPH)
    onnx.save(onnx.load(built[precision] / GRAPH), tmp_path / GRAPH)
    assert_same(tmp_path / GRAPH)


def odd_model() -> ModelProto:
    """Weights in other fields than the usual one, empty, typed narrowly, and of one number."""
    numbers = np.arange(40, dtype=np.float32)
    weights = [
        numpy_helper.from_array(numbers, "raw"),
        helper.make_tensor("typed", TensorProto.FLOAT, [40], numbers.tolist()),
        helper.make_tensor("narrow", TensorProto.INT4, [8], list(range(-4, 4))),
        helper.make_tensor("text", TensorProto.STRING, [2], [b"a" * 70, b"b"]),
        numpy_helper.from_array(np.zeros((0, 3), np.float32), "empty"),
        numpy_helper.from_array(np.array(7, np.int64), "one"),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [40])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [40])
    nodes = [helper.make_node("Add", ["x", "raw"], ["y"])]
    return helper.make_model(helper.make_graph(nodes, "odd", [value], [out], weights))


@pytest.fixture(scope="module")
def odd_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / GRAPH
    path.write_bytes(odd_model().SerializeToString())
    return path


def test_odd_tensors(odd_file, monkeypatch):
    for large in (0, 1, 64, 10**9):
        monkeypatch.setattr(light_graph, "LARGE", large)
        assert_same(odd_file)


def test_fields_that_nobody_knows_and_a_graph_in_two_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(light_graph, "LARGE", 16)
    more = ModelProto()
    more.graph.initializer.append(numpy_helper.from_array(np.ones(99, np.float32), "more"))
    unknown = b"\x9d\x06" + bytes(4) + b"\xa1\x06" + bytes(8) + b"\x98\x06\x96\x01"
    path = tmp_path / GRAPH
    path.write_bytes(odd_model().SerializeToString() + unknown + more.SerializeToString())
    assert_same(path)
    assert read_light(path).graph.initializer[-1].name == "more"


@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_file_is_refused_or_read_as_onnx_reads_it(
    odd_file, tmp_path_factory, place, byte, cut
):
    content = bytearray(odd_file.read_bytes())
    place %= len(content)
    content[place] = byte
    path = tmp_path_factory.mktemp("damaged") / GRAPH
    path.write_bytes(content[: place + 1] if cut else content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(light_graph, "LARGE", 16)
        try:
            model, _ = read_graph(path)
        except InvalidMeasurement:
            return
        expected = ModelProto.FromString(bytes(path.read_bytes()))
        assert [each.name for each in model.graph.initializer] == [
            each.name for each in expected.graph.initializer
        ]
        assert model.graph.node == expected.graph.node


@pytest.mark.parametrize(
    "content",
    [b"\x3a\xff\x01\x08", b"\x3a", b"\x80" * 40, b"\x3b\x00", b"\x0a\xff\xff\xff\xff\xff\xff"],
    ids=["ends_early", "no_length", "endless_number", "unknown_kind", "endless_length"],
)
def test_fault_09_file_that_is_no_message(tmp_path, content):
    (tmp_path / GRAPH).write_bytes(content)
    with pytest.raises(InvalidMeasurement) as caught:
        read_graph(tmp_path / GRAPH)
    assert caught.value.code == "not-onnx"


def test_fault_09_file_that_is_cut_within_a_weight(inline_folder, tmp_path):
    folder = shutil.copytree(inline_folder, tmp_path / "package")
    content = (folder / GRAPH).read_bytes()
    (folder / GRAPH).write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidMeasurement) as caught:
        open_package(folder)
    assert caught.value.code == "not-onnx"


def test_weight_inside_its_file_that_is_too_short_is_named(inline_folder, tmp_path):
    folder = shutil.copytree(inline_folder, tmp_path / "package")
    model = onnx.load(folder / GRAPH)
    (head,) = (each for each in model.graph.initializer if each.name == "head.weight")
    head.raw_data = head.raw_data[:-4]
    onnx.save(model, folder / GRAPH)
    with pytest.raises(InvalidMeasurement, match=r"head\.weight") as caught:
        open_package(folder)
    assert caught.value.code == "external-data-short"


@needs_links
@pytest.mark.parametrize("saved", ["inline", "external"])
def test_hubs_links_into_its_blobs_are_followed(inline_folder, tiny_folder, tmp_path, saved):
    source = {"inline": inline_folder, "external": tiny_folder}[saved]
    snapshot, blobs = tmp_path / "models--x" / "snapshots" / "0123abc", tmp_path / "models--x/blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(sorted(source.iterdir())):
        shutil.copy(path, blobs / f"{number:064x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number:064x}")
    assert open_package(snapshot).digest == open_package(source).digest
    expected = backend_of(source).decoding(8).append((1, 2, 3))
    assert backend_of(snapshot).decoding(8).append((1, 2, 3)) == expected
