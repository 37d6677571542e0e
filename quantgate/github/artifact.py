"""The results that another job left, read as what they are: a stranger's bytes.

The job ran a pull request's files, so the archive may be anything. Nothing is written to a path:
one member of the expected name is read into memory, up to a bound, and only as results.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import NoReturn

from quantgate.errors import UsageFault
from quantgate.github.api import GitHub
from quantgate.report.escape import plain
from quantgate.run_file import RunFile, parse_run

MEMBER = "results.json"
LARGEST_ARCHIVE = 8 << 20
LARGEST_MEMBER = 16 << 20
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 1


def find_artifact(github: GitHub, run_id: int, name: str) -> int | None:
    """Return the id of a run's artifact, its newest of that name; None where there is none."""
    listed = github.get(f"actions/runs/{run_id}/artifacts", name=name, per_page="100")
    found = [a for a in listed["artifacts"] if a["name"] == name and not a["expired"]]
    return max((int(a["id"]) for a in found), default=None)


def read_artifact(github: GitHub, artifact_id: int) -> RunFile:
    """Download an artifact and read the results in it.

    Raises:
        UsageFault: as `unpack` and `run_file.parse_run`.
    """
    data = github.get_bytes(f"actions/artifacts/{artifact_id}/zip", LARGEST_ARCHIVE)
    return parse_run(unpack(data), "the artifact")


def unpack(data: bytes) -> bytes:
    """Return the one member of an archive.

    Raises:
        UsageFault: `artifact-hostile`, for anything but one plain member `results.json` of at most
            16 MiB.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if [member.filename for member in members] != [MEMBER]:
                names = ", ".join(plain(member.filename)[:80] for member in members[:5])
                _refuse(f"{len(members)} members: {names}")
            member = members[0]
            if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
                _refuse("an encrypted member, or one of an unusual compression")
            with archive.open(member) as stream:
                content = stream.read(LARGEST_MEMBER + 1)
    # What a forged archive makes zipfile raise.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        OSError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
    ) as error:
        _refuse(f"no archive that can be read: {error}")
    if len(content) > LARGEST_MEMBER:
        _refuse(f"a member of more than {LARGEST_MEMBER:,} bytes")
    return content


def _refuse(found: str) -> NoReturn:
    raise UsageFault(
        "artifact-hostile",
        need=f"an archive with the one member {MEMBER}, of at most {LARGEST_MEMBER:,} bytes",
        found=plain(found)[:400],
        fix="look at the run by hand; quantgate's action leaves no other archive",
    )
