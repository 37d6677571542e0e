"""The head of a package as a session of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import FloatArray
from quantgate.errors import InvalidMeasurement


class OrtHead:
    """The head of a package: hidden rows to logits."""

    def __init__(self, session: Any, vocabulary: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._vocabulary = vocabulary

    def logits(self, hidden: FloatArray) -> NDArray[np.float32]:
        """`[n, H]` to `[n, V]` float32.

        Raises:
            InvalidMeasurement: `logits-shape` where the head yields anything else.
        """
        (raw,) = self._session.run(None, {self._input: hidden})
        if raw.ndim != 2 or len(raw) != len(hidden) or raw.shape[1] < self._vocabulary:
            raise InvalidMeasurement(
                "logits-shape",
                need=f"logits [{len(hidden)}, at least {self._vocabulary}]",
                found=f"{list(raw.shape)}",
                fix="export the head so that it yields one row of logits per position",
            )
        return np.asarray(raw, dtype=np.float32)
