"""GitHub's REST interface as far as commenting needs it, on this machine, keeping what it is asked.

Another server stands for the host that artifacts lie on.
"""

from __future__ import annotations

import json
import socketserver
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPOSITORY = "owner/name"
SHA = "c" * 40


class FakeGitHub:
    """State of the repository, and every request in order: (method, path, query, headers, body)."""

    def __init__(self) -> None:
        self.url = ""
        self.store_url = ""
        self.requests: list[tuple[str, str, dict[str, str], dict[str, str], Any]] = []
        self.stored: list[dict[str, str]] = []
        self.archive = b""
        self.artifacts: list[dict[str, Any]] = [artifact(7)]
        self.pulls: list[dict[str, Any]] = [pull(5)]
        self.comments: list[dict[str, Any]] = []
        self.fails: dict[str, int] = {}

    def sent(self) -> list[tuple[str, str, Any]]:
        """What was written."""
        return [(m, path, body) for m, path, _, _, body in self.requests if m != "GET"]

    def answer(self, path: str, query: dict[str, str]) -> Any:
        place = path.removeprefix(f"/repos/{REPOSITORY}/")
        if place == "pulls":
            found = [each for each in self.pulls if each["_label"] == query["head"]]
            return [each for each in found if each["state"] == query["state"]]
        if place.startswith("commits/"):
            return [each for each in self.pulls if each["_known"]]
        if place.endswith("/artifacts"):
            return {"artifacts": self.artifacts}
        if place.startswith("issues/"):
            begin = (int(query["page"]) - 1) * int(query["per_page"])
            return self.comments[begin : begin + int(query["per_page"])]
        return None


def artifact(number: int, name: str = "quantgate-results", *, expired: bool = False):
    return {"id": number, "name": name, "expired": expired, "size_in_bytes": 1}


def pull(number: int, *, sha: str = SHA, fork: str = "fork/name", known: bool = False, **more: Any):
    """A pull request of the branch `topic` of a fork; `known`: its commit is, to the base."""
    head = {"sha": sha, "repo": {"full_name": fork}}
    label = f"{fork.partition('/')[0]}:topic"
    return {
        "number": number,
        "state": "open",
        "head": head,
        "_label": label,
        "_known": known,
        **more,
    }


def event(**changes: Any) -> dict[str, Any]:
    """A `workflow_run` event."""
    run = {
        "id": 99,
        "event": "pull_request",
        "head_sha": SHA,
        "head_branch": "topic",
        "head_repository": {"full_name": "fork/name", "owner": {"login": "fork"}},
        "conclusion": "failure",
        "html_url": "https://example.org/owner/name/actions/runs/99",
        "pull_requests": [],
    }
    return {"workflow_run": {**run, **changes}}


class Server(ThreadingHTTPServer):
    """A server that doesn't ask a name server what it is called."""

    daemon_threads = True

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


@contextmanager
def serving() -> Iterator[FakeGitHub]:
    """Both servers, in threads of their own."""
    state = FakeGitHub()

    class Interface(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(parts.query))
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.command, parts.path, query, headers, body))
            if status := state.fails.get(parts.path.rpartition("/")[2]):
                self._give(status, b'{"message": "Resource not accessible by integration"}')
            elif parts.path.endswith("/zip"):
                self.send_response(302)
                self.send_header("Location", state.store_url)
                self.end_headers()
            elif self.command == "GET":
                self._give(200, json.dumps(state.answer(parts.path, query)).encode())
            else:
                self._give(201, b"{}")

        do_GET = do_POST = do_PATCH = _handle

        def _give(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: Any) -> None: ...

    class Store(Interface):
        def do_GET(self) -> None:
            state.stored.append({name.lower(): value for name, value in self.headers.items()})
            self._give(200, state.archive)

    servers = [Server(("127.0.0.1", 0), each) for each in (Interface, Store)]
    threads = [threading.Thread(target=each.serve_forever, args=(0.01,)) for each in servers]
    for thread in threads:
        thread.start()
    state.url, state.store_url = (f"http://127.0.0.1:{s.server_address[1]}" for s in servers)
    try:
        yield state
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
