"""Packages, environment, origins and words: what a reader checks "nothing changed" by."""

import re
from dataclasses import replace

import pytest

from quantgate.report.markdown import render_comment, render_summary
from quantgate.results import Verdict
from tests.hostile import HOSTILE, SECRETS
from tests.planted_runs import CASE, FACTS, PERPLEXITY, decide, measure, run_of, score
from tests.report.test_markdown import rows
from tests.report.test_sinks import CONTROLS, assert_inert, page

OLD, NEW = "a" * 64, "b" * 64
STORED = {
    "updated": "2025-12-24T07:27:06Z",
    "reason": "first baselines",
    "identity": {"package": OLD, "provider": "CPUExecutionProvider", "threads": 2},
    "provenance": {
        "quantgate": "0.1.0", "python": "3.11.6", "git_commit": "1" * 40,
        "cpu": {"model": "Xeon", "cores": 2}, "packages": {"onnxruntime": "1.30.0"},
    },
}  # fmt: skip


def measured(package=NEW, **more):
    identity = {"package": package, "provider": "CPUExecutionProvider", "threads": 2}
    return measure([score("accuracy", 0.79)], identity=identity, **more)


def run_with(*measurements, baselines=None, **facts):
    told = {"baselines": {CASE: {"mmlu": STORED}} if baselines is None else baselines}
    return run_of([decide(Verdict.REGRESSION)], measurements, {**FACTS, **told, **facts})


def around(run):
    return render_summary(run).split("### What changed around the figures")[1].split("###")[0]


def test_a_changed_package_is_named_with_both_digests():
    told = around(run_with(measured()))
    digests = f"{'a' * 12} -&gt; {'b' * 12}"
    assert f"- <code>{CASE}</code>: digest of its files {digests}\n" in told
    assert "byte for byte" not in told
    assert "Every package is its baseline's, byte for byte." in around(run_with(measured(OLD)))
    assert "package" not in around(run_with(measured(), baselines={}))


def test_kept_results_are_told_and_computed_ones_not():
    fresh, kept = measured(OLD), measured(OLD, case_id="tiny-fp32-ort-cpu")
    kept = replace(kept, cost={"kept": 1.0, "seconds": 0.1})
    half = replace(kept, case_id="tiny-fp16-ort-cpu")
    other = replace(half, task="kl_divergence", cost={"kept": 0.0})
    told = around(run_with(fresh, kept, half, other))
    listed = told.split("not computed again:\n\n")[1].strip()
    assert listed == "- <code>tiny-fp32-ort-cpu</code>"
    assert "not computed again" not in around(run_with(fresh))


def test_run_and_baselines_stand_side_by_side():
    run = run_with(measured(), configuration={"data": {"mmlu": "embedded", "text": "my.txt"}})
    head, *listed = rows(render_summary(run), "Where these figures and their baselines come from")
    assert head == ["what", "this run", "the baselines"]
    told = {what: (now, was) for what, now, was in listed}
    assert told["stored"] == ("-", "2025-12-24T07:27:06Z")
    assert told["reason"] == ("-", "first baselines")
    assert told["python"] == ("3.11.7", "3.11.6")
    assert told["git_commit"] == ("0" * 40, "1" * 40)
    assert told["onnxruntime"] == ("1.31.1", "1.30.0")
    assert told["processor"] == ("Xeon, 2 cores", "Xeon, 2 cores")
    assert told["package"] == ("b" * 12, "a" * 12)
    assert told["threads"] == ("2", "2")
    assert told["questions"][0] == "embedded"
    assert told["text"][0] == "my.txt"
    assert told["protocol of mmlu"][0] == "hendrycks 5-shot loglikelihood, overflow error"
    assert told["--gate-limit"][0] == "5"


def test_baselines_that_differ_are_listed_and_many_counted():
    def entries(count):
        return {f"t{n}": {**STORED, "provenance": {"git_commit": f"{n:040}"}} for n in range(count)}

    for count, shown in ((3, "; ".join(f"{n:040}" for n in range(3))), (4, "4 different")):
        run = run_with(
            *(measured(task=f"t{n}") for n in range(count)), baselines={CASE: entries(count)}
        )
        listed = rows(render_summary(run), "Where these figures and their baselines come from")
        (commit,) = (row[2] for row in listed if row[0] == "git_commit")
        assert commit == shown


def test_without_facts_of_baselines_the_table_has_this_run_alone():
    listed = rows(render_summary(run_with(measured(), baselines={})), "Where these figures come")
    assert listed[0] == ["what", "is"]
    assert ["python", "3.11.7"] in listed


def test_words_are_those_that_occur():
    def listed(*decisions):
        part = render_summary(run_of(decisions)).split("<summary>Words</summary>")[1]
        return re.findall(r"^- `(\w+)`: ", part, flags=re.MULTILINE)

    assert listed(decide(Verdict.PASS)) == ["case", "baseline", "ort", "manifest"]
    agreement = decide(
        Verdict.PASS, "max_difference", task="agreement", case_id="t-int4-ortgenai-cpu",
        against="reference",
    )  # fmt: skip
    assert listed(PERPLEXITY, agreement) == [
        "case", "baseline", "reference", "strided", "nats", "agreement", "ort", "ortgenai",
        "manifest",
    ]  # fmt: skip
    assert "Words" not in render_summary(run_of([]))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("render", [render_summary, render_comment])
def test_fault_70_facts_of_baselines_are_inert(text, render):
    facts = {"package": text, "provider": text, text: {text: text}}
    stored = {"updated": text, "reason": text, "identity": facts, "provenance": {**facts}}
    stored["provenance"] |= {"git_commit": text, "cpu": {"model": text}, "packages": {text: text}}
    run = run_with(
        measured("x", case_id=text, task=text),
        measured(OLD),
        baselines={text: {text: stored}, CASE: {"mmlu": stored}},
        configuration={"data": {"mmlu": text, "text": [text]}},
    )
    markdown = render(run)
    assert not CONTROLS.search(markdown)
    assert_inert(page(markdown))
    assert not [secret for secret in SECRETS if secret in markdown]
