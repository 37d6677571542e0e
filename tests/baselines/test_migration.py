"""Files of earlier versions read as what they meant, and are written in today's form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantgate.baselines.schema import MIGRATIONS, SCHEMA_VERSION, parse
from quantgate.errors import UsageFault
from quantgate.results import Tolerance
from tests.storing import CASE, answers, limits, measure, update

DIGEST = "0123456789abcdef" * 4
VERSION_1 = {
    "schema_version": 1,
    "case": "tiny-int4-ort-cpu",
    "tasks": {
        task: {
            "comparability": {
                "protocol": protocol,
                "items": 812,
                "ids_digest": DIGEST,
                "corpus": DIGEST,
                "tokenizer": DIGEST,
                "plan": DIGEST,
            },
            "identity": {"backend": "ort", "package": DIGEST, "threads": 2},
            "provenance": {"packages": {"onnxruntime": "1.31.1"}, "ci": {}},
            "reason": "first baselines",
            "updated": "2026-11-21T02:14:54Z",
            "metrics": metrics,
        }
        for task, protocol, metrics in (
            (
                "mmlu",
                "hendrycks 5-shot loglikelihood, overflow error",
                {
                    "accuracy": {
                        "value": 0.7943349753694581,
                        "stderr": None,
                        "n": 812,
                        "unit": "fraction",
                        "tolerance": {"kind": "absolute", "value": 0.015},
                        "noise": 0.0012,
                    }
                },
            ),
            (
                "kl_divergence",
                "disjoint 1024",
                {
                    "kl_mean": {
                        "value": 0.0,
                        "stderr": 1.5e-08,
                        "n": 32559,
                        "unit": "nats",
                        "tolerance": {"kind": "relative", "value": 0.25},
                    }
                },
            ),
        )
    },
}


@pytest.fixture
def old(store) -> Path:
    """The file of version 1 in its place."""
    path = store.path(CASE)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(VERSION_1, indent=2), "utf-8")
    return path


def test_fault_42_version_1_reads_as_it_was_meant(store, old):
    stored = store.read(CASE)
    assert stored.schema_version == SCHEMA_VERSION
    accuracy = stored.tasks["mmlu"].metrics["accuracy"]
    assert (accuracy.value, accuracy.noise) == (0.7943349753694581, 0.0012)
    assert accuracy.tolerance.tolerance() == Tolerance(kind="absolute", value=0.015)
    kl = stored.tasks["kl_divergence"]
    assert kl.metrics["kl_mean"].tolerance.tolerance() == Tolerance(kind="relative", value=0.25)
    assert kl.reason == "first baselines"


def test_fault_42_version_1_has_no_items_and_misses_none(store, old):
    assert store.items(CASE, "mmlu") is None
    assert store.check(CASE) == []


def test_fault_42_reading_leaves_the_old_file(store, old):
    before = old.read_bytes()
    store.read(CASE)
    update(store, measure(detail=answers({"law": 4})), new_only=True)
    assert old.read_bytes() == before


def test_fault_42_update_of_one_task_migrates_the_others_unchanged(store, old):
    update(store, measure(0.8, detail=answers({"law": 4})), limits=limits)
    document = json.loads(old.read_bytes())
    assert document["schema_version"] == SCHEMA_VERSION
    assert document["tasks"]["kl_divergence"] == VERSION_1["tasks"]["kl_divergence"]
    assert document["tasks"]["mmlu"]["items"]["n"] == 4


def test_fault_42_a_damaged_file_of_version_1_is_refused_like_any_other(store, old):
    document = json.loads(old.read_bytes())
    document["tasks"]["mmlu"]["surprise"] = 1
    with pytest.raises(UsageFault, match="surprise"):
        parse(json.dumps(document).encode(), "here")
    for tasks in ([], None, "mmlu"):
        with pytest.raises(UsageFault) as caught:
            parse(json.dumps(document | {"tasks": tasks}).encode(), "here")
        assert caught.value.code == "baseline-schema"


def test_fault_42_every_version_before_this_one_has_its_step():
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


def test_the_baselines_of_this_repository_read():
    files = sorted(Path(__file__).parents[2].glob("baselines/**/*.json"))
    assert files
    for file in files:
        assert parse(file.read_bytes(), str(file)).tasks
