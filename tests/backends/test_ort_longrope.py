"""Sequences that grow over a switch of rotary tables are scored and continued as whole ones.

What a cache holds from below the switch was computed with other tables. Expected are full forwards
of the unedited package: of each scored sequence, and for each generated id.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantgate.backends import ort
from quantgate.cases import BuildRecipe, Package
from quantgate.packages.build import package_folder, prepare
from quantgate.plan import make_plan
from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling
from tests.greedy import decode, ids_of
from tests.running import backend_of, score_all
from tests.straightforward import PlainModel
from tests.tiny_longrope import SWITCH, write_longrope
from tests.tiny_models import Tiny
from tests.tiny_torch import FAMILIES, LONGROPE_SWITCH, write_model

NOISE = {"fp32": 1e-4, "fp16": 0.02}


def rolling(count: int, seed: int, first: int = 0) -> LoglikelihoodRolling:
    scored = range(first, count)
    return LoglikelihoodRolling(ids_of(count, seed), scored, (NO_TARGET,) * len(scored))


def tree(stem: int, *ends: int) -> list[Loglikelihood]:
    """Suffixes of `ends` tokens behind a shared stem, two answers to each."""
    shared = ids_of(stem, 1)
    contexts = [(*shared, *ids_of(end, 10 + number)) for number, end in enumerate(ends)]
    return [Loglikelihood(c, answer) for c in contexts for answer in ((5,), (7, 8, 9))]


REQUESTS = {
    "short": tree(40, 5, 9, 20, 21),
    "crossing": tree(50, 3, 9, 13, 14, 15, 30),
    "to_the_last_short_token": tree(50, 12, 12, 14, 14),
    "wide_row": tree(50, *[6] * 12),
    "long_stem": tree(80, 3, 9, 30),
    "windows": [rolling(count, count, 3) for count in (20, 64, 65, 66, 130, 200)],
    "end_of_windows": [rolling(count, count, count - 2) for count in (64, 65, 130, 200)],
    "all": [*tree(50, 3, 20), *tree(20, 4, 5, 60), rolling(150, 7), rolling(30, 8)],
}


def largest_difference(backend, plain, requests, **limits) -> float:
    plan = make_plan(requests, replace(backend.limits, **limits))
    rows, _ = score_all(backend, plan)
    logits = [plain.logits(ids) for ids in plan.sequences]
    assert len(rows) == len(
        {(s, p) for s, m in enumerate(plan.members) for i in m for p in requests[i].scored}
    )
    return max(float(np.abs(row - logits[s][p]).max()) for (s, p), row in rows.items())


@pytest.fixture(scope="module")
def longrope(tmp_path_factory) -> Path:
    return write_longrope(tmp_path_factory.mktemp("longrope"))


@pytest.fixture(scope="module")
def builders(tmp_path_factory) -> dict[str, Path]:
    """What the model builder makes of a random Phi-3: grouped attention, and plain in FP16."""
    parameters = {**FAMILIES["phi3_longrope"][1]["rope_parameters"], "type": "longrope"}
    source = write_model(
        tmp_path_factory.mktemp("phi3"), "phi3_longrope", rope_parameters=parameters
    )
    kept = os.environ.get("QUANTGATE_TEST_CACHE")
    cache = Path(kept) if kept else tmp_path_factory.mktemp("cache")
    packages = {name: Package(recipe=BuildRecipe(source, name)) for name in NOISE}
    prepare(packages.values(), cache)
    return {name: package_folder(package, cache) for name, package in packages.items()}


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "suffixes"])
@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("widest", [16, 256])
def test_scored_rows_are_those_of_whole_sequences(longrope, monkeypatch, requests, packing, widest):
    monkeypatch.setattr(ort, "CHAIN_TOKENS", widest)
    backend = backend_of(longrope, packing=packing)
    assert largest_difference(backend, PlainModel(longrope), requests) < NOISE["fp32"]


@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
def test_padded_batches_keep_short_rows_from_long_ones(longrope, requests):
    backend = backend_of(longrope, packing=False)
    plain = PlainModel(longrope)
    assert largest_difference(backend, plain, requests, keeps_prefix=False) < NOISE["fp32"]


@pytest.mark.parametrize("name", ["crossing", "windows"])
def test_a_switch_that_is_missed_would_show(longrope, monkeypatch, name):
    monkeypatch.setattr(ort, "CHAIN_TOKENS", 16)
    monkeypatch.setattr(ort, "rotary_switch", lambda *_: None)
    difference = largest_difference(backend_of(longrope), PlainModel(longrope), REQUESTS[name])
    assert difference > 0.1


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "fallback"])
@pytest.mark.parametrize("precision", NOISE)
def test_builders_packages_are_scored_over_the_switch(builders, monkeypatch, precision, packing):
    assert SWITCH == LONGROPE_SWITCH
    monkeypatch.setattr(ort, "CHAIN_TOKENS", 16)
    backend = backend_of(builders[precision], packing=packing)
    plain = PlainModel(builders[precision])
    assert backend._body.switch == SWITCH
    for requests in REQUESTS.values():
        assert largest_difference(backend, plain, requests) < NOISE[precision]


def runs_of(backend, requests, monkeypatch) -> list[tuple[int, int]]:
    """Tokens of each run and of what is kept in front of it."""
    runs, row = [], backend._body.inputs.row

    def told(part, behind, past):
        runs.append((len(part.ids), behind))
        return row(part, behind, past)

    monkeypatch.setattr(backend._body.inputs, "row", told)
    score_all(backend, make_plan(requests, backend.limits))
    return runs


def test_short_rows_share_their_prefix_beside_long_ones(longrope, monkeypatch):
    backend = backend_of(longrope, packing=False)
    requests = [Loglikelihood((*ids_of(40, 1), *ids_of(n, n)), (5,)) for n in (10, 30, 20, 40)]
    assert sorted(runs_of(backend, requests, monkeypatch)) == [
        *[(10, 40), (20, 40)],
        *[(40, 0), (70, 0), (80, 0)],
    ]


def test_a_prefix_over_the_switch_is_shared(longrope, monkeypatch):
    backend = backend_of(longrope, packing=False)
    requests = [Loglikelihood((*ids_of(90, 1), *ids_of(n, n)), (5,)) for n in (10, 20, 30)]
    assert sorted(runs_of(backend, requests, monkeypatch)) == [
        *[(10, 90), (20, 90), (30, 90)],
        (90, 0),
    ]


def test_parts_of_a_long_chain_begin_over_the_switch(longrope, monkeypatch):
    monkeypatch.setattr(ort, "CHAIN_TOKENS", 40)
    backend = backend_of(longrope)
    assert runs_of(backend, [rolling(150, 1)], monkeypatch) == [
        (65, 0),
        (40, 65),
        (25, 105),
        (20, 130),
    ]
    assert runs_of(backend, [rolling(64, 1)], monkeypatch) == [(40, 0), (24, 40)]


def test_last_logits_alone_are_those_of_what_was_read(tmp_path):
    """Step by step no longer sequence is known than what was read."""
    folder = write_longrope(tmp_path / "early", Tiny(head="pruned_early"))
    plain = PlainModel(write_longrope(tmp_path / "whole"))
    backend = backend_of(folder)
    for requests in (REQUESTS["crossing"], REQUESTS["windows"]):
        plan = make_plan(requests, backend.limits)
        rows, _ = score_all(backend, plan)
        for (sequence, position), row in rows.items():
            expected = plain.logits(plan.sequences[sequence][: position + 1])[-1]
            assert np.abs(row - expected).max() < NOISE["fp32"]


DIALOGS = {
    "by_steps": ((ids_of(55, 1),), 20),
    "at_once": ((ids_of(30, 1), ids_of(60, 2)), 4),
    "by_one": ((ids_of(60, 1), ids_of(3, 2), ids_of(1, 3), ids_of(9, 4)), 2),
    "long_from_the_start": ((ids_of(70, 1), ids_of(30, 2)), 6),
}


def behind_best(plain, decoding, rounds, steps) -> float:
    """How far behind the largest logit of a full forward any generated id's is."""
    sequence, places = decode(decoding, rounds, steps)
    worst = 0.0
    for place in places:
        logits = plain.logits(sequence[:place])[-1].astype(np.float64)
        worst = max(worst, float(logits.max() - logits[sequence[place]]))
    return worst


