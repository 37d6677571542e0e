"""Rolling perplexity of documents: all ids scored, told by the word, by the byte and in bits.

What lm-evaluation-harness calls `loglikelihood_rolling`. Every document is encoded by itself, with
the tokenizer's own special tokens, and follows one id: the tokenizer's BOS, or else its EOS. A
tokenizer that adds a BOS by itself so has it scored after another, as it is there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quantgate.corpus.text import PARAGRAPHS, Document, TextCorpus
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import LoglikelihoodRolling
from quantgate.storage import canonical_json, sha256_bytes
from quantgate.tasks.base import Ask, Task
from quantgate.tasks.rolling_windows import RollingWindow, rolling_windows
from quantgate.tasks.windows import require_context, require_one_window

Vector = NDArray[np.float64]
ROLLING = "rolling"


@dataclass(frozen=True, slots=True)
class RollingOptions:
    """Protocol parameters: tokens a window reads, and how many of the documents are scored."""

    window: int
    text_format: str = PARAGRAPHS
    max_documents: int | None = None

    def describe(self, start: str) -> str:
        """The protocol with its parameters; `start` is the text of the id before a document."""
        told = "" if self.text_format == PARAGRAPHS else f", {self.text_format}"
        return f"{ROLLING} {self.window} from {start}{told}"


@dataclass(frozen=True)
class RollingItems:
    """Documents as ids.

    Attributes:
        lines: the ids of each document behind the one that stands before all of them.
        start: text of that id.
        documents: the documents themselves.
        window: most ids that a window reads.
    """

    lines: tuple[tuple[int, ...], ...]
    start: str
    documents: tuple[Document, ...]
    window: int

    @cached_property
    def windows(self) -> tuple[tuple[int, RollingWindow], ...]:
        """Every window with the number of its document, in the order of the text."""
        return tuple(
            (document, window)
            for document, line in enumerate(self.lines)
            for window in rolling_windows(len(line) - 1, self.window)
        )

    @property
    def requests(self) -> list[LoglikelihoodRolling]:
        """One request a window."""
        return [
            LoglikelihoodRolling(
                self.lines[document][window.begin : window.end],
                window.scored,
                self.lines[document][window.targets.start : window.targets.stop],
            )
            for document, window in self.windows
        ]

    def name(self, request: int) -> str:
        """The scored span and its document."""
        document, window = self.windows[request]
        span = f"tokens {window.targets.start - 1} to {window.targets.stop - 1}"
        return f"{span} of document {document}"

    @property
    def contexts(self) -> tuple[tuple[int, ...], ...]:
        """The documents' ids, each behind the one before it."""
        return self.lines

    @property
    def digest(self) -> str:
        """SHA-256 over the lines, each behind its length."""
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(np.array([len(line), *line], dtype="<i8").tobytes())
        return digest.hexdigest()

    @property
    def count(self) -> int:
        """Number of scored ids."""
        return sum(len(line) - 1 for line in self.lines)

    @cached_property
    def window_labels(self) -> NDArray[np.int64]:
        """Number of the window that scores each id, `[T]`."""
        sizes = [len(window.targets) for _, window in self.windows]
        return np.repeat(np.arange(len(sizes)), sizes)


@dataclass(frozen=True, slots=True)
class RollingSamples:
    """Log-probability of every id, document after document, in nats `[T]`."""

    logprobs: Vector


class RollingTask(Task[RollingItems, RollingSamples]):
    """Documents by rolling windows."""

    name = ROLLING

    def __init__(self, corpus: TextCorpus, options: RollingOptions) -> None:
        self._documents = corpus.documents[: options.max_documents]
        self.options = options

    @property
    def corpus_digest(self) -> str:
        """Digest of the selected documents as they stand in the corpus."""
        return sha256_bytes(canonical_json([document.raw for document in self._documents]))

    def encode(self, tokenizer: Tokenizer, context: int) -> RollingItems:
        """The documents' ids.

        Raises:
            InvalidMeasurement: `no-start-token` for a tokenizer with neither BOS nor EOS,
                `text-short`, or `context-overflow` for a window that doesn't fit.
        """
        require_context(self.options.window, context)
        start = tokenizer.start
        if start is None:
            raise InvalidMeasurement(
                "no-start-token",
                need="a BOS or EOS token, which the first id of a text is predicted from",
                found="a tokenizer with neither",
                fix="name one in tokenizer_config.json, or leave `rolling` out of "
                "[tasks.perplexity] protocols",
            )
        encoded = tokenizer.encode([document.text for document in self._documents])
        lines = tuple((start, *ids) for ids in encoded)
        items = RollingItems(lines, tokenizer.decode([start]), self._documents, self.options.window)
        require_one_window(items.count, self.options.window)
        return items

    def score(self, items: RollingItems, ask: Ask, tokenizer: Tokenizer) -> RollingSamples:
        """Score all windows once; their answers follow each other as the ids do."""
        del tokenizer
        return RollingSamples(ask(items.requests).logprobs)
