"""What a model will need at the least, told before it is opened and not by a killed process."""

from __future__ import annotations

from pathlib import Path

from quantgate.errors import InvalidMeasurement

MIB = 2**20
WEIGHTS = (".onnx", ".data", ".safetensors")


def weights_bytes(folder: Path) -> int:
    """Bytes of all weight files in `folder`: a model holds them at the least."""
    files = (path for path in folder.iterdir() if path.is_file())
    return sum(path.stat().st_size for path in files if path.name.endswith(WEIGHTS))


def require_memory(folder: Path, *, limit_mib: int) -> None:
    """Refuse a model whose weights alone are more than there is memory for.

    Args:
        folder: of the model.
        limit_mib: bound on its resident memory; 0 sets none.

    Raises:
        InvalidMeasurement: `memory-short`.
    """
    import psutil

    needed = weights_bytes(folder)
    available = psutil.virtual_memory().available
    allowed = min(available, limit_mib * MIB) if limit_mib else available
    if needed <= allowed:
        return
    bound = f"{limit_mib:,} MiB by --gate-memory-limit, " if limit_mib else ""
    raise InvalidMeasurement(
        "memory-short",
        need=f"{needed // MIB:,} MiB for the weights in {folder} alone",
        found=f"{bound}{available // MIB:,} MiB available",
        fix="close other programs, run fewer workers (-n), or measure on a larger machine",
    )
