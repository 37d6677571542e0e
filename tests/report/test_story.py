"""The opening: which case, what changed about it, its worst figures, and whether that is noise."""

from dataclasses import replace

import pytest

from quantgate.report.digest import judge
from quantgate.report.story import headline, stories
from quantgate.results import Tolerance, Verdict
from tests.planted_runs import CASE, DRIFT, PERPLEXITY, decide, evidence, measure, run_of, score

OTHERS = [f"tiny-int{bits}-ort-cuda" for bits in range(2, 10)]
DIGESTS = "a" * 64, "b" * 64


def told(*decisions, measurements=(), facts=None):
    run = run_of(decisions, measurements, facts)
    return headline(run, judge(run)), stories(run, judge(run))


def only(*decisions, **more):
    _, ((story,), rest) = told(*decisions, **more)
    assert rest == 0
    return story.told


def measured(package):
    return measure([score("accuracy", 0.79)], identity={"package": package})


def stored(package):
    return {"baselines": {CASE: {"mmlu": {"identity": {"package": package}}}}}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (stored(DIGESTS[1]), "Its package differs from the baseline's; the environment is the"),
        (stored(DIGESTS[0]), "Its package is the baseline's; the environment is the baseline's."),
        ({}, "Whether its package is the baseline's isn't known; the environment is"),
        ({"baselines": {CASE: {"mmlu": {"identity": 3}}}}, "is the baseline's isn't known"),
        ({"baselines": ["x"]}, "is the baseline's isn't known"),
    ],
)
def test_what_changed_about_a_case_is_told_as_far_as_it_is_known(facts, words):
    story = only(decide(Verdict.REGRESSION), measurements=[measured(DIGESTS[0])], facts=facts)
    assert words in story


def test_many_differences_of_the_environment_are_counted():
    lines = "; ".join(f"part{n} 1 -> 2" for n in range(5))
    notes = (f"differs from the baseline: {lines}", DRIFT)
    story = only(decide(Verdict.REGRESSION, notes=notes))
    assert "differs in part0 1 -> 2, part1 1 -> 2, part2 1 -> 2 and 4 more." in story


def test_of_each_suite_the_worst_figure_is_told_in_its_tolerances_unit():
    worse = replace(PERPLEXITY, task="perplexity.genai_chunked", value=98.8, anchor=2.512)
    worse = replace(worse, delta=96.288)
    limit = Tolerance(kind="absolute", value=0.01)
    divergence = decide(
        Verdict.REGRESSION, "kl_mean", task="kl_divergence", against="reference", value=0.05,
        anchor=0.0, delta=0.05, allowed=0.01, tolerance=limit,
        evidence=evidence(scale="nats", delta=0.05),
    )  # fmt: skip
    figures = [
        measure([score("kl_mean", 0.05, unit="nats")], task="kl_divergence"),
        measure([score("perplexity", 98.8, unit="perplexity")], task=worse.task),
    ]
    story = only(divergence, PERPLEXITY, worse, measurements=figures)
    assert "perplexity 2.51 -> 98.80 (about 39 times, allowed +8.58 %)" in story
    moved = "(+0.0500 nats, allowed +0.0100 nats)"
    assert f"; KL divergence 0 nats (the reference) -> 0.0500 nats {moved}. All of it is" in story
    assert "14.37" not in story, "the milder of two protocols"


def test_what_is_noise_is_told_apart():
    sure, unsure = decide(Verdict.REGRESSION), replace(PERPLEXITY, evidence=evidence(p_value=0.2))
    bare = decide(Verdict.REGRESSION, "peak_saving", task="memory", evidence=None)
    assert only(sure).endswith("It is beyond noise.")
    assert only(unsure).endswith("It may be noise.")
    assert only(bare).endswith("isn't known: no items are paired.")
    assert only(sure, unsure, bare).endswith(
        "Beyond noise: MMLU accuracy; possibly noise: perplexity; unknown: memory peak_saving."
    )


def test_what_could_not_be_measured_or_told_is_no_drop():
    invalid = decide(Verdict.INVALID, "kl_mean", task="kl_divergence", value=None, delta=None)
    title, ((story,), _) = told(invalid, decide(Verdict.PASS))
    assert title == f"INVALID: KL divergence of {CASE}"
    valid = "has no valid figure of KL divergence; why stands below."
    assert story.told == f"(ONNX Runtime, CPU) {valid}"
    assert "which this run can't tell. " in only(decide(Verdict.INCONCLUSIVE))


def test_a_figure_held_against_the_reference_alone_says_so():
    story = only(decide(Verdict.REGRESSION, against="reference"))
    assert "held against its reference, which was measured in the same run." in story
    assert "baseline" not in story


@pytest.mark.parametrize(
    ("count", "named"), [(1, OTHERS[0]), (2, f"{OTHERS[0]} and {OTHERS[1]}"), (3, "3 cases")]
)
def test_a_headline_names_few_cases_and_counts_many(count, named):
    title, (first, rest) = told(*(decide(Verdict.REGRESSION, case_id=c) for c in OTHERS[:count]))
    assert title == f"REGRESSION: MMLU of {named}"
    assert (len(first), rest) == (count, 0)
    assert first[0].told.startswith("(ONNX Runtime, NVIDIA GPU by CUDA) got worse")


def test_many_cases_have_no_story_each():
    _, (first, rest) = told(*(decide(Verdict.REGRESSION, case_id=case) for case in OTHERS))
    assert (len(first), rest) == (5, 3)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.NO_BASELINE])
def test_a_run_in_which_nothing_failed_has_no_story(verdict):
    title, (first, rest) = told(decide(verdict))
    assert title.startswith(f"{verdict}: of 1 figure, ")
    assert (first, rest) == ([], 0)
