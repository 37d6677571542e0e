"""A scratch repository with two packages and a manifest, as a user of the action has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.command_line import MANIFEST


class Repository:
    """A git repository whose `origin/main` is what pull requests go to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def begin(cls, folder: Path, *, reference: Path, candidate: Path, mmlu: Path, text: Path):
        """A repository with one commit: manifest, packages and data, all tracked."""
        folder.mkdir(parents=True)
        shutil.copytree(reference, folder / "models" / "fp32")
        shutil.copytree(candidate, folder / "models" / "int4")
        shutil.copytree(mmlu, folder / "mmlu")
        shutil.copyfile(text, folder / "text.txt")
        manifest = MANIFEST.format(reference="models/fp32", candidate="models/int4")
        short = 'window = 128\nprotocols = ["strided"]\nmax_tokens = 512'
        manifest = manifest.replace("window = 128", short)
        (folder / "quantgate.toml").write_text(manifest, encoding="utf-8")
        (folder / ".gitignore").write_text("reports/\n", encoding="utf-8")
        repository = cls(folder)
        repository.git("init", "-q", "-b", "main")
        repository.commit("first")
        return repository

    def git(self, *words: str) -> str:
        done = subprocess.run(
            [
                *("git", "-c", "user.name=n", "-c", "user.email=e@example.org"),
                *("-c", "commit.gpgsign=false", "-c", "core.autocrlf=false", *words),
            ],
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def publish(self, branch: str = "main") -> None:
        """Make the present commit `origin/<branch>`."""
        self.git("update-ref", f"refs/remotes/origin/{branch}", "HEAD")

    def copy(self, folder: Path) -> Repository:
        return Repository(Path(shutil.copytree(self.folder, folder, symlinks=True)))
