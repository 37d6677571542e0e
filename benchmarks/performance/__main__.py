"""Measures everything on the performance page, and writes the page.

Every step is a benchmark of its own (`steps.KINDS`), most of them at one size and precision of the
model. What it found is kept in the results folder, so the command can be stopped and goes on with
the step it was stopped at: a step that was measured by the same code, on the same machine, with the
same arguments and peers isn't measured again. All steps take hours. A step that fails is told on
the page, the others run all the same, and the exit code is 1.

    python -m benchmarks.performance --peers ENV --data-dir MMLU --text FILE --results DIR \\
        [--sizes 3m 30m 135m] [--precisions fp32 int4] [--only NAME ...] [--again] \\
        [--page docs/performance.md]
    python -m benchmarks.performance --results DIR --render-only
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.models import PRECISIONS
from benchmarks.output import print_table
from benchmarks.peers.processes import ROOT
from benchmarks.performance.page import Rendered, render
from benchmarks.performance.runs import Document, Setting, keep, read, read_all, run, why_run
from benchmarks.performance.steps import CACHE, KINDS, MMLU, PEERS, SIZES, TEXT, Step, plan
from benchmarks.performance.text import duration
from quantgate.storage import write_atomically

PAGE = ROOT / "docs" / "performance.md"
STOPPED = 130  # what a shell makes of SIGINT


def main() -> int:
    """Measure what isn't there, write the page, and say by the exit code whether a step failed."""
    options = _options()
    folder = options.results.resolve()
    cache = ("--cache", CACHE) if options.cache else ()
    shared = ("--threads", str(options.threads), *cache)
    steps = plan(KINDS, options.sizes, options.precisions, shared)
    if not options.render_only:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [step for step in steps if not options.only or step.kind in options.only]
        try:
            measure(wanted, _setting(options), folder, again=options.again)
        except KeyboardInterrupt:
            print("stopped; the same command goes on with this step", file=sys.stderr)
            return STOPPED
    documents = read_all(folder)
    if not documents:
        raise SystemExit(f"nothing was measured yet in {folder}")
    there = {document["step"]["name"] for document in documents}
    missing = [step.name for step in steps if step.name not in there]
    write_page(options.page, render(documents, missing, KINDS, options.page.stem), documents)
    failed = sum(bool(document["step"]["exit_code"]) for document in documents)
    print(f"{options.page}: {len(documents)} steps, {failed} failed, {len(missing)} not run")
    return int(failed > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    needed = {
        "peers": "environment made by benchmarks.peers.install",
        "data-dir": "MMLU, the CSV layout",
        "text": "text, a paragraph a line",
    }
    for name, told in needed.items():
        parser.add_argument(f"--{name}", type=Path, default=None, help=told)
    parser.add_argument("--results", type=Path, required=True, help="folder of what steps found")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    names = [kind.name for kind in KINDS]
    parser.add_argument("--only", nargs="+", choices=names, default=None, help="run these alone")
    parser.add_argument("--again", action="store_true", help="run steps whose results hold, too")
    parser.add_argument("--render-only", action="store_true", help="run nothing, write the page")
    parser.add_argument("--threads", type=int, default=2, help="of every side")
    parser.add_argument("--cache", type=Path, default=None, help="folder of models and packages")
    parser.add_argument("--page", type=Path, default=PAGE, help="plots go beside it")
    options = parser.parse_args()
    for name in () if options.render_only else needed:
        place = getattr(options, name.replace("-", "_"))
        if place is None or not place.exists():
            parser.error(f"--{name}: {needed[name]}: {place or 'none is named'}")
    return options


def _setting(options: argparse.Namespace) -> Setting:
    given = {PEERS: options.peers, MMLU: options.data_dir, TEXT: options.text, CACHE: options.cache}
    places = {name: str(place.resolve()) for name, place in given.items() if place is not None}
    return Setting.here(places, Path(places[PEERS]))


def measure(steps: Sequence[Step], setting: Setting, folder: Path, *, again: bool) -> None:
    """Say what is kept and what runs, then run that, one step after the other.

    Args:
        steps: in the order in which they shall run.
        setting: what their figures depend on beside their arguments.
        folder: absolute, of what they found.
        again: whether those run, too, of which what is kept holds.
    """
    kept = {step.name: read(folder, step.name) for step in steps}
    reasons = {step.name: why_run(step, setting, kept[step.name]) for step in steps}
    waiting = [step for step in steps if again or reasons[step.name]]
    took = {name: found["step"]["seconds"] for name, found in kept.items() if found is not None}
    print_table(
        [
            {
                "step": step.name,
                "now": "runs" if step in waiting else "kept",
                "why": reasons[step.name] or ("asked for" if again else "holds"),
                "took": duration(took[step.name]) if step.name in took else None,
            }
            for step in steps
        ]
    )
    known = [took[step.name] for step in waiting if step.name in took]
    told = f", {len(known)} of which took {duration(sum(known))} before" if known else ""
    print(f"{len(waiting)} of {len(steps)} steps run{told}", flush=True)
    for number, step in enumerate(waiting, start=1):
        print(f"[{number}/{len(waiting)}] {step.name}: {folder / step.name}.log", flush=True)
        _tell(run(step, setting, folder, afresh=again)["step"])


def _tell(ran: dict[str, Any]) -> None:
    code = ran["exit_code"]
    ended = f"FAILED, exit code {code}: {ran['said']}" if code else "done"
    print(f"  {ended}, {duration(ran['seconds'])}", flush=True)


def write_page(path: Path, rendered: Rendered, documents: Sequence[Document]) -> None:
    """Write the page; into the folder beside it go its plots, no other stays, and the results."""
    beside = path.with_suffix("")
    for old in beside.glob("*.svg"):
        if old.name not in rendered.charts:
            old.unlink()
    for name, svg in rendered.charts.items():
        write_atomically(beside / name, svg.encode())
    for document in documents:
        keep(document, beside)
    write_atomically(path, rendered.text.encode())


if __name__ == "__main__":
    sys.exit(main())
