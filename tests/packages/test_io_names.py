"""Inputs and outputs may have any name that the configuration tells."""

import json

import numpy as np
import onnx
import pytest

from quantgate.errors import UsageFault
from quantgate.packages.io_names import layer_names
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood
from tests.running import backend_of, score_all
from tests.straightforward import PlainModel
from tests.tiny_models import LAYERS

INPUTS = {
    "input_ids": "tokens",
    "attention_mask": "visible",
    "past_key_names": "memory/k.%d.in",
    "past_value_names": "memory/v.%d.in",
}
OUTPUTS = {
    "logits": "scores",
    "present_key_names": "memory/k.%d.out",
    "present_value_names": "memory/v.%d.out",
}
DEFAULTS = {
    "input_ids": "input_ids",
    "attention_mask": "attention_mask",
    "past_key_names": "past_key_values.%d.key",
    "past_value_names": "past_key_values.%d.value",
    "logits": "logits",
    "present_key_names": "present.%d.key",
    "present_value_names": "present.%d.value",
}


def rename_graph(folder) -> None:
    """Give every input and output of the graph in `folder` the names above."""
    new = {}
    for key, name in (INPUTS | OUTPUTS).items():
        for layer in range(LAYERS):
            new[DEFAULTS[key].replace("%d", str(layer))] = name.replace("%d", str(layer))
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for value in (*model.graph.input, *model.graph.output):
        value.name = new[value.name]
    for node in model.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    onnx.save(model, folder / "model.onnx")


def rename_config(folder, inputs=INPUTS, outputs=OUTPUTS) -> None:
    path = folder / "genai_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["model"]["decoder"] |= {"inputs": inputs, "outputs": outputs}
    path.write_text(json.dumps(config), "utf-8")


def requests():
    stem = tuple(np.random.default_rng(1).integers(0, 268, 60).tolist())
    return [Loglikelihood((*stem, number), (5, 6)) for number in range(8)]


def test_every_name_may_differ(own_package, tiny_folder):
    rename_graph(own_package)
    rename_config(own_package)
    plain, backend = PlainModel(tiny_folder), backend_of(own_package)
    assert (backend.limits.packs, backend.limits.keeps_prefix) == (True, True)
    plan = make_plan(requests(), backend.limits)
    assert any(group.prefix for group in plan.groups)
    rows, _ = score_all(backend, plan)
    assert len(rows) == 16
    for (sequence, position), row in rows.items():
        expected = plain.logits(plan.sequences[sequence])[position]
        np.testing.assert_allclose(row, expected, atol=1e-4)


def fault_of(folder) -> UsageFault:
    with pytest.raises(UsageFault) as caught:
        backend_of(folder)
    return caught.value


@pytest.mark.parametrize("key", [k for k in INPUTS | OUTPUTS if k.endswith("_names")])
@pytest.mark.parametrize("value", ["cache", "cache.%s", "%d.%d", "cache%", "", 5, None, ["%d"]])
def test_template_without_its_layer(own_package, key, value):
    tables = [{k: value if k == key else v for k, v in t.items()} for t in (INPUTS, OUTPUTS)]
    rename_config(own_package, *tables)
    fault = fault_of(own_package)
    assert fault.code == "config-incomplete"
    assert key in fault.need


@pytest.mark.parametrize("key", ["input_ids", "attention_mask", "logits"])
@pytest.mark.parametrize("value", ["", 5, None, ["a"]])
def test_name_that_is_none(own_package, key, value):
    tables = [{k: value if k == key else v for k, v in t.items()} for t in (INPUTS, OUTPUTS)]
    rename_config(own_package, *tables)
    fault = fault_of(own_package)
    assert (fault.code, key in fault.need) == ("config-incomplete", True)


@pytest.mark.parametrize("key", list(INPUTS))
def test_input_that_the_graph_lacks_is_named(own_package, key):
    inputs = {k: DEFAULTS[k] for k in INPUTS} | {key: INPUTS[key]}
    rename_config(own_package, inputs, {k: DEFAULTS[k] for k in OUTPUTS})
    fault = fault_of(own_package)
    if key == "attention_mask":  # a graph may have none, but then it takes no other input either
        assert fault.code == "layout-unsupported"
        assert DEFAULTS[key] in fault.found
    else:
        assert fault.code == "input-missing"
        assert INPUTS[key].replace("%d", "0") in fault.need


@pytest.mark.parametrize("key", list(OUTPUTS))
def test_output_that_the_graph_lacks_is_named(own_package, key):
    outputs = {k: DEFAULTS[k] for k in OUTPUTS} | {key: OUTPUTS[key]}
    rename_config(own_package, {k: DEFAULTS[k] for k in INPUTS}, outputs)
    fault = fault_of(own_package)
    assert fault.code == "output-missing"
    assert OUTPUTS[key].replace("%d", "0") in fault.need


def test_layers_without_a_cache_of_their_own_are_left_out(own_package, tiny_folder):
    """Decoders whose later layers share a cache have fewer caches than layers."""
    path = own_package / "genai_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["model"]["decoder"]["num_hidden_layers"] = LAYERS + 3
    path.write_text(json.dumps(config), "utf-8")
    backend = backend_of(own_package)
    plan = make_plan(requests(), backend.limits)
    rows, _ = score_all(backend, plan)
    expected, _ = score_all(backend_of(tiny_folder), plan)
    assert all(np.array_equal(row, expected[key]) for key, row in rows.items())


def test_names_are_made_layer_by_layer():
    assert layer_names(("k%d", "v%d.x"), 2) == ["k0", "v0.x", "k1", "v1.x"]
