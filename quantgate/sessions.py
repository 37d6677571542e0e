"""Opened models by case: one in memory at a time, in a child process unless asked otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quantgate.backends.base import BackendSpec
from quantgate.cases import Case
from quantgate.errors import InvalidMeasurement
from quantgate.execution.bounds import Bounds
from quantgate.execution.inline import InlineSession, folder_stamps
from quantgate.execution.memory import require_memory
from quantgate.execution.orders import Session
from quantgate.execution.turns import Turns
from quantgate.groups import PlanLimits
from quantgate.packages.build import package_folder, prepare, source_folder
from quantgate.packages.stamps import Stamp, require_stamp
from quantgate.packages.tokenizer import Tokenizer, load_tokenizer, tokenizer_digest
from quantgate.variations import varied_limits, varied_threads

TORCH = "torch"
CPU = "cpu"
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What an opened model said of itself."""

    identity: Mapping[str, Any]
    limits: PlanLimits


@dataclass(frozen=True, slots=True)
class Execution:
    """How models are run.

    Attributes:
        threads: per model; 0 lets the backend choose.
        inline: in this process, for debugging; else each in a child process.
        bounds: limits of a child's time and memory.
    """

    threads: int = 0
    inline: bool = False
    bounds: Bounds = field(default_factory=Bounds)


