"""Rows of every family, packed, behind prefixes and in windows, are those of plain forwards."""

from dataclasses import replace

import numpy as np
import pytest

from quantgate.backends.torch import TorchBackend
from quantgate.errors import InvalidMeasurement
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood, LoglikelihoodRolling
from tests.tiny_torch import CONTEXT, FAMILIES, LONGROPE_SWITCH, WINDOW, PlainTorch, write_model

SHARING = [name for name in FAMILIES if name != "bloom"]
NOISE = 1e-4


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder by family, written when first asked for."""
    written = {}

    def folder(family):
        if family not in written:
            written[family] = write_model(tmp_path_factory.mktemp(family), family)
        return written[family]

    return folder


def ids_of(count, seed):
    return tuple(np.random.default_rng(seed).integers(1, 268, count).tolist())


def tree_requests():
    """Shared beginnings longer than any window, forks behind them, letters of several tokens."""
    requests = []
    for stem in (ids_of(44, 1), ids_of(34, 2)):
        for number in range(12):
            context = (*stem, *ids_of(3, 9), *ids_of(4 + number % 3, 10 + number))
            requests += [Loglikelihood(context, (letter,)) for letter in (5, 6)]
            requests.append(Loglikelihood(context, (7, 8, 9)))
    window = ids_of(56, 30)
    requests.append(LoglikelihoodRolling(window, range(3, len(window)), (*window[4:], 1)))
    return requests


def largest_difference(backend, plain, plan):
    """Largest difference of any scored logit from a plain forward's."""
    expected = [plain.logits(ids) for ids in plan.sequences]
    worst = 0.0
    for batch in plan.batches():
        rows = np.concatenate([block.logits for block in backend.score(batch)])
        assert len(rows) == len(batch.wanted)
        for want, row in zip(batch.wanted, rows, strict=True):
            right = expected[want.sequence][want.position]
            worst = max(worst, float(np.abs(row - right).max()))
    return worst


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "suffixes"])
@pytest.mark.parametrize("family", SHARING)
def test_fault_64_rows_behind_a_kept_prefix_equal_plain_forwards(folders, family, packing):
    backend = TorchBackend(folders(family), threads=1, packing=packing)
    plan = make_plan(tree_requests(), backend.limits)
    # Below the switch of its tables, rows of this one are too short for a prefix to pay.
    assert any(group.prefix for group in plan.groups) == (family != "phi3_longrope")
    assert any(not row.is_chain for g in plan.groups for row in g.rows) == packing
    assert largest_difference(backend, PlainTorch(folders(family)), plan) < NOISE


@pytest.mark.parametrize("family", FAMILIES)
def test_fault_63_padded_rows_equal_plain_forwards(folders, family):
    backend = TorchBackend(folders(family), threads=1)
    limits = replace(backend.limits, packs=False, keeps_prefix=False)
    plan = make_plan(tree_requests(), limits)
    assert all(group.padded for group in plan.groups)
    assert max(len(group.rows) for group in plan.groups) > 1
    assert largest_difference(backend, PlainTorch(folders(family)), plan) < NOISE


@pytest.mark.parametrize("family", FAMILIES)
def test_head_alone_gives_the_whole_models_logits(folders, family):
    plain = PlainTorch(folders(family))
    ids = ids_of(30, 4)
    hidden = plain.model.base_model(input_ids=plain_ids(ids)).last_hidden_state[0]
    backend = TorchBackend(folders(family), threads=1)
    found = backend.head.logits(hidden.detach().numpy())
    assert "_parts" not in backend.__dict__
    assert np.abs(found - plain.logits(ids)).max() < 1e-5


def plain_ids(ids):
    import torch

    return torch.tensor([ids])


@pytest.mark.parametrize("family", ["qwen2_window", "gemma2", "gemma3", "phi3", "mistral"])
def test_a_window_that_is_left_out_is_refused(folders, family):
    backend = TorchBackend(folders(family), threads=1)
    windows = backend._traits.windows
    assert WINDOW in windows.values()
    backend._traits = replace(backend._traits, windows=dict.fromkeys(windows))
    (batch, *_) = make_plan(tree_requests(), backend.limits).batches()
    with pytest.raises(InvalidMeasurement) as caught:
        list(backend.score(batch))
    assert caught.value.code == "packing-not-exact"


def test_unknown_attention_is_never_packed(folders):
    limits = TorchBackend(folders("bloom"), threads=1).limits
    assert not limits.packs
    assert not limits.keeps_prefix


def test_rotary_tables_are_never_mixed(folders):
    """Long sequences have other tables from their first token on: no prefix, no common batch."""
    packed = TorchBackend(folders("phi3_longrope"), threads=1)
    assert packed.limits.context == LONGROPE_SWITCH
    whole = TorchBackend(folders("phi3_longrope"), threads=1, packing=False)
    assert whole.limits.context == CONTEXT
    stem = ids_of(LONGROPE_SWITCH - 6, 2)
    requests = [Loglikelihood((*stem, *ids_of(n, n)), (5,)) for n in range(2, 12)]
    plan = make_plan(requests, whole.limits)
    assert len(plan.groups) == 1
    assert largest_difference(whole, PlainTorch(folders("phi3_longrope")), plan) < NOISE
