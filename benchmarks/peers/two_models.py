"""The usual script with two models: the perplexity of each, then the divergence of the candidate.

The perplexities are strided, by a loop for each model. The divergence takes disjoint windows, one
by one: the logits of all places of both models, log-softmax of every row in float32,
sum_v p_v (log p_v - log q_v) in nats, p the reference's; the mean over all places.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.peers.loops import Loop, strided_nll

if TYPE_CHECKING:
    import torch

PERPLEXITY = "perplexity.json"


@dataclass(frozen=True)
class Text:
    """Ids and the windows over them."""

    ids: list[int]
    window: int
    stride: int

    @property
    def parts(self) -> list[list[int]]:
        """The disjoint windows, the last as long as what is left."""
        starts = range(0, len(self.ids), self.window)
        return [self.ids[start : start + self.window] for start in starts]

    @property
    def digest(self) -> str:
        """SHA-256 over the ids."""
        import numpy as np

        return hashlib.sha256(np.array(self.ids, dtype="<i8").tobytes()).hexdigest()

    def perplexity(self, loop: Loop) -> float:
        """Strided: every id but the first is scored once."""
        total, count = strided_nll(loop, self.ids, self.window, self.stride)
        return math.exp(total / count)


class Reference(Protocol):
    """What a candidate is compared with."""

    def perplexity(self, text: Text) -> float:
        """Strided."""
        ...

    def logits(self, number: int, ids: list[int]) -> torch.Tensor:
        """Logits of all places of disjoint window `number`, `[len(ids), V]`."""
        ...


@dataclass(frozen=True)
class LoadedReference:
    """A model that is run."""

    loop: Loop

    def perplexity(self, text: Text) -> float:
        return text.perplexity(self.loop)

    def logits(self, number: int, ids: list[int]) -> torch.Tensor:
        del number
        return self.loop.logits(ids)


@dataclass(frozen=True)
class KeptReference:
    """What `keep` wrote of a model over the same text."""

    folder: Path

    def perplexity(self, text: Text) -> float:
        del text
        return float(json.loads((self.folder / PERPLEXITY).read_text("utf-8")))

    def logits(self, number: int, ids: list[int]) -> torch.Tensor:
        import numpy as np
        import torch

        del ids
        return torch.from_numpy(np.load(_logits_file(self.folder, number)))


def keep(reference: Loop, folder: Path, text: Text) -> dict[str, float]:
    """Write a reference's perplexity, and the logits of every disjoint window in float32."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    for number, ids in enumerate(text.parts):
        np.save(_logits_file(folder, number), reference.logits(ids).float().numpy())
    found = text.perplexity(reference)
    (folder / PERPLEXITY).write_text(json.dumps(found), "utf-8")
    return {"reference_perplexity": found}


def _logits_file(folder: Path, number: int) -> Path:
    return folder / f"logits-{number}.npy"


def compare(reference: Reference, candidate: Loop, text: Text) -> dict[str, float]:
    """Both perplexities, and the mean divergence in nats over all places."""
    import torch

    perplexities = {
        "reference_perplexity": reference.perplexity(text),
        "perplexity": text.perplexity(candidate),
    }
    divergences = [
        kl_nats(reference.logits(number, ids), candidate.logits(ids))
        for number, ids in enumerate(text.parts)
    ]
    return {**perplexities, "kl_mean": float(torch.cat(divergences).double().mean())}


def kl_nats(reference: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
    """KL(p||q) of every row, in float32.

    Args:
        reference: logits of p, `[n, V]`.
        candidate: logits of q, `[n, V]`.

    Returns:
        Nats, `[n]`.
    """
    import torch

    log_p = torch.log_softmax(reference.float(), dim=-1)
    log_q = torch.log_softmax(candidate.float(), dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
