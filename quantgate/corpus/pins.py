"""Pins: the SHA-256 that a corpus' files must have, kept in `quantgate.toml`."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from quantgate.errors import UsageFault


def check_pin(
    files_digest: str,
    pin: str | None,
    *,
    what: str,
    in_ci: bool,
    accept: bool = False,
    manifest: Path | None = None,
) -> bool:
    """Hold a corpus' files against their pin.

    Args:
        files_digest: what the files have.
        pin: what they must have; None where nothing is pinned, and then nothing is checked.
        what: `mmlu` or `text`; the pin's key is `<what>_sha256`.
        in_ci: whether this is a CI run, where a pin is never rewritten.
        accept: `--gate-accept-dataset`: write the new digest to the manifest.
        manifest: the manifest's file.

    Returns:
        Whether the pin was rewritten.

    Raises:
        UsageFault: the digests differ and the new one isn't accepted, or can't be.
    """
    if pin is None or pin == files_digest:
        return False
    if accept and not in_ci and manifest is not None:
        _rewrite(manifest, f"{what}_sha256", pin, files_digest)
        return True
    refused = " (--gate-accept-dataset is refused in CI)" if accept and in_ci else ""
    raise UsageFault(
        "dataset-pin",
        need=f"{what} data with SHA-256 {pin}, as {what}_sha256 pins it",
        found=f"SHA-256 {files_digest}{refused}",
        fix="restore the data; or, if the change is meant, run "
        "`quantgate run --gate-accept-dataset` locally and commit quantgate.toml",
    )


def _rewrite(manifest: Path, key: str, old: str, new: str) -> None:
    """Put one digest in another's place; every other byte of the file stays."""
    content = manifest.read_bytes()
    pinned = re.compile(rb"(\b%b[\"']?[ \t]*=[ \t]*[\"'])%b" % (key.encode(), old.encode()))
    changed, count = pinned.subn(rb"\g<1>%b" % new.encode(), content)
    if count != 1:
        raise UsageFault(
            "pin-line",
            need=f'one line {key} = "{old}" in {manifest}',
            found=f"{count} such lines",
            fix=f'write {key} = "{new}" there by hand',
        )
    descriptor, name = tempfile.mkstemp(prefix=manifest.name, dir=manifest.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(changed)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(manifest.stat().st_mode)
        temporary.replace(manifest)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
