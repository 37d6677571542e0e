"""Loaded models by case: one body in memory at a time, heads as long as they are needed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantgate.backends.base import Backend
from quantgate.backends.ort import OrtBackend
from quantgate.cases import Case
from quantgate.packages.build import package_folder, prepare
from quantgate.packages.package import OnnxPackage, open_package


class Models:
    """Opens packages and backends once each.

    Args:
        cache: folder of built packages.
        threads: threads per model; 0 lets the backend choose.
    """

    def __init__(self, cache: Path, *, threads: int) -> None:
        self._cache = cache
        self._threads = threads
        self._backends: dict[str, Backend] = {}

    def prepare(self, cases: Iterable[Case]) -> None:
        """Build the packages of `cases` that have a recipe and aren't built yet.

        Raises:
            InvalidMeasurement: `build-failed`.
        """
        prepare([case.package for case in cases], self._cache)

    def package(self, case: Case) -> OnnxPackage:
        """The checked package of `case`.

        Raises:
            UsageFault: or InvalidMeasurement, from `open_package`.
        """
        self.prepare([case])
        return open_package(package_folder(case.package, self._cache))

    def backend(self, case: Case) -> Backend:
        """The backend of `case`; the bodies of all others are dropped first.

        Raises:
            UsageFault: or InvalidMeasurement, from the package or the provider.
        """
        for key, backend in self._backends.items():
            if key != case.session_key:
                backend.close_body()
        if case.session_key not in self._backends:
            self._backends[case.session_key] = OrtBackend(
                self.package(case), provider=case.provider, threads=self._threads
            )
        return self._backends[case.session_key]

    def backend_of(self, case: Case) -> Backend:
        """The backend of a case opened before, for its head or tokenizer; drops no body."""
        return self._backends[case.session_key]

    def close(self) -> None:
        """Drop every model."""
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()
