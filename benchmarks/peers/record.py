"""The form in which every side of a comparison, ours or a peer's, writes what it found.

A record is one JSON object. All have

* `measure`: `mmlu`, `rolling` or `perplexity`; `side`: the engine's name;
* `options`, `versions`, `threads` (asked, set, busy, processors);
* `load_seconds`, `encode_seconds` (tokenisation), `seconds` (the evaluation loop);
* `memory`: MiB, see `measuring.Memory`;
* `count`: questions, pages or scored tokens.

`mmlu` adds `subjects`: by subject `accuracy`, and in file order `loglikelihoods` (`[questions][4]`,
nats, of ` A` to ` D` after the prompt), `chosen` and `gold` letters.

`rolling` adds `pages`: in file order `loglikelihood` (nats), `words`, `bytes`; and
`word_perplexity`, `byte_perplexity`, `bits_per_byte` over all pages, `max_length`, `prefix_token`.

`perplexity` adds `perplexity` and `window`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LETTERS = "ABCD"


def write_record(path: Path, measure: str, side: str, found: Mapping[str, Any]) -> None:
    """Write one side's record."""
    document = {"measure": measure, "side": side, **found}
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """Read one side's record."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found
