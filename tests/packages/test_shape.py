"""Cache shapes come from the graph; the configuration fills in what it leaves symbolic."""

import json

import numpy as np
import onnx
import pytest

from quantgate.errors import UsageFault
from quantgate.packages.package import open_package
from quantgate.packages.shape import read_shape
from tests.quantizing import bnb4, dequantized
from tests.tiny_gpt2 import HEADS, HIDDEN, SIZE, write_gpt2
from tests.tiny_models import HEAD_SIZE, KV_HEADS, LAYERS, Tiny, write_package

Q_AND_O = 2 * 64 * 64
K_AND_V = 2 * 64 * 32
MLP = 3 * 64 * 128


def shape_of(folder):
    package = open_package(folder)
    return read_shape(package, package.graph)


def edit_past(folder, *dims) -> None:
    """Give the first past input other dimensions; texts are symbolic."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    value = next(v for v in model.graph.input if "past" in v.name)
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, list(dims)))
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def test_plain_caches(tiny_folder):
    shape = shape_of(tiny_folder)
    assert [cache.name for cache in shape.caches[:2]] == [
        "past_key_values.0.key",
        "past_key_values.0.value",
    ]
    assert [cache.present for cache in shape.caches[2:]] == ["present.1.key", "present.1.value"]
    assert {c.blank(3).shape for c in shape.caches} == {(3, KV_HEADS, 0, HEAD_SIZE)}
    assert shape.caches[0].blank(1, 2).shape == (1, KV_HEADS, 2, HEAD_SIZE)
    assert {c.dtype for c in shape.caches} == {np.dtype(np.float32)}


def test_costs_are_counted_from_the_weights(tiny_folder):
    cost = shape_of(tiny_folder).cost
    head = 64 * 268
    assert cost.linear == LAYERS * (Q_AND_O + K_AND_V + MLP) + head
    assert cost.pair == LAYERS * 2 * 4 * HEAD_SIZE
    assert cost.cache == LAYERS * 2 * KV_HEADS * HEAD_SIZE


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("left", [(), ("logits",)])
def test_dequantized_weights_cost_what_they_cost_before(tiny_folder, tmp_path, turned, left):
    folder = dequantized(tiny_folder, tmp_path / "qdq", turned=turned, left=left)
    assert shape_of(folder) == shape_of(tiny_folder)


def test_packed_weights_in_one_line_cost_what_they_cost_before(tiny_folder, tmp_path):
    folder = bnb4(tiny_folder, tmp_path / "nf4", left=["logits"])
    assert shape_of(folder) == shape_of(tiny_folder)


def test_weights_behind_a_transpose_are_counted(tiny_folder, tmp_path):
    folder = write_package(tmp_path, Tiny(head="tied"))
    assert shape_of(folder).cost == shape_of(tiny_folder).cost


def test_combined_caches(tmp_path):
    write_gpt2(tmp_path)
    shape = shape_of(tmp_path)
    assert [(c.name, c.present) for c in shape.caches] == [
        ("past_0", "present_0"),
        ("past_1", "present_1"),
    ]
    assert {c.blank(3).shape for c in shape.caches} == {(2, 3, HEADS, 0, SIZE)}
    assert shape.cost.cache == 2 * 2 * HIDDEN
    assert shape.cost.pair == 2 * 2 * HEADS * SIZE


def test_width_that_the_graph_leaves_open_is_the_configurations(own_package):
    edit_past(own_package, "b", KV_HEADS, "p", "width")
    assert shape_of(own_package).caches[0].head_size == HEAD_SIZE
    path = own_package / "genai_config.json"
    config = json.loads(path.read_text("utf-8"))
    del config["model"]["decoder"]["head_size"]
    path.write_text(json.dumps(config), "utf-8")
    with pytest.raises(UsageFault, match="width") as caught:
        shape_of(own_package)
    assert caught.value.code == "layout-unsupported"


def test_heads_may_differ_between_layers(own_package):
    edit_past(own_package, "b", 1, "p", 32)
    shapes = [(c.kv_heads, c.head_size) for c in shape_of(own_package).caches]
    assert shapes == [(1, 32), *[(KV_HEADS, HEAD_SIZE)] * 3]


@pytest.mark.parametrize(
    "dims", [("b", "heads", "p", 16), ("b", 2, "p"), (2, "b", 2, "p", 16), ("n", 32)], ids=str
)
def test_cache_of_another_layout(own_package, dims):
    edit_past(own_package, *dims)
    with pytest.raises(UsageFault) as caught:
        shape_of(own_package)
    assert caught.value.code == "layout-unsupported"
    assert "past_key_values.0.key" in caught.value.need


@pytest.mark.parametrize("dims", [("b", 2, "p", 16), (2, "b", "h", "p", 16)], ids=str)
def test_combined_cache_of_another_layout(tmp_path, dims):
    write_gpt2(tmp_path)
    edit_past(tmp_path, *dims)
    with pytest.raises(UsageFault, match=r"\[2, batch, kv heads") as caught:
        shape_of(tmp_path)
    assert caught.value.code == "layout-unsupported"
