"""The `--gate-*` options as pytest is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

# (option, keywords of addoption); every help is one short sentence that states the effect.
OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--gate-config", {"metavar": "FILE", "help": "Read this manifest, not ./quantgate.toml."}),
    (
        "--gate-model",
        {
            "metavar": "NAME=PATH",
            "action": "append",
            "default": [],
            "help": "Gate this package instead of the manifest's models; may be repeated.",
        },
    ),
    ("--gate-reference", {"metavar": "PATH", "help": "Hold candidates against this package."}),
    (
        "--gate-backend",
        {"metavar": "NAME", "action": "append", "default": [], "help": "Run on this backend only."},
    ),
    (
        "--gate-provider",
        {
            "metavar": "NAME",
            "action": "append",
            "default": [],
            "help": "Run on this execution provider only (cpu, cuda, dml, ...).",
        },
    ),
    ("--gate-threads", {"metavar": "N", "type": int, "help": "Use so many threads per model."}),
    (
        "--gate-accuracy-level",
        {
            "metavar": "N",
            "type": int,
            "help": "Run 4-bit products at this accuracy level (0 float32, 4 int8 activations).",
        },
    ),
    (
        "--gate-trust-remote-code",
        {"action": "store_true", "help": "Let torch models run Python code of their folders."},
    ),
    (
        "--gate-batch-timeout",
        {"metavar": "SECONDS", "type": float, "help": "End a model whose batch takes longer."},
    ),
    (
        "--gate-session-timeout",
        {"metavar": "SECONDS", "type": float, "help": "End a model that takes longer in all."},
    ),
    (
        "--gate-memory-limit",
        {"metavar": "MIB", "type": int, "help": "End a model that holds more memory."},
    ),
    (
        "--gate-repeat",
        {
            "metavar": "N",
            "type": int,
            "help": "Measure each case N more times, batched in other ways, to know its noise.",
        },
    ),
    (
        "--gate-execution",
        {
            "choices": ["process", "inline"],
            "help": "Run each model in a child process (default), or to debug in this one.",
        },
    ),
    (
        "--gate-limit",
        {"metavar": "N", "type": int, "help": "Ask the first N questions of each subject only."},
    ),
    (
        "--gate-sequential",
        {
            "action": "store_true",
            "help": "Stop asking a model as soon as its verdicts can hardly change any more.",
        },
    ),
    ("--gate-data-dir", {"metavar": "DIR", "help": "Read MMLU's dev and test files from DIR."}),
    ("--gate-text", {"metavar": "FILE", "help": "Score this text for perplexity and divergence."}),
    ("--gate-cache-dir", {"metavar": "DIR", "help": "Keep built packages and references in DIR."}),
    ("--gate-report-dir", {"metavar": "DIR", "help": "Write results and reports to DIR."}),
    (
        "--gate-no-html",
        {"action": "store_true", "help": "Don't draw report.html, which takes a few seconds."},
    ),
    (
        "--gate-baselines",
        {"metavar": "DIR", "help": "Read and write baselines in DIR, not beside the manifest."},
    ),
    (
        "--gate-baseline-ref",
        {
            "metavar": "REF",
            "help": "Read baselines from the merge base with this git ref "
            "(in a GitHub pull request: its base branch, unless given).",
        },
    ),
    (
        "--gate-update-baselines",
        {"action": "store_true", "help": "Store this run's valid figures as new baselines."},
    ),
    (
        "--gate-update-new-only",
        {
            "action": "store_true",
            "help": "Store what has no baseline yet, and gate everything else on what is stored.",
        },
    ),
    ("--gate-reason", {"metavar": "TEXT", "help": "Record why baselines are updated."}),
    (
        "--gate-accept-dataset",
        {"action": "store_true", "help": "Pin the data as they are now in the manifest."},
    ),
    (
        "--gate-save",
        {
            "metavar": "NAME",
            "nargs": "?",
            "const": "",
            "help": "Keep this run's results under a number, and a name if given.",
        },
    ),
    (
        "--gate-compare",
        {
            "metavar": "WHICH",
            "nargs": "?",
            "const": "latest",
            "help": "Compare with the latest kept run, or with this run, file or git revision.",
        },
    ),
    (
        "--gate-strict",
        {"action": "store_true", "help": "Fail where a baseline is missing or nothing was run."},
    ),
    (
        "--gate-strict-env",
        {
            "action": "store_true",
            "help": "Make a figure INVALID whose baseline comes from another environment.",
        },
    ),
)


def add_options(parser: pytest.Parser) -> None:
    """Add the option group."""
    group = parser.getgroup("quantgate", "accuracy gate for quantized models")
    for name, keywords in OPTIONS:
        group.addoption(name, dest=name[2:].replace("-", "_"), **keywords)


def given_options(config: pytest.Config) -> dict[str, Any]:
    """The options that differ from their defaults, for reports."""
    values = {name: config.getoption(name[2:].replace("-", "_")) for name, _ in OPTIONS}
    return {name: value for name, value in values.items() if value not in (None, False, [])}
