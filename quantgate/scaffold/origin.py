"""Which commit of quantgate a new workflow names: the one that is installed, where that is known.

A workflow that runs a tag runs whatever the tag means tomorrow, so that a commit is wanted.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

from quantgate.git import run_git

REPOSITORY = "quantgate/pytest-quantgate"
UNKNOWN = "0" * 40
_COMMIT = re.compile(r"[0-9a-f]{40}")


def installed_commit() -> str | None:
    """The commit that is installed: from git by pip (PEP 610), or a checkout; None otherwise."""
    return _direct() or _checkout()


def _direct() -> str | None:
    try:
        text = metadata.distribution("pytest-quantgate").read_text("direct_url.json")
        commit = str(json.loads(text or "{}")["vcs_info"]["commit_id"])
    except (metadata.PackageNotFoundError, ValueError, LookupError, TypeError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def _checkout() -> str | None:
    """The commit of the checkout around this package, which has the action beside it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "action.yml").is_file():
        return None
    done = run_git(root, "rev-parse", "--verify", "--quiet", "HEAD", timeout_s=5.0)
    commit = done.stdout.decode("ascii", "replace").strip()
    return commit if done.returncode == 0 and _COMMIT.fullmatch(commit) else None
