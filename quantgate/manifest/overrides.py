"""What the command line changes in a manifest, as a function from manifest to manifest."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from quantgate.errors import UsageFault
from quantgate.manifest.models import ModelTable, VariantTable
from quantgate.manifest.tables import EMBEDDED, NAME, Backend, BackendOptions, Runtime

if TYPE_CHECKING:
    from quantgate.manifest.manifest import Manifest

AUTO: Final = "auto"
REFERENCE: Final = "reference"


@dataclass(frozen=True, slots=True)
class Overrides:
    """The options that change a manifest; an empty or None field changes nothing.

    Attributes:
        models: `--gate-model NAME=PATH`, each a candidate; together they replace the models.
        reference: `--gate-reference`, the folder of the reference package.
        backends: `--gate-backend`; every variant runs on exactly these.
        providers: `--gate-provider`; likewise.
        limit: `--gate-limit`, questions per subject.
        data_dir: `--gate-data-dir`, MMLU's folder, or a location as in the manifest.
        text: `--gate-text`, the text file, or a location as in the manifest.
        threads: threads per loaded model; 0 lets the backend choose.
        accuracy_level: `--gate-accuracy-level`, of 4-bit products on `ort`.
        trust_remote_code: `--gate-trust-remote-code`, for `torch`.
        batch_seconds: `--gate-batch-timeout`.
        session_seconds: `--gate-session-timeout`.
        memory_mib: `--gate-memory-limit`.

    Relative paths are relative to the working directory.
    """

    models: tuple[tuple[str, Path], ...] = ()
    reference: Path | str | None = None
    backends: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    limit: int | None = None
    data_dir: Path | str | None = None
    text: Path | str | None = None
    threads: int | None = None
    accuracy_level: int | None = None
    trust_remote_code: bool = False
    batch_seconds: float | None = None
    session_seconds: float | None = None
    memory_mib: int | None = None


def apply_overrides(manifest: Manifest, overrides: Overrides) -> Manifest:
    """Return the manifest with the overrides in force.

    Raises:
        UsageFault: a name, backend, provider or number can't be used, or a reference is given for
            a manifest that has not exactly one model.
    """
    models = _models(manifest, overrides)
    return replace(
        manifest,
        models=tuple(_placed(model, overrides) for model in models),
        data=manifest.data.model_copy(update=_data(overrides)),
        runtime=_runtime(manifest.runtime, overrides),
        tasks=manifest.tasks.model_copy(
            update={"mmlu": manifest.tasks.mmlu.model_copy(update=_limit(overrides))}
        ),
    )


def _models(manifest: Manifest, overrides: Overrides) -> tuple[ModelTable, ...]:
    reference = None
    if overrides.reference is not None:
        folder = Path(overrides.reference).absolute()
        reference = VariantTable(name=REFERENCE, precision=AUTO, path=str(folder))
    if overrides.models:
        name = "adhoc" if reference is None else _slug(Path(str(reference.path)).name)
        return (_adhoc(name, reference, overrides.models),)
    if reference is None:
        return manifest.models
    if len(manifest.models) != 1:
        raise UsageFault(
            "reference-ambiguous",
            need="one model for --gate-reference to be the reference of",
            found=f"{len(manifest.models)} models in {manifest.file}",
            fix="add --gate-model NAME=PATH, or name the reference in the manifest",
        )
    model = manifest.models[0]
    _require_distinct([REFERENCE, *(v.name for v in model.variants)])
    return (model.model_copy(update={"reference": reference}),)


def _adhoc(
    name: str, reference: VariantTable | None, models: tuple[tuple[str, Path], ...]
) -> ModelTable:
    for variant, _ in models:
        _require_name("--gate-model", variant)
    _require_distinct([*([REFERENCE] if reference else []), *(variant for variant, _ in models)])
    variants = tuple(
        VariantTable(name=variant, precision=AUTO, path=str(Path(path).absolute()))
        for variant, path in models
    )
    return ModelTable(name=name, reference=reference, variants=variants)


def _placed(model: ModelTable, overrides: Overrides) -> ModelTable:
    """Put every variant of a model on the backends and providers asked for."""
    for backend in overrides.backends:
        if backend not in get_args(Backend):
            raise UsageFault(
                "backend-unknown",
                need=f"--gate-backend: one of {', '.join(get_args(Backend))}",
                found=repr(backend),
                fix=f"--gate-backend {get_args(Backend)[0]}",
            )
    for provider in overrides.providers:
        _require_name("--gate-provider", provider)
    update: dict[str, Any] = {}
    if overrides.backends:
        update["backends"] = tuple(dict.fromkeys(overrides.backends))
    if overrides.providers:
        update["providers"] = tuple(dict.fromkeys(overrides.providers))
    reference = model.reference
    return model.model_copy(
        update={
            "reference": None if reference is None else reference.model_copy(update=update),
            "variants": tuple(v.model_copy(update=update) for v in model.variants),
        }
    )


def _data(overrides: Overrides) -> dict[str, Any]:
    """Other data has another digest, so an override takes its pin with it."""
    update: dict[str, Any] = {}
    if overrides.data_dir is not None:
        update |= {"mmlu": _location(overrides.data_dir), "mmlu_sha256": None}
    if overrides.text is not None:
        update |= {"text": _location(overrides.text), "text_sha256": None}
    return update


def _location(given: Path | str) -> str:
    named = str(given)
    if isinstance(given, str) and (named == EMBEDDED or named.startswith("hub:")):
        return named
    return str(Path(given).absolute())


def _limit(overrides: Overrides) -> dict[str, Any]:
    if overrides.limit is None:
        return {}
    return {"limit": _at_least("--gate-limit", 1, overrides.limit)}


def _runtime(runtime: Runtime, overrides: Overrides) -> Runtime:
    bounds = (
        ("threads", "--gate-threads", overrides.threads),
        ("batch_seconds", "--gate-batch-timeout", overrides.batch_seconds),
        ("session_seconds", "--gate-session-timeout", overrides.session_seconds),
        ("memory_mib", "--gate-memory-limit", overrides.memory_mib),
    )
    update: dict[str, Any] = {
        name: _at_least(option, 0, value) for name, option, value in bounds if value is not None
    }
    return runtime.model_copy(update={**update, "options": _options(runtime.options, overrides)})


def _options(options: BackendOptions, overrides: Overrides) -> BackendOptions:
    """A model copied with an update counts the updated fields as given."""
    ort, torch = options.ort, options.torch
    if overrides.accuracy_level is not None:
        level = _at_least("--gate-accuracy-level", 0, overrides.accuracy_level, most=4)
        ort = ort.model_copy(update={"accuracy_level": level})
    if overrides.trust_remote_code:
        torch = torch.model_copy(update={"trust_remote_code": True})
    return options.model_copy(update={"ort": ort, "torch": torch})


def _at_least(option: str, least: int, value: float, most: float = math.inf) -> float:
    if not least <= value <= most:  # NaN lies nowhere
        bound = f"from {least}" if most == math.inf else f"from {least} to {most:g}"
        raise UsageFault(
            "option-range",
            need=f"{option}: a number {bound}",
            found=str(value),
            fix=f"{option} {least}, or leave the option out",
        )
    return value


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_.]+", "_", name.lower()).strip("_.") or "adhoc"


def _require_name(option: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageFault(
            "name-slug",
            need=f"{option}: a name of a-z, 0-9, _ and . that doesn't begin with a full stop",
            found=repr(name),
            fix=f"for example {_slug(name)}",
        )


def _require_distinct(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageFault(
            "name-duplicate",
            need="variants of one model, its reference included, with names of their own",
            found=f"{', '.join(twice)} more than once",
            fix="choose other names (--gate-model NAME=PATH)",
        )
