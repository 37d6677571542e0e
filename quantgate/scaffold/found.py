"""The packages in a folder, grouped into models: what shares a tokenizer and a shape is one."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantgate.errors import GateError, UsageFault
from quantgate.packages.genai_config import CONFIG_NAME
from quantgate.packages.layers import projections
from quantgate.packages.package import OnnxPackage, open_package
from quantgate.packages.places import HEAD, places
from quantgate.packages.unread import unread

DEEPEST = 4
# A reference is the package that was rounded least.
REFERENCES = ("fp32", "bf16", "fp16")
UNKNOWN = "auto"


@dataclass(frozen=True, slots=True)
class Found:
    """A package that can be opened.

    Attributes:
        folder: absolute.
        precision: of most weights in projections: `fp32`, `int4`, `nf4`, ...; `auto` where
            unknown.
        context: longest sequence in tokens.
        family: what packages of one model share.
    """

    folder: Path
    precision: str
    context: int
    family: tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class Model:
    """Packages of one model; `names` are those of the variants, by folder."""

    name: str
    reference: Found | None
    variants: tuple[Found, ...]
    names: dict[Path, str]

    @property
    def packages(self) -> tuple[Found, ...]:
        """The reference, if there is one, and then the variants."""
        return (() if self.reference is None else (self.reference,)) + self.variants


def find_packages(root: Path) -> tuple[list[Found], list[str]]:
    """Open every package under `root`, itself included.

    Returns:
        The packages by folder, and one line for each that can't be used.

    Raises:
        UsageFault: `no-packages`.
    """
    found, refused = [], []
    for folder in sorted(_folders(root.resolve())):
        try:
            found.append(_look(folder))
        except GateError as fault:
            refused.append(f"left out {folder}: {fault}")
    if not found:
        raise UsageFault(
            "no-packages",
            need=f"folders with {CONFIG_NAME} in {root}, up to {DEEPEST} deep",
            found="; ".join(refused) or "none",
            fix="name the folder that onnxruntime-genai's model builder wrote to, or one above it",
        )
    return found, refused


def group(packages: Sequence[Found], reference: Path | None) -> list[Model]:
    """Group packages into models and choose each model's reference.

    Args:
        packages: all that were found.
        reference: the folder to take, in its model; None takes the least rounded package.

    Raises:
        UsageFault: `reference-unknown` where `reference` is none of the packages.
    """
    wanted = None if reference is None else reference.resolve()
    if wanted is not None and wanted not in {package.folder for package in packages}:
        raise UsageFault(
            "reference-unknown",
            need="--reference: one of " + ", ".join(str(p.folder) for p in packages),
            found=str(reference),
            fix="name a package's own folder",
        )
    families: dict[tuple[str, str, int, int], list[Found]] = {}
    for package in packages:
        families.setdefault(package.family, []).append(package)
    models = [_model(members, wanted) for members in families.values()]
    names = Counter(model.name for model in models)
    seen: Counter[str] = Counter()
    distinct = []
    for model in models:
        seen[model.name] += 1
        suffix = f"_{seen[model.name]}" if names[model.name] > 1 else ""
        distinct.append(Model(model.name + suffix, model.reference, model.variants, model.names))
    return distinct


def _folders(root: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(root):
        depth = len(Path(place).relative_to(root).parts)
        folders[:] = [name for name in folders if not name.startswith(".") and depth < DEEPEST]
        if CONFIG_NAME in files:
            yield Path(place)


def _look(folder: Path) -> Found:
    package = open_package(folder)
    config = package.config
    family = (package.tokenizer_digest, config.model_type, config.layers, config.vocab_size)
    return Found(folder, _precision(package), config.context_length, family)


def _precision(package: OnnxPackage) -> str:
    """The precision that most weights have; a head doesn't count: it is often left in a wider one.

    `UNKNOWN` where most are read in ways that aren't understood.
    """
    graph = package.graph.graph
    weights = Counter({UNKNOWN: sum(each.size for each in unread(graph))})
    found = projections(graph)
    for projection, place in zip(found, places(graph, found, package.config.logits), strict=True):
        if place.role != HEAD:
            weights[projection.precision.kind] += projection.size
    (most, _), *_ = weights.most_common(1)
    return _slug(most)


def _model(members: list[Found], wanted: Path | None) -> Model:
    reference = next((member for member in members if member.folder == wanted), None)
    if reference is None and len(members) > 1:
        ranked = [member for kind in REFERENCES for member in members if member.precision == kind]
        reference = next(iter(ranked), None)
    variants = tuple(member for member in members if member is not reference)
    words = [_words(member.folder.name) for member in members]
    shared = _shared(words)
    single = words[0] if len(members) == 1 and words[0] != [members[0].precision] else []
    name = "_".join(single or shared) or _slug(members[0].folder.parent.name)
    return Model(name, reference, variants, _names(members, words, len(shared)))


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def _shared(words: list[list[str]]) -> list[str]:
    """The words that all names begin with; each keeps one of its own."""
    alike = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*words, strict=False))
    return [each[0] for each in alike][: max(0, min(map(len, words)) - 1)]


def _names(members: list[Found], words: list[list[str]], shared: int) -> dict[Path, str]:
    """A name for each variant: what its folder's name has of its own, with a number if need be."""
    names: dict[Path, str] = {}
    told = len({tuple(each) for each in words}) > 1
    for member, each in zip(members, words, strict=True):
        own = ("_".join(each[shared:]) if told else "") or member.precision
        numbered = (own if count == 1 else f"{own}_{count}" for count in itertools.count(1))
        names[member.folder] = next(name for name in numbered if name not in names.values())
    return names


def _slug(text: str) -> str:
    return "_".join(_words(text)) or "model"
