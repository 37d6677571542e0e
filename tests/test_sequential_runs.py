"""Sequential runs of real packages: where they stop, what they say, and what they must not change.

The right answers are made to be mostly the reference's, so that a damaged candidate loses some.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from quantgate.baselines.store import BaselineStore
from quantgate.corpora import Corpora
from quantgate.errors import InvalidMeasurement
from quantgate.items import NOT_ASKED, items_of
from quantgate.manifest.manifest import load_manifest
from quantgate.options import RunOptions
from quantgate.results import Verdict
from quantgate.session import GateSession
from quantgate.tasks.mmlu_items import LOGLIKELIHOOD
from tests.command_line import UNTIMED, Workspace
from tests.planted import Deeds
from tests.running import Silence, case_of, evaluator_in, mmlu_task
from tests.tiny_corpora import write_mmlu, write_text
from tests.tiny_models import Tiny, write_package

REFUSED = 4
QUESTIONS = 180
TASKS = ("mmlu", "perplexity.strided", "perplexity.genai_chunked", "kl_divergence")
VOLATILE = {"seconds", "kept"}
POLICY = """
[policy.mmlu.accuracy]
baseline = { absolute = 0.1 }
reference = { absolute = 0.3 }

[policy.perplexity.perplexity]
baseline = { relative = 0.05 }
reference = { relative = 0.1 }

[policy.kl_divergence.kl_mean]
baseline = { absolute = 0.002 }
reference = { absolute = 0.02 }
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    kinds = {
        "reference": Tiny(context=1024),
        "close": Tiny(context=1024, head="nbits"),
        "far": Tiny(context=1024, seed=1),
    }
    return {name: write_package(folder / name, kind) for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory, packages) -> tuple[Path, Path]:
    """Questions of which the reference answers eight of nine rightly, and a text."""
    folder = tmp_path_factory.mktemp("corpora")
    mmlu = write_mmlu(folder / "mmlu", questions=60)
    run = evaluator_in(folder / "cache").run(
        case_of(packages["reference"]), mmlu_task(mmlu, shots=0)
    )
    chosen = run.samples.decisions(run.items.items, LOGLIKELIHOOD).chosen
    letters: dict[str, list[str]] = {}
    for item, number in zip(run.items.items, chosen, strict=True):
        letters.setdefault(item.question.subject, []).append("ABCD"[number])
    for subject, right in letters.items():
        path = mmlu / "test" / f"{subject}_test.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        for number, (row, letter) in enumerate(zip(rows, right, strict=True)):
            row[-1] = letter if number % 9 else "ABCD"["ABCD".index(letter) - 1]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    return mmlu, write_text(folder / "text.txt")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(tmp_path, packages, corpora, cache):
    """Workspaces by the candidate's name."""

    def make(candidate: str) -> Workspace:
        mmlu, text = corpora
        number = len(list(tmp_path.iterdir()))
        workspace = Workspace(
            tmp_path / f"{candidate} {number}", reference=packages["reference"],
            candidate=packages[candidate], mmlu=mmlu, text=text, cache=cache,
        )  # fmt: skip
        manifest = workspace.manifest.read_text("utf-8")
        manifest = manifest.replace("window = 128\nstride = 64", "window = 32\nstride = 16")
        manifest = manifest.replace("window = 96", "window = 24")
        manifest = manifest.replace('degenerate = "warn"', 'degenerate = "warn"\nshots = 0')
        before, models = manifest.split("[policy", 1)[0], manifest.split("[[models]]", 1)[1]
        workspace.manifest.write_text(f"{before}{POLICY}\n[[models]]{models}", "utf-8")
        return workspace

    return make


class Opened:
    """A gate in this process, for the variant of a workspace."""

    def __init__(self, workspace: Workspace, cache: Path, *, sequential: bool = True, **more):
        manifest = load_manifest(workspace.manifest)
        folder = workspace.folder
        options = RunOptions(
            cache=cache, reports=folder / "reports", baselines=folder / "baselines",
            baseline_ref=None, update=False, reason="", accept_dataset=False, strict=False,
            inline=True, sequential=sequential, **more,
        )  # fmt: skip
        self.store = BaselineStore(options.baselines)
        self.session = GateSession(manifest, options, Corpora(manifest), self.store, Silence())
        self.reference, self.case = manifest.cases()

    def measure(self, task, case=None):
        return self.session.measure(case or self.case, task)

    def decide(self, task, case=None):
        """The verdicts of a measurement's gated figures."""
        case = case or self.case
        found = self.session.measure(case, task)
        metrics = self.session.gated(case, found)
        return {name: self.session.decide(case, found, name).verdict for name in metrics}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()


@pytest.fixture
def opened(make, cache):
    """Gates in this process; what the reference answers is kept for all of them."""

    def opened(candidate, **options):
        return Opened(make(candidate), options.pop("cache", cache), **options)

    return opened


def without_baseline(verdicts):
    """A pass against the reference is no pass as long as no baseline is stored."""
    return set(verdicts.values()) == {Verdict.NO_BASELINE}


