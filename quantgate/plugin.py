"""The pytest plugin: options, markers, and the gate where a manifest is in force."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from quantgate.benchmarking import NoBenchmark
from quantgate.comparing.plugin import add_comparison, expect_first_run
from quantgate.errors import UsageFault
from quantgate.gate_plugin import GATE, REFUSED, GatePlugin, refuse
from quantgate.marks import OTHER_MARKERS, SUITE_MARKERS, suite_of
from quantgate.option_table import OPTIONS, add_options
from quantgate.options import read_manifest, run_options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the `--gate-*` options."""
    add_options(parser)


def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Refuse `--gate-… PATH` in two words where it has led pytest to another root folder.

    pytest looks for its settings beside every existing path among the words that it doesn't know
    yet, and at that time it knows no plugin's options; `--gate-…=PATH` in one word is safe.
    """
    expect_first_run(early_config)
    words = {name for name, keywords in OPTIONS if keywords.get("action") != "store_true"}
    for option, value in itertools.pairwise(args):
        if option in words and Path(value).exists() and early_config.inipath is None:
            raise pytest.UsageError(
                f"write {option}={value} in one word: in two, pytest takes the path for a test "
                f"folder and looks for its settings there (it found root {early_config.rootpath})"
            )


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Under `-n`, keep the tests of one case on one worker unless told otherwise.

    pytest-xdist would spread them, and a model would load on every worker.
    """
    option = config.option
    if getattr(option, "numprocesses", None) and option.dist == "no":
        option.dist = "loadgroup"
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register markers; where a manifest is in force, the gate."""
    for name, meaning in {**SUITE_MARKERS, **OTHER_MARKERS}.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    if not config.pluginmanager.hasplugin("benchmark"):
        config.pluginmanager.register(NoBenchmark(), "quantgate-no-benchmark")
    if config.getoption("help", default=False) or config.getoption("markers", default=False):
        return
    try:
        manifest = read_manifest(config)
        if manifest is not None:
            from quantgate.suites import require_known_metrics

            require_known_metrics(manifest)
            plugin = GatePlugin(config, manifest, run_options(config, manifest))
            config.stash[GATE] = plugin
            config.pluginmanager.register(plugin, "quantgate-run")
            add_comparison(config, plugin.options)
    except UsageFault as fault:
        refuse(config, str(fault))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize the suites' tests by the manifest's cases."""
    suite = suite_of(metafunc.definition)
    if suite is None:
        return
    gate = metafunc.config.stash.get(GATE, None)
    cases = [] if gate is None else gate.cases_of(suite)
    metafunc.parametrize("case", cases, ids=[case.id for case in cases])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run the suites without a manifest: nothing would be gated."""
    if GATE not in session.config.stash and any(suite_of(item) for item in session.items):
        refuse(
            session.config,
            f"quantgate.toml is needed for the suites and isn't in {session.config.rootpath}; "
            "name one with --gate-config FILE",
        )


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """End the run as a worker of pytest-xdist that refused it would have, had it been alone."""
    text = getattr(node, "workeroutput", {}).get(REFUSED)
    if text is not None:
        raise pytest.UsageError(text)
