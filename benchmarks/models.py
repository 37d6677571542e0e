"""The models that the benchmarks run, and their packages: made once, kept in a folder.

They are random models of a few sizes (`random_models`), or any Hugging Face folder. Nothing is
downloaded.

    python -m benchmarks.models --train-on DIR_OR_FILE [--size 135m] [--cache DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.random_models import DEFAULT_SIZE, SHAPES, model_for_ids, random_model
from quantgate.cases import BuildRecipe, Package
from quantgate.packages.build import package_folder, prepare
from quantgate.packages.package import OnnxPackage, open_package

__all__ = [
    "PRECISIONS",
    "SHAPES",
    "ModelArguments",
    "add_cache_argument",
    "add_model_arguments",
    "add_sizes_arguments",
    "build_packages",
    "cache_folder",
    "default_cache",
    "model_arguments",
    "packages_by_size",
    "random_model",
]

PRECISIONS = ("fp32", "int4")


@dataclass(frozen=True, slots=True)
class ModelArguments:
    """Where the model comes from.

    Attributes:
        cache: folder of made models and packages.
        model: a Hugging Face folder to measure instead, or None for the random one.
        train_on: files and folders of text to train the random model's tokenizer on.
        size: name of the random model's shape.
    """

    cache: Path
    model: Path | None
    train_on: tuple[Path, ...]
    size: str = DEFAULT_SIZE

    @property
    def source(self) -> Path:
        """The Hugging Face folder, made where it isn't there yet."""
        return self.model or random_model(self.train_on, self.cache, self.size)

    def packages(self, precisions: Sequence[str]) -> dict[str, OnnxPackage]:
        """Packages by precision, made where they aren't there yet."""
        return build_packages(self.source, precisions, self.cache)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `model_arguments` reads."""
    add_cache_argument(parser)
    parser.add_argument(
        "--size", choices=SHAPES, default=DEFAULT_SIZE, help="parameters of the random model"
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=None,
        help="Hugging Face folder to measure instead of a random model",
    )
    parser.add_argument(
        "--train-on",
        type=Path,
        nargs="+",
        default=None,
        help="text for the random model's tokenizer: .csv and .txt files, or folders of them "
        "(default: the data to be scored)",
    )


def model_arguments(options: argparse.Namespace, data: Path) -> ModelArguments:
    """Read them; `data` is what the tokenizer is trained on unless something else is named."""
    return ModelArguments(
        cache=cache_folder(options),
        model=options.model,
        train_on=tuple(options.train_on or [data]),
        size=options.size,
    )


def add_sizes_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `packages_by_size` reads."""
    add_cache_argument(parser)
    parser.add_argument(
        "--sizes", choices=SHAPES, nargs="+", default=list(SHAPES), help="of the random models"
    )
    parser.add_argument(
        "--train-on",
        type=Path,
        nargs="+",
        default=None,
        help="text that other benchmarks' models are made with, to run those",
    )


def packages_by_size(
    options: argparse.Namespace, precisions: Sequence[str]
) -> dict[str, dict[str, OnnxPackage]]:
    """Packages of each size by precision, for random ids: no text is needed."""
    cache = cache_folder(options)
    return {
        size: build_packages(model_for_ids(options.train_on, cache, size), precisions, cache)
        for size in options.sizes
    }


def add_cache_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that `cache_folder` reads."""
    parser.add_argument(
        "--cache", type=Path, default=None, help="folder of models and packages made here"
    )


def cache_folder(options: argparse.Namespace) -> Path:
    """The folder that `--cache` names, or the user's."""
    found: Path = options.cache or default_cache()
    return found.resolve()


def default_cache() -> Path:
    """The user's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("quantgate") / "benchmarks"


def build_packages(source: Path, precisions: Sequence[str], cache: Path) -> dict[str, OnnxPackage]:
    """Packages of a Hugging Face folder by precision, made where they aren't there yet."""
    wanted = {p: Package(recipe=BuildRecipe(source.resolve(), p)) for p in precisions}
    prepare(wanted.values(), cache)
    return {p: open_package(package_folder(w, cache)) for p, w in wanted.items()}


def main() -> None:
    """Make the packages and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_arguments(parser)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS))
    options = parser.parse_args()
    if not options.model and not options.train_on:
        parser.error("name a --model, or text to --train-on")
    packages = model_arguments(options, Path()).packages(options.precisions)
    for precision, package in packages.items():
        print(f"{precision}: {package.folder} ({package.bytes / 2**20:.0f} MiB)")


if __name__ == "__main__":
    main()
