"""The few questions asked of git, put so that no setting or hook changes the answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# A hook or a wrapper may point these elsewhere; the folder we name decides.
_POINTERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
_NOT_RUN = 127


def run_git(
    folder: Path, *arguments: str, timeout_s: float = 20.0
) -> subprocess.CompletedProcess[bytes]:
    """Run git in `folder`; a missing git or folder, or a timeout, reads as return code 127."""
    command = [shutil.which("git") or "git", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in _POINTERS}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(  # noqa: S603 - a list without a shell, refs verified by the caller
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, _NOT_RUN, b"", str(error).encode())


def head_commit(folder: Path) -> str | None:
    """Return the commit checked out around `folder`, with `-dirty` where tracked files differ.

    None outside a repository, without a commit or without git.
    """
    head = run_git(folder, "rev-parse", "--verify", "--quiet", "HEAD", timeout_s=5.0)
    if head.returncode != 0:
        return None
    status = run_git(folder, "status", "--porcelain", "--untracked-files=no", timeout_s=5.0)
    return head.stdout.decode("ascii").strip() + ("-dirty" if status.stdout else "")
