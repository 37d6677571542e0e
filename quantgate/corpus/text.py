r"""The text of perplexity and divergence: paragraphs, joined by two newlines and encoded once.

A text file has a paragraph a line: the line end (LF, CRLF or CR) is no part of it, and a line of
nothing but white space is no paragraph. From the hub, every row of the column `text` is a
paragraph exactly as it comes, empty rows and line ends included: published perplexities join the
rows of `Salesforce/wikitext` like that (`"\n\n".join(rows["text"])`), so a file and the hub's rows
of the same text are different corpora with different digests.

`rolling` perplexity works on documents instead. In the format `paragraphs` there is one, the joined
text; in `wikitext` there is one an article, detokenized (`corpus.wikitext`).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantgate.corpus.files import EMBEDDED, digest_of, read
from quantgate.corpus.hub import PREFIX, HubLocation, fetch, parquet_files, parquet_rows
from quantgate.corpus.hub import parse_location as parse_hub_location
from quantgate.corpus.wikitext import detokenize, has_title, split_articles
from quantgate.errors import UsageFault

PARAGRAPHS: Final = "paragraphs"
WIKITEXT: Final = "wikitext"
_HUB_COLUMN: Final = "text"
_BLANK_LINE: Final = " \n"  # what the hub's empty rows are in WikiText's own files


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it stands in the corpus, and the text of it that is scored."""

    raw: str
    text: str

    @property
    def words(self) -> int:
        """Parts between white space of the raw text, empty ones at its ends included."""
        return len(re.split(r"\s+", self.raw))

    @property
    def size(self) -> int:
        """Bytes of the raw text in UTF-8."""
        return len(self.raw.encode("utf-8"))


@dataclass(frozen=True, slots=True)
class TextCorpus:
    """A text to score.

    Attributes:
        source: the location it was read from, as it was given.
        paragraphs: the paragraphs, in order.
        digest: SHA-256 of the paragraphs as canonical JSON.
        files_digest: SHA-256 of the file's bytes (of a listing, where the hub has several files);
            a pin names it.
        articles: WikiText's articles as they stand; empty in the format `paragraphs`.
    """

    source: str
    paragraphs: tuple[str, ...]
    digest: str
    files_digest: str
    articles: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The paragraphs joined by two newlines."""
        return "\n\n".join(self.paragraphs)

    @property
    def documents(self) -> tuple[Document, ...]:
        """The articles, or the joined text as the only one."""
        if self.articles:
            return tuple(Document(article, detokenize(article)) for article in self.articles)
        return (Document(self.text, self.text),)


def read_text(location: str, *, base: Path, text_format: str = PARAGRAPHS) -> TextCorpus:
    """Read a text.

    Args:
        location: `embedded`, a file, or `hub:<dataset id>[:<config>[:<split>]]@<commit>`; the
            split is `test` unless given, the config the data set's root or its folder `data`.
        base: the folder relative paths start from.
        text_format: `paragraphs`, or `wikitext` for documents that are articles.

    Raises:
        UsageFault: it can't be read, is no UTF-8, has no paragraph, or is no WikiText.
    """
    if location.startswith(PREFIX):
        paragraphs, files_digest = _hub(parse_hub_location(location))
        whole = "".join(row or _BLANK_LINE for row in paragraphs)
    else:
        path = EMBEDDED / "text.txt" if location == "embedded" else base / location
        file = read(path, path.name)
        whole, files_digest = _unix(file.text()), file.sha256
        paragraphs = _paragraphs(whole)
    if not any(paragraph.strip() for paragraph in paragraphs):
        raise UsageFault(
            "text-empty",
            need=f"a text to score in {location}",
            found=f"{len(paragraphs)} paragraphs, all of them blank",
            fix="name another location in quantgate.toml [data] text, or with --gate-text",
        )
    canonical = json.dumps(paragraphs, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode("utf-8")).hexdigest()
    articles = _articles(whole, location) if text_format == WIKITEXT else ()
    return TextCorpus(location, paragraphs, digest, files_digest, articles)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _paragraphs(text: str) -> tuple[str, ...]:
    # Not `splitlines`, which also breaks at form feeds, U+2028 and other characters of the text.
    return tuple(line for line in text.split("\n") if line.strip())


def _articles(text: str, location: str) -> tuple[str, ...]:
    articles = split_articles(text)
    if not any(map(has_title, articles)):
        raise UsageFault(
            "text-format",
            need=f"articles in {location} that begin with a title, a line ` = Title = `",
            found="no such line",
            fix='set text_format = "paragraphs" under [data]',
        )
    return articles


def _hub(location: HubLocation) -> tuple[tuple[str, ...], str]:
    split = location.split or "test"
    folders = [location.config] if location.config else ["data", "."]
    root = fetch(location, [(Path(f) / f"{split}-*.parquet").as_posix() for f in folders])
    files = next(filter(None, (parquet_files(root, f, split) for f in folders)), [])
    if not files:
        raise UsageFault(
            "data-missing",
            need=f"{split}-*.parquet of {location.dataset} in {' or '.join(folders)}",
            found=f"no such file in {root}",
            fix="name config and split (hub:<id>:<config>:<split>@<commit>), or set "
            "HF_HUB_OFFLINE=0 to let quantgate download them",
        )
    rows = parquet_rows(files, [_HUB_COLUMN])
    return tuple(row[_HUB_COLUMN] or "" for row in rows), digest_of(files)
