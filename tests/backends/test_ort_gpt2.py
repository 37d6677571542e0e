"""GPT-2 with keys and values in one tensor and int32 inputs, held against NumPy."""

import json
from dataclasses import replace

import numpy as np
import pytest

from quantgate.cost_model import CostModel
from quantgate.errors import UsageFault
from quantgate.plan import make_plan
from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling
from tests.running import backend_of, score_all
from tests.tiny_gpt2 import gpt2_logits, write_gpt2

FORMS = {"fused": True, "plain": False}


def ids_of(count: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(0, 268, count).tolist())


def requests():
    """Letters behind shared questions, an answer of several tokens, a window of text."""
    found = []
    for stem in (ids_of(40, 1), ids_of(25, 2)):
        for number in range(6):
            context = (*stem, *ids_of(4 + number, 10 + number))
            found += [Loglikelihood(context, (letter,)) for letter in (5, 6)]
            found.append(Loglikelihood(context, (7, 8, 9)))
    window = ids_of(60, 3)
    return [*found, LoglikelihoodRolling(window, range(20, 60), (NO_TARGET,) * 40)]


def plan_of(backend):
    """A plan that keeps prefixes wherever it may, as one for a model of full size would."""
    heavy = CostModel(linear=10**6, pair=1, cache=1)
    return make_plan(requests(), replace(backend.limits, cost=heavy))


def largest_difference(backend, weights) -> float:
    plan = plan_of(backend)
    rows, _ = score_all(backend, plan)
    expected = [gpt2_logits(weights, ids) for ids in plan.sequences]
    assert len(rows) > 60
    return max(float(np.abs(row - expected[s][p]).max()) for (s, p), row in rows.items())


@pytest.mark.parametrize("fused", FORMS.values(), ids=FORMS)
def test_combined_cache_equals_a_full_forward(tmp_path, fused):
    weights = write_gpt2(tmp_path, fused=fused)
    assert largest_difference(backend_of(tmp_path), weights) < 1e-4


def test_fused_causal_attention_keeps_a_prefix(tmp_path):
    write_gpt2(tmp_path)
    backend = backend_of(tmp_path)
    assert (backend.limits.packs, backend.limits.keeps_prefix) == (False, True)
    assert any(group.prefix for group in plan_of(backend).groups)


def test_plain_operators_take_padded_batches(tmp_path):
    """Nobody knows whether several tokens may follow a cache there."""
    write_gpt2(tmp_path, fused=False)
    backend = backend_of(tmp_path)
    assert not backend.limits.keeps_prefix
    groups = plan_of(backend).groups
    assert all(group.padded for group in groups)
    assert any(len({len(row.ids) for row in group.rows}) > 1 for group in groups)


def test_attention_that_looks_ahead_keeps_no_prefix(tmp_path):
    write_gpt2(tmp_path, unidirectional=0)
    assert not backend_of(tmp_path).limits.keeps_prefix


@pytest.mark.parametrize("key", ["past_names", "present_names"])
@pytest.mark.parametrize("value", ["past", "past_%s", "past_%d_%d", "100%", 5])
def test_combined_template_without_its_layer_is_refused(tmp_path, key, value):
    write_gpt2(tmp_path)
    path = tmp_path / "genai_config.json"
    config = json.loads(path.read_text("utf-8"))
    side = "inputs" if key == "past_names" else "outputs"
    config["model"]["decoder"][side][key] = value
    path.write_text(json.dumps(config), "utf-8")
    with pytest.raises(UsageFault, match=key) as caught:
        backend_of(tmp_path)
    assert caught.value.code == "config-incomplete"
