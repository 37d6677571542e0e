"""The model that all sides of a comparison run, in the forms that they take."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import add_model_arguments, model_arguments
from benchmarks.peers.packages import prepare
from benchmarks.peers.processes import Side, add_peers_argument

BACKENDS = ("torch", "ort", "ortgenai")
REFERENCE = "fp32"
# These run the unquantized model whatever the precision.
ON_TORCH = ("quantgate-torch", "loop-torch", "lm-eval-hf")


@dataclass(frozen=True)
class Model:
    """One precision of it.

    Attributes:
        precision: of the package.
        source: the Hugging Face folder.
        package: what the model builder made of it.
        ready: the package's copy for the peers.
    """

    precision: str
    source: Path
    package: Path
    ready: Path

    def for_ours(self, backend: str) -> Path:
        """What quantgate's backend opens."""
        return self.source if backend == "torch" else self.package

    def for_peer(self, engine: str) -> Path:
        """What a peer's engine opens."""
        return self.source if engine in ON_TORCH else self.ready

    def wanted(self, sides: list[Side], names: list[str] | None) -> list[Side]:
        """The sides of these names (None: all) that exist at this precision.

        Raises:
            SystemExit: a name that no side has.
        """
        known = [side.name for side in sides]
        if unknown := sorted(set(names or known) - set(known)):
            raise SystemExit(f"no side named {', '.join(unknown)}; there are {', '.join(known)}")
        on_torch = [side for side in sides if side.name.split()[0] in ON_TORCH]
        apart = [] if self.precision == REFERENCE else on_torch
        return [s for s in sides if s not in apart and (names is None or s.name in names)]


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of both comparisons."""
    add_peers_argument(parser)
    parser.add_argument("--precisions", nargs="+", default=[REFERENCE])
    parser.add_argument("--sides", nargs="+", default=None, help="names of the table; default all")
    parser.add_argument("--threads", type=int, default=2, help="of every side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="keep everything measured here")
    add_model_arguments(parser)


def models(options: argparse.Namespace, data: Path, folder: Path) -> Iterator[Model]:
    """Every precision asked for; `data` trains the random model's tokenizer."""
    arguments = model_arguments(options, data)
    source = arguments.source.resolve()
    for precision, package in arguments.packages(options.precisions).items():
        ready = prepare(package.folder, source, folder / precision, threads=options.threads)
        yield Model(precision, source, package.folder.resolve(), ready)
