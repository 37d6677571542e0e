"""ORT-GenAI's own tokenizer, which ships with it and may read a text otherwise than ours.

Scores never depend on it, because every backend is handed the same ids; what ships does. It runs
in a child process, since it needs the model loaded and native code may die of a strange file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from quantgate.errors import InvalidMeasurement

SECONDS = 600
LOG_TAIL = 500


def runtime_ids(folder: Path, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Ids of `texts` by the runtime's tokenizer of the package in `folder`.

    Raises:
        InvalidMeasurement: `tokenizer-failed` with the runtime's own words.
    """
    command = [sys.executable, "-P", "-W", "ignore", "-m", __name__, str(folder)]
    try:
        done = subprocess.run(  # noqa: S603  the command is ours
            command,
            input=json.dumps(list(texts)).encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(folder, f"no end after {SECONDS} s") from None
    if done.returncode:
        raise _failed(folder, f"exit code {done.returncode}: {done.stderr[-LOG_TAIL:]!r}")
    return [tuple(ids) for ids in json.loads(done.stdout)]


def _failed(folder: Path, found: str) -> InvalidMeasurement:
    return InvalidMeasurement(
        "tokenizer-failed",
        need=f"ORT-GenAI to load the tokenizer of {folder}",
        found=found,
        fix="copy tokenizer.json and tokenizer_config.json of the original model into the package",
    )


def main() -> None:
    """Encode the JSON list of texts on standard input; print the ids as JSON."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the runtime prints must not get between the ids
    import onnxruntime_genai

    tokenizer = onnxruntime_genai.Tokenizer(onnxruntime_genai.Model(sys.argv[1]))
    texts = json.loads(sys.stdin.buffer.read())
    json.dump([[int(i) for i in tokenizer.encode(text)] for text in texts], answer)
    answer.close()


if __name__ == "__main__":
    main()
