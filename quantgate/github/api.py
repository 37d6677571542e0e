"""The few questions asked of GitHub's REST interface, with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any

from quantgate.errors import UsageFault
from quantgate.report.escape import plain

SECONDS = 30.0
LARGEST_ANSWER = 8 << 20
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


class GitHub:
    """One repository behind one base URL.

    Args:
        base: for example GITHUB_API_URL.
        repository: `owner/name`.
        token: sent to the base URL only, never to where it redirects.

    Raises:
        UsageFault: `github-url`, for a base that is neither HTTPS nor this machine.
    """

    def __init__(self, base: str, repository: str, token: str) -> None:
        parts = urllib.parse.urlsplit(base)
        local = parts.scheme == "http" and parts.hostname in LOCAL
        if not parts.hostname or not (parts.scheme == "https" or local):
            raise UsageFault(
                "github-url",
                need="an https:// URL in GITHUB_API_URL",
                found=plain(base),
                fix="run in a job on GitHub, or set the variable",
            )
        self._base = base.rstrip("/")
        self._repository = repository
        self._token = token
        self._opener = urllib.request.build_opener(_Redirects(parts.scheme))

    def get(self, path: str, **query: str) -> Any:
        """The JSON answer to a question about the repository."""
        return json.loads(self.get_bytes(path, LARGEST_ANSWER, **query))

    def get_bytes(self, path: str, limit: int, **query: str) -> bytes:
        """An answer's bytes.

        Raises:
            UsageFault: `github-answer`: refused, unreachable, or more than `limit` bytes.
        """
        suffix = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._ask("GET", path + suffix, None, limit)

    def send(self, method: str, path: str, document: object) -> Any:
        """Send JSON, return the JSON answer; errors as `get_bytes`."""
        return json.loads(self._ask(method, path, json.dumps(document).encode(), LARGEST_ANSWER))

    def _ask(self, method: str, path: str, data: bytes | None, limit: int) -> bytes:
        url = f"{self._base}/repos/{self._repository}/{path}"
        request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - checked above
        request.add_header("Accept", "application/vnd.github+json")
        request.add_header("User-Agent", "quantgate")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        # Unredirected: an artifact lies on another host, which must not see the token.
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                content: bytes = answer.read(limit + 1)
        except urllib.error.HTTPError as error:
            raise _refused(method, path, f"{error.code} {_words(error)}") from None
        except (OSError, ValueError) as error:
            raise _refused(method, path, str(error)) from None
        if len(content) > limit:
            raise _refused(method, path, f"more than {limit:,} bytes")
        return content


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects that keep to the scheme."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def redirect_request(  # noqa: PLR0917 - the signature is urllib's
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuse another scheme; the rest is as usual."""
        if urllib.parse.urlsplit(newurl).scheme != self._scheme:
            raise urllib.error.HTTPError(newurl, code, "redirected elsewhere", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _words(error: urllib.error.HTTPError) -> str:
    try:
        message = json.loads(error.read(4096))["message"]
    except (ValueError, LookupError, TypeError, OSError):
        message = error.reason
    return plain(str(message))[:200]


def _refused(method: str, path: str, found: str) -> UsageFault:
    return UsageFault(
        "github-answer",
        need=f"an answer to {method} {plain(path)[:200]}",
        found=found,
        fix="check the job's permissions (pull-requests: write, actions: read), then run it again",
    )
