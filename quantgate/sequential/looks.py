"""A look at what a sequential run has taken so far: which verdicts can't change any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantgate.gate.findings import is_divergence
from quantgate.gate.pairing import ideal, restrict
from quantgate.items import ItemResults, WindowItems, items_of
from quantgate.results import Direction, Measurement, Verdict
from quantgate.sequential.betting import BEYOND, WITHIN
from quantgate.sequential.claims import BASELINE, Claim, settle
from quantgate.sequential.staging import Taken

Verdicts = Mapping[str, Mapping[str, Verdict]]  # by metric, then by what it is held against
WORDS = {WITHIN: Verdict.PASS, BEYOND: Verdict.REGRESSION}


@dataclass(frozen=True, slots=True)
class Look:
    """A measurement of what was taken so far, and its claims.

    Attributes:
        now: the measurement.
        claims: every comparison that the gate will make.
        kept: the stored baseline's items, or None.
        reference: the reference's measurement over the same items, or None.
        doubtful: the answers so far would make the measurement INVALID.
    """

    now: Measurement
    claims: tuple[Claim, ...]
    kept: ItemResults | None
    reference: Measurement | None
    doubtful: bool = False

    def settled(self, verdicts: Verdicts) -> bool:
        """Whether the gate's verdict of every metric is known: one regression is enough.

        Answers that look degenerate may only look so because they are few.
        """
        if self.doubtful and not any(Verdict.REGRESSION in d.values() for d in verdicts.values()):
            return False
        return all(
            Verdict.REGRESSION in (found := verdicts.get(claim.metric, {})).values()
            or claim.against in found
            for claim in self.claims
        )

    def verdicts(self, taken: Taken) -> Verdicts:
        """What is settled."""
        now = items_of(self.now)
        found: dict[str, dict[str, Verdict]] = {}
        for claim in self.claims:
            code = settle(claim, now, self._before(claim, now), taken.blocks, taken.of)
            if code in WORDS:
                found.setdefault(claim.metric, {})[claim.against] = WORDS[code]
        return found

    def _before(self, claim: Claim, now: ItemResults | None) -> ItemResults | None:
        """Items of what a claim is held against, those that the measurement has."""
        if now is None:
            return None
        if claim.against == BASELINE:
            return None if self.kept is None else restrict(self.kept, now)
        if is_divergence(self.now) and isinstance(now, WindowItems):
            return ideal(now, 1.0 if claim.direction is Direction.HIGHER else 0.0)
        return None if self.reference is None else items_of(self.reference)

    def hindrances(self) -> list[str]:
        """Comparisons that no part of the items can settle, in words."""
        lines = []
        for claim in self.claims:
            name = f"{self.now.task} {claim.metric}"
            if not claim.testable(self.now.task):
                lines.append(f"{name} has no sequential test")
            elif claim.limit is None:
                lines.append(
                    f"what {name} may lose against the {claim.against} depends on that one's "
                    "complete figure: give a relative tolerance"
                )
            elif claim.against == BASELINE and self.kept is None:
                lines.append(f"the baseline of {self.now.task} keeps no items to pair with")
        return lines
