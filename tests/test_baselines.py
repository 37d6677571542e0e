"""Baseline files: strict reading, explicit writing, and the merge base."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from quantgate import baseline_schema, provenance, storage
from quantgate.baseline_entry import serialize
from quantgate.baselines import BaselineStore, compare_comparability
from quantgate.cases import Case, Package
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.results import Comparability, Direction, Limits, Measurement, Score, Tolerance

CASE = Case(
    model="tiny", variant="int4", precision="int4", backend="ort", provider="cpu",
    package=Package(path=Path("model")),
)  # fmt: skip
COMPARABILITY = Comparability(
    protocol="hendrycks 5-shot loglikelihood", items=80, ids_digest="a" * 64, corpus="b" * 64,
    tokenizer="c" * 64, plan="d" * 64,
)  # fmt: skip
FACTS = {"packages": {"onnxruntime": "1.31.1"}}
TOLERANCE = Tolerance(kind="absolute", value=0.01)


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    """Let updates work wherever these tests run."""
    for name in provenance._CI_MARKS:
        monkeypatch.delenv(name, raising=False)


def measure(value=0.8125, task="mmlu", **changes):
    score = Score(
        metric="accuracy", value=value, n=80, unit="fraction", direction=Direction.HIGHER,
        stderr=0.04, stderr_clustered=0.05,
    )  # fmt: skip
    facts = {"case_id": CASE.id, "comparability": COMPARABILITY, "identity": {"package": "e" * 64}}
    return Measurement(**{**facts, "task": task, "scores": (score,), **changes})


def limits(task, metric):
    return Limits(baseline=TOLERANCE)


def update(store, *measurements, limits=limits, reason="first figures"):
    return store.update(CASE, measurements, limits, reason=reason, provenance=FACTS)


@pytest.fixture
def store(tmp_path):
    return BaselineStore(tmp_path / "baselines")


@pytest.fixture
def document(store):
    """The JSON of a stored baseline, to be damaged."""
    update(store, measure())
    return json.loads(store.path(CASE).read_bytes())


def refused(store, data) -> UsageFault:
    store.path(CASE).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with pytest.raises(UsageFault) as caught:
        store.read(CASE)
    assert str(store.path(CASE)) in str(caught.value)
    return caught.value


def test_fault_45_nothing_stored_reads_as_none(store):
    assert store.read(CASE) is None


def test_update_stores_and_reads_back(store):
    assert update(store, measure(0.8125)) == ["mmlu accuracy none -> 0.8125"]
    stored = store.read(CASE).tasks["mmlu"]
    assert stored.comparability.comparability() == COMPARABILITY
    entry = stored.metrics["accuracy"]
    assert (entry.value, entry.stderr, entry.n, entry.unit) == (0.8125, 0.05, 80, "fraction")
    assert entry.tolerance.tolerance() == TOLERANCE
    assert (stored.reason, stored.provenance) == ("first figures", FACTS)


def test_fault_75_stored_time_is_utc_and_text_is_utf8(store):
    update(store, measure(), reason="größere Vokabeln 模型")
    text = store.path(CASE).read_text("utf-8")
    assert "größere Vokabeln 模型" in text
    assert store.read(CASE).tasks["mmlu"].updated.endswith("Z")


def test_file_is_diffable(store, document):
    text = store.path(CASE).read_text("utf-8")
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert document["schema_version"] == 1
    assert document["case"] == CASE.id


def test_update_is_unrounded_and_tells_old_and_new(store):
    update(store, measure(1 / 3))
    assert update(store, measure(2 / 3)) == [
        "mmlu accuracy 0.3333333333333333 -> 0.6666666666666666"
    ]
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 2 / 3


def test_fault_49_update_touches_only_the_given_tasks(store):
    update(store, measure(0.8), measure(0.7, task="mmlu.greedy"))
    before = store.read(CASE).tasks["mmlu"]
    update(store, measure(0.75, task="mmlu.greedy"), reason="only greedy")
    stored = store.read(CASE)
    assert stored.tasks["mmlu"] == before
    assert stored.tasks["mmlu.greedy"].metrics["accuracy"].value == 0.75


def test_fault_49_update_without_measurements_leaves_the_file(store):
    update(store, measure())
    before = store.path(CASE).stat().st_mtime_ns
    assert update(store) == []
    assert store.path(CASE).stat().st_mtime_ns == before


def test_fault_49_update_is_refused_in_ci(store, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(UsageFault) as caught:
        update(store, measure())
    assert caught.value.code == "baseline-update-in-ci"
    assert not store.path(CASE).exists()


def test_fault_49_update_needs_a_reason(store):
    with pytest.raises(UsageFault, match="gate-reason"):
        update(store, measure(), reason="  ")


def test_fault_49_update_refuses_a_figure_that_is_not_finite(store):
    update(store, measure(0.8))
    with pytest.raises(InvalidMeasurement) as caught:
        update(store, measure(float("nan")))
    assert caught.value.code == "baseline-not-finite"
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def test_update_refuses_another_cases_measurement(store):
    with pytest.raises(ValueError, match="none of"):
        update(store, measure(case_id="other-int4-ort-cpu"))


def test_fault_44_update_refuses_a_limitless_tolerance(store):
    with pytest.raises(UsageFault, match="at most 1000"):
        update(
            store,
            measure(),
            limits=lambda *_: Limits(baseline=Tolerance(kind="absolute", value=1e9)),
        )


def test_update_tells_what_it_removes(store):
    update(store, measure(0.8))
    assert update(store, measure(0.8), limits=lambda *_: Limits()) == ["mmlu accuracy 0.8 -> none"]
    assert store.read(CASE).tasks == {}


def test_fault_55_full_disk_keeps_the_old_baseline(store, monkeypatch):
    update(store, measure(0.8))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", full)
        with pytest.raises(InvalidMeasurement):
            update(store, measure(0.9))
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def test_fault_57_what_cannot_be_serialized_keeps_the_old_baseline(store):
    update(store, measure(0.8))
    with pytest.raises(TypeError):
        update(store, measure(0.9, identity={"package": object()}))
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


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


@pytest.mark.parametrize(("version", "fix"), [(2, "upgrade"), (0, "restore"), ("1", "restore")])
def test_fault_42_unknown_schema_version(store, document, version, fix):
    fault = refused(store, document | {"schema_version": version})
    assert fault.code == "baseline-version"
    assert fix in fault.fix


def test_fault_42_migration_is_explicit(store, document, monkeypatch):
    def rename(old):
        return {"schema_version": 1, "case": old["id"], "tasks": old["tasks"]}

    monkeypatch.setitem(baseline_schema.MIGRATIONS, 0, rename)
    old = {"schema_version": 0, "id": CASE.id, "tasks": document["tasks"]}
    store.path(CASE).write_text(json.dumps(old), "utf-8")
    assert json.loads(serialize(store.read(CASE))) == document


def test_fault_42_difference_field_by_field():
    now = replace(COMPARABILITY, protocol="lm_eval 0-shot", items=79, ids_digest="f" * 64)
    assert compare_comparability(COMPARABILITY, COMPARABILITY) == []
    assert compare_comparability(COMPARABILITY, now) == [
        "protocol: baseline hendrycks 5-shot loglikelihood, now lm_eval 0-shot",
        "items: baseline 80, now 79",
        "ids digest: baseline aaaaaaaaaaaa, now ffffffffffff",
    ]


def test_fault_42_digests_that_begin_alike_are_shown_whole():
    now = replace(COMPARABILITY, corpus="b" * 63 + "0")
    (line,) = compare_comparability(COMPARABILITY, now)
    assert "b" * 63 + "0" in line


def test_fault_46_unused_files_and_entries_are_named(store):
    update(store, measure(), measure(task="forgotten"))
    gone = store.root / "gone" / "int4-ort-cpu.json"
    storage.write_atomically(gone, b"{}")
    storage.write_atomically(store.root / "tiny" / ".int4.json.1-a.tmp", b"half")
    assert store.unused([CASE], ["mmlu"]) == [
        "gone/int4-ort-cpu.json: no case of the manifest has this baseline",
        "tiny/int4-ort-cpu.json: no suite measures its entry 'forgotten'",
    ]
    assert gone.exists()


def test_fault_46_no_folder_has_nothing_unused(store):
    assert store.unused([CASE], ["mmlu"]) == []


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def pull_request(tmp_path):
    """A repository whose `main` holds a baseline and whose branch loosens it."""
    repository = tmp_path / "répo with space"
    repository.mkdir()
    store = BaselineStore(repository / "baselines")
    git(repository, "init", "-q", "-b", "main")
    update(store, measure(0.8))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "baseline")
    git(repository, "checkout", "-q", "-b", "branch")
    wide = Limits(baseline=Tolerance(kind="absolute", value=0.5))
    update(store, measure(0.4), limits=lambda *_: wide, reason="loosen")
    git(repository, "commit", "-q", "-a", "-m", "loosen")
    return store


def test_fault_47_gate_reads_the_merge_base(pull_request):
    assert pull_request.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.4
    gate = BaselineStore(pull_request.root, git_ref="main")
    entry = gate.read(CASE).tasks["mmlu"].metrics["accuracy"]
    assert (entry.value, entry.tolerance.value) == (0.8, 0.01)
    assert gate.changed_since_ref() == ["tiny/int4-ort-cpu.json"]


def test_fault_47_merge_base_and_not_the_tip(pull_request):
    repository = pull_request.root.parent
    git(repository, "checkout", "-q", "main")
    update(pull_request, measure(0.9), reason="main went on")
    git(repository, "commit", "-q", "-a", "-m", "later")
    git(repository, "checkout", "-q", "branch")
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert gate.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def test_fault_47_uncommitted_new_and_deleted_files_are_named(pull_request):
    git(pull_request.root.parent, "checkout", "-q", "main")
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert gate.changed_since_ref() == []
    storage.write_atomically(pull_request.root / "new" / "größe.json", b"{}")
    pull_request.path(CASE).unlink()
    assert gate.changed_since_ref() == ["new/größe.json", "tiny/int4-ort-cpu.json"]


def test_fault_47_deleting_the_folder_does_not_help(pull_request):
    git(pull_request.root.parent, "rm", "-q", "-r", "baselines")
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert gate.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def test_fault_47_new_baseline_of_the_request_does_not_count(pull_request):
    other = Case(
        model="tiny", variant="int8", precision="int8", backend="ort", provider="cpu",
        package=Package(path=Path("model")),
    )  # fmt: skip
    measured = measure(case_id=other.id)
    pull_request.update(other, [measured], limits, reason="new", provenance=FACTS)
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert pull_request.read(other) is not None
    assert gate.read(other) is None
    assert "tiny/int8-ort-cpu.json" in gate.changed_since_ref()


def test_fault_47_hook_variables_do_not_mislead(pull_request, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert gate.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


@pytest.mark.parametrize("ref", ["no-such-branch", "--output=stolen", ""])
def test_fault_47_unknown_ref(pull_request, ref):
    with pytest.raises(UsageFault, match="no such commit"):
        BaselineStore(pull_request.root, git_ref=ref)
    assert not (pull_request.root.parent / "stolen").exists()


def test_fault_47_no_common_history(pull_request):
    repository = pull_request.root.parent
    git(repository, "checkout", "-q", "--orphan", "island")
    git(repository, "commit", "-q", "-m", "island")
    with pytest.raises(UsageFault, match="fetch-depth"):
        BaselineStore(pull_request.root, git_ref="main")


def test_fault_47_outside_a_repository(store, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(store.root.parent.parent))
    with pytest.raises(UsageFault, match="git repository"):
        BaselineStore(store.root, git_ref="main")


def test_fault_47_without_git(pull_request, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageFault) as caught:
        BaselineStore(pull_request.root, git_ref="main")
    assert caught.value.code == "baseline-git"


def noisy(noise):
    found = measure()
    return replace(found, scores=(replace(found.scores[0], noise=noise),))


def test_fault_62_measured_noise_is_stored_and_read_back(store):
    update(store, noisy(0.0025))
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].noise == 0.0025
    assert b'"noise": 0.0025' in store.path(CASE).read_bytes()


def test_fault_62_noise_that_was_not_measured_is_left_out(store, document):
    """Files of before, and those of runs without repetitions, read and write alike."""
    entry = document["tasks"]["mmlu"]["metrics"]["accuracy"]
    assert "noise" not in entry
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].noise is None
    before = store.path(CASE).read_bytes()
    entry["noise"] = None
    store.path(CASE).write_text(json.dumps(document))
    update(store, noisy(None))
    assert (
        json.loads(store.path(CASE).read_bytes())["tasks"]["mmlu"]["metrics"]
        == (json.loads(before)["tasks"]["mmlu"]["metrics"])
    )


@pytest.mark.parametrize("noise", [-0.001, "0.1", True, float("nan"), float("inf")])
def test_fault_44_noise_that_is_no_amount(store, document, noise):
    document["tasks"]["mmlu"]["metrics"]["accuracy"]["noise"] = noise
    assert refused(store, document).code in {"baseline-schema", "baseline-not-json"}
