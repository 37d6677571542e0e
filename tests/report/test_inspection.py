"""What `quantgate inspect` prints of packages that other quantizers wrote."""

from __future__ import annotations

import re

import onnx
import pytest

from quantgate.cli import main
from tests.quantizing import bnb4, dequantized
from tests.tiny_models import Tiny, write_package

BODY = "73,728 multiply-adds a token in projections"
PACKS = "token trees behind a kept prefix"


def inspected(folder, capsys) -> dict[str, str]:
    """The printed facts by label, and all of it as `text`."""
    assert main(["inspect", str(folder)]) == 0
    text = capsys.readouterr().out
    facts = (re.split(r" {2,}| (?=\S*$)", line, maxsplit=1) for line in text.splitlines())
    return {"text": text, **{each[0]: each[-1] for each in facts}}


def test_packed_floats_under_a_float_head(built, tmp_path, capsys):
    found = inspected(bnb4(built["fp32"], tmp_path / "nf4", left=["/lm_head/MatMul"]), capsys)
    assert found["body"] == BODY
    assert re.search(r"\| 0-1 +(\| nf4 b64 +){5}\|", found["text"])
    assert "(!)" not in found["text"]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("left", [(), ("logits",)])
def test_weights_behind_dequantizers(tiny_folder, tmp_path, capsys, turned, left):
    folder = dequantized(tiny_folder, tmp_path / "qdq", turned=turned, left=left)
    found = inspected(folder, capsys)
    assert found["body"] == BODY
    assert found["planner"] == PACKS
    assert re.search(r"\| 0-1 +(\| int4 b32 +){7}\|", found["text"])
    head = "fp32" if left else "int4 b32"
    assert re.search(rf"\| outside .*\| {head} +\| fp32 ", found["text"])


def test_a_graph_that_can_t_be_split_is_described_and_its_refusal_told(tmp_path, capsys):
    found = inspected(write_package(tmp_path, Tiny(head="softmax")), capsys)
    assert found["planner"].startswith(
        "none; the backend ort refuses this package: [head-not-found]"
    )
    assert "a Softmax node" in found["planner"]
    assert "export the language-model head as one projection" in found["planner"]
    assert found["body and head"] == "90,880 multiply-adds a token in projections"
    assert "body" not in found
    assert re.search(r"\| 0-1 +(\| fp32 +){7}\|", found["text"])


def test_weights_that_are_not_understood_are_counted(own_package, capsys):
    path = own_package / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.output[0] in {"up_0", "down_0"}:
            node.op_type, node.domain = "Linear", "mine"
    path.write_bytes(model.SerializeToString())
    found = inspected(own_package, capsys)
    assert "(!) the weights of 2 nodes (2 Linear) aren't understood" in found["text"]
