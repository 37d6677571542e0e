"""The rule for a change whose items are paired: what chance explains is no verdict.

The bounds that the verdicts rest on are worked out here from counts: of n answers, `lost` from
right to wrong and `won` back, the harm is (lost - won) / n with variance (lost + won) / n - harm^2,
and a run finds 2.487 sqrt(lost + won) / n.
"""

import math
from dataclasses import replace

import pytest

from quantgate.gate.decision import BETTER_THAN_REFERENCE, NOISE, TOO_GOOD, decide
from quantgate.gate.rulings import MANY, NO_ITEMS, UNDETECTABLE
from quantgate.items import items_of
from quantgate.results import Limits, Tolerance, Verdict
from tests.paired_items import COMPARABILITY, REFERENCE, answered, divergence, questions, text
from tests.test_gate import stored

PASS, REGRESSION, INCONCLUSIVE = Verdict.PASS, Verdict.REGRESSION, Verdict.INCONCLUSIVE
N, RIGHT = 1000, 800


def tolerance(kind, value, at_risk=None):
    return Tolerance(kind=kind, value=value, at_risk=at_risk)


def held_against_reference(lost, won, limit, *, n=N, right=RIGHT):
    """The decision on a candidate that lost and won so many answers."""
    now = questions({"all": answered(right, lost, won, n)})
    before = questions({"all": answered(right, n=n)}, case=REFERENCE)
    limits = Limits(reference=limit)
    return decide(now, "accuracy", limits=limits, baseline=None, reference=before)


def bounds_by_hand(lost, won, n=N):
    harm = (lost - won) / n
    stderr = math.sqrt(((lost + won) / n - harm**2) / (n - 1))
    half = 1.646 * stderr
    return harm - half, harm + half, 2.487 * math.sqrt(max(lost + won, 6.19)) / n


FINE = tolerance("absolute", 0.01)


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [
        (40, 10, REGRESSION),
        (25, 10, INCONCLUSIVE),  # 1.5 points where 1 is allowed, give or take 1
        (15, 10, INCONCLUSIVE),  # and 0.5, by the same token
        (10, 12, PASS),
        (0, 40, PASS),
        (0, 0, PASS),
    ],
)
@pytest.mark.parametrize(
    "limit",
    [FINE, tolerance("relative", 0.0125), tolerance("ratio_to_reference", 0.9875)],
)
def test_tolerance_below_what_is_detectable(lost, won, limit, verdict):
    low, high, detectable = bounds_by_hand(lost, won)
    if lost + won:
        expected = REGRESSION if low > 0.01 else PASS if high <= 0.01 else INCONCLUSIVE
        assert detectable > 0.01
        assert expected is verdict
    decision = held_against_reference(lost, won, limit)
    assert decision.verdict is verdict
    assert decision.allowed == 0.01
    assert decision.evidence.allowed == 0.01
    assert (UNDETECTABLE in decision.reason) is (verdict is INCONCLUSIVE)


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [(25, 10, PASS), (40, 10, PASS), (41, 10, REGRESSION), (60, 10, REGRESSION)],
)
def test_detectable_tolerance_is_held_against_the_figure(lost, won, verdict):
    """3 points: what is allowed to the digit passes, and a single answer more doesn't."""
    assert bounds_by_hand(lost, won)[2] < 0.03
    assert held_against_reference(lost, won, tolerance("absolute", 0.03)).verdict is verdict


@pytest.mark.parametrize(("lost", "verdict"), [(9, PASS), (10, REGRESSION)])
@pytest.mark.parametrize(
    ("limit", "n", "right"),
    [
        (tolerance("absolute", 0.03), 300, 250),
        (tolerance("absolute", 0.1), 90, 75),
        (tolerance("relative", 0.036), 300, 250),
        (tolerance("ratio_to_reference", 0.964), 300, 250),
        (tolerance("three_state", 0.01, 0.036), 300, 250),
    ],
)
def test_nine_answers_are_allowed_of_any_number_of_questions(lost, verdict, limit, n, right):
    """250/300 and 241/300 as decimals of 16 digits are more than 9/300 apart."""
    decision = held_against_reference(lost, 0, limit, n=n, right=right)
    assert decision.verdict is verdict
    assert decision.delta == -lost / n
    assert decision.allowed == 9 / n


