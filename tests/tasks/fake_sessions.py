"""A session that generates nothing and says how long it took: as long as it is told to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantgate.execution.orders import Generated, GenerateOrder


class FakeSession:
    """Every token takes `seconds(name, call)`, a prompt as long as one token.

    Args:
        name: noted in `log` at each call that generates more than one id.
        log: of all sessions that take turns.
        seconds: by name, and by how many calls all of them had before.
    """

    def __init__(self, name: str, log: list[str], seconds: Callable[[str, int], float]) -> None:
        self.name = name
        self._log = log
        self._seconds = seconds
        self.orders: list[GenerateOrder] = []

    def generate(self, order: GenerateOrder) -> Generated:
        self.orders.append(order)
        if order.limit > 1:
            self._log.append(self.name)
        taken = self._seconds(self.name, len(self._log))
        return Generated(
            ids=((0,) * order.limit,),
            first_s=np.array([taken]),
            step_s=np.full(order.limit - 1, taken),
            ended=("limit",),
            loaded_mib=0,
        )
