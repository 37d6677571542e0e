"""One comment on a pull request, written afresh after each run and found again by its mark.

It is made in a `workflow_run` job, which has a token that may write and runs nothing of the pull
request. What the pull request's own job left (an artifact) is data and may be forged; which request
the comment goes to, which commit was measured and how the job ended come from GitHub.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantgate.errors import UsageFault
from quantgate.github.api import GitHub
from quantgate.github.artifact import find_artifact, read_artifact
from quantgate.report.escape import plain
from quantgate.report.markdown import COMMENT_MARK, render_comment

LARGEST_COMMENT = 65_536 - 512  # GitHub's bound, in characters; a byte is never fewer
LARGEST_EVENT = 8 << 20
PAGE = 100
MOST_PAGES = 50


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """The run that a `workflow_run` event tells of, as GitHub says it.

    Attributes:
        id: of the run.
        sha: the pull request's commit.
        branch: its branch; any text.
        owner: of the repository that the branch is in.
        repository: `owner/name` of that repository.
        conclusion: `success`, `failure`, ...
        url: of the run's page.
    """

    id: int
    sha: str
    branch: str
    owner: str
    repository: str
    conclusion: str
    url: str


def read_event(path: Path) -> FinishedRun:
    """Read the event that started this job.

    Raises:
        UsageFault: `event-unreadable`, or `event-other` where it is no finished `pull_request` run.
    """
    try:
        with path.open("rb") as stream:
            run = json.loads(stream.read(LARGEST_EVENT))["workflow_run"]
        if run["event"] != "pull_request":
            raise _other_event(str(run["event"]))
        head = run["head_repository"]
        return FinishedRun(
            id=int(run["id"]),
            sha=str(run["head_sha"]),
            branch=str(run["head_branch"]),
            owner=str(head["owner"]["login"]),
            repository=str(head["full_name"]),
            conclusion=str(run["conclusion"]),
            url=str(run["html_url"]),
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageFault(
            "event-unreadable",
            need="a workflow_run event in GITHUB_EVENT_PATH",
            found=f"{type(error).__name__}: {error}",
            fix="run this in a job that `on: workflow_run` starts",
        ) from None


def find_request(github: GitHub, run: FinishedRun) -> int | None:
    """Return the open pull request whose newest commit the run measured; None where it moved on.

    By the branch first: a fork's commit is not always known to the repository it asks.

    Raises:
        UsageFault: `request-ambiguous` where one branch has requests to several bases.
    """
    questions: tuple[tuple[str, dict[str, str]], ...] = (
        ("pulls", {"state": "open", "head": f"{run.owner}:{run.branch}", "per_page": str(PAGE)}),
        (f"commits/{run.sha}/pulls", {"per_page": str(PAGE)}),
    )
    for path, query in questions:
        numbers = {int(pull["number"]) for pull in github.get(path, **query) if _is_of(pull, run)}
        if len(numbers) > 1:
            raise UsageFault(
                "request-ambiguous",
                need=f"one open pull request of {run.sha}",
                found=", ".join(f"#{number}" for number in sorted(numbers)),
                fix="close all but one, or give each a branch of its own",
            )
        if numbers:
            return numbers.pop()
    return None


def post(github: GitHub, run: FinishedRun, artifact: str, author: str) -> str:
    """Write or rewrite the comment; return what was done, in words.

    Args:
        github: the repository, with a token that may write to pull requests.
        run: the finished run.
        artifact: name of the artifact with the results.
        author: login behind the token; only its comments are taken for ours, since anyone may
            write the mark.

    Raises:
        UsageFault: GitHub refuses, or the request is ambiguous.
    """
    number = find_request(github, run)
    if number is None:
        return f"no comment: {run.sha} is no open pull request's newest commit"
    known = _find_comment(github, number, author)
    text = _text(github, run, artifact)
    if text is None and known is None and run.conclusion == "success":
        return "no comment: nothing had to be measured"
    body = {"body": _body(run, text)}
    if known is None:
        github.send("POST", f"issues/{number}/comments", body)
        return f"commented on #{number}"
    github.send("PATCH", f"issues/comments/{known}", body)
    return f"rewrote the comment on #{number}"


def _text(github: GitHub, run: FinishedRun, artifact: str) -> str | None:
    """The comment made of the results; None where the run left none."""
    found = find_artifact(github, run.id, artifact)
    if found is None:
        return None
    room = LARGEST_COMMENT - len(_head(run).encode())
    try:
        results = read_artifact(github, found)
        return render_comment(results, report_url=run.url, limit_bytes=room)
    except UsageFault as fault:
        return f"The run's results can't be used: `{plain(str(fault)).replace('`', chr(39))}`"


def _body(run: FinishedRun, text: str | None) -> str:
    if text is None:
        text = "This commit was not measured: no model's files differ from the base."
        if run.conclusion != "success":
            text = "The gate ended without results; its log says why."
    return _head(run) + text.removeprefix(COMMENT_MARK).lstrip()


def _head(run: FinishedRun) -> str:
    """The part that no pull request can forge."""
    state = plain(run.conclusion)
    return f"{COMMENT_MARK}\n[quantgate: **{state}**]({run.url}) at {run.sha}\n\n"


def _is_of(pull: Mapping[str, Any], run: FinishedRun) -> bool:
    head = pull["head"]
    repository = head["repo"] or {}  # a fork may be gone
    same = head["sha"] == run.sha and repository.get("full_name") == run.repository
    return bool(same and pull["state"] == "open")


def _find_comment(github: GitHub, number: int, author: str) -> int | None:
    for comment in _comments(github, number):
        mine = (comment["user"] or {}).get("login") == author
        if mine and str(comment["body"]).startswith(COMMENT_MARK):
            return int(comment["id"])
    return None


def _comments(github: GitHub, number: int) -> Iterator[Mapping[str, Any]]:
    for page in range(1, MOST_PAGES + 1):
        listed = github.get(f"issues/{number}/comments", per_page=str(PAGE), page=str(page))
        yield from listed
        if len(listed) < PAGE:
            return


def _other_event(event: str) -> UsageFault:
    return UsageFault(
        "event-other",
        need="a run that a pull_request started",
        found=f"one that {plain(event)[:80]!r} started",
        fix="add `if: github.event.workflow_run.event == 'pull_request'` to the job",
    )
