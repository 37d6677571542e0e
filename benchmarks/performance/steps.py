"""What stands on the performance page: which benchmarks, with which arguments, in which order.

Folders and files of a machine stand in arguments by name (`$MMLU`), so that a command can be shown
to anybody; `Step.command` puts in where they are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.models import SHAPES

SIZES: Final = tuple(SHAPES)
PEERS: Final = "$PEERS"
MMLU: Final = "$MMLU"
TEXT: Final = "$TEXT"
CACHE: Final = "$CACHE"
DATA: Final = (MMLU, TEXT)
RECORDS: Final = "$RECORDS"  # a step's own folder, for what it keeps of its sides
# One tokenizer for all benchmarks: one model of each size, made once.
_MODEL: Final = ("--train-on", MMLU)
_ONE_AGAINST_ALL: Final = (
    "quantgate-ort",
    "full-forward-ort",
    *("lm-eval-hf b1", "lm-eval-hf b8", "olive-ort b1", "olive-ort b8", "olive-ortgenai b1"),
)


@dataclass(frozen=True)
class Kind:
    """A benchmark of the page.

    Attributes:
        name: of its steps; what `--only` takes.
        module: what `python -m` runs.
        title: heading of its section.
        says: what is measured, in a sentence or two of Markdown.
        arguments: its own, beside those that all steps share.
        precisions: those it is run at, a step each; None: all that are asked for; empty: it has
            its own, in one step.
        sized: whether every size of the model is a step; else one step takes them all.
        by_size: more arguments at some sizes.
    """

    name: str
    module: str
    title: str
    says: str
    arguments: tuple[str, ...] = _MODEL
    precisions: tuple[str, ...] | None = None
    sized: bool = True
    by_size: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


KINDS: Final = (
    Kind(
        "mmlu",
        "benchmarks.peers.whole_mmlu",
        "MMLU, all subjects",
        "Five-shot MMLU, all 57 subjects: quantgate on every question; lm-eval, Olive and one full "
        "forward per question on a fixed part of each subject (a tenth at 3m, a fiftieth at 30m, a "
        "hundredth at 135m), their time scaled to all by the tokens of the prompts. All backends "
        "of quantgate and lm-eval's ONNX engines, which do four forwards a question, run at 3m; at "
        "30m and 135m it is `ort` against all others. The log-likelihoods of the questions in "
        "common are compared.",
        ("--peers", PEERS, "--data-dir", MMLU, *_MODEL, "--keep", RECORDS),
        # Every backend on every question, and a tenth for each peer, would take a day.
        by_size={
            "3m": ("--four-forwards",),
            "30m": ("--share", "50", "--sides", *_ONE_AGAINST_ALL),
            "135m": ("--share", "100", "--sides", *_ONE_AGAINST_ALL),
        },
    ),
    Kind(
        "perplexity",
        "benchmarks.peers.perplexity",
        "Perplexity",
        "Time and peak memory of the perplexity of one text: the usual loop on each runtime and "
        "lm-eval, against quantgate on the same ids.",
        ("--peers", PEERS, "--text", TEXT, *_MODEL),
    ),
    Kind(
        "divergence",
        "benchmarks.peers.divergence",
        "Perplexity and KL divergence",
        "Perplexity of a candidate and its divergence from a reference that was kept by an earlier "
        "run, as in a pull request: the usual script with two models, against quantgate.",
        ("--peers", PEERS, "--text", TEXT, *_MODEL),
        precisions=("int4",),
    ),
    Kind(
        "generation",
        "benchmarks.generation",
        "Generation",
        "Tokens a second of greedy generation on one package: onnxruntime-genai's generator in the "
        "loop of its own benchmark, against quantgate's loop on ONNX Runtime.",
    ),
    Kind(
        "ceilings",
        "benchmarks.ceilings",
        "How near the machine's limits",
        "The best rates of matrix products and of memory that this machine reaches, measured, and "
        "what scoring and decoding reach of them.",
        precisions=(),
        sized=False,
    ),
    Kind(
        "growth",
        "benchmarks.growth",
        "How costs grow",
        "Time and memory of scoring by the number of questions and windows, by the vocabulary and "
        "by the size of the model.",
        (*_MODEL, "--rounds", "3"),
        precisions=(),
        sized=False,
    ),
)


@dataclass(frozen=True)
class Step:
    """One run of a benchmark.

    Attributes:
        kind: name of the benchmark.
        module: what `python -m` runs.
        size: of the model, or "" where the step takes several.
        precision: of the package, or "" likewise.
        arguments: all but `--json`, folders and files of this machine by name.
    """

    kind: str
    module: str
    size: str
    precision: str
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name, and its file's."""
        return "-".join(filter(None, (self.kind, self.size, self.precision)))

    def command(self, places: Mapping[str, str]) -> list[str]:
        """What to run, with folders and files where they are."""
        given = [places.get(argument, argument) for argument in self.arguments]
        return [sys.executable, "-m", self.module, *given]


def plan(
    kinds: Sequence[Kind], sizes: Sequence[str], precisions: Sequence[str], shared: Sequence[str]
) -> list[Step]:
    """Every step, benchmark by benchmark, sizes and precisions within.

    Args:
        kinds: the benchmarks.
        sizes: of the model.
        precisions: of its packages.
        shared: arguments that all steps get.
    """
    steps = []
    for kind in kinds:
        models: list[tuple[str, ...]] = [("--size", size) for size in sizes]
        if not kind.sized:
            models = [("--sizes", *sizes)]
        wanted = [p for p in precisions if kind.precisions is None or p in kind.precisions]
        for model in models:
            for precision in [""] if kind.precisions == () else wanted:
                chosen = (*model, "--precisions", precision) if precision else model
                size = model[1] if kind.sized else ""
                arguments = (*kind.arguments, *kind.by_size.get(size, ()), *chosen, *shared)
                steps.append(Step(kind.name, kind.module, size, precision, arguments))
    return steps
