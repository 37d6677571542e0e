"""A manifest of two variants that generate: one the reference itself, one with another head."""

from __future__ import annotations

from pathlib import Path

from quantgate.manifest.manifest import Manifest, load_manifest

TEXTS, QUESTIONS, DIALOGS, PROMPT, NEW = 3, 2, 2, 20, 6
STOPS = ("the", "-", "\u0765")  # the last is of two bytes, which are ids of their own
MANIFEST = """\
schema_version = 1
[data]
mmlu = "{mmlu}"
text = "{text}"
[tasks.mmlu]
shots = 2
[tasks.generation]
texts = 3
questions = 2
dialogs = 2
prompt_tokens = 20
new_tokens = 6
stop = ["the", "-", "\\u0765"]
[[models]]
name = "tiny"
[models.reference]
name = "fp32"
precision = "fp32"
path = "{reference}"
[[models.variants]]
name = "same"
precision = "fp32"
path = "{reference}"
[[models.variants]]
name = "other"
precision = "fp32"
path = "{other}"
"""


def load_generation_manifest(
    folder: Path, *, mmlu: Path, text: Path, reference: Path, other: Path
) -> Manifest:
    """The manifest in force, its file in `folder`."""
    file = folder / "quantgate.toml"
    content = MANIFEST.format(mmlu=mmlu, text=text, reference=reference, other=other)
    file.write_text(content, "utf-8")
    return load_manifest(file)
