"""What the `--gate-*` options come to: the manifest in force, folders and switches."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.errors import UsageFault
from quantgate.provenance import in_ci

if TYPE_CHECKING:
    import pytest

    from quantgate.manifest.manifest import Manifest

MANIFEST_NAME = "quantgate.toml"
CACHE_VARIABLE = "QUANTGATE_CACHE_DIR"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where a run reads and writes, and how strict it is.

    Attributes:
        update: store every valid figure; what is stored has no say.
        update_new_only: store what has no baseline; what is stored gates as ever.
        strict_env: make a figure INVALID whose baseline comes from another environment.
        sequential: stop asking a model as soon as its verdicts are settled.
    """

    cache: Path
    reports: Path
    baselines: Path
    baseline_ref: str | None
    update: bool
    reason: str
    accept_dataset: bool
    strict: bool
    inline: bool = False
    page: bool = True
    repeats: int = 0
    update_new_only: bool = False
    strict_env: bool = False
    sequential: bool = False

    @property
    def writes_baselines(self) -> bool:
        """Whether this run stores figures."""
        return self.update or self.update_new_only


def manifest_path(config: pytest.Config) -> Path | None:
    """The manifest to read: the one given, else the root folder's; None where there is none."""
    if given := config.getoption("gate_config"):
        return Path(given).absolute()
    path = config.rootpath / MANIFEST_NAME
    return path if path.is_file() else None


def read_manifest(config: pytest.Config) -> Manifest | None:
    """The manifest in force, options applied; None where there is none.

    Raises:
        UsageFault: the manifest or an option can't be used.
    """
    path = manifest_path(config)
    if path is None:
        return None
    from quantgate.manifest.manifest import Overrides, apply_overrides, load_manifest

    option = config.getoption
    return apply_overrides(
        load_manifest(path),
        Overrides(
            models=tuple(_named_path(text) for text in option("gate_model")),
            reference=option("gate_reference"),
            backends=tuple(option("gate_backend")),
            providers=tuple(option("gate_provider")),
            limit=option("gate_limit"),
            data_dir=option("gate_data_dir"),
            text=option("gate_text"),
            threads=option("gate_threads"),
            accuracy_level=option("gate_accuracy_level"),
            trust_remote_code=option("gate_trust_remote_code"),
            batch_seconds=option("gate_batch_timeout"),
            session_seconds=option("gate_session_timeout"),
            memory_mib=option("gate_memory_limit"),
        ),
    )


def run_options(config: pytest.Config, manifest: Manifest) -> RunOptions:
    """Folders and switches of this run.

    Raises:
        UsageFault: `update-in-ci`, `update-without-reason`, `update-sequential` or `baseline-git`.
    """
    option = config.getoption
    new_only = option("gate_update_new_only")
    options = RunOptions(
        cache=Path(option("gate_cache_dir") or default_cache()).absolute(),
        reports=Path(option("gate_report_dir") or "reports").absolute(),
        baselines=Path(option("gate_baselines") or manifest.base / "baselines").absolute(),
        baseline_ref=option("gate_baseline_ref") or _pull_request_base(),
        update=option("gate_update_baselines") and not new_only,
        reason=option("gate_reason") or "",
        accept_dataset=option("gate_accept_dataset"),
        strict=option("gate_strict"),
        inline=option("gate_execution") == "inline",
        page=not option("gate_no_html"),
        repeats=option("gate_repeat") or 0,
        update_new_only=new_only,
        strict_env=option("gate_strict_env"),
        sequential=option("gate_sequential"),
    )
    _require_update_allowed(options)
    return options


def default_cache() -> Path:
    """The cache folder: the environment's, else the platform's for this user."""
    from platformdirs import user_cache_path

    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else user_cache_path("quantgate")


def _named_path(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        raise UsageFault(
            "model-option",
            need="--gate-model NAME=PATH",
            found=repr(text),
            fix="for example --gate-model int4=out/model-int4",
        )
    return name, Path(path)


def _pull_request_base() -> str | None:
    base = os.environ.get("GITHUB_BASE_REF")
    return f"origin/{base}" if base else None


def _require_update_allowed(options: RunOptions) -> None:
    given = "--gate-update-new-only" if options.update_new_only else "--gate-update-baselines"
    if options.writes_baselines and in_ci():
        raise UsageFault(
            "update-in-ci",
            need="baselines updated by a person, in a reviewed commit",
            found=f"{given} in a CI run",
            fix="run the update locally and commit baselines/",
        )
    if options.writes_baselines and not options.reason.strip():
        raise UsageFault(
            "update-without-reason",
            need='a reason: --gate-reason "..."',
            found=f"{given} alone",
            fix="say in a few words why the figures may change; it is stored beside them",
        )
    if options.writes_baselines and options.sequential:
        raise UsageFault(
            "update-sequential",
            need="baselines of complete runs",
            found=f"{given} with --gate-sequential",
            fix="leave out --gate-sequential",
        )
