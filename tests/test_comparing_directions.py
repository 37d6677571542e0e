"""Which way a baseline's figures get better, told by their names as their own tasks tell it.

Figures come from the tasks themselves, on made-up answers, so a metric that is added to a task or
to `suites.METRICS` is either known by its name or fails here.
"""

from __future__ import annotations

import numpy as np
import pytest

from quantgate.baselines.sets import BaselineSet
from quantgate.comparing.compare import compare
from quantgate.comparing.comparison import Outcome
from quantgate.comparing.sides import direction_of, side_of_baselines
from quantgate.corpus.questions import Question
from quantgate.corpus.text import Document
from quantgate.packages.sizes import Sizes
from quantgate.results import Direction, Measurement, Score
from quantgate.suites import (
    AGREEMENT,
    GENERATION,
    KL_DIVERGENCE,
    MEMORY,
    METRICS,
    MMLU,
    PERPLEXITY,
    SPEED,
)
from quantgate.tasks.agreement import AgreementSamples, agreement_scores
from quantgate.tasks.generation import GenerationSamples
from quantgate.tasks.generation_scores import generation_scores
from quantgate.tasks.memory import Footprint, memory_scores
from quantgate.tasks.mmlu import MmluSamples
from quantgate.tasks.mmlu_items import GREEDY, LOGLIKELIHOOD, MmluItem, MmluItems
from quantgate.tasks.mmlu_scores import mmlu_scores
from quantgate.tasks.rolling import RollingItems, RollingSamples
from quantgate.tasks.rolling_scores import rolling_scores
from quantgate.tasks.speed import SpeedSamples, speed_scores
from quantgate.tasks.stops import Answer
from quantgate.tasks.text_pass import DivergenceSamples, TextItems, TextSamples
from quantgate.tasks.text_scores import divergence_scores, perplexity_score
from quantgate.tasks.turns import Round
from quantgate.tasks.windows import STRIDED, make_windows
from tests.test_comparing import only, stored
from tests.test_speed_gate import speed

QUIET = np.array([1.01, 0.99, 1.0, 1.02, 0.98])


def of_mmlu() -> list[Score]:
    """By either decision, each of which tells the other's accuracy beside its own."""
    questions = [Question("anatomy", row, "?", ("x", "y"), row % 2) for row in range(4)]
    items = tuple(MmluItem(each, (1, 2), ((3,), (4,)), 0, 2) for each in questions)
    samples = MmluSamples(np.array([[-1.0, -2.0]] * 4), ("A", "B", "A", "B"))
    return [
        score
        for decision in (LOGLIKELIHOOD, GREEDY)
        for score in mmlu_scores(samples, MmluItems(items, ()), decision, None)
    ]


def text() -> tuple[TextSamples, TextItems]:
    windows = make_windows(64, window=32, stride=16, kl_window=16)
    each = np.linspace(-3.0, -1.0, 64)
    found = DivergenceSamples(-each, -each, np.ones(64))
    return TextSamples(each, each, each, found), TextItems(np.arange(64), windows)


def of_perplexity() -> list[Score]:
    samples, items = text()
    documents = (Document("one two", "one two"), Document("three", "three"))
    rolling = RollingItems(((9, 1, 2), (9, 3, 4)), "<s>", documents, 2)
    return [
        perplexity_score(samples, items, STRIDED, None),
        *rolling_scores(RollingSamples(np.full(4, -2.0)), rolling, None),
    ]


def of_divergence() -> list[Score]:
    samples, items = text()
    assert samples.divergence is not None
    return list(divergence_scores(samples, samples.divergence, items, samples))


def of_agreement() -> list[Score]:
    samples = AgreementSamples(np.array([-1.0, -2.0]), np.array([1, 2]), 0.0)
    return list(agreement_scores(samples, samples, 0.1))


def of_generation() -> list[Score]:
    samples = GenerationSamples(((Answer((1, 2), "ab", "limit"),),) * 2)
    return list(generation_scores(samples, samples))


def of_speed() -> list[Score]:
    rounds = tuple(Round(1.0, 10.0, 20, {64: 2.0, 4096: 9.0}) for _ in range(3))
    return list(speed_scores(SpeedSamples(rounds, rounds)))


def of_memory() -> list[Score]:
    footprint = Footprint(100, 90, 120, Sizes(1, 1000, 5, 0), device_mib=70)
    return list(memory_scores(footprint, footprint))


SCORES = {
    MMLU: of_mmlu,
    PERPLEXITY: of_perplexity,
    KL_DIVERGENCE: of_divergence,
    AGREEMENT: of_agreement,
    GENERATION: of_generation,
    SPEED: of_speed,
    MEMORY: of_memory,
}


@pytest.mark.parametrize("suite", METRICS)
def test_direction_by_name_is_that_of_the_task(suite):
    scores = SCORES[suite]()
    families = {score.metric.partition(".")[0] for score in scores}
    assert set(METRICS[suite]) <= families, "a metric that may be gated wasn't looked at"
    for score in scores:
        assert direction_of(score.metric) is score.direction, score.metric


def test_subject_is_higher_whatever_its_name():
    assert direction_of("subject.time_s") is Direction.HIGHER


def of_baselines(measurement: Measurement):
    return side_of_baselines(BaselineSet("baselines", stored(measurement)))


@pytest.mark.parametrize(("factor", "outcome"), [(1.5, Outcome.BETTER), (0.5, Outcome.WORSE)])
def test_speedup_of_baselines_grows_for_the_better(factor, outcome):
    comparison = compare(of_baselines(speed(QUIET)), of_baselines(speed(QUIET * factor)))
    row = only(comparison, "generation_speedup")
    assert row.delta == pytest.approx(factor - 1)
    assert row.outcome is outcome


def test_change_whose_interval_has_0_in_it_is_noise():
    """The bootstrap's interval of two medians may be lopsided, where Student's p-value isn't."""
    before = speed(np.array([0.93, 0.94, 0.97, 1.05, 1.08, 1.1, 1.23]))
    now = speed(np.array([0.64, 0.71, 0.8, 0.82, 0.85, 1.01, 1.1]))
    row = only(compare(of_baselines(before), of_baselines(now)), "generation_speedup")
    assert row.p_value < 0.05
    assert row.evidence.low < 0 < row.evidence.high
    assert row.outcome is Outcome.NOISE
