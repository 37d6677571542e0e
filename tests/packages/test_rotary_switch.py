"""Where a graph changes its rotary tables is read from its own choice between them."""

import onnx
import pytest
from onnx import helper

from quantgate.packages.package import open_package
from quantgate.packages.rotary_switch import crosses, rotary_switch
from tests.tiny_longrope import COMPARISONS, SWITCH, write_longrope


def switch_of(folder):
    package = open_package(folder)
    return rotary_switch(package.graph, package.weights_folder)


@pytest.mark.parametrize("stored", ["node", "initializer", "external"])
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_switch_is_the_longest_short_sequence(tmp_path, comparison, stored):
    folder = write_longrope(tmp_path, comparison=comparison, stored=stored)
    assert switch_of(folder) == SWITCH


def test_graphs_without_a_choice_have_no_switch(tiny_folder, built):
    assert {switch_of(folder) for folder in (tiny_folder, *built.values())} == {None}


def test_other_choices_are_none_by_length(tiny_folder):
    """By an input, by equality, and by what isn't one stored number."""
    package = open_package(tiny_folder)
    graph = package.graph.graph
    graph.node.append(helper.make_node("Equal", ["total_64", "one"], ["is_one"]))
    graph.node.append(helper.make_node("Greater", ["total_64", "lengths"], ["is_wider"]))
    graph.node.append(helper.make_node("Greater", ["total_64", "embedding"], ["is_any"]))
    for condition in ("given", "is_one", "is_wider", "is_any"):
        branch = onnx.GraphProto()
        graph.node.append(
            helper.make_node("If", [condition], [], then_branch=branch, else_branch=branch)
        )
    assert rotary_switch(package.graph, package.weights_folder) is None


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 64, False), (0, 65, True), (64, 65, True), (65, 99, False), (10, 20, False)],
)
def test_growing_over_the_switch(start, stop, expected):
    assert crosses(SWITCH, start, stop) == expected
    assert not crosses(None, start, stop)