def test_an_equal_candidate_stops_early_with_a_pass(opened):
    with opened("reference") as gate:
        for task in TASKS:
            found = gate.measure(task)
            told = found.detail["sequential"]
            assert (told["stopped"], told["verdict"], told["level"]) == (True, "PASS", 0.05)
            assert told["saved"] == told["of"] - told["taken"] > told["of"] / 2
            assert without_baseline(gate.decide(task))


def test_a_damaged_candidate_stops_early_with_a_regression(opened):
    with opened("far") as gate:
        found = gate.measure("mmlu")
        told = found.detail["sequential"]
        assert told["of"] == QUESTIONS
        assert (told["stopped"], told["verdict"]) == (True, "REGRESSION")
        assert told["against"] == "accuracy against the reference"
        assert told["taken"] < QUESTIONS / 2
        assert gate.decide("mmlu") == {"accuracy": Verdict.REGRESSION}
        divergence = gate.measure("kl_divergence").detail["sequential"]
        assert (divergence["stopped"], divergence["verdict"]) == (True, "REGRESSION")


def test_what_was_taken_is_counted_and_the_rest_is_marked_as_not_asked(opened):
    with opened("far") as gate:
        found = gate.measure("mmlu")
        taken = found.detail["sequential"]["taken"]
        items = items_of(found)
        assert (items.chosen != NOT_ASKED).sum() == taken == found.score("accuracy").n
        assert found.score("accuracy").value == items.correct[items.asked].mean()
        assert found.comparability.items == QUESTIONS
        shares = [
            items.asked[np.array(items.subjects) == name].mean() for name in {*items.subjects}
        ]
        assert np.ptp(shares) < 0.1
        assert not [score for score in found.scores if "." in score.metric]
        assert any("subjects and categories" in line for line in found.warnings)
        text = gate.measure("perplexity.strided")
        assert len(text.detail["windows"]) == text.detail["sequential"]["taken"]
        assert sum(window["n"] for window in text.detail["windows"]) == text.score("perplexity").n


def test_the_reference_is_held_over_the_same_items(opened):
    with opened("far") as gate:
        now = gate.measure("mmlu")
        before = gate.session._measurer.reference(gate.case, "mmlu")
        assert before.case_id == gate.reference.id
        assert np.array_equal(items_of(before).asked, items_of(now).asked)
        assert items_of(now).asked.sum() < QUESTIONS
        delta = now.score("accuracy").value - before.score("accuracy").value
        assert now.score("accuracy").paired_delta == pytest.approx(delta)


def test_a_run_that_is_not_stopped_finds_what_a_plain_one_finds(opened):
    """Without anything to test against, the reference is asked everything, in stages."""
    with opened("close") as gate, opened("close", sequential=False) as plain:
        for task in TASKS:
            found, expected = (
                gate.measure(task, gate.reference),
                plain.measure(task, gate.reference),
            )
            told = found.detail["sequential"]
            assert (told["stopped"], told["saved"], told["verdict"]) == (False, 0, None)
            assert any("nothing to test against" in line for line in found.warnings)
            assert [s.metric for s in found.scores] == [s.metric for s in expected.scores]
            for one, other in zip(found.scores, expected.scores, strict=True):
                assert one.value == pytest.approx(other.value, rel=1e-5, abs=1e-9), one.metric
                assert one.n == other.n
            plan = expected.comparability.plan
            assert found.comparability.plan != plan
            for name in ("protocol", "items", "ids_digest", "corpus", "tokenizer"):
                same = getattr(expected.comparability, name)
                assert getattr(found.comparability, name) == same


def test_nothing_is_asked_twice_and_a_second_run_is_the_same(opened, tmp_path):
    cache = tmp_path / "one cache"
    runs = []
    for _ in range(2):
        with opened("close", cache=cache) as gate:
            runs.append([gate.measure(task) for task in TASKS])
    for first, second in zip(*runs, strict=True):
        assert (first.scores, first.detail) == (second.scores, second.detail)
        assert first.comparability == second.comparability
    with opened("close", cache=cache) as gate:
        evaluator = gate.session._measurer._evaluator
        found = gate.measure("mmlu")
        asked = [
            {item.question.id for item in run.items.items}
            for (key, name), run in evaluator._results.items()
            if key == gate.case.id and name.startswith("mmlu ")
        ]
        assert sum(map(len, asked)) == len(set.union(*asked)) == found.score("accuracy").n


def test_an_ended_run_is_resumed_at_the_batch_where_it_ended(opened, tmp_path, monkeypatch):
    whole = Deeds()
    with monkeypatch.context() as patch:
        whole.plant(patch)
        with opened("far", cache=tmp_path / "whole") as gate:
            expected = gate.measure("mmlu")
    cache = tmp_path / "ended"
    cut = Deeds(fails_at=len(whole.asked) - 1)
    with monkeypatch.context() as patch:
        cut.plant(patch)
        gate = opened("far", cache=cache)
        with pytest.raises(InvalidMeasurement, match="luck"):
            gate.measure("mmlu")
        gate.session.close(in_order=False)
    rest = Deeds()
    with monkeypatch.context() as patch:
        rest.plant(patch)
        with opened("far", cache=cache) as gate:
            found = gate.measure("mmlu")
    assert (found.scores, found.detail) == (expected.scores, expected.detail)
    assert len(rest.asked) < len(whole.asked)


