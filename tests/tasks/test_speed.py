"""Turns, ratios and medians of timed rounds, held against sums done by hand."""

from __future__ import annotations

import statistics
from itertools import groupby

import numpy as np
import pytest

from quantgate.benchmarking import pace_of
from quantgate.errors import InvalidMeasurement
from quantgate.results import Direction
from quantgate.tasks.prompt_ids import Prompts
from quantgate.tasks.speed import SpeedSamples, speed_detail, speed_scores
from quantgate.tasks.turns import Round, Side, plain_pace, take_turns
from tests.tasks.fake_sessions import FakeSession

PROMPTS = Prompts(tuple(range(8)), (tuple(range(4)), tuple(range(16))))
NEW = 5
REFERENCE, CANDIDATE = "R", "C"


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    """Sessions here take no processor time, so nothing has to come to rest."""
    monkeypatch.setattr("quantgate.tasks.turns.REST_SECONDS", 0)


def timed(seconds, rounds=9, pace=plain_pace):
    """Sides that took their turns, and who did in which order, warm-ups first."""
    log: list[str] = []
    ours, theirs = (
        Side(FakeSession(name, log, seconds), PROMPTS, NEW) for name in (CANDIDATE, REFERENCE)
    )
    take_turns(ours, theirs, pace, rounds)
    return SpeedSamples(tuple(ours.rounds), tuple(theirs.rounds)), "".join(log)


def medians(samples):
    return {metric: float(np.median(each)) for metric, each in samples.speedups.items()}


@pytest.mark.parametrize(
    ("rounds", "order"), [(3, "RCCRRC"), (4, "RCCRRCCR"), (5, "RCCRRCCRRC"), (6, "RCCRRCCRRCCR")]
)
def test_each_goes_first_as_often_as_the_other(rounds, order):
    samples, log = timed(lambda name, call: 1.0, rounds)
    assert log == "RC" + order  # after the warm-up
    assert len(samples.candidate) == len(samples.reference) == rounds
    assert max(len(list(run)) for _, run in groupby(order)) == 2


def test_the_machine_rests_wherever_a_side_follows_the_other(monkeypatch):
    log: list[str] = []
    monkeypatch.setattr("quantgate.tasks.turns.time.sleep", lambda seconds: log.append("."))
    ours, theirs = (
        Side(FakeSession(name, log, lambda name, call: 1.0), PROMPTS, NEW)
        for name in (CANDIDATE, REFERENCE)
    )
    take_turns(ours, theirs, plain_pace, 4)
    turns = "".join(log).removeprefix("RC").replace("..", ".")
    assert "RC" not in turns
    assert "CR" not in turns


def test_speedup_is_the_references_time_over_the_candidates():
    samples, _ = timed(lambda name, call: {REFERENCE: 0.3, CANDIDATE: 0.2}[name])
    assert set(samples.speedups) == {
        "generation_speedup", "first_token_speedup", "prefill_speedup.4", "prefill_speedup.16",
    }  # fmt: skip
    for ratios in samples.speedups.values():
        assert ratios == pytest.approx(np.full(9, 1.5))


def test_steady_drift_cancels():
    """A machine that gets 5 % slower with every turn: always going first would gain as much."""
    samples, _ = timed(lambda name, call: 1.05**call, 40)
    one_way = 1 / 1.05
    for ratio in medians(samples).values():
        assert ratio == pytest.approx(1.0, abs=0.05 * (1 - one_way))
    both = samples.speedups["generation_speedup"]
    assert set(np.round(both, 6)) == {round(one_way, 6), round(1.05, 6)}


def test_disturbances_favour_neither_side():
    """One turn in five takes up to four times as long, whoever's it is."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        noise = np.where(rng.random(64) < 0.2, rng.uniform(1, 4, 64), rng.uniform(1, 1.1, 64))
        samples, _ = timed(lambda name, call, noise=noise: float(noise[call]))
        found.append(medians(samples)["generation_speedup"])
    logs = np.log(found)
    assert abs(logs.mean()) < 3 * logs.std(ddof=1) / np.sqrt(len(logs))


def test_a_round_does_what_it_says():
    log: list[str] = []
    session = FakeSession(CANDIDATE, log, lambda name, call: 0.5)
    side = Side(session, PROMPTS, NEW)
    side.whole()
    generation, *reads = session.orders
    assert (generation.rounds, generation.limit, generation.stop_ids) == (
        (PROMPTS.prompt,),
        NEW,
        (),
    )
    assert [(order.rounds[0], order.limit) for order in reads] == [
        (ids, 1) for ids in PROMPTS.reads
    ]
    assert side.rounds == [Round(0.5, 0.5 * (NEW - 1), NEW - 1, {4: 0.5, 16: 0.5})]


def test_scores_are_medians_of_rates_without_the_first_token():
    times = [0.2, 0.1, 0.4]
    rounds = tuple(Round(t, 10 * t, 20, {64: 2 * t}) for t in times)
    samples = SpeedSamples(rounds, tuple(Round(1.0, 10.0, 20, {64: 2.0}) for _ in times))
    scores = {score.metric: score for score in speed_scores(samples)}
    middle = statistics.median(times)
    assert scores["generation_tokens_per_s"].value == pytest.approx(20 / (10 * middle))
    assert scores["prefill_tokens_per_s.64"].value == pytest.approx(64 / (2 * middle))
    assert scores["first_token_s"].value == pytest.approx(middle)
    assert scores["first_token_s"].direction is Direction.LOWER
    assert scores["generation_speedup"].value == pytest.approx(1 / middle)
    assert next(iter(scores)) == "generation_speedup"
    detail = speed_detail(samples, PROMPTS, "tiny-fp32-ort-cpu")
    assert detail["paired_rounds"]["generation_speedup"] == pytest.approx([1 / t for t in times])
    low, _, high = detail["quartiles"]["candidate"]["first_token_s"]
    assert (low, high) == pytest.approx(tuple(np.percentile(times, [25, 75])))


@pytest.mark.parametrize("taken", [0.0, -1.0, float("nan")])
def test_a_clock_that_stands_still_is_no_speed(taken):
    with pytest.raises(InvalidMeasurement) as caught:
        timed(lambda name, call: taken)
    assert caught.value.code == "clock-stopped"


def test_rounds_without_a_partner_are_refused():
    one = Round(1.0, 1.0, 1, {})
    with pytest.raises(ValueError, match="zip"):
        _ = SpeedSamples((one, one), (one,)).speedups


def test_benchmark_times_generations_of_the_candidate_alone(benchmark):
    samples, log = timed(lambda name, call: 1.0, 4, pace_of(benchmark))
    assert log == "RC" + "RCCRRCCR"
    if benchmark.enabled:
        assert benchmark.stats.stats.rounds == 4
    assert len(samples.candidate) == 4


def test_benchmark_that_is_switched_off_leaves_all_rounds():
    class Disabled:
        enabled = False

        def pedantic(self, target, args):
            target(*args)

    for benchmark in (None, Disabled()):
        samples, _ = timed(lambda name, call: 1.0, 4, pace_of(benchmark))
        assert len(samples.candidate) == 4
