"""`quantgate init`: the files of a gate around a folder of packages, and its first baselines."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate import __version__
from quantgate.errors import UsageFault

if TYPE_CHECKING:
    from quantgate.scaffold.found import Model
    from quantgate.scaffold.texts import Data, Gate

MANIFEST = "quantgate.toml"
WORKFLOWS = Path(".github", "workflows")
REASON = "first baseline"


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "init", help="write a manifest, workflows and first baselines for a folder of packages"
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="where packages are")
    parser.add_argument(
        "--into", type=Path, default=Path(), metavar="DIR", help="where files go (this folder)"
    )
    parser.add_argument(
        "--reference", type=Path, metavar="PACKAGE", help="the reference (the least rounded one)"
    )
    parser.add_argument("--mmlu", default="embedded", help="location of the questions (embedded)")
    parser.add_argument("--text", default="embedded", help="location of the text (embedded)")
    parser.add_argument(
        "--action", metavar="OWNER/NAME@COMMIT", help="quantgate's action (the installed commit)"
    )
    parser.add_argument("--branch", help="branch that pull requests go to (the present one)")
    parser.add_argument("--force", action="store_true", help="write over files that are there")
    parser.add_argument(
        "--baseline",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure and store the first baselines",
    )
    parser.set_defaults(act=init)


def init(options: argparse.Namespace) -> int:
    """Look, write, measure, and print what to do next."""
    from quantgate.report.escape import plain
    from quantgate.scaffold.found import find_packages, group

    into = options.into.resolve()
    packages, refused = find_packages(options.folder)
    models = group(packages, options.reference)
    files = _files(options, into, models)
    _require_free(files, into, force=options.force, baseline=options.baseline)
    for line in [*refused, *_told(models)]:
        print(plain(line))
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"wrote {plain(_near(path))}", flush=True)
    status = _measure(into) if options.baseline else 0
    print("\n".join(["", *_next(files, into, measured=options.baseline and not status)]))
    return status


def _files(options: argparse.Namespace, into: Path, models: list[Model]) -> dict[Path, str]:
    from quantgate.scaffold.texts import ignore_text, manifest_text, workflow_texts

    top = _top(into)
    ignore = into / ".gitignore"
    present = ignore.read_text(encoding="utf-8") if ignore.is_file() else ""
    workflows = workflow_texts(_gate(options, into, top))
    return {
        into / MANIFEST: manifest_text(models, _data(options, into), into),
        **{top / WORKFLOWS / name: text for name, text in workflows.items()},
        ignore: ignore_text(present),
    }


def _data(options: argparse.Namespace, into: Path) -> Data:
    """Locations as the manifest has them, with the digests that pin them.

    Raises:
        UsageFault: a corpus can't be read.
    """
    from quantgate.corpus.mmlu import read_mmlu
    from quantgate.corpus.text import read_text
    from quantgate.manifest.tables import EMBEDDED
    from quantgate.scaffold.texts import Data

    mmlu, text = (_location(place, into) for place in (options.mmlu, options.text))
    pins: dict[str, str] = {}
    if mmlu != EMBEDDED:
        pins["mmlu_sha256"] = read_mmlu(mmlu, base=into).files_digest
    if text != EMBEDDED:
        pins["text_sha256"] = read_text(text, base=into).files_digest
    return Data(mmlu=mmlu, text=text, **pins)


def _location(given: str, into: Path) -> str:
    from quantgate.corpus.hub import PREFIX
    from quantgate.manifest.tables import EMBEDDED
    from quantgate.scaffold.texts import relative

    named = given == EMBEDDED or given.startswith(PREFIX)
    return given if named else relative(Path(given), into)


def _gate(options: argparse.Namespace, into: Path, top: Path) -> Gate:
    """What the workflows name.

    Raises:
        UsageFault: `action-unpinned`, or `workflow-expression` where a path would be read as one.
    """
    from quantgate.scaffold.origin import REPOSITORY, UNKNOWN, installed_commit
    from quantgate.scaffold.texts import Gate, relative

    given = options.action or f"{REPOSITORY}@{installed_commit() or UNKNOWN}"
    action, _, commit = given.partition("@")
    if len(commit) != len(UNKNOWN) or set(commit) - set("0123456789abcdef"):
        raise UsageFault(
            "action-unpinned",
            need="--action OWNER/NAME@COMMIT, the commit in 40 hexadecimal digits",
            found=given,
            fix="branches and tags move: name the commit of the release",
        )
    branch = options.branch or _branch(top)
    manifest = relative(into / MANIFEST, top)
    if "${{" in branch + manifest + action:
        raise UsageFault(
            "workflow-expression",
            need="names that a workflow takes as they are",
            found=f"{manifest}, branch {branch}",
            fix="rename what has ${{ in it",
        )
    attributes = top / ".gitattributes"
    lfs = attributes.is_file() and "filter=lfs" in attributes.read_text("utf-8", "replace")
    return Gate(action, commit, f"quantgate {__version__}", manifest, branch, lfs)


def _require_free(files: dict[Path, str], into: Path, *, force: bool, baseline: bool) -> None:
    """Refuse to overwrite, before anything is written.

    Raises:
        UsageFault: `files-there`.
    """
    there = [path for path in files if path.exists() and path.name != ".gitignore"]
    if baseline and any((into / "baselines").rglob("*.json")):
        there.append(into / "baselines")
    if there and not force:
        raise UsageFault(
            "files-there",
            need="files that aren't there yet",
            found=", ".join(map(str, there)),
            fix="move them away, or write over them with --force",
        )


def _measure(into: Path) -> int:
    """Run the gate and store what it finds."""
    command = [sys.executable, "-m", "quantgate.cli", "run", f"--gate-config={into / MANIFEST}"]
    command += ["--gate-update-baselines", f"--gate-reason={REASON}"]
    return subprocess.run(command, cwd=into, check=False).returncode  # noqa: S603 - our own command


def _told(models: list[Model]) -> list[str]:
    lines = []
    for model in models:
        names = [f"{model.names[each.folder]} ({each.precision})" for each in model.variants]
        reference = "none" if model.reference is None else model.names[model.reference.folder]
        lines.append(f"model {model.name}: {', '.join(names)}; reference: {reference}")
    return lines


def _next(files: dict[Path, str], into: Path, *, measured: bool) -> list[str]:
    from quantgate.scaffold.origin import UNKNOWN

    paths = [*files, *([into / "baselines"] if measured else [])]
    lines = ["next:"]
    if not measured:
        lines.append(f'  quantgate run --gate-update-baselines --gate-reason "{REASON}"')
    lines.append(f"  git add {' '.join(shlex.quote(_near(path)) for path in paths)}")
    lines += ['  git commit -m "Gate the models"', "  quantgate doctor", "  quantgate run"]
    if any(UNKNOWN in text for text in files.values()):
        lines.append(f"  put the commit of quantgate {__version__} for {UNKNOWN} in the workflows")
    return lines


def _near(path: Path) -> str:
    """`path` from the working folder, as a person would type it."""
    return os.path.relpath(path)


def _top(into: Path) -> Path:
    """The repository's root, where GitHub looks for workflows; outside one, the folder."""
    from quantgate.git import run_git

    done = run_git(into, "rev-parse", "--show-toplevel")
    if done.returncode != 0:
        return into
    return Path(done.stdout.decode("utf-8", "surrogateescape").rstrip("\r\n")).resolve()


def _branch(top: Path) -> str:
    from quantgate.git import run_git

    done = run_git(top, "symbolic-ref", "--short", "HEAD")
    return done.stdout.decode("utf-8", "replace").strip() or "main"
