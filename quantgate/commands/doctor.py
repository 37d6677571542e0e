"""`quantgate doctor`: what there is, what would go wrong, and the command that mends it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.errors import GateError

if TYPE_CHECKING:
    from quantgate.doctor.findings import Finding
    from quantgate.manifest.manifest import Manifest

MANIFEST = Path("quantgate.toml")


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor", help="say what is installed, and what would go wrong in a run"
    )
    parser.add_argument("--manifest", type=Path, help="look at this one (./quantgate.toml)")
    parser.add_argument("--cache-dir", type=Path, help="look at this cache (the user's)")
    parser.add_argument(
        "--baseline-ref", help="git ref to read baselines from (in a pull request, its base)"
    )
    parser.set_defaults(act=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Print what was found; 1 where a run would fail."""
    from quantgate.doctor.findings import Level
    from quantgate.report.escape import plain

    section, failures = "", 0
    for finding in _findings(options):
        if finding.section != section:
            section = finding.section
            print(section)
        print(f"  {finding.level.value:4}  {plain(finding.what)}")
        if finding.fix:
            print(f"        fix: {plain(finding.fix)}")
        failures += finding.level is Level.FAIL
    print(f"\n{failures} would fail a run" if failures else "\nnothing would fail a run")
    return 1 if failures else 0


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    from quantgate.doctor import caches, machine, project
    from quantgate.doctor.findings import Finding, failed
    from quantgate.options import default_cache

    cache = (options.cache_dir or default_cache()).absolute()
    manifest: Manifest | None = None
    told: list[Finding] = []
    try:
        manifest = _manifest(options.manifest)
    except GateError as fault:
        told.append(failed("manifest", fault))
    cases = () if manifest is None else manifest.cases()
    backends = {case.backend for case in cases}
    yield from machine.check_runtimes(backends)
    yield from machine.check_providers({c.provider for c in cases if c.backend == "ort"})
    yield from machine.check_devices({c.provider for c in cases if c.backend == "torch"})
    yield from machine.check_memory()
    yield from caches.check_caches(cache)
    yield from told
    if manifest is None:
        return
    yield Finding("manifest", f"{manifest.file}: {len(cases)} cases on {', '.join(backends)}")
    branch = os.environ.get("GITHUB_BASE_REF")
    base = options.baseline_ref or (f"origin/{branch}" if branch else None)
    yield from project.check_git(manifest, base)
    yield from project.check_data(manifest)
    yield from project.check_baselines(manifest)
    yield from project.check_packages(manifest, cache)


def _manifest(given: Path | None) -> Manifest | None:
    """The manifest; None where none is given and none is here.

    Raises:
        UsageFault: it can't be used.
    """
    from quantgate.manifest.manifest import load_manifest
    from quantgate.suites import require_known_metrics

    path = given or MANIFEST
    if given is None and not path.is_file():
        return None
    manifest = load_manifest(path)
    require_known_metrics(manifest)
    return manifest
