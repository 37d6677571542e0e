"""Random models have the sizes that their names say, and the folders that they always had."""

import argparse
import hashlib
import json

import pytest

from benchmarks import random_models
from benchmarks.models import add_model_arguments, build_packages, model_arguments
from benchmarks.random_models import SHAPES, parameters, random_model
from quantgate.backends.base import BackendSpec
from quantgate.execution.inline import InlineSession
from quantgate.execution.orders import GenerateOrder
from quantgate.packages.tokenizer import load_tokenizer

# What the models in people's caches were made of.
SHAPE_135M = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@pytest.mark.parametrize(("size", "millions"), [("3m", 3), ("30m", 30), ("135m", 135)])
def test_sizes_are_what_they_are_called(size, millions):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**SHAPES[size]))
    counted = sum(each.numel() for each in {id(p): p for p in model.parameters()}.values())
    assert parameters(SHAPES[size]) == counted
    assert counted == pytest.approx(millions * 1e6, rel=0.06)


def test_folder_of_the_default_model_is_what_it_was(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(random_models, "_save_weights", lambda *facts: saved.append(facts[0]))
    monkeypatch.setattr(random_models, "_save_tokenizer", lambda *_: None)
    text = tmp_path / "text.txt"
    text.write_text("some words")
    content = {
        "texts": [hashlib.sha256(b"some words").hexdigest()],
        "shape": SHAPE_135M,
        "seed": 20260711,
    }
    digest = hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
    folder = random_model([text], tmp_path / "cache")
    assert folder == tmp_path / "cache" / "models" / f"random-135m-{digest[:16]}"
    assert saved == [SHAPE_135M]
    names = {random_model([text], tmp_path / "cache", size).name for size in SHAPES}
    assert sorted(name.split("-")[1] for name in names) == ["135m", "30m", "3m"]


def test_size_is_an_option_and_its_default_the_model_there_was(tmp_path):
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    assert model_arguments(parser.parse_args([]), tmp_path).size == "135m"
    assert model_arguments(parser.parse_args(["--size", "3m"]), tmp_path).size == "3m"


def test_a_model_needs_text_unless_it_is_for_ids(tmp_path):
    with pytest.raises(SystemExit, match=r"no \.csv or \.txt file"):
        random_model([tmp_path], tmp_path, "3m")


def test_a_model_for_ids_is_built_and_runs_at_any_vocabulary(tmp_path):
    source = random_model((), tmp_path, "3m", 1000)
    assert source.name.startswith("random-3m-v1000-")
    package = build_packages(source, ["fp32"], tmp_path)["fp32"]
    assert package.config.vocab_size == 1000
    tokenizer = load_tokenizer(package.folder)
    assert tokenizer.size <= 257
    session = InlineSession(BackendSpec("ort", str(package.folder), threads=1))
    found = session.generate(GenerateOrder(((999, 5),), 3, (), 5))
    session.close()
    assert len(found.ids[0]) == 3
    assert all(0 <= id_ < 1000 for id_ in found.ids[0])
