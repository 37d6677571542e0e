"""A stored ratio or distance is comparable only where it is relative to the same reference."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from quantgate.baselines.anchors import compare_anchors
from quantgate.baselines.schema import parse
from quantgate.baselines.store import BaselineStore
from quantgate.errors import UsageFault
from quantgate.gate.decision import decide
from quantgate.gate.findings import DRIFT
from quantgate.results import Limits, Verdict
from tests.storing import CASE, FACTS, TOLERANCE, git, limits, measure, update

PLACE = {"backend": "ort", "provider": "CPUExecutionProvider"}
REFERENCE = {"package": "a" * 64, **PLACE}
PACKAGES = [
    ("b" * 64, "aaaaaaaaaaaa", "bbbbbbbbbbbb"),
    ("a" * 63 + "b", "a" * 64, "a" * 63 + "b"),
]
OTHERS = [
    ("backend", "torch", "ort", "torch"),
    ("provider", "CUDAExecutionProvider", "CPUExecutionProvider", "CUDAExecutionProvider"),
]
RELATIVE = ["kl_divergence", "generation", "speed", "memory"]


def beside(reference, value=0.8, *, task="speed", package="e" * 64):
    """A measurement of a package beside a reference."""
    detail = {"reference": "tiny-fp16-ort-cpu", "reference_identity": reference}
    return measure(value, task, detail=detail, identity={"package": package, **PLACE})


def stored(store, task="speed"):
    return store.read(CASE).tasks[task]


def judge(store, measurement, **more):
    return decide(
        measurement, "accuracy", limits=Limits(baseline=TOLERANCE),
        baseline=stored(store, measurement.task), reference=None, **more,
    )  # fmt: skip


@pytest.mark.parametrize("task", RELATIVE)
@pytest.mark.parametrize(("key", "other", "was", "now"), OTHERS)
def test_fault_42_a_baseline_beside_another_reference_is_not_comparable(  # noqa: PLR0917
    store, task, key, other, was, now
):
    update(store, beside(REFERENCE, task=task))
    assert judge(store, beside(REFERENCE, task=task)).verdict is Verdict.PASS
    decision = judge(store, beside({**REFERENCE, key: other}, task=task))
    assert decision.verdict is Verdict.INVALID
    told = f"reference {key}: baseline {was}, now {now}"
    assert decision.reason == f"not comparable with the baseline: {told}"
    assert decision.against == "baseline", "an update is the way out where it was meant"


@pytest.mark.parametrize("task", RELATIVE)
@pytest.mark.parametrize(("other", "was", "now"), PACKAGES)
def test_another_package_of_the_reference_is_told(store, task, other, was, now):
    update(store, beside(REFERENCE, task=task))
    found = beside({**REFERENCE, "package": other}, task=task)
    told = f"reference package: baseline {was}, now {now}"
    decision = judge(store, found)
    assert decision.verdict is Verdict.PASS
    assert decision.notes == (f"{DRIFT}{told}",)
    strict = judge(store, found, strict_env=True)
    assert strict.verdict is Verdict.INVALID
    assert told in strict.reason


def test_another_package_beside_the_same_reference_is_what_gates_are_for(store):
    update(store, beside(REFERENCE))
    worse = judge(store, beside(REFERENCE, 0.5, package="f" * 64))
    assert worse.verdict is Verdict.REGRESSION
    runtime = {**REFERENCE, "threads": 8, "onnxruntime": "9"}
    assert judge(store, beside(runtime, package="f" * 64)).verdict is Verdict.PASS


def test_a_reference_that_is_unknown_now_is_another(store):
    update(store, beside(REFERENCE))
    decision = judge(store, beside({}))
    assert decision.verdict is Verdict.INVALID
    assert "reference backend: baseline ort, now None" in decision.reason


def test_a_reference_becomes_another_package_like_any_other_case(store):
    """Its own ratios are to itself, so they change with it."""
    case = replace(CASE, is_reference=True)
    own = beside({"package": "e" * 64, **PLACE}, task="kl_divergence")
    store.update(case, [own], limits, reason="first", provenance=FACTS)
    assert stored(store, "kl_divergence").reference is None
    changed = beside({"package": "f" * 64, **PLACE}, task="kl_divergence", package="f" * 64)
    assert judge(store, changed).verdict is Verdict.PASS


@pytest.mark.parametrize("is_reference", [False, True])
def test_engines_are_held_to_the_same_engine_and_to_any_weights(store, is_reference):
    anchor = {"anchor": "tiny-int4-torch-cpu", "anchor_identity": {**REFERENCE, "backend": "torch"}}
    found = measure(0.8, "agreement", detail=anchor, identity=PLACE)
    case = replace(CASE, is_reference=is_reference)
    store.update(case, [found], limits, reason="first", provenance=FACTS)
    other = {**anchor, "anchor_identity": {**anchor["anchor_identity"], "package": "b" * 64}}
    assert judge(store, replace(found, detail=other)).verdict is Verdict.PASS
    decision = judge(store, replace(found, detail={**anchor, "anchor_identity": REFERENCE}))
    assert decision.verdict is Verdict.INVALID
    assert "reference backend: baseline torch, now ort" in decision.reason


def test_an_update_tells_that_the_reference_is_another(store):
    update(store, beside(REFERENCE))
    (line,) = update(store, beside({**REFERENCE, "backend": "torch"}, 0.9))
    told = "reference backend: baseline ort, now torch"
    assert line == f"speed accuracy 0.8 -> 0.9: not comparable ({told})"


def test_it_is_stored_where_there_is_one_and_left_out_elsewhere(store):
    update(store, beside({**REFERENCE, "threads": 2}), measure())
    tasks = json.loads(store.path(CASE).read_bytes())["tasks"]
    assert tasks["speed"]["reference"] == REFERENCE
    assert "reference" not in tasks["mmlu"]


def test_fault_42_a_baseline_of_before_it_was_stored_is_compared_as_ever(store):
    update(store, beside(REFERENCE))
    document = json.loads(store.path(CASE).read_bytes())
    del document["tasks"]["speed"]["reference"]
    store.path(CASE).write_text(json.dumps(document), "utf-8")
    decision = judge(store, beside({**REFERENCE, "package": "b" * 64}), strict_env=True)
    assert (decision.verdict, decision.notes) == (Verdict.PASS, ())


@pytest.mark.parametrize(
    "damage", [{}, {"package": ""}, {"package": 1}, {"pakage": "a" * 64}, "a" * 64, []]
)
def test_fault_44_a_damaged_reference_is_refused(store, damage):
    update(store, beside(REFERENCE))
    document = json.loads(store.path(CASE).read_bytes())
    document["tasks"]["speed"]["reference"] = damage
    with pytest.raises(UsageFault) as caught:
        parse(json.dumps(document).encode(), "here")
    assert caught.value.code == "baseline-schema"
    assert "reference" in caught.value.found


def test_fault_47_a_request_cannot_bring_its_own_reference(tmp_path):
    store = BaselineStore(tmp_path / "baselines")
    git(tmp_path, "init", "-q", "-b", "main")
    update(store, beside(REFERENCE))
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "baseline")
    git(tmp_path, "checkout", "-q", "-b", "branch")
    slower = beside({**REFERENCE, "backend": "torch"})
    update(store, slower, reason="another reference")
    git(tmp_path, "commit", "-q", "-a", "-m", "another reference")
    assert compare_anchors(stored(store), slower) == []
    assert judge(BaselineStore(store.root, git_ref="main"), slower).verdict is Verdict.INVALID
