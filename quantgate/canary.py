"""Proves on the first rows of a run that sharing and packing change nothing that matters.

The sequences of one row (of a padded batch: of two) are scored as planned and once more alone,
from an empty cache. Where the two differ by more than batching can explain (a kernel that forgets
the mask, a rewind that leaves something behind), the run goes on without what failed, and says so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantgate.execution.orders import Order, Session
from quantgate.groups import Group, PlanLimits
from quantgate.plan import Plan
from quantgate.rows import RowBuilder

# Largest difference of a log-probability, in nats, that batching explains, by precision.
EXPLAINED = {"fp32": 1e-3, "fp16": 0.05, "bf16": 0.25}
EXPLAINED_ELSE = 0.25  # activations rounded to int8, or a precision that isn't known
PROBES = 16  # ids, at most, whose log-probabilities are compared
SEQUENCES = 3


def narrowed(limits: PlanLimits) -> PlanLimits | None:
    """Limits without what may have failed: packing first, then all sharing; None after that."""
    if limits.packs:
        return replace(limits, packs=False)
    return None if limits.alone else replace(limits, alone=True)


def difference(session: Session, plan: Plan) -> float:
    """Largest difference in nats between rows as planned and alone; 0 where nothing is shared.

    Args:
        session: an opened model.
        plan: what is about to be run.
    """
    shared = next((group for group in plan.groups if _shares(group)), None)
    if shared is None:
        return 0.0
    # In a padded batch the longest row comes first, the one with the most padding last.
    rows = (shared.rows[0], shared.rows[-1]) if shared.padded else shared.rows[:1]
    planned = Group(shared.prefix, rows, shared.padded)
    wanted = planned.wanted
    last = {want.sequence: row for row, want in enumerate(wanted)}
    read = sorted(last.values())[:SEQUENCES]
    alone = [_alone(plan, wanted[row].sequence, wanted[row].position) for row in read]
    probes = _probes(planned)
    orders = [_order(planned, read, probes), *(_order(each, [0], probes) for each in alone)]
    together, *separate = (readings.logprobs for readings in session.run(orders))
    return float(np.abs(together - np.concatenate(separate)).max())


def _shares(group: Group) -> bool:
    if group.padded:
        return len(group.rows) > 1
    return bool(group.prefix) or not group.rows[0].is_chain


def _alone(plan: Plan, sequence: int, position: int) -> Group:
    """One sequence up to the position that is scored, from an empty cache."""
    builder = RowBuilder(0)
    builder.add(plan.sequences[sequence][: position + 1], 0, sequence, (position,))
    return Group((), (builder.row(),))


def _probes(batch: Group) -> NDArray[np.int64]:
    """Ids of the batch itself: a tokenizer may have more ids than a model has logits."""
    ids = np.unique([*batch.prefix, *(id_ for row in batch.rows for id_ in row.ids)])
    places = np.linspace(0, len(ids) - 1, min(PROBES, len(ids))).astype(np.int64)
    found: NDArray[np.int64] = ids[places].astype(np.int64)
    return found


def _order(batch: Group, rows: list[int], probes: NDArray[np.int64]) -> Order:
    numbers: NDArray[np.int64] = np.array(rows, dtype=np.int64)
    return Order(
        batch=batch,
        rows=np.repeat(numbers, len(probes)),
        targets=np.tile(probes, len(rows)),
        keep=numbers[:0],
    )