def test_nine_answers_of_a_subject_are_allowed():
    letters = {"all": answered(250, 9, n=300), "odd": answered(70, n=90)}
    now = questions(letters)
    before = questions({**letters, "all": answered(250, n=300)}, case=REFERENCE)
    limits = Limits(reference=tolerance("absolute", 0.03))
    for metric in ("subject.all", "subject.odd"):
        found = decide(now, metric, limits=limits, baseline=None, reference=before)
        assert (found.verdict, MANY in found.reason) == (PASS, False)


@pytest.mark.parametrize(("lost", "won", "verdict"), [(0, 0, PASS), (3, 3, INCONCLUSIVE)])
def test_nothing_allowed(lost, won, verdict):
    """Answers that moved may well be worse; those that didn't aren't."""
    assert held_against_reference(lost, won, tolerance("absolute", 0.0)).verdict is verdict


@pytest.mark.parametrize(
    ("lost", "won", "allowed", "verdict"),
    [
        (25, 10, 0.03, PASS),  # at most 2.5 points
        (35, 10, 0.03, REGRESSION),  # 2.5, but possibly 3.6, though 1.7 would be seen
        (15, 10, 0.012, INCONCLUSIVE),  # 0.5, possibly 1.3, where no less than 1.2 is seen
        (60, 10, 0.03, REGRESSION),
        (0, 0, 0.0, PASS),
        (2, 2, 0.0, INCONCLUSIVE),
    ],
)
def test_significant_drop_is_held_against_the_bound(lost, won, allowed, verdict):
    low, high, detectable = bounds_by_hand(lost, won)
    if lost + won:
        sure = PASS if high <= allowed else REGRESSION if low > allowed else None
        assert (sure or (REGRESSION if allowed >= detectable else INCONCLUSIVE)) is verdict
    limit = tolerance("significant_drop", allowed)
    assert held_against_reference(lost, won, limit).verdict is verdict


@pytest.mark.parametrize(
    ("lost", "verdict", "at_risk"),
    [(40, PASS, False), (41, PASS, True), (80, PASS, True), (81, REGRESSION, False)],
)
def test_three_states(lost, verdict, at_risk):
    """5 and 10 % of 80 points are 4 and 8."""
    decision = held_against_reference(lost, 0, tolerance("three_state", 0.05, 0.1))
    assert (decision.verdict, decision.at_risk) == (verdict, at_risk)
    assert decision.allowed == 0.08


def test_mlperf_to_the_answer():
    limit = tolerance("ratio_to_reference", 0.99)
    found = [held_against_reference(lost, 0, limit, n=10_000, right=9000) for lost in (90, 91)]
    assert [decision.verdict for decision in found] == [PASS, REGRESSION]


# --- against the baseline -----------------------------------------------------------------------


def held_against_baseline(now, before, kind, value, *, kept=True, metric="accuracy", **more):
    score = before.score(metric)
    entry = stored(score.value, value, kind=kind, metric=metric, **more)
    fields = {name: getattr(COMPARABILITY, name) for name in COMPARABILITY.__slots__}
    entry = entry.model_copy(
        update={"comparability": entry.comparability.model_copy(update=fields)}
    )
    return decide(
        now, metric, limits=Limits(baseline=tolerance("absolute", 0.0)), baseline=entry,
        reference=None, kept=items_of(before) if kept else None,
    )  # fmt: skip


def answers(lost=0, won=0):
    return questions({"all": answered(RIGHT, lost, won)})


def test_kept_items_are_paired_with():
    decision = held_against_baseline(answers(25, 10), answers(), "absolute", 0.01)
    assert decision.verdict is INCONCLUSIVE
    assert (decision.against, decision.evidence.against) == ("baseline", "baseline")
    assert (decision.evidence.lost, decision.evidence.won) == (25, 10)


def test_without_items_the_figures_decide():
    decision = held_against_baseline(answers(25, 10), answers(), "absolute", 0.01, kept=False)
    assert (decision.verdict, decision.evidence) == (REGRESSION, None)


def test_significant_drop_without_items_is_invalid_and_says_how_to_keep_them():
    decision = held_against_baseline(answers(), answers(), "significant_drop", 0.01, kept=False)
    assert decision.verdict is Verdict.INVALID
    assert NO_ITEMS in decision.reason
    assert "--gate-update-baselines" in decision.reason
    assert decision.against == "baseline"


def test_other_questions_are_told_and_never_cut():
    before = questions({"all": answered(RIGHT, n=N - 1)})
    decision = held_against_baseline(answers(25, 10), before, "absolute", 0.02)
    assert (decision.verdict, decision.evidence) == (PASS, None)
    assert any("not paired with the baseline" in note for note in decision.notes)