def accepted(make, suites) -> Workspace:
    """A workspace whose figures of these suites are stored, with their items."""
    workspace = make("close")
    stored = workspace.run("-m", suites, "--gate-update-baselines", "--gate-reason=first")
    assert stored.results is not None, stored.text
    return workspace


def test_stored_items_are_tested_against_and_an_unchanged_case_stops(make):
    workspace = accepted(make, f"not agreement and {UNTIMED}")
    with Opened(workspace, workspace.cache) as gate:
        for task in TASKS:
            for case in (gate.reference, gate.case):
                told = gate.measure(task, case).detail["sequential"]
                assert told["stopped"], (task, case.id)
                assert told["taken"] < told["of"] / 2
                assert told["verdicts"]
                assert all(
                    verdict == "PASS"
                    for found in told["verdicts"].values()
                    for verdict in found.values()
                )
                assert set(gate.decide(task, case).values()) == {Verdict.PASS}
        assert "baseline" in gate.measure("mmlu").detail["sequential"]["against"]


def test_a_stored_baseline_is_settled_even_where_its_policy_is_gone(make):
    workspace = accepted(make, "perplexity")
    policy = POLICY.index("[policy.perplexity.perplexity]"), POLICY.index("[policy.kl_divergence")
    workspace.edit(POLICY[slice(*policy)], "")
    with Opened(workspace, workspace.cache) as gate:
        told = gate.measure("perplexity.strided").detail["sequential"]
        assert told["stopped"]
        assert told["verdicts"] == {"perplexity": {"baseline": "PASS"}}
        assert gate.decide("perplexity.strided") == {"perplexity": Verdict.PASS}
        gate.store.items_path(gate.case).unlink()
    with Opened(workspace, workspace.cache) as gate:
        found = gate.measure("perplexity.strided")
        assert not found.detail["sequential"]["stopped"]
        assert any("keeps no items" in line for line in found.warnings)
        assert gate.decide("perplexity.strided") == {"perplexity": Verdict.PASS}


def test_a_policy_of_subjects_alone_is_asked_in_full(make):
    """A part of the questions would be decided by its accuracy, which nobody limits."""
    workspace = accepted(make, "mmlu")
    workspace.edit("[policy.mmlu.accuracy]", "[policy.mmlu.subject]")
    with Opened(workspace, workspace.cache) as gate:
        assert not gate.measure("mmlu").detail["sequential"]["stopped"]
        assert all(name.startswith("subject.") for name in gate.decide("mmlu"))


def test_what_has_no_sequential_test_is_asked_in_full(make, cache):
    workspace = make("reference")
    workspace.edit(
        "[policy.kl_divergence.kl_mean]",
        "[policy.kl_divergence.kl_p99]\nreference = { absolute = 1 }\n\n"
        "[policy.mmlu.accuracy_macro]\nreference = { absolute = 0.5 }\n\n"
        "[policy.kl_divergence.kl_mean]",
    )
    with Opened(workspace, cache) as gate:
        for task in TASKS:
            found = gate.measure(task)
            assert not found.detail["sequential"]["stopped"]
            assert any("has no sequential test" in line for line in found.warnings)


def test_an_absolute_perplexity_needs_the_reference_to_be_complete(make, cache):
    workspace = make("reference")
    workspace.edit("reference = { relative = 0.1 }", "reference = { absolute = 1000 }")
    with Opened(workspace, cache) as gate:
        found = gate.measure("perplexity.strided")
        assert not found.detail["sequential"]["stopped"]
        assert any("give a relative tolerance" in line for line in found.warnings)


def test_repetitions_are_asked_what_their_case_was(opened):
    with opened("reference", repeats=1) as gate:
        found = gate.measure("mmlu")
        assert found.detail["sequential"]["stopped"]
        assert found.score("accuracy").noise is not None
        assert found.score("accuracy").noise < 0.02


def test_two_workers_stop_at_the_same_items(make):
    outcomes = []
    for words in ((), ("-n", "2")):
        workspace = make("far")
        outcomes.append(workspace.run("-m", "mmlu or kl_divergence", "--gate-sequential", *words))
    alone, spread = (
        sorted(outcome.results["measurements"], key=lambda m: (m["case_id"], m["task"]))
        for outcome in outcomes
    )
    for one, other in zip(alone, spread, strict=True):
        assert one["detail"] == other["detail"]
        assert one["scores"] == other["scores"]
    stopped = [m["task"] for m in alone if m["detail"]["sequential"]["stopped"]]
    assert "mmlu" in stopped
    assert outcomes[0].decisions().keys() == outcomes[1].decisions().keys()


def test_a_part_is_no_baseline(make):
    outcome = make("close").run(
        "--gate-sequential", "--gate-update-baselines", "--gate-reason=first"
    )
    assert outcome.status == REFUSED
    assert "update-sequential" in outcome.text
