"""The code that answers come from, by digest: what other code answered is asked again.

A version doesn't tell a checkout from the next one. What judges and shows results is left out by
name, so that whatever is new counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from quantgate.storage import canonical_json, sha256_bytes, sha256_file

SHOWING: Final = frozenset(
    {"baselines", "commands", "comparing", "doctor", "gate", "github", "report", "scaffold"}
)


def modules(package: Path) -> Iterator[Path]:
    """The modules in quantgate's folder that plan, run and read."""
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] not in SHOWING:
            yield path


@cache
def answering_digest() -> str:
    """SHA-256 over the installed `modules` by name and content."""
    package = Path(__file__).parent
    content = {path.relative_to(package).as_posix(): sha256_file(path) for path in modules(package)}
    return sha256_bytes(canonical_json(content))
