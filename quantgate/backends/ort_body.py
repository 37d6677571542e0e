"""The part of a package that computes tokens, and the KV cache that it keeps between batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from quantgate.backends.base import FloatArray, out_of_memory
from quantgate.backends.feeds import BodyInputs, Feed
from quantgate.backends.ort_cache import SharedCache
from quantgate.backends.ort_rows import apart, same_tables
from quantgate.errors import InvalidMeasurement
from quantgate.groups import Group
from quantgate.packages.graph import EVERY_POSITION
from quantgate.packages.rotary_switch import crosses
from quantgate.rows import Row, chain
from quantgate.token_trie import Ids

Past = dict[str, Any]


class Body:
    """A session, loaded when first used, that computes the rows of batches.

    Args:
        load: makes the session.
        inputs: builds its feeds.
        output: what the graph yields beside its cache.
        where: package and provider, for messages.
        shares: whether past and present may be one buffer.
        widest: tokens of a chain that are computed in one run; None computes all of them.
        switch: length beyond which a sequence is computed with other rotary tables; None without.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        inputs: BodyInputs,
        output: str,
        where: str,
        *,
        shares: bool = False,
        widest: int | None = None,
        switch: int | None = None,
    ) -> None:
        self._load = load
        self._output = output
        self._shares = shares
        self._widest = widest
        self.switch = switch
        self._session: Any = None
        self._where = where
        self._buffer: SharedCache | None = None
        self._kept: tuple[Ids, Past | None] | None = None
        self.inputs = inputs

    def last(self, feed: Feed) -> FloatArray:
        """The output of a run whose cache nothing follows.

        Raises:
            InvalidMeasurement: `logits-shape`, `out-of-memory` or `run-failed`.
        """
        if self._in_buffer(feed):
            hidden, _ = self.extend(feed)
        else:
            hidden = self._run([self._output], feed)[0].numpy()
        return hidden

    def extend(self, feed: Feed) -> tuple[FloatArray, Past]:
        """The output, and the cache behind the feed's tokens as past inputs.

        Raises:
            InvalidMeasurement: as for `last`.
        """
        if (buffer := self._in_buffer(feed)) is not None:
            return self._named(partial(buffer.run, feed)).numpy(), buffer.past
        value, *caches = self._run([self._output, *self.inputs.present_names], feed)
        return value.numpy(), dict(zip(self.inputs.past_names, caches, strict=True))

    def past(self, ids: Ids, room: int) -> Past | None:
        """KV cache of a prefix as past inputs, computed unless it is the last one; None for none.

        Args:
            ids: the prefix.
            room: most tokens of a sequence behind it, the prefix's included.
        """
        if not ids:
            return None
        fits = self._buffer is None or self._buffer.tokens >= room
        if self._kept is None or self._kept[0] != ids or not fits:
            cache = self.begin(room)
            behind = 0
            for part in self.parts(chain(ids)):
                _, cache = self.extend(self.inputs.row(part, behind, cache))
                behind += len(part.ids)
            self._kept = ids, cache
        return self._kept[1]

    def begin(self, room: int) -> Past | None:
        """Where a sequence of at most `room` tokens begins; None where runs make their caches.

        Whatever was kept goes.
        """
        self._kept = None
        if not self._shares:
            return None
        if self._buffer is None or self._buffer.tokens < room:
            self._buffer = None  # the old one goes before the new one is made
            make = partial(SharedCache, self._loaded(), self.inputs, self._output, room)
            self._buffer = self._named(make)
        return self._buffer.past

    def placed(self, row: Row, prefix: Ids) -> Iterator[tuple[Ids, Row]]:
        """What to run for a row, and behind which prefix: mostly the row behind its own."""
        if crosses(self.switch, len(prefix), self.inputs.width(row, len(prefix))):
            yield from apart(row, prefix, self.switch)
        else:
            yield prefix, row

    def parts(self, row: Row, behind: int = 0) -> list[Row]:
        """A chain in parts that are run one behind the other; any other row as it is."""
        if self._widest is None or not (row.is_chain and self.inputs.keeps_prefix):
            return [row]
        if self.switch is None or not crosses(self.switch, behind, behind + len(row.ids)):
            return row.parts(self._widest)
        # The first goes over the switch, so that it has the same tables as all others.
        first, *others = row.parts(max(self.switch + 1, self._widest))
        return [first, *(part for other in others for part in other.parts(self._widest))]

    def close(self) -> None:
        """Drop session and cache; ONNX Runtime frees their memory with the last reference."""
        self._session = self._kept = self._buffer = None

    def _in_buffer(self, feed: Feed) -> SharedCache | None:
        """The buffer, where it is what the feed follows."""
        buffer = self._buffer
        return buffer if buffer is not None and buffer.follows(feed) else None

    def _run(self, outputs: list[str], feed: Feed) -> list[Any]:
        run = self._loaded().run_with_ort_values
        return list(self._named(partial(run, outputs, feed)))

    def _loaded(self) -> Any:
        if self._session is None:
            self._session = self._load()
        return self._session

    def _named(self, call: Callable[[], Any]) -> Any:
        """What the runtime's `call` returns; what it raises is named."""
        try:
            return call()
        except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
            raise self._run_fault(error) from None

    def _run_fault(self, error: Exception) -> InvalidMeasurement:
        if EVERY_POSITION in str(error):
            return InvalidMeasurement(
                "logits-shape",
                need=f"a hidden row for every position of {self._where}",
                found=f"{error}",
                fix="build the package again without prune_lm_head",
            )
        return run_fault(error, self._where)


