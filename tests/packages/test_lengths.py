"""Lengths take the place of a mask where GroupQueryAttention alone was told by it."""

import copy

import pytest
from onnx import TensorProto, helper

from quantgate.packages.attention import attention_nodes
from quantgate.packages.decoder import decoder_graph
from quantgate.packages.lengths import LAST_POSITIONS, TOTAL_LENGTH, tell_lengths
from quantgate.packages.package import open_package
from tests.tiny_gpt2 import write_gpt2
from tests.tiny_longrope import write_longrope

LENGTHS = {LAST_POSITIONS, TOTAL_LENGTH}


def inputs_of(model):
    return {value.name: value.type.tensor_type for value in model.graph.input}


def told(folder):
    model = copy.deepcopy(open_package(folder).graph)
    tell_lengths(model)
    return model


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_nothing_counts_the_mask_any_more(built, precision):
    """Of a package as the model builder writes it."""
    before, after = open_package(built[precision]).graph, told(built[precision])
    inputs = inputs_of(after)
    assert set(inputs_of(before)) - set(inputs) == {"attention_mask"}
    assert set(inputs) - set(inputs_of(before)) == LENGTHS
    assert [len(inputs[name].shape.dim) for name in (LAST_POSITIONS, TOTAL_LENGTH)] == [1, 0]
    assert {inputs[name].elem_type for name in LENGTHS} == {TensorProto.INT32}
    for node in attention_nodes(after.graph):
        assert list(node.input[5:7]) == [LAST_POSITIONS, TOTAL_LENGTH]
    dropped = {node.op_type for node in before.graph.node} - {n.op_type for n in after.graph.node}
    assert {"ReduceSum", "Sub", "Shape"} <= dropped
    assert len(before.graph.node) - len(after.graph.node) >= 6


def test_mask_that_something_else_reads_stays(tmp_path, tiny_folder):
    """LongRoPE chooses its tables by the mask's width."""
    assert {"attention_mask", *LENGTHS} <= set(inputs_of(told(write_longrope(tmp_path))))
    assert "attention_mask" not in inputs_of(told(tiny_folder))


def test_mask_that_is_read_inside_a_branch_stays(tiny_folder):
    model = copy.deepcopy(open_package(tiny_folder).graph)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["attention_mask"], ["seen"])],
        "branch",
        [],
        [helper.make_empty_tensor_value_info("seen")],
    )
    choice = helper.make_node("If", ["given"], ["mask"], then_branch=branch, else_branch=branch)
    model.graph.node.append(choice)
    model.graph.input.append(helper.make_tensor_value_info("given", TensorProto.BOOL, []))
    model.graph.output.append(helper.make_empty_tensor_value_info("mask"))
    tell_lengths(model)
    assert {"attention_mask", "given", *LENGTHS} <= set(inputs_of(model))


def test_graphs_without_the_operator_are_left_alone(tmp_path):
    write_gpt2(tmp_path)
    assert told(tmp_path) == open_package(tmp_path).graph


def test_the_package_keeps_its_own_graph(tiny_folder):
    package = open_package(tiny_folder)
    before = copy.deepcopy(package.graph)
    assert decoder_graph(package, package.graph).attention_mask == ""
    assert package.graph == before
