"""Results in lm-evaluation-harness' form: its names only for its protocols, its figures."""

import json
import math

import numpy as np
import pytest

from quantgate.report.lm_eval import file_name, render_lm_eval
from quantgate.tasks.categories import CATEGORIES
from tests.planted_runs import CASE, FACTS, measure, run_of, score

LM_EVAL = "lm_eval 5-shot loglikelihood, overflow error"
SUBJECTS = sorted(CATEGORIES["lm_eval"])
RNG = np.random.default_rng(5)
ANSWERS = {subject: RNG.random(20 + 3 * i) < 0.6 for i, subject in enumerate(SUBJECTS)}


def mmlu(protocol=LM_EVAL, subjects=SUBJECTS, **detail):
    scores = [score("accuracy", 0.5)]
    for name in subjects:
        correct = ANSWERS.get(name, ANSWERS["anatomy"]).astype(float)
        stderr = correct.std(ddof=1) / math.sqrt(len(correct))
        made = score(f"subject.{name}", float(correct.mean()), stderr=float(stderr))
        object.__setattr__(made, "n", len(correct))
        scores.append(made)
    return measure(scores, protocol=protocol, detail={"shots": {"5": 1}, "excluded": [], **detail})


def rendered(*measurements, facts=None):
    ((name, data),) = render_lm_eval(run_of([], measurements, facts)).items()
    assert name == f"{CASE}.json"
    return json.loads(data)


def test_the_whole_of_mmlu_has_its_groups():
    document = rendered(mmlu())
    results = document["results"]
    assert len(results) == 57 + 4 + 1
    assert set(document["groups"]) == {
        "mmlu", "mmlu_stem", "mmlu_humanities", "mmlu_social_sciences", "mmlu_other",
    }  # fmt: skip
    assert results["mmlu_anatomy"]["alias"] == "anatomy"
    assert results["mmlu_social_sciences"]["alias"] == "social sciences"
    assert "mmlu_anatomy" in document["group_subtasks"]["mmlu_stem"], "the harness' own map"
    assert len(document["group_subtasks"]["mmlu"]) == 4
    assert document["n-shot"]["mmlu_anatomy"] == 5
    assert document["versions"]["mmlu"] == 2
    assert document["higher_is_better"]["mmlu"] == {"acc": True}


def test_groups_are_means_over_questions_with_pooled_errors():
    results = rendered(mmlu())["results"]
    for group in ("mmlu", "mmlu_stem", "mmlu_other"):
        names = [
            n for n in SUBJECTS if group == "mmlu" or f"mmlu_{CATEGORIES['lm_eval'][n]}" == group
        ]
        answers = [ANSWERS[name].astype(float) for name in names]
        everything = np.concatenate(answers)
        assert results[group]["acc,none"] == pytest.approx(everything.mean(), abs=1e-12)
        within = sum(((each - each.mean()) ** 2).sum() * len(each) / len(each) for each in answers)
        pooled = within / (len(everything) - len(answers))
        assert results[group]["acc_stderr,none"] == pytest.approx(
            math.sqrt(pooled / len(everything)), rel=1e-9
        )


def test_a_part_of_mmlu_has_no_group():
    document = rendered(mmlu(subjects=["anatomy", "virology"]))
    assert set(document["results"]) == {"mmlu_anatomy", "mmlu_virology"}
    assert "groups" not in document
    stem = [name for name in SUBJECTS if CATEGORIES["lm_eval"][name] == "stem"]
    assert set(rendered(mmlu(subjects=stem))["groups"]) == {"mmlu_stem"}


@pytest.mark.parametrize(
    ("measurement", "name"),
    [
        (mmlu("hendrycks 5-shot loglikelihood, overflow error"), "hendrycks_loglikelihood"),
        (mmlu("lm_eval 5-shot greedy, overflow error"), "lm_eval_greedy"),
        (mmlu("mmlu_pro 5-shot loglikelihood, overflow error"), "mmlu_pro_loglikelihood"),
        (mmlu(subjects=["astrology"]), "lm_eval_loglikelihood"),
        (mmlu(excluded=["anatomy/3"]), "lm_eval_loglikelihood"),
        (mmlu(shots={"4": 1, "5": 9}), "lm_eval_loglikelihood"),
        (mmlu(sequential={"taken": 100, "of": 200, "stopped": True}), "lm_eval_loglikelihood"),
        (mmlu("something else"), "unknown_unknown"),
    ],
    ids=["template", "decision", "pro", "corpus", "excluded", "shots", "stopped", "unknown"],
)
def test_another_protocol_has_another_name(measurement, name):
    document = rendered(measurement)
    root = f"quantgate_mmlu_{name}"
    assert set(document["groups"]) == {root}
    assert all(each.startswith(root) for each in document["results"])


def rolling(protocol):
    names = ("word_perplexity", "byte_perplexity", "bits_per_byte")
    return measure(
        [score(name, 3.5 + i, unit="perplexity", stderr=0.1) for i, name in enumerate(names)],
        task="perplexity.rolling",
        protocol=protocol,
        detail={"documents": [{}, {}, {}]},
    )


def facts(text, max_documents=None):
    tasks = {"perplexity": {"max_documents": max_documents}}
    return {**FACTS, "configuration": {"data": {"text": text}, "tasks": tasks}}


def test_rolling_perplexity_of_wikitext_is_the_harness_task():
    source = "hub:EleutherAI/wikitext_document_level:wikitext-2-raw-v1:test@" + "0" * 40
    found = rendered(rolling("rolling 1024 from <s>, wikitext"), facts=facts(source))
    assert found["results"]["wikitext"] == {
        "alias": "wikitext",
        "word_perplexity,none": 3.5, "word_perplexity_stderr,none": 0.1,
        "byte_perplexity,none": 4.5, "byte_perplexity_stderr,none": 0.1,
        "bits_per_byte,none": 5.5, "bits_per_byte_stderr,none": 0.1,
    }  # fmt: skip
    assert found["n-samples"]["wikitext"] == {"original": 3, "effective": 3}


@pytest.mark.parametrize(
    ("protocol", "told"),
    [
        ("rolling 1024 from <s>", facts("wikitext-2-raw/wiki.test.raw")),
        ("rolling 1024 from <s>, wikitext", facts("my_text.txt")),
        ("rolling 1024 from <s>, wikitext", facts("wikitext-2-raw/wiki.test.raw", max_documents=3)),
        ("rolling 1024 from <s>, wikitext", {"configuration": []}),
    ],
)
def test_rolling_perplexity_of_other_texts_is_not(protocol, told):
    assert set(rendered(rolling(protocol), facts=told)["results"]) == {"quantgate_rolling"}


def test_what_is_not_finite_is_not_a_number():
    found = rendered(measure([score("kl_mean", math.nan, unit="nats")], task="kl_divergence"))
    assert found["results"]["quantgate_kl_divergence"] == {
        "alias": "quantgate_kl_divergence", "kl_mean,none": "N/A", "kl_mean_stderr,none": "N/A",
    }  # fmt: skip


def test_where_and_when():
    document = rendered(mmlu())
    assert document["date"] == 1767323045.678  # 2026-01-02T03:04:05.678Z
    assert document["git_hash"] == "0" * 40
    assert document["model_name"] == CASE
    assert document["config"]["model"] == "quantgate-ort"
    assert json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    "case", ["../x", "/etc/x", "", ".hidden", "a\\b", "A-b-c-d", "x" * 300, "a\0"]
)
def test_fault_70_a_file_of_its_own_for_every_name(case):
    name = file_name(case)
    assert name.startswith("case.")
    assert name.endswith(".json")
    assert name != file_name(case + "1")
