"""What paired items say: held against counts and definitions written out here."""

import math
import statistics

import numpy as np
import pytest
from scipy import stats as scipy_stats

from quantgate import stats
from quantgate.gate.evidence import adjusted_p_value, bounds, harm, pair, unchanged
from quantgate.gate.pairing import figure, ideal, mismatch, restrict
from quantgate.items import NOT_ASKED, ChoiceItems, WindowItems, items_of
from quantgate.results import Direction
from tests.paired_items import answered, divergence, questions, text


def evidence(now, before, metric="accuracy", allowed=0.01):
    return pair(metric, now.score(metric), items_of(now), items_of(before), "baseline", allowed)


def one(letters):
    return questions({"all": letters})


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "won"), [(30, 12), (12, 30), (5, 5), (1, 0), (40, 0)])
def test_answers_are_counted_and_tested(lost, won):
    n = 1000
    found = evidence(one(answered(800, lost, won)), one(answered(800)))
    changes = [-1] * lost + [1] * won + [0] * (n - lost - won)
    stderr = statistics.stdev(changes) / math.sqrt(n)
    assert (found.lost, found.won, found.n, found.clusters) == (lost, won, n, n)
    assert found.delta == pytest.approx((won - lost) / n, abs=1e-15)
    assert found.stderr == pytest.approx(stderr, rel=1e-12)
    half = scipy_stats.t.ppf(0.975, n - 1) * stderr
    assert (found.low, found.high) == pytest.approx((found.delta - half, found.delta + half))
    exact = scipy_stats.binomtest(lost, lost + won, 0.5).pvalue
    assert found.p_value == pytest.approx(exact, rel=1e-12)
    assert found.detectable == stats.paired_detectable(lost, won, n)
    assert found.method == "exact McNemar, 1,000 questions"
    assert (found.scale, found.against, found.allowed) == ("fraction", "baseline", 0.01)


def test_bounds_are_one_sided():
    found = evidence(one(answered(800, 30, 12)), one(answered(800)))
    half = scipy_stats.t.ppf(0.95, 999) * found.stderr
    assert harm(found, Direction.HIGHER) == pytest.approx(0.018)
    assert bounds(found, Direction.HIGHER) == pytest.approx((0.018 - half, 0.018 + half))
    assert bounds(found, Direction.LOWER) == pytest.approx((-0.018 - half, -0.018 + half))


def test_identical_answers_change_nothing_but_could_have():
    found = evidence(one(answered(800)), one(answered(800)))
    assert unchanged(found)
    assert (found.low, found.high, found.p_value) == (0.0, 0.0, 1.0)
    assert found.detectable > 0
    swapped = evidence(one(answered(800, 3, 3)), one(answered(800)))
    assert swapped.delta == 0
    assert not unchanged(swapped)


def test_groups_are_paired_by_themselves():
    before = {"anatomy": "A" * 40, "astronomy": "A" * 60}
    now = {"anatomy": "B" * 5 + "A" * 35, "astronomy": "B" + "A" * 59}
    runs = questions(now), questions(before)
    counts = {
        metric: (found.lost, found.n)
        for metric in ("accuracy", "subject.anatomy", "subject.astronomy")
        if (found := evidence(*runs, metric))
    }
    assert counts == {
        "accuracy": (6, 100),
        "subject.anatomy": (5, 40),
        "subject.astronomy": (1, 60),
    }
    score = runs[0].score("accuracy")
    items = items_of(runs[0]), items_of(runs[1])
    # Anatomy is STEM in lm-evaluation-harness only.
    other, stem = (pair(f"category.{c}", score, *items, "baseline", 0.1) for c in ("other", "stem"))
    assert (other.lost, stem.lost) == (5, 1)
    for metric in ("accuracy_macro", "accuracy_greedy", "subject", "subject.", "category.arts"):
        assert pair(metric, score, *items, "baseline", 0.1) is None


def test_only_what_was_asked_on_both_sides_is_paired():
    now, before = one("AB.AB" * 20), one("AAB.B" * 20)
    found = evidence(now, before)
    assert (found.n, found.lost, found.won) == (60, 20, 0)


def test_unreadable_answers_were_asked():
    found = evidence(one("-" * 10 + "A" * 10), one("A" * 20))
    assert (found.n, found.lost) == (20, 10)


