"""Reading: everything that is not exactly a baseline is refused, with the file and the way out."""

from __future__ import annotations

import json

import pytest

from quantgate.baselines import schema as baseline_schema
from quantgate.baselines.entry import serialize
from quantgate.errors import UsageFault
from quantgate.results import Tolerance
from tests.storing import CASE, measure, update


def refused(store, data) -> UsageFault:
    store.path(CASE).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with pytest.raises(UsageFault) as caught:
        store.read(CASE)
    assert str(store.path(CASE)) in str(caught.value)
    return caught.value


def test_fault_44_merge_conflict_marks(store, document):
    text = json.dumps(document, indent=2)
    head, tail = text.split('"mmlu"', 1)
    text = f'{head}\n<<<<<<< HEAD\n"mmlu"\n=======\n"mmlu2"\n>>>>>>> main\n{tail}'
    fault = refused(store, text.encode())
    assert fault.code == "baseline-merge-conflict"
    assert "line" in fault.found


def test_fault_44_truncated(store, document):
    whole = store.path(CASE).read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 3):
        assert refused(store, whole[:length]).code == "baseline-not-json"


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_fault_44_not_finite(store, document, literal):
    whole = store.path(CASE).read_bytes()
    fault = refused(store, whole.replace(b"0.8125", literal.encode()))
    assert fault.code == "baseline-not-json"
    assert literal in fault.found


def test_fault_44_duplicate_keys(store, document):
    whole = store.path(CASE).read_bytes()
    fault = refused(store, whole.replace(b'"value": 0.8125', b'"value": 0.1, "value": 0.8125'))
    assert "'value' appears twice" in fault.found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tolerance.value", -0.01),
        ("tolerance.value", 1e9),
        ("tolerance.value", "0.01"),
        ("tolerance.value", True),
        ("tolerance.kind", "generous"),
        ("value", "0.8"),
        ("value", None),
        ("n", 0),
        ("n", 80.5),
        ("stderr", -1.0),
        ("unit", ""),
        ("surprise", 1),
    ],
)
def test_fault_44_wrong_field(store, document, path, value):
    place = document["tasks"]["mmlu"]["metrics"]["accuracy"]
    *folders, name = path.split(".")
    for folder in folders:
        place = place[folder]
    place[name] = value
    fault = refused(store, document)
    assert fault.code == "baseline-schema"
    assert path.split(".")[0] in fault.found


def test_fault_44_relative_tolerance_is_bounded_too(store, document):
    entry = document["tasks"]["mmlu"]["metrics"]["accuracy"]
    entry["tolerance"] = {"kind": "relative", "value": 10.5}
    assert "at most 10" in refused(store, document).found


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b" " * (baseline_schema.LARGEST_BYTES + 1), "baseline-too-large"),
        (b"[" * 100_000, "baseline-not-json"),
        (b"\xff\xfe{}", "baseline-not-json"),
        (b"[]", "baseline-schema"),
        (b"{}", "baseline-version"),
        (b'{"a": ' + b"9" * 5000 + b"}", "baseline-not-json"),
    ],
)
def test_fault_44_hostile_bytes(store, document, data, code):
    assert refused(store, data).code == code


def test_fault_44_folder_in_the_files_place(store):
    store.path(CASE).mkdir(parents=True)
    with pytest.raises(UsageFault) as caught:
        store.read(CASE)
    assert caught.value.code == "baseline-unreadable"


def test_fault_44_update_does_not_hide_damage(store, document):
    store.path(CASE).write_bytes(b"<<<<<<< HEAD\n")
    with pytest.raises(UsageFault):
        update(store, measure())


def test_baseline_of_another_case_is_refused(store, document):
    assert refused(store, document | {"case": "other-int4-ort-cpu"}).code == "baseline-case"


@pytest.mark.parametrize(
    ("version", "fix"), [(3, "upgrade"), (0, "restore"), ("1", "restore"), (True, "restore")]
)
def test_fault_42_unknown_schema_version(store, document, version, fix):
    fault = refused(store, document | {"schema_version": version})
    assert fault.code == "baseline-version"
    assert fix in fault.fix


