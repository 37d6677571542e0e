"""A graph is read only after all of its bytes were proved to be there."""

import random

import onnx
import pytest
from onnx import TensorProto, helper

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.onnx_files import read_graph, tensor_bytes
from quantgate.packages.package import open_package
from tests.tiny_models import save_model

GRAPH, DATA = "model.onnx", "model.onnx.data"


def edit_external(folder, edit, tensor="head.weight"):
    """Rewrite the external-data entries of one tensor in the package's graph."""
    model = onnx.load(str(folder / GRAPH), load_external_data=False)
    target = next(t for t in model.graph.initializer if t.name == tensor)
    facts = {entry.key: entry.value for entry in target.external_data}
    del target.external_data[:]
    for key, value in edit(facts).items():
        target.external_data.add(key=key, value=value)
    (folder / GRAPH).write_bytes(model.SerializeToString())


def test_weights_stay_on_disk(tiny_folder):
    graph, external = read_graph(tiny_folder / GRAPH)
    assert external == (tiny_folder / DATA,)
    large = [t for t in graph.graph.initializer if t.name == "head.weight"]
    assert [t.raw_data for t in large] == [b""]


@pytest.mark.parametrize("missing_bytes", [1, 1000])
def test_fault_01_truncated_external_data(own_package, missing_bytes):
    whole = (own_package / DATA).read_bytes()
    (own_package / DATA).write_bytes(whole[:-missing_bytes])
    with pytest.raises(InvalidMeasurement) as caught:
        open_package(own_package)
    fault = caught.value
    assert fault.code == "external-data-short"
    assert "head.weight" in fault.need
    assert f"{64 * 268 * 4} bytes at offset" in fault.need
    assert f"{64 * 268 * 4 - missing_bytes} bytes there" in fault.found


@pytest.mark.parametrize(
    "change",
    [{"offset": "999999999"}, {"length": "16"}, {"offset": "-4"}],
    ids=["offset_behind_the_end", "length_too_small", "offset_negative"],
)
def test_fault_01_extent_that_cannot_hold_the_tensor(own_package, change):
    edit_external(own_package, lambda facts: {**facts, **change})
    with pytest.raises(InvalidMeasurement, match=r"head\.weight") as caught:
        open_package(own_package)
    assert caught.value.code == "external-data-short"


@pytest.mark.parametrize("change", [{"offset": "four"}, {"length": "1e3"}])
def test_fault_01_extent_that_is_no_number(own_package, change):
    edit_external(own_package, lambda facts: {**facts, **change})
    with pytest.raises(InvalidMeasurement, match=r"head\.weight"):
        open_package(own_package)


def test_fault_02_missing_external_data(own_package):
    (own_package / DATA).unlink()
    with pytest.raises(InvalidMeasurement) as caught:
        open_package(own_package)
    assert caught.value.code == "file-missing"
    assert str(own_package / DATA) in caught.value.found


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "", r"C:\w", "a\0b"])
def test_fault_03_external_location_that_escapes(own_package, location):
    edit_external(own_package, lambda facts: {**facts, "location": location})
    with pytest.raises(UsageFault) as caught:
        open_package(own_package)
    assert caught.value.code == "path-escapes"
    assert "external data of tensor" in caught.value.need


def test_fault_03_external_location_inside_a_constant_node(own_package, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(64))
    value = helper.make_tensor("hidden", TensorProto.FLOAT, [16], bytes(64), raw=True)
    value.data_location = TensorProto.EXTERNAL
    value.ClearField("raw_data")
    value.external_data.add(key="location", value="../secret")
    model = onnx.load(str(own_package / GRAPH), load_external_data=False)
    model.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=value))
    (own_package / GRAPH).write_bytes(model.SerializeToString())
    with pytest.raises(UsageFault) as caught:
        open_package(own_package)
    assert caught.value.code == "path-escapes"


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n"
PLACEHOLDERS = {
    "lfs": (LFS, "lfs-pointer"),
    "html": (b"\n <!DOCTYPE html><html><body>404</body></html>", "not-onnx"),
    "html_bare": (b"<html>sign in</html>", "not-onnx"),
    "empty": (b"", "not-onnx"),
    "random": (random.Random(0).randbytes(4000), "not-onnx"),
    "other_message": (onnx.ModelProto(ir_version=8).SerializeToString(), "not-onnx"),
}


@pytest.mark.parametrize(("content", "code"), PLACEHOLDERS.values(), ids=PLACEHOLDERS)
def test_fault_09_graph_file_that_is_no_graph(own_package, content, code):
    (own_package / GRAPH).write_bytes(content)
    with pytest.raises(InvalidMeasurement) as caught:
        open_package(own_package)
    assert caught.value.code == code
    assert str(own_package / GRAPH) in caught.value.need


def test_fault_09_lfs_pointer_says_what_mends_it(own_package):
    (own_package / GRAPH).write_bytes(LFS)
    with pytest.raises(InvalidMeasurement, match="git lfs pull"):
        open_package(own_package)


@pytest.mark.parametrize("name", ["lfs", "empty", "html"])
def test_fault_09_external_data_that_is_a_placeholder(own_package, name):
    content, code = PLACEHOLDERS[name]
    (own_package / DATA).write_bytes(content)
    with pytest.raises(InvalidMeasurement) as caught:
        open_package(own_package)
    assert caught.value.code == code


def test_fault_10_opset_newer_than_the_runtime(own_package):
    from quantgate.backends.ort_session import make_session

    model = onnx.load(str(own_package / GRAPH), load_external_data=False)
    model.opset_import[0].version = 9999
    with pytest.raises(InvalidMeasurement, match="9999") as caught:
        make_session(model, own_package, provider="cpu", threads=1)
    assert caught.value.code == "opset-unsupported"


@pytest.mark.parametrize(
    ("data_type", "dims", "expected"),
    [
        (TensorProto.FLOAT, [3, 5], 60),
        (TensorProto.FLOAT16, [3, 5], 30),
        (TensorProto.BFLOAT16, [7], 14),
        (TensorProto.INT8, [7], 7),
        (TensorProto.UINT4, [3, 3], 5),
        (TensorProto.INT4, [8], 4),
        (TensorProto.INT64, [], 8),
        (TensorProto.FLOAT, [0, 5], 0),
    ],
)
def test_tensor_bytes_count_packed_types(data_type, dims, expected):
    tensor = TensorProto(data_type=data_type, dims=dims)
    assert tensor_bytes(tensor) == expected


def test_digest_covers_every_file(own_package):
    before = open_package(own_package).digest
    for name in (GRAPH, DATA, "genai_config.json", "tokenizer.json", "tokenizer_config.json"):
        path = own_package / name
        content = path.read_bytes()
        if name == GRAPH:
            model = onnx.load(str(path), load_external_data=False)
            model.doc_string = "changed"
            path.write_bytes(model.SerializeToString())
        else:
            path.write_bytes(content[:-1] + b" " + content[-1:] if name != DATA else content + b"x")
        assert open_package(own_package).digest != before, name
        path.write_bytes(content)
    assert open_package(own_package).digest == before


def test_digest_is_of_contents_and_not_of_the_folder(tiny_folder, own_package):
    assert open_package(own_package).digest == open_package(tiny_folder).digest


def test_resaved_weights_are_another_package(own_package):
    before = open_package(own_package).digest
    save_model(onnx.load(str(own_package / GRAPH)), own_package / "again.onnx")
    (own_package / GRAPH).write_bytes((own_package / "again.onnx").read_bytes())
    assert open_package(own_package).digest != before
