"""Builds packages with onnxruntime-genai's model builder, once per content, into the cache.

The builder runs in a child process: it loads torch and transformers, prints much, and may die of
memory, none of which may reach the process that measures.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from quantgate.cases import BuildRecipe, Package
from quantgate.corpus.hub import fetch, parse_location
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.tokenizer import refuse_remote_code
from quantgate.storage import canonical_json, sha256_bytes, sha256_file, staged_directory

EMBEDDED_MODEL = Path(__file__).parents[1] / "embedded" / "model"
BUILDER = "onnxruntime_genai.models.builder"
RUN_BUILDER = "quantgate.packages.run_builder"
BUILD_SECONDS = 3600
PARALLEL_BUILDS = 2
PICKLED = frozenset({".bin", ".pt", ".pth", ".pkl", ".ckpt"})
# The builder's output depends on these beside its own version.
BUILDER_PACKAGES = (
    "onnxruntime-genai",
    "onnxruntime-genai-cuda",
    "onnx-ir",
    "torch",
    "transformers",
)
LOG_TAIL = 2000
# What a package or a Hugging Face model consists of; pickled weights are never fetched.
MODEL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "*.onnx*", "*.data")


def package_folder(package: Package, cache: Path) -> Path:
    """Folder of `package`: its own, or where its recipe's content puts it in `cache`.

    Raises:
        UsageFault: `not-a-model` or `pickled-weights` for a recipe's source; a hub revision that
            is neither in the local cache nor to be had.
    """
    if package.path is not None:
        return package.path
    if package.hub is not None:
        return fetch(parse_location(package.hub), MODEL_FILES, kind="model")
    assert package.recipe is not None  # noqa: S101  Package holds one of the three
    recipe = package.recipe
    return cache / "packages" / f"{recipe.precision}-{recipe_digest(recipe)[:20]}"


def prepare(packages: Iterable[Package], cache: Path) -> None:
    """Build those of `packages` that have a recipe and aren't in `cache` yet.

    Raises:
        InvalidMeasurement: `build-failed`, with the end of the builder's own output.
    """
    missing = {
        folder: package.recipe
        for package in packages
        if package.recipe and not (folder := package_folder(package, cache)).exists()
    }
    with ThreadPoolExecutor(PARALLEL_BUILDS) as pool:
        for _ in pool.map(lambda item: _build(item[1], item[0], cache), missing.items()):
            pass


def recipe_digest(recipe: BuildRecipe) -> str:
    """SHA-256 over the source's files, the recipe and the builder's versions."""
    source = source_folder(recipe)
    return sha256_bytes(
        canonical_json(
            {
                "files": {path.name: sha256_file(path) for path in source_files(source)},
                "precision": recipe.precision,
                "execution_provider": recipe.execution_provider,
                "extra_options": dict(recipe.extra_options),
                "versions": dict(_versions()),
            }
        )
    )


def source_folder(recipe: BuildRecipe) -> Path:
    """The Hugging Face folder that a recipe builds from."""
    return recipe.source or EMBEDDED_MODEL


def source_files(source: Path) -> list[Path]:
    """Files of a Hugging Face folder that a build reads: safetensors and JSON, never pickles.

    Raises:
        UsageFault: `not-a-model`, or `pickled-weights` where the only weights are pickled.
    """
    if not (source / "config.json").is_file():
        raise UsageFault(
            "not-a-model",
            need=f"{source}: a Hugging Face model folder with config.json",
            found="none" if source.is_dir() else "no such folder",
            fix="name the folder that save_pretrained wrote",
        )
    refuse_remote_code(source)
    files = [path for path in sorted(source.iterdir()) if path.is_file()]
    if not any(path.suffix == ".safetensors" for path in files):
        pickled = [path.name for path in files if path.suffix in PICKLED]
        raise UsageFault(
            "pickled-weights" if pickled else "not-a-model",
            need=f"{source}: weights as .safetensors",
            found=", ".join(pickled) or "no weights",
            fix="save the model with save_pretrained(..., safe_serialization=True)",
        )
    return [path for path in files if path.suffix not in PICKLED]


def _versions() -> Iterator[tuple[str, str]]:
    for name in BUILDER_PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _build(recipe: BuildRecipe, folder: Path, cache: Path) -> None:
    with staged_directory(folder) as staged:
        _run_builder(recipe, staged, cache)
        if not (staged / "genai_config.json").is_file():
            raise _build_failed(recipe, "no genai_config.json in its output")


def _run_builder(recipe: BuildRecipe, output: Path, cache: Path) -> None:
    options = [f"{key}={value}" for key, value in recipe.extra_options]
    # -P makes Python put nothing of the working folder on its path, where a file named like a
    # module of the standard library could stand in for it.
    command = [sys.executable, "-W", "ignore", "-P", "-m", RUN_BUILDER, BUILDER]
    command += ["-m", str(source_folder(recipe)), "-o", str(output)]
    command += ["-p", recipe.precision, "-e", recipe.execution_provider]
    command += ["-c", str(cache / "builder")]
    command += ["--extra_options", *options] if options else []
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(  # noqa: S603  the command is ours, its paths are arguments
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _build_failed(recipe, f"no end after {BUILD_SECONDS} s") from None
    if done.returncode:
        raise _build_failed(
            recipe, f"exit code {done.returncode}: …{(done.stdout + done.stderr)[-LOG_TAIL:]}"
        )


def _build_failed(recipe: BuildRecipe, found: str) -> InvalidMeasurement:
    return InvalidMeasurement(
        "build-failed",
        need=f"{Package(recipe=recipe)}",
        found=found,
        fix='install the builder with pip install "pytest-quantgate[cpu]" and try it by hand: '
        f"python -m {BUILDER} --help",
    )