def test_items_of_another_figure_are_not_paired():
    """A baseline whose figure was edited by hand keeps the items of the old one."""
    edited = stored(0.9, 0.01).model_copy(
        update={"comparability": stored(0.9).comparability.model_copy(update={"items": N})}
    )
    fields = {name: getattr(COMPARABILITY, name) for name in COMPARABILITY.__slots__}
    edited = edited.model_copy(
        update={"comparability": edited.comparability.model_copy(update=fields)}
    )
    decision = decide(
        answers(), "accuracy", limits=Limits(), baseline=edited, reference=None,
        kept=items_of(answers()),
    )  # fmt: skip
    assert (decision.verdict, decision.evidence) == (REGRESSION, None)
    assert any("its items come to 0.8" in note for note in decision.notes)


@pytest.mark.parametrize(
    ("edited", "verdict"),
    [(250 / 300, PASS), (0.833333334, REGRESSION), (0.833333333, PASS)],
)
def test_what_the_items_do_not_come_to_is_the_figure_itself(edited, verdict):
    """Nine of 300 answers are allowed; a figure edited in its tenth digit counts as it stands."""
    now, before = (questions({"all": answered(250, lost, n=300)}) for lost in (9, 0))
    score = replace(before.score("accuracy"), value=edited)
    before = replace(before, scores=(score,))
    decision = held_against_baseline(now, before, "absolute", 0.03)
    assert decision.evidence is not None
    assert decision.verdict is verdict


def test_worst_comparison_leads():
    """Inconclusive against the baseline, and beyond doubt worse than the reference."""
    entry = stored(0.8, 0.01)
    fields = {name: getattr(COMPARABILITY, name) for name in COMPARABILITY.__slots__}
    entry = entry.model_copy(
        update={"comparability": entry.comparability.model_copy(update=fields)}
    )
    perfect = questions({"all": "A" * N}, case=REFERENCE)
    decision = decide(
        answers(25, 10), "accuracy", limits=Limits(reference=tolerance("absolute", 0.1)),
        baseline=entry, reference=perfect, kept=items_of(answers()),
    )  # fmt: skip
    assert (decision.verdict, decision.against) == (REGRESSION, "reference")
    assert (decision.anchor, decision.reference) == (1.0, 1.0)
    better = decide(
        answers(25, 10), "accuracy", limits=Limits(reference=tolerance("absolute", 0.3)),
        baseline=entry, reference=perfect, kept=items_of(answers()),
    )  # fmt: skip
    assert (better.verdict, better.against) == (INCONCLUSIVE, "baseline")


def test_fault_62_noise_stands_above_evidence():
    now = answers(60, 10)
    noisy = [type(s)(**{**vars_of(s), "noise": 0.02}) for s in now.scores]
    now = type(now)(**{**vars_of(now), "scores": tuple(noisy)})
    decision = held_against_baseline(now, answers(), "absolute", 0.01)
    assert decision.verdict is INCONCLUSIVE
    assert NOISE in decision.reason
    unpaired = held_against_baseline(now, answers(), "significant_drop", 0.01, kept=False)
    assert unpaired.verdict is Verdict.INVALID


def vars_of(value):
    return {name: getattr(value, name) for name in value.__slots__}


# --- many subjects ------------------------------------------------------------------------------


def subjects(lost, count=20, n=100):
    """`count` subjects of which the first lost so many answers and the others none."""
    before = {f"s{number:02}": "A" * n for number in range(count)}
    now = {**before, "s00": answered(n, lost, n=n)}
    return questions(now), questions(before, case=REFERENCE)


@pytest.mark.parametrize(
    ("lost", "count", "verdict"),
    [
        (5, 1, INCONCLUSIVE),  # p = 0.0625 alone
        (7, 1, REGRESSION),  # 0.0156
        (7, 20, INCONCLUSIVE),  # 0.31 among twenty
        (10, 20, REGRESSION),  # 0.039
    ],
)
def test_subjects_are_corrected_for_their_number(lost, count, verdict):
    now, before = subjects(lost, count)
    limits = Limits(reference=tolerance("absolute", 0.0))
    found = decide(now, "subject.s00", limits=limits, baseline=None, reference=before)
    p_value = 2 * 0.5**lost
    assert (min(1.0, p_value * count) > 0.05) is (verdict is INCONCLUSIVE)
    assert found.verdict is verdict
    assert (MANY in found.reason) is (verdict is INCONCLUSIVE)


# --- texts --------------------------------------------------------------------------------------

WAVES = [500.0 + 7 * math.sin(number) for number in range(40)]


