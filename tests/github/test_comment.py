"""The comment on a pull request, against a server of our own and artifacts of a stranger's."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile

import pytest

from quantgate.errors import UsageFault
from quantgate.github.api import GitHub
from quantgate.github.artifact import LARGEST_MEMBER, unpack
from quantgate.github.comment import post, read_event
from quantgate.report.markdown import COMMENT_MARK
from quantgate.results import Verdict
from tests.github.fake_api import REPOSITORY, SHA, artifact, event, pull, serving
from tests.github.job import ROOT, Job, read_action
from tests.github.runs import archive, decision, results

TOKEN = "token-of-the-job"
BOT = {"login": "github-actions[bot]"}


@pytest.fixture
def server():
    with serving() as state:
        state.archive = archive(("results.json", results(decision(Verdict.REGRESSION))))
        yield state


@pytest.fixture
def comment(server, tmp_path):
    """Comment as the job does, with an event of these changes."""

    def act(**changes):
        path = tmp_path / "event.json"
        path.write_text(json.dumps(event(**changes)), encoding="utf-8")
        github = GitHub(server.url, REPOSITORY, TOKEN)
        return post(github, read_event(path), "quantgate-results", BOT["login"])

    return act


def body_of(server):
    (written,) = server.sent()
    return written[2]["body"]


def test_the_first_run_comments_on_the_request_that_the_api_names(server, comment):
    assert comment() == "commented on #5"
    ((method, path, body),) = server.sent()
    assert (method, path) == ("POST", f"/repos/{REPOSITORY}/issues/5/comments")
    assert body["body"].startswith(COMMENT_MARK)
    assert "REGRESSION" in body["body"]
    assert "tiny" in body["body"]
    assert "**failure**" in body["body"]
    assert SHA in body["body"]


def test_a_later_run_rewrites_its_own_comment_wherever_it_stands(server, comment):
    other = {"id": 1, "user": {"login": "somebody"}, "body": "hello"}
    forged = {"id": 2, "user": {"login": "somebody"}, "body": f"{COMMENT_MARK} mine"}
    ghost = {"id": 3, "user": None, "body": COMMENT_MARK}
    ours = {"id": 4, "user": BOT, "body": f"{COMMENT_MARK}\nold"}
    server.comments = [*([other] * 130), forged, ghost, {**ours, "id": 9, "body": "no mark"}, ours]
    assert comment() == "rewrote the comment on #5"
    ((method, path, _),) = server.sent()
    assert (method, path) == ("PATCH", f"/repos/{REPOSITORY}/issues/comments/4")


def test_the_token_goes_to_the_api_and_not_to_where_artifacts_lie(server, comment):
    comment()
    assert all(h["authorization"] == f"Bearer {TOKEN}" for _, _, _, h, _ in server.requests)
    (headers,) = server.stored
    assert "authorization" not in headers
    assert TOKEN not in str(headers)


def test_a_fork_s_request_is_found_by_its_branch_whatever_its_name(server, comment):
    branch = "a&state=all#x$(touch pwned);`id`/../..?head=b"
    server.pulls = [pull(8, _label=f"fork:{branch}")]
    assert comment(head_branch=branch) == "commented on #8"
    (_, path, query, _, _) = server.requests[0]
    assert path == f"/repos/{REPOSITORY}/pulls"
    assert query["head"] == f"fork:{branch}"
    assert query["state"] == "open"


def test_a_request_of_this_repository_is_found_by_its_commit(server, comment):
    server.pulls = [pull(6, fork=REPOSITORY, known=True, _label="other:label")]
    same = {"full_name": REPOSITORY, "owner": {"login": "owner"}}
    assert comment(head_repository=same) == "commented on #6"


@pytest.mark.parametrize(
    "pulls",
    [
        [],
        [pull(5, sha="d" * 40)],
        [pull(5, fork="fork/another", _label="fork:topic")],
        [pull(5, state="closed", known=True)],
        [pull(5, head={"sha": SHA, "repo": None})],
    ],
    ids=["none", "moved on", "another fork", "closed", "fork gone"],
)
def test_what_is_no_open_request_s_newest_commit_gets_no_comment(server, comment, pulls):
    server.pulls = pulls
    assert comment().startswith("no comment")
    assert not server.sent()


def test_requests_of_one_branch_to_two_bases_are_told_apart_by_nobody(server, comment):
    server.pulls = [pull(5), pull(6)]
    with pytest.raises(UsageFault, match="request-ambiguous"):
        comment()
    assert not server.sent()


def test_the_number_in_the_artifact_and_the_event_moves_nothing(server, comment):
    document = json.loads(results())
    document["pull_request"] = document["run"]["pull_request"] = 1
    server.archive = archive(("results.json", json.dumps(document).encode()))
    assert comment(pull_requests=[{"number": 1}]) == "commented on #5"


def test_a_failed_job_without_results_is_told(server, comment):
    server.artifacts = [artifact(1, "another"), artifact(2, expired=True)]
    assert comment() == "commented on #5"
    assert "ended without results" in body_of(server)


def test_an_untouched_model_gets_no_comment_but_an_old_one_is_brought_up_to_date(server, comment):
    server.artifacts = []
    assert comment(conclusion="success") == "no comment: nothing had to be measured"
    assert not server.sent()
    server.comments = [{"id": 4, "user": BOT, "body": COMMENT_MARK}]
    assert comment(conclusion="success") == "rewrote the comment on #5"
    assert "not measured" in body_of(server)


def test_the_newest_artifact_counts(server, comment):
    server.artifacts = [artifact(3), artifact(12), artifact(7)]
    comment()
    assert any(path.endswith("artifacts/12/zip") for _, path, _, _, _ in server.requests)


def bomb() -> bytes:
    return archive(("results.json", b" " * (LARGEST_MEMBER + 1)))


def lying_bomb() -> bytes:
    """An archive whose directory says that 17 MiB are 20 bytes."""
    data = bytearray(bomb())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 20)
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(archive(("results.json", results())))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def twice() -> bytes:
    """Two members of one name, which zipfile would warn of while it writes them."""
    data = archive(("results.json", results()), ("results.jsoN", results()))
    return data.replace(b"results.jsoN", b"results.json")


HOSTILE = {
    "no archive": b"not a zip",
    "nothing": b"",
    "cut": archive(("results.json", results()))[:-30],
    "no member": archive(),
    "two members": archive(("results.json", results()), ("other", b"")),
    "the same twice": twice(),
    "climbing": archive(("../results.json", results())),
    "absolute": archive(("/tmp/results.json", results())),
    "in a folder": archive(("a/results.json", results())),
    "many": archive(*((f"{n}", b"") for n in range(20_000))),
    "bomb": bomb(),
    "lying bomb": lying_bomb(),
    "encrypted": encrypted(),
    "unusual compression": archive(("results.json", results()), method=zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_and_nothing_is_written(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageFault, match="artifact-hostile"):
        unpack(data)
    assert not list(tmp_path.iterdir())


WRONG = {
    "not JSON": b"{",
    "not UTF-8": b"\xff\xfe{}",
    "deep": b"[" * 200_000,
    "a list": b"[]",
    "another version": b'{"schema_version": 99}',
    "no runs": b'{"schema_version": 1}',
    "wrong types": b'{"schema_version": 1, "run": {}, "measurements": 3, "decisions": []}',
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_results_of_another_form_are_told_and_not_shown(server, comment, content):
    server.archive = archive(("results.json", content))
    assert comment() == "commented on #5"
    assert "can't be used" in body_of(server)


def test_an_archive_larger_than_the_bound_is_not_read_whole(server, comment, monkeypatch):
    monkeypatch.setattr("quantgate.github.artifact.LARGEST_ARCHIVE", 1000)
    server.archive = b"x" * 5_000
    assert comment() == "commented on #5"
    assert "can't be used" in body_of(server)


def test_fault_70_hostile_names_and_reasons_do_nothing_in_the_comment(server, comment):
    hostile = decision(
        Verdict.REGRESSION,
        case="x-`y`-ort-cpu",
        reason="@everyone | <img src=x onerror=alert(1)> [a](javascript:b)\n# big <!-- \x1b[31m",
    )
    server.archive = archive(("results.json", results(hostile)))
    comment()
    body = body_of(server)
    assert "@everyone" not in body
    assert "<img" not in body
    assert "](javascript:" not in body
    assert "\n# big" not in body
    assert "\x1b" not in body


def test_fault_71_many_figures_stay_below_the_comment_s_limit(server, comment):
    many = [
        decision(Verdict.REGRESSION, case=f"m-{n}-ort-cpu", reason="r" * 300) for n in range(900)
    ]
    server.archive = archive(("results.json", results(*many)))
    comment()
    body = body_of(server)
    assert 5_000 < len(body) <= 65_536
    assert "**failure**" in body


def test_a_refusal_says_which_permission_is_missing_and_never_the_token(server, comment):
    server.fails = {"comments": 403}
    with pytest.raises(UsageFault, match="403 Resource not accessible") as refused:
        comment()
    assert "pull-requests: write" in refused.value.fix
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://x", "http://example.org", "file:///etc/passwd", "", "x"])
def test_no_token_is_sent_in_the_clear(url):
    with pytest.raises(UsageFault, match="github-url"):
        GitHub(url, REPOSITORY, TOKEN)


def test_a_redirect_to_another_scheme_is_not_followed(server, comment):
    server.store_url = "ftp://127.0.0.1/x"
    assert comment() == "commented on #5"
    assert "can't be used" in body_of(server)


@pytest.mark.parametrize(
    ("given", "rewritten"),
    [({}, 4), ({"author": "our-gate[bot]"}, 6), ({"author": "$(touch pwned)"}, None)],
    ids=["the job's token", "a token of one's own", "hostile"],
)
def test_the_action_rewrites_the_comment_of_the_login_behind_its_token(
    server, tmp_path, given, rewritten
):
    logins = {4: BOT["login"], 5: "somebody", 6: "our-gate[bot]"}
    server.comments = [
        {"id": number, "user": {"login": login}, "body": COMMENT_MARK}
        for number, login in logins.items()
    ]
    folder = ROOT / "actions" / "comment"
    action = read_action(folder / "action.yml")
    defaults = {name: each["default"] for name, each in action["inputs"].items()}
    (tmp_path / "event.json").write_text(json.dumps(event()), encoding="utf-8")
    job = Job(
        workspace=tmp_path,
        temp=tmp_path,
        inputs=defaults | {"token": TOKEN} | given,
        environment={
            "GITHUB_ACTION_PATH": str(folder),
            "GITHUB_API_URL": server.url,
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
            "GITHUB_REPOSITORY": REPOSITORY,
        },
    )
    (step,) = [each for each in action["runs"]["steps"] if each["name"] == "Comment"]
    assert job.shell(step) == 0, job.log
    ((method, path, _),) = server.sent()
    wanted = ("POST", "issues/5/comments")
    if rewritten is not None:
        wanted = ("PATCH", f"issues/comments/{rewritten}")
    assert (method, path.removeprefix(f"/repos/{REPOSITORY}/")) == wanted
    assert not [place for place in (tmp_path, ROOT) if (place / "pwned").exists()]


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"event": "push"}, "event-other"), ({"id": "x"}, "event-unreadable")],
)
def test_another_event_is_refused(comment, changes, code):
    with pytest.raises(UsageFault, match=code):
        comment(**changes)


def test_the_job_needs_no_more_than_its_action_installs():
    """In a process that can import nothing else of what isn't the standard library's."""
    steps = read_action(ROOT / "actions" / "comment" / "action.yml")["runs"]["steps"]
    command = next(s["run"] for s in steps if s["name"] == "Install").split("constraints.txt")[1]
    program = f"""
import sys
from importlib.abc import MetaPathFinder
# what these bring themselves
allowed = {{*{command.split()!r}, "pydantic_core", "annotated_types", "typing_extensions",
           "typing_inspection", "_pytest", "iniconfig", "packaging", "pluggy", "py", "pygments",
           "quantgate", "tests"}}
class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        ours = top in allowed or top in sys.stdlib_module_names
        if not ours and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"{{name}} is not installed", name=top)
sys.meta_path.insert(0, Refuse())
from quantgate.github.artifact import unpack
from quantgate.github.comment import post, read_event
from quantgate.report.markdown import render_comment
from quantgate.run_file import parse_run
from tests.github.runs import archive, decision, results
print(render_comment(parse_run(unpack(archive(("results.json", results()))), "x"))[:20])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert COMMENT_MARK[:20] in done.stdout
