"""`quantgate github`: what the action's steps do that is more than plumbing."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.errors import UsageFault

if TYPE_CHECKING:
    from quantgate.run_file import RunFile

ARTIFACT = "quantgate-results"
BOT = "github-actions[bot]"  # whose the token of a job is, unless another is given


def add(commands: Any) -> None:
    """Add the command and its three parts."""
    parser = commands.add_parser("github", help="the steps of the gate's action on GitHub")
    parts = parser.add_subparsers(required=True, metavar="STEP")
    part = parts.add_parser("changed", help="tell which models a pull request touches")
    part.add_argument("--manifest", type=Path, default=Path("quantgate.toml"))
    part.add_argument("--base", default="", help="git ref (the pull request's base branch)")
    part.add_argument("--models", choices=["changed", "all"], default="changed")
    part.add_argument(
        "--watch", type=Path, action="append", default=[], help="touches every model; repeatable"
    )
    part.add_argument("--arguments", default="", help="further ones of the run, a line each")
    part.set_defaults(act=changed)
    part = parts.add_parser("outputs", help="write a run's outputs, annotations and summary")
    part.add_argument("--reports", type=Path, required=True, help="folder with results.json")
    part.add_argument("--status", default="", help="the run's exit status; empty: nothing was run")
    part.add_argument("--log", type=Path, help="what the run printed")
    part.add_argument("--reasons", default="", help="why these models, a line each")
    part.add_argument("--settings", default="", help="what the request changes in the manifest")
    part.set_defaults(act=outputs)
    part = parts.add_parser("comment", help="comment on the pull request of a finished run")
    part.add_argument("--artifact", default=ARTIFACT, help=f"name of the artifact ({ARTIFACT})")
    part.add_argument("--author", default=BOT, help=f"login behind the token ({BOT})")
    part.set_defaults(act=comment)


def changed(options: argparse.Namespace) -> int:
    """Print and output the selection."""
    from quantgate.github.arguments import read_arguments
    from quantgate.github.changed import select
    from quantgate.github.outputs import workflow_command
    from quantgate.github.settings import changed_settings
    from quantgate.manifest.manifest import load_manifest
    from quantgate.report.escape import plain

    manifest = load_manifest(options.manifest)
    branch = os.environ.get("GITHUB_BASE_REF")
    base = options.base or (f"origin/{branch}" if branch else None)
    given = read_arguments(options.arguments)
    selection = select(
        manifest,
        base if options.models == "changed" else None,
        [*options.watch, *given.paths],
        given.unknown,
    )
    reasons = [plain(reason) for reason in selection.reasons]
    print("\n".join(reasons) or "nothing to measure: no model's files differ from the base")
    settings = [] if base is None else changed_settings(manifest.file, base)
    settings = [plain(setting) for setting in settings]
    if settings:
        title = f"{plain(options.manifest.name)} differs from the base"
        print(workflow_command("warning", "\n".join(settings), title=title))
    _output(
        {
            "run": str(selection.everything or bool(selection.groups)).lower(),
            "expression": selection.expression,
            "reasons": "\n".join(reasons),
            "settings": "\n".join(settings),
        }
    )
    return 0


def outputs(options: argparse.Namespace) -> int:
    """Write outputs and summary; print annotations."""
    from quantgate.github.outputs import error_lines, run_values, summary

    status = int(options.status) if options.status else None
    run = None if status is None else _results(options.reports)
    _output(run_values(run, status, options.reports))
    told = summary(
        options.reports,
        status,
        reasons=options.reasons.splitlines(),
        settings=options.settings.splitlines(),
        log=options.log,
    )
    _append("GITHUB_STEP_SUMMARY", told)
    for line in [] if run is None else error_lines(run):
        print(line)
    return 0


def comment(options: argparse.Namespace) -> int:
    """Comment, with what the job's environment says of repository, event and token."""
    from quantgate.github.api import GitHub
    from quantgate.github.comment import post, read_event

    github = GitHub(
        _environment("GITHUB_API_URL"),
        _environment("GITHUB_REPOSITORY"),
        _environment("GITHUB_TOKEN"),
    )
    run = read_event(Path(_environment("GITHUB_EVENT_PATH")))
    print(post(github, run, options.artifact, options.author))
    return 0


def _results(reports: Path) -> RunFile | None:
    from quantgate.run_file import read_run

    path = reports / "results.json"
    return read_run(path) if path.is_file() else None


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UsageFault(
            "environment-missing",
            need=f"the environment variable {name}",
            found="none",
            fix="run this in a job on GitHub; the token goes in by `env:`",
        )
    return value


def _output(values: dict[str, str]) -> None:
    from quantgate.github.outputs import output_text

    _append("GITHUB_OUTPUT", output_text(values))


def _append(variable: str, text: str) -> None:
    """Append to the file that the job's environment names; nothing outside a job."""
    name = os.environ.get(variable)
    if name:
        with Path(name).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
