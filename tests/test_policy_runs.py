"""Policies through the real command line: every kind, and failures that can be repeated."""

from __future__ import annotations

import shlex

PASSED, FAILED, REFUSED = 0, 1, 4


def policy(workspace, **references):
    """Put these tolerances against the reference in force, and none against a baseline."""
    text = workspace.manifest.read_text(encoding="utf-8")
    before = text[: text.index("[policy")]
    models = text[text.index("[[models]]") :]
    lines = ["[policy]", *(f"{name}.reference = {words}" for name, words in references.items())]
    workspace.manifest.write_text(before + "\n".join(lines) + "\n\n" + models, encoding="utf-8")


def decided(outcome, metric):
    (found,) = [
        each
        for (case, _, name), each in outcome.decisions("int4").items()
        if name == metric and case == "tiny-int4-ort-cpu"
    ]
    return found


def test_every_kind_is_in_force(workspace):
    policy(
        workspace,
        **{
            "mmlu.accuracy": '"mlperf99"',
            "perplexity.perplexity": '"relative_5_10"',
            "kl_divergence.kl_mean": "{ significant_drop = 0.5 }",
        },
    )
    outcome = workspace.run("-k", "[tiny-int4-ort-cpu]")
    found = {metric: decided(outcome, metric) for metric in ("accuracy", "kl_mean")}
    (found["perplexity"], *_) = (
        each for (_, task, _), each in outcome.decisions().items() if task == "perplexity.strided"
    )
    kinds = {metric: tuple(each["tolerance"].values()) for metric, each in found.items()}
    assert kinds == {
        "accuracy": (None, "ratio_to_reference", 0.99),
        "perplexity": (0.1, "three_state", 0.05),
        "kl_mean": (None, "significant_drop", 0.5),
    }
    scales = {metric: each["evidence"]["scale"] for metric, each in found.items()}
    assert scales == {"accuracy": "fraction", "perplexity": "nats/token", "kl_mean": "nats"}
    assert found["perplexity"]["verdict"] == found["kl_mean"]["verdict"] == "PASS"
    for words in (">= 99.00 % kept", "5.00 % / 10.00 %", "0.500 nats at 95 %"):
        assert words in outcome.text


def test_failure_is_repeated_by_the_command_it_prints(workspace):
    policy(workspace, **{"kl_divergence.kl_mean": "{ absolute = 1e-9 }"})
    outcome = workspace.run("-m", "kl_divergence")
    assert outcome.status == FAILED, outcome.text
    found = decided(outcome, "kl_mean")
    assert found["verdict"] == "REGRESSION"
    assert found["evidence"]["against"] == "reference"
    for words in ("paired delta to the reference", "isn't chance", "measured in one environment"):
        assert words in outcome.text
    (line,) = {
        line.partition("reproduce: ")[2]
        for line in outcome.text.splitlines()
        if "reproduce: " in line
    }
    again = workspace.run(*shlex.split(line)[2:])
    assert again.status == FAILED
    assert set(again.decisions()) == {("tiny-int4-ort-cpu", "kl_divergence", "kl_mean")}
    assert "1 failed" in again.text


def test_significant_drop_of_a_figure_without_items_is_refused(workspace):
    policy(workspace, **{"mmlu.accuracy_macro": "{ significant_drop = 0.01 }"})
    outcome = workspace.run("-m", "mmlu")
    assert outcome.status == REFUSED
    assert "tolerance-items" in outcome.text
    assert "policy.mmlu.accuracy_macro.reference" in outcome.text


def test_significant_drop_needs_a_baseline_with_items(workspace):
    policy(workspace, **{"mmlu.accuracy": "{ absolute = 0.9 }"})
    text = workspace.manifest.read_text(encoding="utf-8")
    line = "mmlu.accuracy.baseline = { significant_drop = 0.2 }\n"
    workspace.manifest.write_text(text.replace("[policy]\n", f"[policy]\n{line}"), "utf-8")
    words = ("-m", "mmlu", "-k", "[tiny-int4-ort-cpu]")
    assert workspace.run(*words, "--gate-update-baselines", "--gate-reason=first").status == PASSED
    kept = workspace.run(*words)
    assert kept.status == PASSED, kept.text
    assert decided(kept, "accuracy")["evidence"]["against"] == "baseline"
    (items,) = workspace.folder.rglob("*.items.safetensors")
    items.unlink()
    bare = workspace.run(*words)
    assert bare.status == FAILED
    assert decided(bare, "accuracy")["verdict"] == "INVALID"
    accept = 'accept: quantgate run -m mmlu -k "[tiny-int4-ort-cpu]" --gate-update-baselines'
    assert accept in bare.text
