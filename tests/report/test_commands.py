"""Commands to paste: of one case each, with the run's own options, and with nothing foreign."""

import shlex

import pytest

from quantgate.report.commands import (
    accept_commands,
    baseline_files,
    left_to_add,
    reproduce_commands,
)
from quantgate.results import Verdict
from tests.planted_runs import CASE, PERPLEXITY, decide, run_of

OTHER = "tiny-int8-ortgenai-cpu"
FAILING = [
    PERPLEXITY,
    decide(Verdict.REGRESSION),
    decide(Verdict.REGRESSION, "max_difference", task="agreement", case_id=OTHER),
    decide(Verdict.REGRESSION, "subject.anatomy"),
]


def run_with(**options):
    given = {f"--gate-{name.replace('_', '-')}": value for name, value in options.items()}
    return run_of(FAILING, facts={"options": given})


def test_a_command_is_of_one_case_and_all_its_failing_suites():
    assert reproduce_commands(run_with(), FAILING) == [
        f'quantgate run -m "mmlu or perplexity" -k "[{CASE}]"',
        f'quantgate run -m agreement -k "[{OTHER}]"',
    ]


def test_accepting_is_no_wider_than_reproducing():
    run = run_with(threads=2, limit=5)
    both = zip(reproduce_commands(run, FAILING), accept_commands(run, FAILING), strict=True)
    for again, accept in both:
        assert again.endswith("--gate-limit=5 --gate-threads=2")
        words = ["--gate-update-baselines", "--gate-reason", "..."]
        assert shlex.split(accept) == [*shlex.split(again), *words]


def test_nothing_is_accepted_of_a_run_in_stages():
    run = run_with(sequential=True)
    assert all("--gate-sequential" in each for each in reproduce_commands(run, FAILING))
    assert not any("--gate-sequential" in each for each in accept_commands(run, FAILING))


@pytest.mark.parametrize(
    ("options", "words", "left"),
    [
        ({"config": "quantgate.toml"}, [], []),
        ({"config": "damaged.toml"}, ["--gate-config=damaged.toml"], []),
        ({"config": "in/a/folder.toml"}, [], ["--gate-config"]),
        ({"text": "$(x)", "model": ["a=b"]}, [], ["--gate-model", "--gate-text"]),
    ],
)
def test_paths_are_repeated_where_they_are_plain_and_named_where_not(options, words, left):
    run = run_with(**options)
    (command,) = reproduce_commands(run, [PERPLEXITY])
    assert shlex.split(command)[6:] == words
    assert left_to_add(run) == left


def test_the_files_that_accepting_rewrites_are_named():
    names = ["tiny/int4-ort-cpu.json", "tiny/int8-ortgenai-cpu.json"]
    assert baseline_files(run_with(), FAILING) == [f"baselines/{name}" for name in names]
    assert baseline_files(run_with(baselines="mine"), FAILING) == [f"mine/{name}" for name in names]
    assert baseline_files(run_with(), [decide(Verdict.REGRESSION, case_id="../../x")]) == []


@pytest.mark.parametrize("case", ["a" * 300 + "-b-ort-cpu", "A-b-c-d", "a-b-c-d\n"])
def test_fault_70_other_names_make_no_command(case):
    failing = [decide(Verdict.REGRESSION, case_id=case)]
    assert reproduce_commands(run_with(), failing) == accept_commands(run_with(), failing) == []
