"""Which backends there are; each is imported when it is first opened."""

from __future__ import annotations

from pathlib import Path

from quantgate.backends.base import Backend, BackendSpec
from quantgate.errors import UsageFault

BACKENDS = ("ort", "ortgenai", "torch")


def open_backend(spec: BackendSpec) -> Backend:
    """Open what `spec` names; its weights load when first needed.

    Raises:
        UsageFault: `backend-unknown`, or what the backend says of the folder.
        InvalidMeasurement: the model can't be measured there.
    """
    if spec.backend == "ort":
        from quantgate.backends.ort import OrtBackend
        from quantgate.packages.package import open_package

        package = open_package(Path(spec.folder))
        return OrtBackend(
            package, provider=spec.provider, threads=spec.threads, **dict(spec.options)
        )
    if spec.backend == "ortgenai":
        from quantgate.backends.ortgenai import OrtGenaiBackend
        from quantgate.packages.package import open_package

        package = open_package(Path(spec.folder))
        return OrtGenaiBackend(
            package, provider=spec.provider, threads=spec.threads, **dict(spec.options)
        )
    if spec.backend == "torch":
        from quantgate.backends.torch import TorchBackend

        return TorchBackend(
            Path(spec.folder), device=spec.provider, threads=spec.threads, **dict(spec.options)
        )
    raise UsageFault(
        "backend-unknown",
        need=f"a backend among {', '.join(BACKENDS)}",
        found=repr(spec.backend),
        fix=f"--gate-backend {BACKENDS[0]}",
    )
