"""Runs the real command line in a folder of its own, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = """\
schema_version = 1

[data]
mmlu = "mmlu"
text = "text.txt"

[runtime]
threads = 2

[tasks.mmlu]
degenerate = "warn"

[tasks.perplexity]
window = 128
stride = 64

[tasks.kl_divergence]
window = 96

[tasks.speed]
prompt = 16
new_tokens = 6
prefill = [24, 4096]
rounds = 5

[tasks.memory]
prompt = 16
new_tokens = 6

[tasks.generation]
texts = 12
questions = 2
dialogs = 1
new_tokens = 8

[policy.mmlu.accuracy]
baseline = {{ absolute = 0.01 }}
reference = {{ absolute = 0.5 }}

[policy.perplexity.perplexity]
baseline = {{ relative = 0.001 }}
reference = {{ relative = 5.0 }}

[policy.kl_divergence.kl_mean]
baseline = {{ relative = 0.05 }}
reference = {{ absolute = 10.0 }}

[policy.generation.matched_share]
baseline = {{ absolute = 0.05 }}
reference = {{ absolute = 1.0 }}

[[models]]
name = "tiny"

[models.reference]
name = "fp32"
precision = "fp32"
path = "{reference}"

[[models.variants]]
name = "int4"
precision = "int4"
path = "{candidate}"
"""

# Times differ from run to run, and take long: they are measured where a test says `-m`.
UNTIMED = "not speed and not memory"


@dataclass(frozen=True)
class Outcome:
    """What a run left."""

    status: int
    text: str
    results: dict[str, Any] | None

    def decisions(self, case: str = "") -> dict[tuple[str, str, str], dict[str, Any]]:
        """Decisions by (case, task, metric)."""
        assert self.results is not None, self.text
        return {
            (each["case_id"], each["task"], each["metric"]): each
            for each in self.results["decisions"]
            if case in each["case_id"]
        }

    def verdicts(self, case: str = "") -> set[str]:
        return {each["verdict"] for each in self.decisions(case).values()}


class Workspace:
    """A folder with a manifest, corpora and two packages.

    `page` set to True draws the HTML report, which takes seconds.

    Args:
        folder: an empty folder.
        reference: package of the reference.
        candidate: package of the variant `int4`.
        mmlu: folder of questions, linked into the workspace.
        text: text file, linked into the workspace.
        cache: shared by workspaces, so that references are kept between runs.
    """

    def __init__(
        self, folder: Path, *, reference: Path, candidate: Path, mmlu: Path, text: Path, cache: Path
    ) -> None:
        self.folder = folder
        self.cache = cache
        self.page = False
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mmlu").symlink_to(mmlu)
        (folder / "text.txt").symlink_to(text)
        self.manifest = folder / "quantgate.toml"
        self.manifest.write_text(
            MANIFEST.format(reference=reference, candidate=candidate), encoding="utf-8"
        )

    def edit(self, old: str, new: str) -> None:
        """Replace a part of the manifest that must be there."""
        text = self.manifest.read_text(encoding="utf-8")
        assert old in text
        self.manifest.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *words: str, **environment: str) -> Outcome:
        """`quantgate run` with these words; the page isn't drawn unless `page` says so."""
        return self.finish(self.start(*words, **environment))

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Begin a run; `finish` waits for it."""
        self._results.unlink(missing_ok=True)
        command = [sys.executable, "-m", "quantgate.cli", "run", f"--gate-cache-dir={self.cache}"]
        command += ["-m", UNTIMED]  # the last one counts
        if not self.page:
            command.append("--gate-no-html")
        # A run is a user's own, wherever these tests run: in CI, or in a worker of pytest-xdist.
        ci = {"CI", "GITHUB_ACTIONS", "GITHUB_BASE_REF", "TF_BUILD", "GITLAB_CI"}
        worker = {"PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"}
        kept = {name: each for name, each in os.environ.items() if name not in ci | worker}
        return subprocess.Popen(
            [*command, *words],
            cwd=self.folder,
            env={**kept, "PYTHONIOENCODING": "utf-8", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def finish(self, process: subprocess.Popen[str]) -> Outcome:
        """What a run left that was begun before."""
        output, errors = process.communicate(timeout=300)
        document = json.loads(self._results.read_bytes()) if self._results.exists() else None
        return Outcome(process.returncode, output + errors, document)

    @property
    def _results(self) -> Path:
        return self.folder / "reports" / "results.json"

    def store_baselines(self) -> Outcome:
        """Measure everything and store it."""
        return self.run("--gate-update-baselines", "--gate-reason=first")
