"""Greedy decoding in onnxruntime-genai: its Generator, driven as its own benchmark drives it.

The runtime chooses each id itself and counts it as part of the sequence before its turn to be
computed; where another id is given back, or where the runtime holds a text to be over, the sequence
is rewound to what was really appended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

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
    """

    def __init__(
        self,
        new_generator: Callable[[int], Any],
        package: OnnxPackage,
        *,
        provider: str,
        capacity: int,
        continues: bool,
    ) -> None:
        self._package = package
        self._provider = provider
        self._continues = continues
        self._capacity = capacity
        # The id that is chosen last needs a place of its own, which the context may not have.
        self._places = min(capacity + 1, package.config.context_length)
        self._new_generator = new_generator
        self._ids: list[int] = []
        self._chosen: int | None = None
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
            logits = self._generator.get_logits().reshape(-1)[: self._package.config.vocab_size]
            best = most_likely(logits, len(self._ids))
            # Nothing can be chosen where no place is left for it.
            return self._choose() if len(self._ids) < self._places else best

    def step(self, id_: int, /) -> int:
        """Append one id; the most likely next id.

        That its logits are finite is found out by the next `append` only: fetching them would take
        time that the runtime itself doesn't take.
        """
        if id_ != self._chosen or len(self._ids) + 1 >= self._places or self._generator.is_done():
            return self.append((id_,))
        self._ids.append(id_)
        with running(self._package, self._provider):
            return self._choose()

    def close(self) -> None:
        """Drop the generator and its cache."""
        self._generator = self._chosen = None

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
