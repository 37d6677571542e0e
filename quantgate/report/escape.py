"""Text from outside (names, paths, questions, errors) made harmless before it is shown.

Model names, file names and messages may come from a pull request. `plain` is for terminals and
plain text; other sinks (HTML, Markdown, XML) need their own escaping after it.
"""

from __future__ import annotations

import re
import unicodedata

# CSI, OSC (hyperlinks, titles; ended by BEL or ST), other string controls, two-byte escapes; both
# in 7 bits (ESC [) and in the single characters of C1.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]"
)
_SPACE = re.compile(r"[\s\u2028\u2029]+")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}"
    r"|AKIA[0-9A-Z]{16}|sk-[\w-]{16,})"
)
REDACTED = "***"


def plain(text: str) -> str:
    """Return `text` in one line, without escape sequences, control characters and credentials.

    Format characters (Unicode category Cf: overrides of the writing direction, zero-width marks)
    go too, since they make a line read as something else; lone surrogates become escapes.
    """
    text = _SPACE.sub(" ", _ANSI.sub("", text))
    kept = "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cf"})
    return redact(kept.encode("utf-8", "backslashreplace").decode("utf-8"))


def ascii_only(text: str) -> str:
    """Return `plain` text in ASCII, other characters as backslash escapes."""
    return plain(text).encode("ascii", "backslashreplace").decode("ascii")


def redact(text: str) -> str:
    """Return `text` without credentials in URLs and without what looks like an access token."""
    return _TOKENS.sub(REDACTED, _CREDENTIALS.sub(REDACTED + "@", text))
