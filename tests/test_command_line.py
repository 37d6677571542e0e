"""The gate as a user meets it: one command, an exit status, and words that say what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.command_line import Workspace

PASSED, FAILED, REFUSED = 0, 1, 4
BASELINE = "baselines/tiny/int4-ort-cpu.json"
ITEMS = "baselines/tiny/int4-ort-cpu.items.safetensors"
ONE = ("-m", "mmlu", "-k", "int4")  # the quickest run there is


def edit_baseline(workspace, change):
    path = workspace.folder / BASELINE
    document = json.loads(path.read_bytes())
    change(document["tasks"])
    path.write_text(json.dumps(document), encoding="utf-8")


def git(workspace, *words):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *words], cwd=workspace.folder, check=True)


def test_storing_baselines_does_not_look_like_a_plain_pass(stored):
    _, outcome = stored
    assert outcome.status == PASSED, outcome.text
    assert "BASELINES UPDATED" in outcome.text
    assert "mmlu accuracy none -> " in outcome.text


def test_unchanged_model_passes_every_suite(gated):
    outcome = gated.run()
    assert outcome.status == PASSED, outcome.text
    assert outcome.verdicts() == {"PASS"}
    assert {task for _, task, _ in outcome.decisions()} == {
        "mmlu",
        "perplexity.strided",
        "perplexity.genai_chunked",
        "kl_divergence",
        "agreement",
        "generation",
    }
    assert not list((gated.folder / "reports").glob("*.jsonl")), "the journal is merged and gone"


def test_fault_01_short_weights_are_invalid_and_the_rest_is_measured(workspace, built):
    broken = workspace.folder / "broken"
    shutil.copytree(built["int4"], broken)
    data = broken / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-100])
    workspace.edit(str(built["int4"]), str(broken))
    outcome = workspace.run()
    assert outcome.status == FAILED
    assert outcome.verdicts("int4") == {"INVALID"}
    assert outcome.verdicts("fp32-ort-") == {"NO_BASELINE", "PASS"}
    assert outcome.verdicts("fp32-ortgenai-") == {"PASS"}
    assert "external-data-short" in outcome.text


def test_fault_03_escaping_weights_are_refused_before_anything_loads(workspace, built):
    import onnx

    broken = workspace.folder / "broken"
    shutil.copytree(built["int4"], broken)
    model = onnx.load(broken / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../../elsewhere.data"
    (broken / "model.onnx").write_bytes(model.SerializeToString())
    workspace.edit(str(built["int4"]), str(broken))
    outcome = workspace.run()
    assert outcome.status == REFUSED
    assert "escapes the model folder" in outcome.text


def test_fault_07_custom_operators_are_refused(workspace, built):
    broken = workspace.folder / "broken"
    shutil.copytree(built["int4"], broken)
    path = broken / "genai_config.json"
    config = json.loads(path.read_bytes())
    config["model"]["decoder"]["session_options"]["custom_ops_library"] = "evil.so"
    path.write_text(json.dumps(config), encoding="utf-8")
    workspace.edit(str(built["int4"]), str(broken))
    outcome = workspace.run()
    assert outcome.status == REFUSED
    assert "custom_ops_library" in outcome.text


def test_fault_34_window_longer_than_the_context_is_refused(workspace):
    workspace.edit("window = 128", "window = 4096")
    outcome = workspace.run("-m", "perplexity")
    assert outcome.status == REFUSED
    assert "window-context" in outcome.text


def test_fault_36_selection_without_questions_is_refused(workspace):
    workspace.edit('degenerate = "warn"', 'degenerate = "warn"\nsubjects = ["astrology"]')
    outcome = workspace.run("-m", "mmlu")
    assert outcome.status == REFUSED
    assert "astrology" in outcome.text


def test_fault_40_other_data_than_pinned_are_refused_in_ci_and_accepted_by_hand(workspace):
    workspace.edit('text = "text.txt"', f'text = "text.txt"\ntext_sha256 = "{"0" * 64}"')
    refused = workspace.run("-m", "perplexity", "--gate-accept-dataset", CI="true")
    assert refused.status == REFUSED
    assert "dataset-pin" in refused.text
    accepted = workspace.run("-m", "perplexity", "--gate-accept-dataset")
    assert accepted.status == PASSED, accepted.text
    assert "0" * 64 not in workspace.manifest.read_text(encoding="utf-8")


def test_fault_41_and_42_another_selection_is_invalid_and_says_what_differs(gated):
    outcome = gated.run("-m", "mmlu", "--gate-limit=5")
    assert outcome.status == FAILED
    assert outcome.verdicts() == {"INVALID"}
    assert "not comparable with the baseline" in outcome.text
    assert "items" in outcome.text


def test_fault_42_baseline_of_something_else_is_invalid_field_by_field(gated):
    def elsewhere(tasks):
        for name in tasks["mmlu"]["comparability"]:
            tasks["mmlu"]["comparability"][name] = 7 if name == "items" else "0" * 64
        tasks["mmlu"]["identity"]["provider"] = "CUDAExecutionProvider"
        tasks["kl_divergence"]["metrics"]["kl_mean"]["unit"] = "bits"
        strided = tasks["perplexity.strided"]["metrics"]
        strided["word_perplexity"] = strided.pop("perplexity")

    edit_baseline(gated, elsewhere)
    outcome = gated.run("-k", "int4", "-m", "mmlu or perplexity or kl_divergence")
    assert outcome.status == FAILED
    found = {task: each for (_, task, _), each in outcome.decisions().items()}
    assert found["mmlu"]["verdict"] == "INVALID"
    for name in (
        "protocol", "items", "ids digest", "corpus", "tokenizer", "plan", "provider",
    ):  # fmt: skip
        assert f"{name}: baseline " in found["mmlu"]["reason"]
    assert found["kl_divergence"]["verdict"] == "INVALID"
    assert "unit: baseline bits, now nats" in found["kl_divergence"]["reason"]
    assert found["perplexity.strided"]["verdict"] == "NO_BASELINE", "of another metric"
    assert found["perplexity.genai_chunked"]["verdict"] == "PASS"


def test_fault_42_version_1_is_migrated_and_needs_no_items(gated):
    path = gated.folder / BASELINE
    document = json.loads(path.read_bytes()) | {"schema_version": 1}
    for task in document["tasks"].values():
        del task["items"]
    path.write_text(json.dumps(document), encoding="utf-8")
    (gated.folder / ITEMS).unlink()
    outcome = gated.run(*ONE)
    assert outcome.status == PASSED, outcome.text
    assert outcome.verdicts() == {"PASS"}
    assert "not paired" not in outcome.text
    assert json.loads(path.read_bytes()) == document, "only an update writes"


def test_fault_43_another_environment_is_told_and_invalid_if_strict(gated):
    def elsewhere(tasks):
        tasks["mmlu"]["provenance"]["packages"]["onnxruntime"] = "1.0.0"
        tasks["mmlu"]["provenance"]["cpu"]["model"] = "another processor"

    edit_baseline(gated, elsewhere)
    outcome = gated.run(*ONE)
    assert outcome.status == PASSED, outcome.text
    for told in ("onnxruntime 1.0.0 -> ", "cpu model another processor -> "):
        assert told in outcome.text
    strict = gated.run(*ONE, "--gate-strict-env")
    assert strict.status == FAILED
    assert strict.verdicts() == {"INVALID"}
    assert "onnxruntime 1.0.0 -> " in strict.text


def test_fault_43_another_accuracy_level_is_invalid_if_strict(gated):
    outcome = gated.run(*ONE, "--gate-accuracy-level=4", "--gate-strict-env")
    assert outcome.status == FAILED, outcome.text
    assert outcome.verdicts() == {"INVALID"}
    assert "accuracy_level absent -> 4" in outcome.text


def cut(data):
    return data[: len(data) // 2]


def mark(data):
    return b"<<<<<<< HEAD\n" + data


def not_a_number(data):
    return re.sub(rb'"value": [0-9.]+', b'"value": NaN', data, count=1)


def text_for_number(data):
    return re.sub(rb'"value": ([0-9.]+)', rb'"value": "\1"', data, count=1)


def _with_tolerance(data, number):
    return re.sub(rb'("kind": "absolute",\s+"value": )[^\s]+', rb"\g<1>" + number, data)


def negative(data):
    return _with_tolerance(data, b"-0.01")


def limitless(data):
    return _with_tolerance(data, b"1e9")


def unknown_key(data):
    return data.replace(b'"reason"', b'"surprise": 1, "reason"', 1)


def of_tomorrow(data):
    return re.sub(rb'"schema_version": \d+', b'"schema_version": 99', data)


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        (BASELINE, cut, "baseline-not-json"),
        (BASELINE, mark, "merge-conflict mark in line 1"),
        (BASELINE, not_a_number, "NaN"),
        (BASELINE, text_for_number, "valid number"),
        (BASELINE, negative, "greater than or equal to 0"),
        (BASELINE, limitless, "at most 1000"),
        (BASELINE, unknown_key, "surprise"),
        (BASELINE, of_tomorrow, "upgrade pytest-quantgate"),
        (ITEMS, cut, "baseline-items"),
    ],
)
def test_fault_44_damaged_baseline_is_refused_before_anything_loads(gated, file, damage, told):
    path = gated.folder / file
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    outcome = gated.run(*ONE)
    assert outcome.status == REFUSED, outcome.text
    assert file in outcome.text
    assert told in outcome.text
    assert outcome.results is None


def test_missing_items_are_told_and_nothing_is_paired(gated):
    (gated.folder / ITEMS).unlink()
    outcome = gated.run(*ONE)
    assert outcome.status == PASSED, outcome.text
    assert outcome.verdicts() == {"PASS"}
    (line,) = [line for line in outcome.text.splitlines() if "not paired" in line]
    assert "tiny-int4-ort-cpu mmlu" in line
    assert ITEMS in line


def test_fault_45_missing_baseline_is_green_and_loud_and_red_if_strict(workspace):
    outcome = workspace.run("-m", "mmlu")
    assert outcome.status == PASSED, outcome.text
    assert outcome.verdicts() == {"NO_BASELINE"}
    assert '--gate-update-baselines --gate-reason "..."' in outcome.text
    assert workspace.run("-m", "mmlu", "--gate-strict").status == FAILED


def test_fault_46_unused_baseline_is_told_and_fails_if_strict(gated):
    strays = [gated.folder / name.replace("int4", "int2") for name in (BASELINE, ITEMS)]
    for stray in strays:
        shutil.copy(gated.folder / stray.name.replace("int2", "baselines/tiny/int4"), stray)
    outcome = gated.run(*ONE)
    assert outcome.status == PASSED, outcome.text
    for stray in strays:
        assert f"unused baseline: tiny/{stray.name}" in outcome.text
    assert gated.run(*ONE, "--gate-strict").status == FAILED
    assert all(stray.exists() for stray in strays), "never deleted by itself"


def test_fault_46_entry_that_no_suite_measures_is_told_and_kept(gated):
    def forgotten(tasks):
        tasks["mmlu.of_old"] = tasks["kl_divergence"]

    edit_baseline(gated, forgotten)
    words = ("-m", "mmlu", "-k", "int4", "--gate-update-baselines", "--gate-reason=again")
    outcome = gated.run(*words, "--gate-strict")
    assert "no suite measures its entry 'mmlu.of_old'" in outcome.text
    assert outcome.status == FAILED
    stored = json.loads((gated.folder / BASELINE).read_bytes())["tasks"]
    assert stored["mmlu"]["reason"] == "again"
    assert stored["mmlu.of_old"] == stored["kl_divergence"], "an update keeps it, too"


def test_fault_47_pull_request_cannot_loosen_its_own_gate(gated):
    def impossible(tasks):
        tasks["mmlu"]["metrics"]["accuracy"]["value"] = 2.0

    edit_baseline(gated, impossible)
    git(gated, "init", "-q", "-b", "main")
    git(gated, "add", "baselines")
    git(gated, "commit", "-q", "-m", "base")
    git(gated, "checkout", "-q", "-b", "change")

    def loosened(tasks):
        tasks["mmlu"]["metrics"]["accuracy"]["value"] = 0.0
        del tasks["mmlu"]["items"]

    edit_baseline(gated, loosened)
    (gated.folder / ITEMS).unlink()
    git(gated, "commit", "-q", "-a", "-m", "loosen")
    assert gated.run(*ONE).status == PASSED

    # What a pull request's job has: the merge commit, detached, and the remote's branches.
    git(gated, "checkout", "-q", "--detach", "main")
    git(gated, "merge", "-q", "--no-ff", "change", "-m", "merge")
    git(gated, "remote", "add", "origin", ".")
    git(gated, "fetch", "-q", "origin")
    outcome = gated.run(*ONE, CI="true", GITHUB_BASE_REF="main")
    assert outcome.status == FAILED, outcome.text
    assert outcome.verdicts() == {"REGRESSION"}
    assert "changed against origin/main, not in force here: tiny/int4-ort-cpu.json" in outcome.text
    assert f"not in force here: {ITEMS.removeprefix('baselines/')}" in outcome.text


def test_fault_47_shallow_clone_is_refused_with_the_command_that_mends_it(gated):
    git(gated, "init", "-q", "-b", "main")
    for name in ("base", "later"):
        (gated.folder / "baselines/name.txt").write_text(name, encoding="utf-8")
        git(gated, "add", "baselines")
        git(gated, "commit", "-q", "-m", name)
    shallow = gated.folder / "shallow"
    home = gated.folder.as_uri()
    git(gated, "clone", "-q", "--depth=1", "--no-single-branch", home, str(shallow))
    git(gated, "-C", "shallow", "checkout", "-q", "--orphan", "request")
    git(gated, "-C", "shallow", "commit", "-q", "-m", "no history in common")
    words = (*ONE, f"--gate-baselines={shallow / 'baselines'}")
    outcome = gated.run(*words, CI="true", GITHUB_BASE_REF="main")
    assert outcome.status == REFUSED, outcome.text
    assert "git fetch --unshallow origin +refs/heads/main:refs/remotes/origin/main" in outcome.text
    assert "INTERNALERROR" not in outcome.text


def test_fault_48_much_better_than_the_baseline_passes_with_a_note(gated):
    def worse(tasks):
        tasks["mmlu"]["metrics"]["accuracy"]["value"] = 0.0

    edit_baseline(gated, worse)
    outcome = gated.run("-m", "mmlu", "-k", "int4")
    assert outcome.status == PASSED, outcome.text
    assert "check for leakage" in outcome.text


def test_fault_49_update_touches_only_what_was_measured(gated):
    before = json.loads((gated.folder / BASELINE).read_bytes())

    def forget(tasks):
        tasks["mmlu"]["metrics"]["accuracy"]["value"] = 0.0
        tasks["kl_divergence"]["reason"] = "kept as it is"

    edit_baseline(gated, forget)
    words = ("-m", "mmlu", "-k", "int4", "--gate-update-baselines", "--gate-reason=again")
    refused = gated.run(*words, CI="true")
    assert refused.status == REFUSED
    assert "update-in-ci" in refused.text
    assert gated.run(*words).status == PASSED
    after = json.loads((gated.folder / BASELINE).read_bytes())
    assert after["tasks"]["mmlu"]["metrics"] == before["tasks"]["mmlu"]["metrics"]
    assert after["tasks"]["mmlu"]["reason"] == "again"
    assert after["tasks"]["kl_divergence"]["reason"] == "kept as it is"


@pytest.mark.parametrize("option", ["--gate-update-baselines", "--gate-update-new-only"])
def test_fault_49_update_without_a_reason_is_refused(workspace, option):
    outcome = workspace.run(option)
    assert outcome.status == REFUSED
    assert "--gate-reason" in outcome.text


def test_fault_49_update_after_failures_stores_what_is_valid(gated):
    before = json.loads((gated.folder / BASELINE).read_bytes())["tasks"]
    kept = load_items(gated)
    gated.edit('degenerate = "warn"', 'degenerate = "fail"')
    words = ("-m", "mmlu or kl_divergence", "-k", "int4")
    outcome = gated.run(*words, "--gate-update-baselines", "--gate-reason=after a failure")
    assert outcome.status == FAILED
    assert outcome.decisions()["tiny-int4-ort-cpu", "mmlu", "accuracy"]["verdict"] == "INVALID"
    assert "not stored: tiny-int4-ort-cpu mmlu: INVALID" in outcome.text
    after = json.loads((gated.folder / BASELINE).read_bytes())["tasks"]
    assert after["kl_divergence"]["reason"] == "after a failure"
    for task in before.keys() - {"kl_divergence"}:
        assert after[task] == before[task]
    assert load_items(gated) == kept, "the same model has the same items"


def load_items(workspace):
    from safetensors.numpy import load

    tensors = load((workspace.folder / ITEMS).read_bytes())
    return {name: tensor.tolist() for name, tensor in tensors.items()}


def test_fault_49_new_only_stores_what_is_new_and_gates_the_rest(gated):
    stored = json.loads((gated.folder / BASELINE).read_bytes())["tasks"]
    kept = load_items(gated)

    def forget(tasks):
        del tasks["kl_divergence"]
        tasks["mmlu"]["metrics"]["accuracy"]["value"] = 0.0

    edit_baseline(gated, forget)
    words = ("-k", "int4", "-m", "mmlu or kl_divergence", "--gate-update-new-only")
    words = (*words, "--gate-reason=another suite")
    refused = gated.run(*words, CI="true")
    assert refused.status == REFUSED
    assert "update-in-ci" in refused.text
    outcome = gated.run(*words)
    assert outcome.status == PASSED, outcome.text
    assert "tiny-int4-ort-cpu: kl_divergence kl_mean none -> " in outcome.text
    assert "mmlu accuracy 0.0 ->" not in outcome.text
    assert "check for leakage" in outcome.text, "what is stored gates as ever"
    after = json.loads((gated.folder / BASELINE).read_bytes())["tasks"]
    assert after["mmlu"]["metrics"]["accuracy"]["value"] == 0.0
    assert after["kl_divergence"]["reason"] == "another suite"
    assert after["kl_divergence"]["metrics"] == stored["kl_divergence"]["metrics"]
    assert load_items(gated) == kept


def test_fault_65_identical_package_is_told(workspace, built):
    workspace.edit(str(built["int4"]), str(built["fp32"]))
    outcome = workspace.run("-m", "kl_divergence")
    assert outcome.status == PASSED, outcome.text
    assert "identical packages" in outcome.text


def test_fault_66_guessing_is_invalid_by_default(workspace):
    workspace.edit('degenerate = "warn"', 'degenerate = "fail"')
    outcome = workspace.run("-m", "mmlu")
    assert outcome.status == FAILED
    assert "INVALID" in outcome.verdicts()
    assert "degenerate answers" in outcome.text


def test_fault_67_nothing_evaluated_fails_if_strict(workspace):
    outcome = workspace.run("--gate-strict", "-k", "no_such_test")
    assert outcome.status == FAILED
    assert "nothing was evaluated" in outcome.text


def test_fault_68_reruns_are_refused(workspace):
    outcome = workspace.run("-m", "mmlu", "--reruns=2")
    assert outcome.status == REFUSED
    assert "can't be rerun" in outcome.text


def test_fault_70_hostile_names_reach_no_sink_raw(workspace, built):
    hostile = workspace.folder / "evil\x1b[31m[bold]<script>|@team"
    shutil.copytree(built["int4"], hostile)
    (hostile / "model.onnx").write_bytes(b"<html>\x1b[2J</html>")
    outcome = workspace.run(f"--gate-model=int4={hostile}", "-m", "mmlu")
    assert outcome.status == FAILED
    assert "not-onnx" in outcome.text
    assert "\x1b" not in outcome.text
    assert "\x1b" not in (workspace.folder / "reports/results.json").read_text(encoding="utf-8")


def test_fault_75_spaces_other_scripts_and_plain_locale(tmp_path, stored, built, gate_cache):
    home, _ = stored
    folder = tmp_path / "Modèle 量子 №1"
    copies = {name: folder / "packages" / f"ü {name}" for name in ("fp32", "int4")}
    for name, copy in copies.items():
        shutil.copytree(built[name], copy)
    workspace = Workspace(
        folder,
        reference=copies["fp32"],
        candidate=copies["int4"],
        mmlu=(home.folder / "mmlu").resolve(),
        text=(home.folder / "text.txt").resolve(),
        cache=gate_cache,
    )
    shutil.copytree(home.folder / "baselines", folder / "baselines")
    outcome = workspace.run(LANG="C", LC_ALL="C", TZ="Asia/Kathmandu")
    assert outcome.status == PASSED, outcome.text
    assert outcome.verdicts() == {"PASS"}
    assert outcome.results["run"]["started"].endswith("Z")


def test_fault_76_gate_works_beside_other_plugins(gated):
    outcome = gated.run(
        "-m",
        "mmlu or perplexity",
        "-n",
        "2",
        "--html=report.html",
        "--timeout=250",
        "--snapshot-details",
        "--benchmark-disable",
        "--junit-xml=junit.xml",
    )
    assert outcome.status == PASSED, outcome.text
    assert outcome.verdicts() == {"PASS"}
    assert len(outcome.decisions()) == 6, "both workers' results are there"


def test_selection_by_name_runs_what_it_says(gated):
    outcome = gated.run("-k", "int4 and kl_divergence")
    assert outcome.status == PASSED, outcome.text
    assert set(outcome.decisions()) == {("tiny-int4-ort-cpu", "kl_divergence", "kl_mean")}


def test_subjects_are_held_against_the_reference_one_by_one(workspace):
    policy = "[policy.mmlu.subject]\nreference = { absolute = 1.0 }\n\n[policy.perplexity"
    workspace.edit("[policy.perplexity", policy)
    outcome = workspace.run("-m", "mmlu")
    assert outcome.status == PASSED, outcome.text
    subjects = {key for key in outcome.decisions() if key[2].startswith("subject.")}
    assert {case for case, _, _ in subjects} == {"tiny-int4-ort-cpu"}, "a reference has no limit"
    assert len(subjects) == 3
    assert "NO BASELINE for 2 figures" in outcome.text


def test_policy_for_an_unknown_metric_is_refused(workspace):
    workspace.edit("[policy.mmlu.accuracy]", "[policy.mmlu.acuracy]")
    outcome = workspace.run()
    assert outcome.status == REFUSED
    assert "acuracy" in outcome.text


def test_path_in_two_words_that_moves_pytests_root_is_refused(tmp_path, built):
    (tmp_path / "pyproject.toml").write_text("[tool.pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--gate-data-dir", str(built["fp32"])],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == REFUSED
    assert f"--gate-data-dir={built['fp32']}" in done.stdout + done.stderr
