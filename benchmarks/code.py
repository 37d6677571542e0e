"""The code that figures come from, by digest: what other code measured isn't kept.

A digest knows changes that aren't committed, unlike a commit. What judges and shows results is left
out by name, so that whatever is new counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from quantgate import own_code
from quantgate.storage import canonical_json, sha256_bytes, sha256_file

SHOWING: Final = frozenset(
    {*(f"quantgate/{name}" for name in own_code.SHOWING), "benchmarks/performance"}
)


# What compares records that sides wrote, and never runs in a side.
COMPARING: Final = frozenset(
    {
        "benchmarks/growth_page.py",
        "benchmarks/output.py",
        "benchmarks/peers/comparison.py",
        "benchmarks/peers/in_common.py",
        "benchmarks/peers/ratios.py",
        "benchmarks/peers/spent.py",
        "benchmarks/peers/whole_page.py",
    }
)


def engine_digest(root: Path) -> str:
    """SHA-256 over quantgate's modules that plan, run and read.

    Args:
        root: of the checkout.
    """
    return _digest(root, _modules(root, "quantgate"))


def sides_digest(root: Path) -> str:
    """SHA-256 over the modules of the benchmarks that a side's figures may come from.

    Args:
        root: of the checkout.
    """
    modules = _modules(root, "benchmarks")
    return _digest(root, (p for p in modules if p.relative_to(root).as_posix() not in COMPARING))


def measuring_digest(root: Path) -> str:
    """SHA-256 over quantgate's modules that plan, run and read, and those of the benchmarks.

    Args:
        root: of the checkout.
    """
    return _digest(root, (*_modules(root, "quantgate"), *_modules(root, "benchmarks")))


def _modules(root: Path, package: str) -> Iterator[Path]:
    for path in (root / package).rglob("*.py"):
        if "/".join(path.relative_to(root).parts[:2]) not in SHOWING:
            yield path


def _digest(root: Path, modules: Iterator[Path] | tuple[Path, ...]) -> str:
    content = {path.relative_to(root).as_posix(): sha256_file(path) for path in modules}
    return sha256_bytes(canonical_json(content))