def test_fault_42_migration_is_explicit(store, document, monkeypatch):
    def rename(old):
        return {"schema_version": 2, "case": old["id"], "tasks": old["tasks"]}

    monkeypatch.setitem(baseline_schema.MIGRATIONS, 0, rename)
    old = {"schema_version": 0, "id": CASE.id, "tasks": document["tasks"]}
    store.path(CASE).write_text(json.dumps(old), "utf-8")
    assert json.loads(serialize(store.read(CASE))) == document


@pytest.mark.parametrize("noise", [-0.001, "0.1", True, float("nan"), float("inf")])
def test_fault_44_noise_that_is_no_amount(store, document, noise):
    document["tasks"]["mmlu"]["metrics"]["accuracy"]["noise"] = noise
    assert refused(store, document).code in {"baseline-schema", "baseline-not-json"}


@pytest.mark.parametrize(
    "tolerance",
    [
        {"kind": "absolute", "value": 1000.0},
        {"kind": "relative", "value": 10.0},
        {"kind": "ratio_to_reference", "value": 1.0},
        {"kind": "ratio_to_reference", "value": 0.99},
        {"kind": "significant_drop", "value": 0.0},
        {"kind": "significant_drop", "value": 1000.0},
        {"kind": "three_state", "value": 0.0, "at_risk": 0.1},
        {"kind": "three_state", "value": 0.05, "at_risk": 10.0},
    ],
)
def test_every_kind_of_tolerance_reads_and_writes_alike(store, document, tolerance):
    document["tasks"]["mmlu"]["metrics"]["accuracy"]["tolerance"] = tolerance
    store.path(CASE).write_text(json.dumps(document), "utf-8")
    stored = store.read(CASE)
    found = stored.tasks["mmlu"].metrics["accuracy"].tolerance.tolerance()
    assert found == Tolerance(**tolerance)
    assert json.loads(serialize(stored)) == document


@pytest.mark.parametrize(
    ("tolerance", "told"),
    [
        ({"kind": "absolute", "value": 1000.1}, "at most 1000"),
        ({"kind": "relative", "value": 10.1}, "at most 10"),
        ({"kind": "ratio_to_reference", "value": 1.001}, "at most 1"),
        ({"kind": "ratio_to_reference", "value": 0.0}, "above 0"),
        ({"kind": "significant_drop", "value": 1e9}, "at most 1000"),
        ({"kind": "significant_drop", "value": -0.1}, "greater than or equal to 0"),
        ({"kind": "three_state", "value": 0.05, "at_risk": 1e9}, "at most 10"),
        ({"kind": "three_state", "value": 0.05, "at_risk": 0.05}, "above `value`"),
        ({"kind": "three_state", "value": 0.05}, "`at_risk` belongs to three_state"),
        ({"kind": "three_state", "value": 0.05, "at_risk": "0.1"}, "valid number"),
        ({"kind": "absolute", "value": 0.05, "at_risk": 0.1}, "`at_risk` belongs to three_state"),
    ],
)
def test_fault_44_tolerance_beyond_its_bounds(store, document, tolerance, told):
    document["tasks"]["mmlu"]["metrics"]["accuracy"]["tolerance"] = tolerance
    assert told in refused(store, document).found


@pytest.mark.parametrize(
    "items",
    [
        {"sha256": "A" * 64, "n": 4},
        {"sha256": "a" * 63, "n": 4},
        {"sha256": "a" * 64, "n": 0},
        {"sha256": "a" * 64, "n": "4"},
        {"sha256": "a" * 64},
        {"sha256": "a" * 64, "n": 4, "file": "../../elsewhere"},
        [],
    ],
)
def test_fault_44_items_that_are_no_digest(store, document, items):
    document["tasks"]["mmlu"]["items"] = items
    assert "items" in refused(store, document).found
