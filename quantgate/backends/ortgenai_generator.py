"""Reads logits out of onnxruntime-genai generators: append, read, rewind; nothing is generated.

A generator computes its head for every position it is given, so appends are short: the logits of
one append, `[1, n, V]`, are all that lives at once.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from quantgate.backends.base import FloatArray, block_rows
from quantgate.errors import InvalidMeasurement
from quantgate.groups import Group
from quantgate.rows import Row
from quantgate.token_trie import Ids

# Most tokens of one append. Windows of 1,024 take the same time in appends of 64 to 1,024 tokens
# (135 M parameters, FP32 and INT4, two cores) and give the same bits, so memory decides: an append
# is no larger than a block of logits (`block_rows`), because the runtime holds it more than once.
APPEND_TOKENS = 64
LOGITS_RANK = 3
# Trials: any ids do, but short, because every model that is opened pays for them.
STEM, DROPPED, FOLLOWING = (0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)
TOLERANCE = 0.01  # of the largest logit; a cache that was not rewound is off by about 1


class Appends:
    """Scores the rows of batches, with one generator at a time.

    What the model allows is tried on a few tokens: some types refuse to rewind or only say that
    they did it, and graphs that compute the last position alone need not declare it.

    Args:
        new_generator: makes one for sequences of at most so many tokens.
        logits: name of the graph's output.
        vocabulary: its smallest width.
        context: longest sequence.
        continues: whether several tokens may follow a kept cache. Without that, or where rewinding
            fails, every row is one append in a generator of its own.
    """

    def __init__(
        self,
        new_generator: Callable[[int], Any],
        *,
        logits: str,
        vocabulary: int,
        context: int,
        continues: bool,
    ) -> None:
        self._new_generator = new_generator
        self._logits = logits
        self._vocabulary = vocabulary
        self._context = context
        self._generator: Any = None
        self._prefix: Ids | None = None
        self._held: list[int] = []  # all that the generator was given and still has
        self._capacity = 0
        self._most = min(APPEND_TOKENS, block_rows(vocabulary))
        self._dtype = np.dtype(np.float32)
        self._reads_output = False
        self._every_position = self._reads_every_position()
        self._continues = continues and self._rewinds()

    @property
    def continues(self) -> bool:
        """Whether several tokens may follow a cache that was rewound; it was tried."""
        return self._continues

    @property
    def reads_output(self) -> bool:
        """Whether logits can be read as the graph yields them, without asking for more; tried."""
        return self._reads_output

    def rows(self, batch: Group) -> Iterator[FloatArray]:
        """Yield the wanted rows of `batch`, `[n, V]` each, in the order of `batch.wanted`.

        Raises:
            InvalidMeasurement: `logits-shape`; what the runtime raises is left as it is.
        """
        longest = len(batch.prefix) + max(len(row.ids) for row in batch.rows) + batch.room
        for row in batch.rows:
            if self._continues:
                self._go_behind(batch.prefix, longest)
                yield from self._behind_prefix(row)
            else:
                yield from self._alone(batch.prefix, row)

    def _behind_prefix(self, row: Row) -> Iterator[FloatArray]:
        offsets = [want.offset for want in row.wanted]
        every = self._every_position
        for start, stop in pieces(offsets, every_position=every, most=self._most):
            self._append(row.ids[start:stop])
            wanted = [offset - start for offset in offsets if start <= offset < stop]
            if wanted:
                yield self._read(wanted, stop - start)

    def _alone(self, prefix: Ids, row: Row) -> Iterator[FloatArray]:
        """A row as a whole; read at its last position only, it is computed for each of them."""
        offsets = [want.offset for want in row.wanted]
        readings = [offsets] if self._every_position else [[offset] for offset in offsets]
        for wanted in readings:
            ids = prefix + row.ids[: wanted[-1] + 1]
            self._begin(len(ids))
            self._append(ids)
            yield self._read([len(prefix) + offset for offset in wanted], len(ids))

    def _go_behind(self, prefix: Ids, longest: int) -> None:
        """Leave the generator holding `prefix` alone, with room for `longest` tokens."""
        if self._capacity >= longest and tuple(self._held) == prefix:
            self._prefix = prefix  # the next part of what was appended last
            return
        if self._capacity >= longest and self._prefix == prefix:
            try:
                self._generator.rewind_to(len(prefix))
            except Exception:  # noqa: BLE001  a cache that has dropped what it is asked for
                self.close()
            else:
                del self._held[len(prefix) :]
                return
        self._begin(longest)
        for start in range(0, len(prefix), self._most):
            self._append(prefix[start : start + self._most])
        self._prefix = prefix

    def _begin(self, longest: int) -> None:
        """A new generator: its cache is as long as what it may hold, so not the whole context."""
        self.close()  # the old cache goes before the new one is made
        # Powers of two, so that the next batch behind the same prefix finds room in most cases.
        self._capacity = min(self._context, 1 << (longest - 1).bit_length())
        self._generator = self._new_generator(self._capacity)

    def _append(self, ids: Ids) -> None:
        try:
            self._generator.append_tokens(np.array(ids, dtype=np.int32))
        except Exception:
            self.close()  # nobody knows what it holds now
            raise
        self._held += ids

    def _read(self, wanted: Sequence[int], appended: int) -> FloatArray:
        """Rows `wanted`, ascending, of an append of `appended` tokens."""
        if wanted[0] == appended - 1:  # the last alone, which spares a copy of all the others
            raw = self._generator.get_logits()
            self._require_shape(raw, 1)
            last: FloatArray = raw[0].astype(self._dtype, copy=False)
            return last
        raw = self._generator.get_output(self._logits)
        self._require_shape(raw, appended)
        is_run = wanted[-1] - wanted[0] == len(wanted) - 1
        rows: FloatArray = raw[0, slice(wanted[0], wanted[-1] + 1) if is_run else list(wanted)]
        return rows

    def _require_shape(self, raw: FloatArray, rows: int) -> None:
        if raw.ndim != LOGITS_RANK or raw.shape[:2] != (1, rows) or raw.shape[2] < self._vocabulary:
            raise InvalidMeasurement(
                "logits-shape",
                need=f"logits [1, {rows}, at least {self._vocabulary}]",
                found=f"{list(raw.shape)}",
                fix="export the head so that it yields one row of logits per position",
            )

    def _reads_every_position(self) -> bool:
        """Whether all positions of an append can be read, not its last alone."""
        try:
            self._begin(len(STEM))
            self._append(self._known(STEM))
            raw = self._generator.get_output(self._logits)
        except Exception:  # noqa: BLE001  bfloat16, or a fault that the first row meets again
            return False
        finally:
            self.close()
        self._dtype = raw.dtype
        self._reads_output = True
        return bool(raw.shape[:2] != (1, 1))

    def _rewinds(self) -> bool:
        """Whether what follows a rewound cache is what follows a new one."""
        stem, dropped, following = map(self._known, (STEM, DROPPED, FOLLOWING))
        try:
            self._go_behind(stem, len(stem + dropped + following))
            self._append(dropped)
            self._generator.rewind_to(len(stem))
            self._append(following)
            reused = self._generator.get_logits()
            self._begin(len(stem + following))
            self._append(stem)
            self._append(following)
            fresh = self._generator.get_logits()
        except Exception:  # noqa: BLE001  the runtime raises many types of its own
            return False
        finally:
            self.close()
        bound = TOLERANCE * float(np.abs(fresh[np.isfinite(fresh)]).max(initial=0))
        if np.allclose(reused, fresh, rtol=0, atol=bound, equal_nan=True):
            return True
        warnings.warn(
            "onnxruntime-genai gives other logits after rewind_to than in a new generator; every "
            "sequence is computed as a whole",
            RuntimeWarning,
            stacklevel=2,
        )
        return False

    def _known(self, ids: Ids) -> Ids:
        return tuple(number % self._vocabulary for number in ids)

    def close(self) -> None:
        """Drop the generator and its cache."""
        self._held = []
        self._generator = None
        self._prefix = None
        self._capacity = 0


def pieces(
    offsets: Sequence[int], *, every_position: bool, most: int = APPEND_TOKENS
) -> Iterator[tuple[int, int]]:
    """Spans [start, stop) of a row's tokens, `most` of them at most, to append one by one.

    They end with the last of the ascending `offsets`, where the last row is read. Where only an
    append's last position can be read, each of the offsets ends a span.
    """
    end = offsets[-1] + 1
    stops = {end, *range(most, end, most)}
    if not every_position:
        stops.update(offset + 1 for offset in offsets)
    yield from itertools.pairwise([0, *sorted(stops)])