def run_fault(error: Exception, where: str) -> InvalidMeasurement:
    """Name what the runtime raised while it ran the package `where`."""
    return InvalidMeasurement(
        "out-of-memory" if out_of_memory(error) else "run-failed",
        need=f"{where} to run",
        found=f"{type(error).__name__}: {error}",
        fix="check the package with: quantgate inspect",
    )


def hidden_rows(body: Body, batch: Group) -> Iterator[FloatArray]:
    """Wanted hidden rows `[n, H]` of `batch`, a run at a time."""
    if batch.padded:
        for rows in same_tables(batch.rows, body.switch):
            yield body.last(body.inputs.padded(rows))
        return
    for whole in batch.rows:
        for prefix, row in body.placed(whole, batch.prefix):
            yield from _row(body, row, len(prefix), body.past(prefix, _longest(batch)))


def _longest(batch: Group) -> int:
    """Tokens of the longest row, the prefix included."""
    return len(batch.prefix) + max(len(row.ids) for row in batch.rows)


def _row(body: Body, row: Row, behind: int, past: Past | None) -> Iterator[FloatArray]:
    """Wanted hidden rows of one row; the parts of a chain follow each other's cache."""
    *earlier, last = body.parts(row, behind)
    if earlier and past is None:
        past = body.begin(len(row.ids))
    for part in earlier:
        hidden, past = body.extend(body.inputs.row(part, behind, past))
        behind += len(part.ids)
        if part.wanted:
            yield hidden
    hidden = body.last(body.inputs.row(last, behind, past))
    if last.wanted:
        yield hidden


def stepwise_logits(body: Body, batch: Group) -> Iterator[FloatArray]:
    """Wanted logits `[1, V]` of `batch` from a graph that yields those of its last token only.

    Each row, a chain, is cut behind its wanted tokens. A part follows the cache of the one before
    it; where no cache can be followed, or its end is over a switch of rotary tables that its
    beginning isn't, it is computed from the start.

    Raises:
        InvalidMeasurement: `logits-shape` where other than one row comes out.
    """
    past = body.past(batch.prefix, _longest(batch))
    if past is None and body.inputs.keeps_prefix:
        past = body.begin(_longest(batch))
    for row in batch.rows:
        ids = batch.prefix + row.ids
        start, cache = len(batch.prefix), past
        for want in row.wanted:
            stop = len(batch.prefix) + want.offset + 1
            if crosses(body.switch, start, stop):
                start, cache = 0, None
            feed = body.inputs.chain(ids[start:stop], start, cache)
            if body.inputs.keeps_prefix:
                value, cache = body.extend(feed)
                start = stop
            else:
                value = body.last(feed)
            yield _only_row(value)


def _only_row(logits: FloatArray) -> FloatArray:
    rows = logits.reshape(-1, logits.shape[-1])
    if len(rows) != 1:
        raise InvalidMeasurement(
            "logits-shape",
            need="logits of the last position only, as the graph declares them",
            found=f"{list(logits.shape)}",
            fix="build the package again without prune_lm_head",
        )
    return np.asarray(rows, dtype=np.float32)