def texts(more, spread=0.0):
    now = [nats + more + spread * math.cos(math.pi * i / 10) for i, nats in enumerate(WAVES)]
    return text(now), text(WAVES, case=REFERENCE)


@pytest.mark.parametrize(
    ("more", "spread", "verdict"),
    [
        (5.0, 1.0, PASS),  # 0.0098 nats of ln 1.01 = 0.00995
        (5.2, 1.0, REGRESSION),  # 0.0102
        (4.9, 40.0, INCONCLUSIVE),
        (30.0, 20.0, REGRESSION),
    ],
)
def test_perplexity_by_window(more, spread, verdict):
    now, before = texts(more, spread)
    limits = Limits(reference=tolerance("relative", 0.01))
    decision = decide(now, "perplexity", limits=limits, baseline=None, reference=before)
    assert decision.verdict is verdict
    assert decision.evidence.allowed == pytest.approx(math.log(1.01), rel=1e-12)
    small = decision.evidence.detectable > decision.evidence.allowed
    assert small is (spread > 1)


def test_divergence_is_held_against_its_ideal_by_window():
    means = [0.02 + 0.015 * math.cos(3 * number) for number in range(32)]
    for allowed, verdict in ((0.01, REGRESSION), (0.0199, REGRESSION), (0.03, PASS)):
        decision = decide(
            divergence(means), "kl_mean", limits=Limits(reference=tolerance("absolute", allowed)),
            baseline=None, reference=None,
        )  # fmt: skip
        assert decision.evidence.delta == pytest.approx(sum(means) / 32)
        assert decision.evidence.against == "reference"
        assert decision.verdict is verdict


def test_share_of_nothing_is_the_figure_as_it_stands():
    for limit in (
        tolerance("relative", 0.03),
        tolerance("three_state", 0.01, 0.03),
        tolerance("ratio_to_reference", 1 / 1.03),
    ):
        decision = decide(
            divergence([0.02, 0.021, 0.019] * 9), "kl_mean", limits=Limits(reference=limit),
            baseline=None, reference=None,
        )  # fmt: skip
        assert decision.verdict is PASS
        assert decision.allowed == pytest.approx(0.03)
        assert decision.at_risk is (limit.kind == "three_state")


# --- suspiciously good --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "won", "told"),
    [(0, 7, False), (0, 8, True), (10, 30, True), (20, 30, False), (30, 0, False)],
)
def test_fault_48_better_than_the_reference_by_more_than_chance_is_told(lost, won, told):
    """p = 2 / 2^7 = 0.0156 and 2 / 2^8 = 0.0078."""
    decision = held_against_reference(lost, won, tolerance("absolute", 0.2))
    assert decision.verdict is PASS
    assert (BETTER_THAN_REFERENCE in decision.notes) is told


def test_fault_48_better_than_the_baseline_is_told_with_items_too():
    decision = held_against_baseline(answers(0, 60), answers(), "absolute", 0.05)
    assert decision.verdict is PASS
    assert decision.notes == (TOO_GOOD,)


# --- runs that stopped early --------------------------------------------------------------------

SEQUENTIAL = {"taken": 500, "of": N, "stopped": True, "level": 0.05, "verdict": "PASS"}


def halves(lost=0):
    """A run of which only every second question was asked; the easy ones are first."""
    letters = list(answered(RIGHT))
    for place in range(0, 2 * lost, 2):
        letters[place] = "B"
    return "".join(letter if place % 2 == 0 else "." for place, letter in enumerate(letters))


def partial(lost=0):
    return questions({"all": halves(lost)}, sequential=SEQUENTIAL)


def test_stopped_run_is_held_against_the_same_questions():
    letters = answered(RIGHT)
    # What was left out is what the baseline got right: over all it is far better than over these.
    whole = "".join("A" if place % 2 else letter for place, letter in enumerate(letters))
    before = questions({"all": whole})
    assert before.score("accuracy").value == 0.9
    decision = held_against_baseline(partial(), before, "absolute", 0.05)
    assert (decision.verdict, decision.anchor, decision.delta) == (PASS, 0.8, 0.0)
    assert any("500 items taken of 1000" in note for note in decision.notes)
    assert held_against_baseline(partial(60), before, "absolute", 0.05).verdict is REGRESSION


def test_stopped_run_is_held_against_the_references_same_questions():
    whole = questions(
        {"all": "".join("A" if i % 2 else c for i, c in enumerate(answered(RIGHT)))},
        case=REFERENCE,
    )
    decision = decide(
        partial(), "accuracy", limits=Limits(reference=tolerance("absolute", 0.05)), baseline=None,
        reference=whole,
    )  # fmt: skip
    assert (decision.verdict, decision.anchor, decision.reference) == (PASS, 0.8, 0.8)