def test_other_questions_are_not_paired():
    before = items_of(one("A" * 20))
    score = one("A" * 21).score("accuracy")
    longer, renamed = items_of(one("A" * 21)), items_of(questions({"other": "A" * 20}))
    other_gold = ChoiceItems(before.subjects, before.chosen, before.gold + np.int8(1))
    for now, words in ((longer, "21 now"), (renamed, "subjects"), (other_gold, "20 of the")):
        assert words in mismatch(now, before)
        assert pair("accuracy", score, now, before, "baseline", 0.1) is None
    windows = items_of(text([512.0, 512.0]))
    assert "windows" in mismatch(before, windows)
    assert pair("accuracy", score, before, windows, "baseline", 0.1) is None
    assert mismatch(before, before) == ""


def test_one_question_has_no_error():
    assert evidence(one("A"), one("B")) is None


# --- many at once -------------------------------------------------------------------------------


def test_p_values_of_subjects_are_corrected_for_their_number():
    lost = {"anatomy": 12, "astronomy": 9, "marketing": 7, "virology": 1}
    before = questions(dict.fromkeys(lost, "A" * 40))
    now = questions({name: "B" * count + "A" * (40 - count) for name, count in lost.items()})
    items = items_of(now), items_of(before)
    # Holm by hand: p-values in order, times 4, 3, 2, 1, none below the one before it.
    raw = {name: min(1.0, 2 * 0.5**count) for name, count in lost.items()}
    adjusted, least = {}, 0.0
    for rank, name in enumerate(sorted(raw, key=raw.__getitem__)):
        least = max(least, min(1.0, raw[name] * (4 - rank)))
        adjusted[name] = least
    for name, expected in adjusted.items():
        assert adjusted_p_value(f"subject.{name}", *items) == pytest.approx(expected, rel=1e-12)
    # By category: anatomy and virology are `other` like marketing, astronomy is alone.
    p_values = [2 * 0.5**20, 2 * 0.5**9]
    expected = [min(1.0, p_values[0] * 2), p_values[1]]
    found = [adjusted_p_value(f"category.{name}", *items) for name in ("other", "stem")]
    assert found == pytest.approx(expected, rel=1e-12)
    assert adjusted_p_value("accuracy", *items) is None
    assert adjusted_p_value("subject.unknown", *items) is None


# --- texts --------------------------------------------------------------------------------------

BEFORE = [500.0 + 7 * math.sin(number) for number in range(40)]
NOW = [nats + 5 + math.cos(3 * number) for number, nats in enumerate(BEFORE)]


def test_perplexities_are_paired_on_the_log_scale():
    now, before = text(NOW), text(BEFORE)
    found = evidence(now, before, "perplexity")
    ratio = now.score("perplexity").value / before.score("perplexity").value
    assert found.delta == pytest.approx(math.log(ratio), rel=1e-12)
    assert (found.scale, found.lost, found.n) == ("nats/token", None, 40 * 512)
    differences = [a - b for a, b in zip(NOW, BEFORE, strict=True)]
    estimate = stats.clustered_ratio(differences, [512.0] * 40)
    assert (found.stderr, found.low, found.high) == pytest.approx(
        (estimate.stderr, estimate.low, estimate.high)
    )
    assert found.detectable == stats.detectable(found.stderr, clusters=found.clusters)
    assert found.p_value == pytest.approx(
        2 * scipy_stats.t.sf(abs(found.delta / found.stderr), found.clusters - 1), rel=1e-9
    )
    freedom = found.clusters - 1
    assert freedom < 10, "windows are like their neighbours"
    assert found.method == f"Student's t, {freedom} degrees of freedom, 40 neighbouring windows"


def test_windows_are_taken_in_the_texts_order():
    shuffled = np.random.default_rng(1).permutation(40)
    begins = (512 * shuffled).tolist()
    mixed = [text([nats[i] for i in shuffled], begins=begins) for nats in (NOW, BEFORE)]
    plain = evidence(text(NOW), text(BEFORE), "perplexity")
    assert evidence(*mixed, "perplexity").stderr == pytest.approx(plain.stderr, rel=1e-9)


def test_other_windows_are_not_paired():
    now, before = items_of(text(NOW)), items_of(text(BEFORE))
    score = text(NOW).score("perplexity")
    fewer = items_of(text(BEFORE[:-1]))
    smaller = items_of(text(BEFORE, 511, begins=[512 * number for number in range(40)]))
    for other in (fewer, smaller):
        assert mismatch(now, other)
        assert pair("perplexity", score, now, other, "baseline", 0.1) is None
    assert pair("kl_mean", score, now, before, "baseline", 0.1) is None
    alone = items_of(text([500.0]))
    assert pair("perplexity", score, alone, alone, "baseline", 0.1) is None


