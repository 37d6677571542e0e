"""Runs the steps of the performance page, and keeps what they found.

A step writes `<step>.json` into the results folder: what its benchmark wrote, and under "step" the
command, its exit code, the last line it said, its seconds, and what the figures depend on. The file
is whole or not there, so a run that was stopped goes on with the step it was stopped at. No folder
of the machine is named in it, so it may be shown to anybody. What a step printed is in
`<step>.log`; what its benchmark keeps to go on by itself, in `records/<step>`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.code import measuring_digest
from benchmarks.output import machine
from benchmarks.peers.install import environment_python
from benchmarks.peers.processes import ROOT
from benchmarks.peers.recorded import environment_facts
from benchmarks.performance.steps import DATA, RECORDS, Step
from benchmarks.performance.text import without_places
from quantgate import provenance
from quantgate.storage import canonical_json, sha256_bytes, sha256_file, write_atomically

_NO_VERSIONS: Final = frozenset({"machine", "cpu"})

Document = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What figures depend on beside a step's arguments.

    Attributes:
        places: folders and files of this machine by the names that stand in arguments.
        code: digest of all modules that measure.
        machine: its facts and the versions here.
        peers: versions in the peers' environment.
        data: digests of the places that hold data.
    """

    places: Mapping[str, str]
    code: str
    machine: Mapping[str, Any]
    peers: Mapping[str, str]
    data: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls, places: Mapping[str, str], peers: Path) -> Setting:
        """Now, on this machine, with the peers of that environment.

        Raises:
            SystemExit: there is no such environment.
        """
        facts = environment_facts(environment_python(peers))
        versions = {name: each for name, each in facts.items() if name not in _NO_VERSIONS}
        data = {name: _digest(Path(places[name])) for name in DATA if name in places}
        return cls(places, measuring_digest(ROOT), machine(), versions, data)


def _digest(place: Path) -> str:
    """SHA-256 over a file, or over all files in a folder with their names."""
    if place.is_file():
        return sha256_file(place)
    files = {p.relative_to(place).as_posix(): p for p in place.rglob("*") if p.is_file()}
    return sha256_bytes(canonical_json({name: sha256_file(path) for name, path in files.items()}))


def read(folder: Path, name: str) -> Document | None:
    """What a step of that name kept, or None.

    Raises:
        SystemExit: a file is there, and isn't a step's.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    found = _written(path)
    if found is None or not {"step", "machine"} <= found.keys():
        raise SystemExit(f"{path} wasn't written by this command; take it away")
    return found


def read_all(folder: Path) -> list[Document]:
    """What all steps in that folder kept, by name; SystemExit as from `read`."""
    names = sorted(path.stem for path in folder.glob("*.json"))
    return [found for name in names if (found := read(folder, name)) is not None]


def why_run(step: Step, setting: Setting, kept: Document | None) -> str:
    """Why the step must run, "" where what is kept holds."""
    if kept is None:
        return "not measured yet"
    ran = kept["step"]
    if ran["exit_code"]:
        return f"failed: exit code {ran['exit_code']}"
    changed = {
        "other arguments": ran["arguments"] != list(step.arguments),
        "the data changed": ran.get("data") != _data(step, setting),
        "the code changed": ran["code"] != setting.code,
        "the peers changed": ran["peers"] != setting.peers,
    }
    drift = ", ".join(provenance.drift(kept["machine"], setting.machine))
    return next((reason for reason, found in changed.items() if found), drift)


def _data(step: Step, setting: Setting) -> dict[str, str]:
    """Digests of the data that stand in the step's arguments."""
    return {name: each for name, each in setting.data.items() if name in step.arguments}


def run(step: Step, setting: Setting, folder: Path, *, afresh: bool = False) -> Document:
    """Run a step and keep what it found, or that it failed.

    Args:
        step: to run.
        setting: what its figures depend on beside its arguments.
        folder: absolute, of what all steps found.
        afresh: whether nothing of an earlier run may be used again.

    Returns:
        What is kept now.
    """
    output, log = folder / f".{step.name}.partial", folder / f"{step.name}.log"
    records = folder / "records" / step.name
    output.unlink(missing_ok=True)
    if afresh:
        shutil.rmtree(records, ignore_errors=True)
    began = time.perf_counter()
    places = {**setting.places, RECORDS: str(records)}
    command = step.command(places)
    code = _call([*command, "--json", str(output)], log)
    found = _written(output) or {"machine": dict(setting.machine)}
    output.unlink(missing_ok=True)
    found["step"] = {
        "name": step.name,
        "kind": step.kind,
        "size": step.size,
        "precision": step.precision,
        "module": step.module,
        "arguments": list(step.arguments),
        "data": _data(step, setting),
        "code": setting.code,
        "peers": dict(setting.peers),
        "seconds": time.perf_counter() - began,
        "exit_code": code,
        "said": _last_line(log),
    }
    shown: Document = without_places(found, places, ROOT)
    keep(shown, folder)
    return shown


def keep(document: Document, folder: Path) -> None:
    """Write what a step found into a folder of such files."""
    content = json.dumps(document, indent=1).encode() + b"\n"
    write_atomically(folder / f"{document['step']['name']}.json", content)


def _call(command: Sequence[str], log: Path) -> int:
    # Unbuffered, so that the log ends with what was said last, whichever stream it came by.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("w", encoding="utf-8") as output:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def _written(path: Path) -> Document | None:
    """The object in a file; None where there is no file, or not all of it."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines()]
    return next(filter(None, reversed(lines)), "")