class Sessions:
    """Opens models; asking again for the one that is open gives the same session.

    Args:
        cache: folder of built packages.
        execution: how models are run.
        turns: of devices, which processes share; None where there is one process.
    """

    def __init__(self, cache: Path, execution: Execution, turns: Turns | None = None) -> None:
        self._cache = cache
        self._turns = turns
        self._held = ExitStack()
        self._execution = execution
        self._facts: dict[str, Facts] = {}
        self._identities: dict[str, Mapping[str, Any]] = {}  # by case, of its first session
        self._stamps: dict[str, dict[Path, Stamp]] = {}  # of its files, from before that
        self._tokenizers: dict[str, Tokenizer] = {}
        self._open: tuple[tuple[str, BackendSpec], Session] | None = None
        self.opened: dict[str, int] = {}

    def prepare(self, cases: Iterable[Case]) -> None:
        """Build the packages of `cases` that have a recipe and aren't built yet.

        Raises:
            InvalidMeasurement: `build-failed`.
        """
        prepare([case.package for case in cases if case.backend != TORCH], self._cache)

    def folder(self, case: Case) -> Path:
        """The folder that the backend of `case` reads, built if need be.

        Raises:
            UsageFault: or InvalidMeasurement, from the build.
        """
        if case.backend == TORCH and case.package.recipe is not None:
            return source_folder(case.package.recipe)
        self.prepare([case])
        return package_folder(case.package, self._cache)

    def spec(self, case: Case) -> BackendSpec:
        """What the backend of `case` is opened with."""
        return BackendSpec(
            backend=case.backend,
            folder=str(self.folder(case)),
            provider=case.provider,
            threads=varied_threads(case.repeat, self._execution.threads),
            options={**self._dtype(case), **case.options},
        )

    def _dtype(self, case: Case) -> dict[str, Any]:
        """PyTorch computes in the type that the variant's precision names."""
        named = case.backend == TORCH and case.precision in DTYPES
        return {"dtype": DTYPES[case.precision]} if named else {}

    def tokenizer(self, case: Case) -> Tokenizer:
        """The tokenizer of `case`; cases with the same files share one.

        Raises:
            UsageFault: `remote-code` or `tokenizer-missing`.
        """
        folder = self.folder(case)
        digest = tokenizer_digest(folder)
        if digest not in self._tokenizers:
            self._tokenizers[digest] = load_tokenizer(folder)
        return self._tokenizers[digest]

    def start(self, case: Case) -> None:
        """Begin to open `case` unless its facts are known; doesn't wait.

        Raises:
            UsageFault: or InvalidMeasurement, from the build.
        """
        if case.session_key not in self._facts:
            self.session(case)

    def facts(self, case: Case) -> Facts:
        """Identity and limits of `case`, its model opened if it hasn't been.

        Raises:
            UsageFault: or InvalidMeasurement, from the package or the provider, or
                `files-changed`.
        """
        if case.session_key not in self._facts:
            session = self.session(case)
            self._require_same(case, session)
            limits = varied_limits(case.repeat, session.limits)
            self._facts[case.session_key] = Facts(session.identity, limits)
        return self._facts[case.session_key]

    def limit(self, case: Case, limits: PlanLimits) -> None:
        """Plan `case` within narrower limits from now on."""
        self._facts[case.session_key] = replace(self.facts(case), limits=limits)

    def session(self, case: Case) -> Session:
        """A session of `case`, with the head of its reference at hand; any other is closed first.

        Raises:
            UsageFault: or InvalidMeasurement, from the package or the provider, or
                `files-changed`.
        """
        spec = self.spec(case)
        if self._open and self._open[0] == (case.id, spec):
            return self._open[1]
        self.close()
        reference = self.spec(case.reference) if case.reference else None
        if case.provider == CPU:
            require_memory(Path(spec.folder), limit_mib=self._execution.bounds.memory_mib)
        elif self._turns:
            self._held.enter_context(self._turns.device(case.provider))
        session = self._begin(case, spec, reference)
        self._open = (case.id, spec), session
        self.opened[case.id] = self.opened.get(case.id, 0) + 1
        if case.id in self._identities:
            self._require_same(case, session)
        return session

    @contextmanager
    def beside(self, cases: Sequence[Case]) -> Iterator[list[Session]]:
        """Fresh sessions of `cases`, all open at once and ended at the end; any other is closed.

        Only one process at a time has any on a device, the CPU included: others that timed
        something meanwhile would disturb it.

        Raises:
            UsageFault: or InvalidMeasurement, from the package or the provider, or
                `files-changed`.
        """
        self.close()
        with ExitStack() as held:
            for provider in sorted({case.provider for case in cases}):
                if self._turns:
                    held.enter_context(self._turns.device(provider))
            sessions = []
            for case in cases:
                spec = self.spec(case)
                if case.provider == CPU:
                    limit = self._execution.bounds.memory_mib
                    require_memory(Path(spec.folder), limit_mib=limit)
                session = self._begin(case, spec, None)
                held.callback(session.close)
                sessions.append(session)
                self.opened[case.id] = self.opened.get(case.id, 0) + 1
            for case, session in zip(cases, sessions, strict=True):
                self._require_same(case, session)
            yield sessions

    def _begin(self, case: Case, spec: BackendSpec, reference: BackendSpec | None) -> Session:
        if case.id not in self._identities:
            self._stamps[case.id] = folder_stamps(Path(spec.folder))
        if self._execution.inline:
            return InlineSession(spec, reference)
        from quantgate.execution.process import ProcessSession

        return ProcessSession(spec, reference, bounds=self._execution.bounds, name=case.id)

    def _require_same(self, case: Case, session: Session) -> None:
        """Prove that `case` is the model whose facts are known, and its reference, too; or close.

        The journal, traces and measurements carry the identity of the first session. The head of
        the reference is opened later, from files that `session` has noted as they are now.
        """
        found = session.identity
        first = self._identities.setdefault(case.id, found)
        reference = case.reference.id if case.reference else ""
        try:
            _require_alike(case, first, found)
            for path, stamp in self._stamps.get(reference, {}).items():
                require_stamp(path, stamp)
        except InvalidMeasurement:
            self.close()
            raise

    def close(self) -> None:
        """End the open session, if any."""
        with self._held:
            if self._open:
                _, session = self._open
                self._open = None
                session.close()

    def close_others(self, case: Case) -> None:
        """End a session of another case than this."""
        if self._open and self._open[0][0] != case.id:
            self.close()


def _require_alike(case: Case, first: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse two identities of one case that differ in more than what a repetition varies."""
    changes = [
        f"{name} {first.get(name)} -> {found.get(name)}"
        for name in sorted({*first, *found} - {"threads"})
        if first.get(name) != found.get(name)
    ]
    if changes:
        raise InvalidMeasurement(
            "files-changed",
            need=f"{case.id} as it was when this run opened it first",
            found=", ".join(changes),
            fix="let nothing write to the package while it is measured, and run again",
        )
