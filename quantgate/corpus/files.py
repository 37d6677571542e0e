"""Data files as bytes and as text: read whole, strictly, and digested."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantgate.errors import UsageFault

EMBEDDED: Final = Path(__file__).parents[1] / "embedded"
_LFS: Final = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file's bytes under the name messages use, which is relative to its corpus."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def has_mark(self) -> bool:
        """Whether the file begins with a byte order mark."""
        return self.content.startswith(codecs.BOM_UTF8)

    def text(self) -> str:
        """Decode the bytes, leaving out a byte order mark; line ends stay as they are.

        Raises:
            UsageFault: the bytes are no UTF-8.
        """
        try:
            return self.content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise UsageFault(
                "not-utf8",
                need=f"{self.name} in UTF-8",
                found=f"byte 0x{error.object[error.start]:02x} on line {line}: {error.reason}",
                fix=f"save {self.name} as UTF-8",
            ) from error


def name_of(path: Path) -> str:
    """Return the last part of a path, as UTF-8 whatever the locale.

    Under `LANG=C` Python keeps the bytes beyond ASCII of a name as surrogates, which would sort,
    print and digest differently from the same name elsewhere.
    """
    return os.fsencode(path.name).decode("utf-8", errors="backslashreplace")


def read(path: Path, name: str) -> DataFile:
    """Read a data file.

    Raises:
        UsageFault: it is missing, empty, no file, or what Git LFS leaves in a file's place.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageFault(
            "data-missing",
            need=f"the data file {name}",
            found=f"{path}: {error.strerror}",
            fix="put the file there, or name another location in quantgate.toml [data]",
        ) from error
    if content.startswith(_LFS):
        raise UsageFault(
            "lfs-pointer",
            need=f"the content of {name}",
            found=f"a Git LFS pointer at {path}",
            fix="git lfs pull",
        )
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise UsageFault(
            "data-empty",
            need=f"something to evaluate on in {name}",
            found=f"an empty file at {path}",
            fix="restore the file, or name another location in quantgate.toml [data]",
        )
    return DataFile(name, content)


def digest_of(files: Iterable[DataFile]) -> str:
    """Return the SHA-256 of `<sha256>  <name>` lines, sorted by name: `sha256sum`'s own listing.

    A single file's digest is its own SHA-256. Names are part of it: swapping two subjects' files
    is another corpus.
    """
    listed = sorted(files, key=lambda file: file.name)
    if len(listed) == 1:
        return listed[0].sha256
    listing = "".join(f"{file.sha256}  {file.name}\n" for file in listed)
    return hashlib.sha256(listing.encode("utf-8")).hexdigest()
