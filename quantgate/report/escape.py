"""Text from outside (names, paths, questions, errors) made harmless for the place it is shown in.

Model names, file names and messages may come from a pull request. `plain` is for terminals and
plain text, `printable` the same for several lines; every other sink starts from one of them and
adds its own: `markdown_text`, `markdown_cell`, `markdown_code`, `markdown_link`, `xml_text`,
`workflow_command`, `github_output`. HTML is escaped by its template engine.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from typing import Final

# CSI, OSC (hyperlinks, titles; ended by BEL or ST), other string controls, two-byte escapes; both
# in 7 bits (ESC [) and in the single characters of C1.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]"
)
_SPACE = re.compile(r"[\s\u2028\u2029]+")
_LINE_END = re.compile(r"\r\n|[\r\n\v\f\x85\u2028\u2029]")
_CREDENTIALS = re.compile(r"(?<=[A-Za-z]{2}:/)(/?)[^/\s?#]*@")  # a path has one slash of them
_PARAMETERS = re.compile(
    r"([?&][\w.-]*(?:token|secret|password|signature|api_?key|credential)[\w.-]*=)[^&#\s]+",
    re.IGNORECASE,
)
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}"
    r"|AKIA[0-9A-Z]{16}|sk-[\w-]{16,}|xox[abprs]-[\w-]{8,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,})"
)
REDACTED = "***"
MISSING = "-"

_INVISIBLE: Final = "&#8203;"  # a zero-width space: it stands between what would be read together
_ENTITIES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "\\": "&#92;", "`": "&#96;"}
    | {mark: f"\\{mark}" for mark in "*_[]~"}
    | {"#": f"#{_INVISIBLE}", "$": "<span>$</span>"}
)
# A list or heading begins with these; the text may come first in its line.
_BLOCK_START = re.compile(r"^(\d{1,9})?([-+=.)])(?=[\s=-]|$)")
_MENTION = re.compile(r"@(?=\S)")
_ISSUE = re.compile(r"\b(GH)(?=-\d)", re.IGNORECASE)
_HOST = re.compile(r"\b(www)(?=\.)", re.IGNORECASE)
_EMOJI = re.compile(r":(?=[+-]?\w*[A-Za-z]\w*:|(?:[+-]1|100|1234):)")
_LINK = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d+)?(?:/[\w./~%+=&?-]*)?(?:#[\w-]*)?", re.ASCII)
_LONGEST_LINK = 1000
# XML 1.0 allows no others above the controls; surrogates are escaped before.
_NOT_XML = re.compile("[\ufffe\uffff]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# Of the format characters these belong into ordinary words of some scripts, but not into one line
# of a report that people compare by eye.
_DROPPED = frozenset({"Cc", "Cf"})


def plain(text: str) -> str:
    """Return `text` in one line, without escape sequences, control characters and credentials.

    Format characters (Unicode category Cf: overrides of the writing direction, zero-width marks)
    go too, since they make a line read as something else; lone surrogates become escapes.
    """
    return _clean(_SPACE.sub(" ", _ANSI.sub("", text)))


def printable(text: str) -> str:
    r"""Return `text` like `plain`, but with its lines, which end in `\n`, and its tabs."""
    lines = _LINE_END.split(_ANSI.sub("", text))
    return "\n".join("\t".join(map(_clean, line.split("\t"))) for line in lines)


def _clean(text: str) -> str:
    if not text.isprintable():  # most texts are, and have nothing to drop
        text = "".join(c for c in text if unicodedata.category(c) not in _DROPPED)
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return redact(text)


def ascii_only(text: str) -> str:
    """Return `plain` text in ASCII, other characters as backslash escapes."""
    return plain(text).encode("ascii", "backslashreplace").decode("ascii")


def redact(text: str) -> str:
    """Return `text` without credentials in URLs and without what looks like an access token."""
    text = _CREDENTIALS.sub(rf"\1{REDACTED}@", text)
    return _TOKENS.sub(REDACTED, _PARAMETERS.sub(rf"\1{REDACTED}", text))


def markdown_text(text: str) -> str:
    """Return `plain` text for a line of GitHub's Markdown, where it is read as it stands.

    No markup, HTML, table cell, formula, emoji, link, mention (`@name`) or reference (`#1`,
    `GH-1`) comes of it. GitHub looks for the last three in the finished text, so an entity alone
    would not stop them: an invisible space stands inside.
    """
    text = plain(text).translate(_ENTITIES).strip()
    text = _BLOCK_START.sub(r"\1\\\2", text)
    text = _MENTION.sub(f"@{_INVISIBLE}", _ISSUE.sub(rf"\1{_INVISIBLE}", text))
    text = text.replace("://", f":{_INVISIBLE}//")
    text = _HOST.sub(rf"\1{_INVISIBLE}", text)
    return _EMOJI.sub(f":{_INVISIBLE}", text)


def markdown_cell(text: str) -> str:
    """Return `markdown_text` for a cell of a table: never empty, never a line of its own."""
    return markdown_text(text) or f"\\{MISSING}"


def markdown_code(text: str) -> str:
    """Return inline code for a text or a cell of a table.

    HTML's element, since a backslash before a `|` can't be written between backticks in a table.
    """
    return f"<code>{markdown_cell(text)}</code>"


def markdown_link(label: str, url: str) -> str:
    """Return a link; only the label where `url` is not a plain address of http or https."""
    if len(url) > _LONGEST_LINK or not _LINK.fullmatch(url) or redact(url) != url:
        return markdown_text(label)
    return f"[{markdown_text(label)}](<{url}>)"


def xml_text(text: str) -> str:
    """Return `printable` text of characters that XML 1.0 allows; its markup is the writer's job."""
    return _NOT_XML.sub("", printable(text))


def workflow_command(command: str, message: str, **properties: str) -> str:
    """Return one line that GitHub's runner reads as a command: `::error title=Gate::message`.

    Raises:
        ValueError: the command's or a property's name is no name.
    """
    told = ",".join(
        f"{_named(name)}={_percent(value).replace(':', '%3A').replace(',', '%2C')}"
        for name, value in properties.items()
    )
    return f"::{_named(command)}{f' {told}' if told else ''}::{_percent(message)}"


def _percent(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\n", "%0A")


def github_output(name: str, value: str) -> str:
    """Return the lines that set an output (or a variable) in the runner's file for them.

    The lines of `value` end where a random mark stands that isn't in it, so it can set no other.

    Raises:
        ValueError: `name` is no name.
    """
    text, mark = printable(value), ""
    while not mark or mark in text:
        mark = f"quantgate_{secrets.token_hex(16)}"
    return f"{_named(name)}<<{mark}\n{text}\n{mark}\n"


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"a name of letters, digits, - and _ is needed, not {name!r}")
    return name