def test_stopped_run_may_lose_as_much_to_the_answer():
    """Of 300 questions asked nine may be lost, whatever the others come to."""
    now = questions({"all": answered(250, 9, n=300) + "." * 700}, sequential=SEQUENTIAL)
    before = questions({"all": answered(250, n=300) + "A" * 700})
    decision = held_against_baseline(now, before, "absolute", 0.03)
    assert (decision.verdict, decision.delta) == (PASS, -0.03)


def with_macro(run, value):
    macro = type(run.scores[0])(**{**vars_of(run.scores[0]), "metric": "accuracy_macro"})
    macro = type(macro)(**{**vars_of(macro), "value": value})
    return type(run)(**{**vars_of(run), "scores": (*run.scores, macro)})


def test_figure_without_items_needs_a_reference_that_was_asked_the_same():
    limits = Limits(reference=tolerance("absolute", 0.05))
    now = with_macro(partial(), 0.8)
    asked_all = with_macro(questions({"all": answered(RIGHT)}, case=REFERENCE), 0.82)
    alike = with_macro(questions({"all": halves()}, case=REFERENCE, sequential=SEQUENTIAL), 0.82)
    for before, verdict in ((alike, PASS), (asked_all, Verdict.INVALID)):
        found = decide(now, "accuracy_macro", limits=limits, baseline=None, reference=before)
        assert found.verdict is verdict
    assert "stopped early can't be held against the reference" in found.reason


def test_stopped_run_without_kept_items_is_invalid():
    decision = held_against_baseline(partial(), answers(), "absolute", 0.05, kept=False)
    assert decision.verdict is Verdict.INVALID
    assert "stopped early" in decision.reason
    assert "keeps no items" in decision.reason


def test_stopped_run_of_windows():
    taken = [5, 3, 8, 20, 33, 12]
    now = text(
        [WAVES[i] + 1 for i in taken], begins=[512 * i for i in taken], sequential=SEQUENTIAL
    )
    decision = held_against_baseline(now, text(WAVES), "relative", 0.01, metric="perplexity")
    assert decision.verdict is PASS
    expected = math.exp(sum(WAVES[i] for i in taken) / (512 * len(taken)))
    assert decision.anchor == pytest.approx(expected, rel=1e-12)
    assert decision.evidence.delta == pytest.approx(1 / 512)


@pytest.mark.parametrize("stopped", [True, False])
def test_fault_42_sequential_run_may_have_another_plan_and_nothing_else(stopped):
    sequential = {**SEQUENTIAL, "stopped": stopped}
    run = questions({"all": halves() if stopped else answered(RIGHT)}, sequential=sequential)
    for field, verdict in (("plan", PASS), ("corpus", Verdict.INVALID)):
        changed = type(COMPARABILITY)(**{**vars_of(COMPARABILITY), field: "z"})
        now = type(run)(**{**vars_of(run), "comparability": changed})
        decision = held_against_baseline(now, answers(), "absolute", 0.05)
        assert decision.verdict is verdict
    plain = questions({"all": answered(RIGHT)})
    changed = type(COMPARABILITY)(**{**vars_of(COMPARABILITY), "plan": "z"})
    plain = type(plain)(**{**vars_of(plain), "comparability": changed})
    assert held_against_baseline(plain, answers(), "absolute", 0.05).verdict is Verdict.INVALID


@pytest.mark.parametrize("verdict", ["PASS", "REGRESSION"])
def test_a_stopped_run_has_the_verdict_that_it_settled(verdict):
    """What was taken may be too few by itself; the test knew how many were left."""
    letters = answered(80, 3, 2, 100) + "." * 20
    told = {
        "stopped": True,
        "verdicts": {"accuracy": {"reference": verdict}},
        "taken": 100,
        "of": 120,
    }
    before = questions({"all": answered(80, n=100) + "B" * 20}, case=REFERENCE)
    limits = Limits(reference=tolerance("absolute", 0.03))
    plain = decide(
        questions({"all": letters}, sequential={"stopped": True}),
        "accuracy",
        limits=limits,
        baseline=None,
        reference=before,
    )
    assert plain.verdict == INCONCLUSIVE
    now = questions({"all": letters}, sequential=told)
    assert (
        decide(now, "accuracy", limits=limits, baseline=None, reference=before).verdict == verdict
    )
