"""Greedy decoding in onnxruntime-genai: its Generator, driven as its own benchmark drives it.

The runtime chooses each id itself and counts it as part of the sequence before its turn to be
computed, but for an end-of-text id, which it leaves out until it is appended. Where another id is
given back, the sequence is rewound to what was really appended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quantgate.backends.base import FloatArray
from quantgate.backends.greedy import most_likely
from quantgate.backends.ortgenai_model import running
from quantgate.packages.package import OnnxPackage


class OrtGenaiDecoding:
    """One sequence in one generator at a time.

    Args:
        new_generator: makes one for sequences of at most so many tokens.
        package: a checked package.
        provider: slug of the execution provider, for messages.
        capacity: most tokens of the sequence.
        continues: whether a cache may be rewound and several tokens follow it. Without that, what
            is appended to a sequence is computed with all that came before, in a new generator.
        reads_output: whether the logits of a step can be read when its id is known. Without that,
            they are fetched before it is chosen, in the step's own time.
        verified: sequences behind which logits were found finite, by their hash; it grows.
    """

    def __init__(
        self,
        new_generator: Callable[[int], Any],
        package: OnnxPackage,
        *,
        provider: str,
        capacity: int,
        continues: bool,
        reads_output: bool,
        verified: set[int],
    ) -> None:
        self._package = package
        self._provider = provider
        self._continues = continues
        self._reads_output = reads_output
        self._verified = verified
        self._capacity = capacity
        # The id that is chosen last needs a place of its own, which the context may not have.
        self._places = min(capacity + 1, package.config.context_length)
        self._new_generator = new_generator
        self._ids: list[int] = []
        self._chosen: int | None = None
        self._unseen = False  # whether the last id was chosen by logits that nobody looked at
        with running(package, provider):
            self._generator = new_generator(self._places)

    def append(self, ids: Sequence[int], /) -> int:
        """Prefill `ids` behind what is there; the most likely next id.

        Raises:
            InvalidMeasurement: `logits-not-finite`, `out-of-memory` or `run-failed`.
        """
        self._require_room(ids)
        with running(self._package, self._provider):
            self._go_behind(ids)
            self._ids.extend(ids)
            return self._fetch_and_choose()

    def step(self, id_: int, /) -> int:
        """Append one id; the most likely next id.

        That its logits are finite is found out by `verify`: fetching them would take time that the
        runtime itself doesn't take.
        """
        if id_ != self._chosen:
            return self.append((id_,))
        self._require_room((id_,))
        with running(self._package, self._provider):
            if self._took(id_):
                self._ids.append(id_)
                if self._reads_output and self._has_place():
                    self._unseen = True
                    return self._choose()
                return self._fetch_and_choose()
        return self.append((id_,))

    def verify(self) -> None:
        """Look at the logits that the last id was chosen by; the runtime still has them.

        Those of a sequence that comes again aren't looked at again: what is timed was done before
        to warm up, and a pause between two steps of half a millisecond slows the second by 2 %.

        Raises:
            InvalidMeasurement: `logits-not-finite`, `out-of-memory` or `run-failed`.
        """
        sequence = hash(tuple(self._ids))
        if not self._unseen or sequence in self._verified:
            return
        with running(self._package, self._provider):
            rows = self._generator.get_output(self._package.config.logits)
            # NumPy compares float16 more slowly than it widens it.
            self._best(rows.reshape(-1, rows.shape[-1])[-1].astype(np.float32, copy=False))
        self._verified.add(sequence)

    def close(self) -> None:
        """Drop the generator and its cache."""
        self._generator = self._chosen = None

    def _took(self, id_: int) -> bool:
        """Whether the generator holds the chosen id as its last; the next is then a plain step.

        An end-of-text id is appended as it would have been by any step, alone.
        """
        if not self._generator.is_done():
            return True
        if len(self._generator.get_sequence(0)) > len(self._ids):
            # Done for want of a further place; or the runtime, as it did on CUDA once, counts
            # an end-of-text id, but chooses none behind it.
            return len(self._ids) + 1 == self._places
        try:
            self._generator.append_tokens(np.array([id_], dtype=np.int32))
        except Exception:  # noqa: BLE001  a device that takes nothing behind a cache
            return False
        return True

    def _has_place(self) -> bool:
        """Whether a place is left for the id that is chosen next."""
        return len(self._ids) < self._places

    def _fetch_and_choose(self) -> int:
        """As `_choose`, logits fetched and looked at before."""
        self._unseen = False
        best = self._best(self._generator.get_logits().reshape(-1))
        return self._choose() if self._has_place() else best

    def _best(self, logits: FloatArray) -> int:
        return most_likely(logits[: self._package.config.vocab_size], len(self._ids))

    def _choose(self) -> int:
        """Compute what isn't yet and let the runtime take the most likely id."""
        self._generator.generate_next_token()
        self._chosen = int(self._generator.get_next_tokens()[0])
        return self._chosen

    def _go_behind(self, ids: Sequence[int]) -> None:
        """Leave the generator holding the sequence and `ids`, with logits of the last."""
        kept, self._chosen = 0, None
        if self._ids and self._continues:
            kept = len(self._ids) - 1  # caches that aren't shared buffers refuse their own length
            self._generator.rewind_to(kept)
        elif self._ids:
            self._generator = None  # the old cache goes before the new one is made
            self._generator = self._new_generator(self._places)
        new = [*self._ids[kept:], *ids]
        self._generator.append_tokens(np.array(new, dtype=np.int32))

    def _require_room(self, ids: Sequence[int]) -> None:
        if not ids or len(self._ids) + len(ids) > self._capacity:
            raise ValueError(f"{len(ids)} ids behind {len(self._ids)} of {self._capacity}")
