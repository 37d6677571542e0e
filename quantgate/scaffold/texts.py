"""The texts of a new gate's files: manifest, workflows, lines of `.gitignore`."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from quantgate.manifest.tables import EMBEDDED
from quantgate.scaffold.found import Found, Model

TEMPLATES = Path(__file__).parents[1] / "templates"
WINDOW = 1024
SHORTEST_MMLU = 1024  # five examples and a question, in tokens, on the carried questions
IGNORED = ("reports/", ".benchmarks/", ".quantgate/")
SELF_CHECK = (
    "",
    "[models.reference.policy]",
    "kl_divergence.kl_mean.baseline = { absolute = 1e-9 } # from its own kept rows",
)


@dataclass(frozen=True, slots=True)
class Data:
    """Where questions and text come from, and their digests where they aren't `embedded`."""

    mmlu: str = EMBEDDED
    text: str = EMBEDDED
    mmlu_sha256: str | None = None
    text_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """What the workflows name.

    Attributes:
        action: `owner/name` of the action's repository.
        commit: of the action, 40 hexadecimal digits.
        version: of it, for people.
        manifest: path of the manifest in the repository.
        branch: that pull requests go to.
        lfs: whether packages are stored with Git LFS.
    """

    action: str
    commit: str
    version: str
    manifest: str
    branch: str
    lfs: bool


def manifest_text(models: list[Model], data: Data, base: Path) -> str:
    """Return a commented manifest whose packages are relative to the folder `base`."""
    context = min(package.context for model in models for package in model.packages)
    window = min(WINDOW, context)
    text = (TEMPLATES / "quantgate.toml").read_text(encoding="utf-8")
    pins = [
        f"{name} = {_quoted(digest)}\n"
        for name, digest in (("mmlu_sha256", data.mmlu_sha256), ("text_sha256", data.text_sha256))
        if digest is not None
    ]
    filled = _filled(
        text,
        MMLU=_quoted(data.mmlu),
        TEXT=_quoted(data.text),
        PINS="".join(pins),
        WINDOW=str(window),
        STRIDE=str(window // 2),
        OVERFLOW=_quoted("error" if context >= SHORTEST_MMLU else "drop_shots"),
    )
    return filled + "".join(_model(model, base) for model in models)


def workflow_texts(gate: Gate) -> dict[str, str]:
    """Return the two workflows by file name."""
    texts = {}
    for path in sorted((TEMPLATES / "workflows").glob("*.yml")):
        texts[path.name] = _filled(
            path.read_text(encoding="utf-8"),
            ACTION=f"{gate.action}@{gate.commit}",
            COMMENT_ACTION=f"{gate.action}/actions/comment@{gate.commit}",
            VERSION=gate.version,
            MANIFEST=_quoted(gate.manifest),
            BRANCH=_quoted(gate.branch),
            LFS=str(gate.lfs).lower(),
        )
    return texts


def ignore_text(present: str) -> str:
    """Return `.gitignore` with the lines it lacks."""
    lines = present.splitlines()
    lacking = [line for line in IGNORED if line not in lines]
    if not lacking:
        return present
    start = present if not present or present.endswith("\n") else present + "\n"
    return start + "\n".join(lacking) + "\n"


def relative(path: Path, base: Path) -> str:
    """`path` from the folder `base`, with forward slashes; links in either are followed."""
    return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()


def _model(model: Model, base: Path) -> str:
    lines = ["", "[[models]]", f"name = {_quoted(model.name)}"]
    if model.reference is None:
        lines.append("# No package in fp32, bf16 or fp16: gated against its baselines alone.")
    else:
        lines += ["", "[models.reference]", *_variant(model.reference, model, base), *SELF_CHECK]
    for variant in model.variants:
        lines += ["", "[[models.variants]]", *_variant(variant, model, base)]
    return "\n".join(lines) + "\n"


def _variant(package: Found, model: Model, base: Path) -> list[str]:
    return [
        f"name = {_quoted(model.names[package.folder])}",
        f"precision = {_quoted(package.precision)}",
        f"path = {_quoted(relative(package.folder, base))}",
    ]


def _quoted(text: str) -> str:
    """A basic string of TOML, which a double-quoted one of YAML is, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _filled(text: str, **values: str) -> str:
    """Fill in `@NAME@`, once: a value that reads like one stays as it is."""
    return re.sub("@([A-Z_0-9]+)@", lambda match: values[match.group(1)], text)
