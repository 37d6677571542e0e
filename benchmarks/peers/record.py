"""The form in which every side of a comparison, ours or a peer's, writes what it found.

A record is one JSON object. All have

* `measure`: `mmlu`, `rolling`, `perplexity` or `divergence`; `side`: the engine's name;
* `options`, `versions`, `threads` (asked, set, busy, processors);
* `load_seconds`, `encode_seconds` (tokenisation), `seconds` (the evaluation loop);
* `memory`: MiB, see `measuring.Memory`;
* `count`: questions, pages, scored tokens, or positions compared.

`mmlu` adds `subjects`: by subject `accuracy`, and in file order `loglikelihoods` (`[questions][4]`,
nats, of ` A` to ` D` after the prompt), `chosen` and `gold` letters, and `read`: the digest of the
token ids that the side reads for a question (`read_digest`), because not every tool's tokenizer
yields the same; where quantgate's tokenizer was used, `prompt_tokens`, too.

`rolling` adds `pages`: in file order `loglikelihood` (nats), `words`, `bytes`; and
`word_perplexity`, `byte_perplexity`, `bits_per_byte` over all pages, `max_length`, `prefix_token`.

`perplexity` adds `protocol` and `perplexity`.

`divergence` adds `ids` (SHA-256 of the token ids as little-endian int64), `reference_perplexity`,
`perplexity` (of the candidate), `kl_mean` (nats), and `kept_bytes` (of what is kept of the
reference on disk; 0 where nothing is). A record of making that has neither of the middle two; it is
`making` in the record of a side that read what was kept.

quantgate's sides add `planning_seconds` and `runtime_seconds` (by part of the model), both within
`seconds`; with a package `useful_flops` (by part), `tokens_requested`, `tokens_computed`,
`gflops_measured` (the best rates of matrix products, `peak` the best of all). See `breakdown`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LETTERS = "ABCD"


def read_digest(sequences: Iterable[Iterable[int]]) -> str:
    """16 digits of a SHA-256 over a question's prompt with each letter, as token ids."""
    content = json.dumps([[int(id_) for id_ in ids] for ids in sequences], separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def write_record(path: Path, measure: str, side: str, found: Mapping[str, Any]) -> None:
    """Write one side's record."""
    document = {"measure": measure, "side": side, **found}
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """Read one side's record."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found