def test_documents_are_paired_by_word_and_byte():
    def rolling(nats):
        rows = [
            {"ids": 10, "words": 5 + number, "bytes": 30 + number, "nll_nats": nll}
            for number, nll in enumerate(nats)
        ]
        return {"documents": rows}

    before = [40.0 + number for number in range(12)]
    now = [nats + 1 + number % 3 for number, nats in enumerate(before)]
    runs = [text([1.0, 1.0], **rolling(nats)) for nats in (now, before)]
    items = [items_of(run) for run in runs]
    more = sum(now) - sum(before)
    words, size = sum(range(5, 17)), sum(range(30, 42))
    expected = {
        "word_perplexity": (more / words, "nats/word"),
        "byte_perplexity": (more / size, "nats/byte"),
        "bits_per_byte": (more / size / math.log(2), "bits/byte"),
    }
    for metric, (delta, scale) in expected.items():
        unit = "bits/byte" if metric == "bits_per_byte" else "perplexity"
        score = runs[0].scores[0]
        score = type(score)(metric=metric, value=1.0, n=120, unit=unit, direction=Direction.LOWER)
        found = pair(metric, score, *items, "reference", None)
        assert found.delta == pytest.approx(delta, rel=1e-12)
        assert (found.scale, found.allowed) == (scale, None)
        freedom = found.clusters - 1
        assert found.method == f"Student's t, {freedom} degrees of freedom, 12 documents"


def test_divergence_against_its_ideal_is_one_sample():
    means = [0.01 + 0.001 * math.sin(number) for number in range(32)]
    run = divergence(means)
    items = items_of(run)
    kl = pair("kl_mean", run.score("kl_mean"), items, ideal(items, 0.0), "reference", 0.02)
    assert kl.delta == pytest.approx(statistics.fmean(means), rel=1e-12)
    assert kl.scale == "nats"
    estimate = stats.clustered_ratio([mean * 512 for mean in means], [512.0] * 32)
    assert kl.stderr == pytest.approx(estimate.stderr, rel=1e-9)
    top = run.score("top1_agreement")
    agreement = pair("top1_agreement", top, items, ideal(items, 1.0), "reference", 0.2)
    assert (agreement.delta, agreement.scale) == (pytest.approx(-0.1), "fraction")
    assert harm(agreement, Direction.HIGHER) == pytest.approx(0.1)
    assert pair("kl_median", run.score("kl_median"), items, items, "baseline", 0.1) is None


# --- what a figure is over some items -----------------------------------------------------------


def test_figures_of_items_are_the_measurements_own():
    for run in (questions({"a": "AAB", "b": "AB"}), text(NOW), divergence([0.1, 0.2])):
        for score in run.scores:
            found = figure(score.metric, items_of(run))
            assert found is None or found == pytest.approx(score.value, rel=1e-12)
    assert figure("subject.b", items_of(questions({"a": "AAB", "b": "AB"}))) == 0.5
    assert figure("accuracy_macro", items_of(one("AB"))) is None
    assert figure("subject.b", items_of(questions({"a": "A", "b": ".."}))) is None
    huge = WindowItems(np.arange(2), {"perplexity": np.ones(2)}, {"perplexity": np.full(2, 1e4)})
    assert figure("perplexity", huge) == math.inf


def test_restricting_keeps_what_was_taken():
    whole = items_of(questions({"a": "AAB", "b": "AB"}))
    part = restrict(whole, items_of(questions({"a": "A.B", "b": ".B"})))
    assert part.chosen.tolist() == [0, NOT_ASKED, 1, NOT_ASKED, 1]
    assert figure("accuracy", part) == pytest.approx(1 / 3)
    taken = items_of(text(NOW[4:8:2], begins=[512 * 6, 512 * 4]))
    part = restrict(items_of(text(BEFORE)), taken)
    assert part.begins.tolist() == [512 * 6, 512 * 4]
    assert part.sums["perplexity"].tolist() == [BEFORE[6], BEFORE[4]]
    assert mismatch(taken, part) == ""
    unknown = items_of(text(NOW[:2], begins=[7, 512]))
    assert mismatch(unknown, restrict(items_of(text(BEFORE)), unknown))