@pytest.mark.parametrize("buffers", ["shared", "passed_on", "one_by_one"])
@pytest.mark.parametrize(("rounds", "steps"), DIALOGS.values(), ids=DIALOGS)
def test_generation_over_the_switch(longrope, monkeypatch, rounds, steps, buffers):
    if buffers != "shared":
        monkeypatch.setattr("quantgate.packages.decoder.shares_buffers", lambda *_: False)
    backend = backend_of(longrope)
    if buffers == "one_by_one":
        graph, session = backend._decoder
        backend.__dict__["_decoder"] = replace(graph, continues=False), session
    assert behind_best(PlainModel(longrope), backend.decoding(200), rounds, steps) == 0


def test_generation_that_misses_the_switch_would_show(longrope, monkeypatch):
    monkeypatch.setattr("quantgate.packages.decoder.rotary_switch", lambda *_: None)
    decoding = backend_of(longrope).decoding(200)
    assert behind_best(PlainModel(longrope), decoding, *DIALOGS["at_once"]) > 0.1


@pytest.mark.parametrize("precision", NOISE)
def test_builders_packages_generate_over_the_switch(builders, precision):
    plain = PlainModel(builders[precision])
    for rounds, steps in DIALOGS.values():
        decoding = backend_of(builders[precision]).decoding(200)
        bound = NOISE[precision] if precision == "fp16" else 0
        assert behind_best(plain, decoding, rounds, steps) <= bound
