"""The nouns of a run: packages, models, variants and the cases they span.

A `Case` owns every name derived from it (test id, baseline path, session key), so that no other
module builds names from parts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

SLUG = re.compile(r"[a-z0-9_.]+")


@dataclass(frozen=True, slots=True)
class BuildRecipe:
    """How onnxruntime-genai's model builder makes a package from a Hugging Face folder.

    `source` is a folder, or None for the model that quantgate carries.
    """

    source: Path | None
    precision: str
    execution_provider: str = "cpu"
    extra_options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Package:
    """Where a variant's files come from: a folder, a revision on the hub, or a recipe.

    `hub` is `hub:<model id>@<commit>`.
    """

    path: Path | None = None
    recipe: BuildRecipe | None = None
    hub: str | None = None

    def __post_init__(self) -> None:
        if sum(origin is not None for origin in (self.path, self.recipe, self.hub)) != 1:
            raise ValueError("a package has exactly one of a path, a build recipe, a hub location")

    def __str__(self) -> str:
        if self.recipe is None:
            return str(self.path or self.hub)
        source = "the embedded model" if self.recipe.source is None else str(self.recipe.source)
        return f"{self.recipe.precision} built from {source}"


@dataclass(frozen=True, slots=True)
class Case:
    """One variant of one model on one backend and execution provider.

    Attributes:
        reference: the case it is held against; None for a reference itself and for a variant
            without one, which is gated on its stored baseline alone.
        options_json: the backend's own options as a JSON object.
        repeat: 0, or the number of a repetition that is batched in another way (`variations`).
    """

    model: str
    variant: str
    precision: str
    backend: str
    provider: str
    package: Package
    reference: Case | None = None
    is_reference: bool = False
    options_json: str = "{}"
    repeat: int = 0

    def __post_init__(self) -> None:
        for part in (self.model, self.variant, self.backend, self.provider):
            if not SLUG.fullmatch(part):
                raise ValueError(f"{part!r} is no slug of the form [a-z0-9_.]+")

    @property
    def id(self) -> str:
        """Test id `<model>-<variant>-<backend>-<provider>`; `-` is only the separator."""
        return f"{self.model}-{self.variant}-{self.backend}-{self.provider}"

    @property
    def options(self) -> dict[str, Any]:
        """The backend's own options."""
        options: dict[str, Any] = json.loads(self.options_json)
        return options

    @property
    def baseline_path(self) -> PurePosixPath:
        """Path of the baseline file, relative to the folder of baselines."""
        return PurePosixPath(self.model, f"{self.variant}-{self.backend}-{self.provider}.json")

    @property
    def session_key(self) -> str:
        """Cases with equal keys have the same results."""
        return f"{self.id}#{self.repeat}" if self.repeat else self.id

    @property
    def group(self) -> str:
        """Cases with equal groups run the same weights, on one worker where there are several."""
        return f"{self.model}-{self.variant}"
