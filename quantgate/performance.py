"""Measures speed and memory of cases beside their references; asking twice costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantgate.cases import Case
from quantgate.corpora import Corpora
from quantgate.errors import GateError
from quantgate.gate.decision import NO_REFERENCE
from quantgate.manifest.manifest import Manifest
from quantgate.packages.sizes import package_sizes, source_sizes
from quantgate.packages.tokenizer import require_same_ids
from quantgate.results import Comparability, Limits, Measurement, Score
from quantgate.sessions import TORCH, Sessions
from quantgate.storage import canonical_json, sha256_bytes
from quantgate.suites import MEMORY, SPEED
from quantgate.tasks.memory import (
    DEVICE_SAVING,
    Footprint,
    memory_detail,
    memory_scores,
    unknown_device,
    watch,
)
from quantgate.tasks.prompt_ids import Prompts, make_prompts
from quantgate.tasks.speed import SpeedSamples, describe, speed_detail, speed_scores
from quantgate.tasks.turns import Pace, Side, plain_pace, take_turns

PERFORMANCE = frozenset({SPEED, MEMORY})


class Performance:
    """Speed and memory of cases.

    Args:
        manifest: the manifest in force.
        corpora: its corpora; prompts are taken from the text.
        sessions: opens models.
    """

    def __init__(self, manifest: Manifest, corpora: Corpora, sessions: Sessions) -> None:
        self._manifest = manifest
        self._tasks = manifest.tasks
        self._corpora = corpora
        self._sessions = sessions
        self._footprints: dict[str, tuple[Footprint, Mapping[str, Any], Prompts]] = {}
        self._measured: dict[tuple[str, str], Measurement | GateError] = {}

    def measure(self, case: Case, task: str, pace: Pace = plain_pace) -> Measurement:
        """The measurement `speed` or `memory` of `case`; `pace` times the rounds of a speed.

        Raises:
            InvalidMeasurement: or UsageFault, whatever made it meaningless, on every call.
            KeyError: `task` is neither.
        """
        if task not in PERFORMANCE:
            raise KeyError(f"{task!r} is neither speed nor memory")
        key = (case.session_key, task)
        if key not in self._measured:
            try:
                found = self._speed(case, pace) if task == SPEED else self._memory(case)
                self._measured[key] = found
            except GateError as fault:
                self._measured[key] = fault
        measured = self._measured[key]
        if isinstance(measured, GateError):
            raise measured
        return measured

    def _speed(self, case: Case, pace: Pace) -> Measurement:
        """Both models are open at once; a case without a reference takes turns with itself."""
        task, cases = self._tasks.speed, _sides(case)
        with self._sessions.beside(cases) as sessions:
            context = min(session.limits.context for session in sessions)
            prompts = self._prompts(cases, context, task.prompt, task.new_tokens, task.prefill)
            identities = [session.identity for session in sessions]
            ours = Side(sessions[0], prompts, task.new_tokens)
            theirs = Side(sessions[-1], prompts, task.new_tokens)
            take_turns(ours, theirs, pace, task.rounds)
        samples = SpeedSamples(tuple(ours.rounds), tuple(theirs.rounds))
        warnings = [
            f"no prefill of {length:,} tokens: the context is {context:,}"
            for length in prompts.left_out
        ]
        return self._measurement(
            case,
            speed_scores(samples),
            task=SPEED,
            protocol=describe(task),
            items=task.rounds,
            prompts=prompts,
            identity=identities[0],
            detail={
                **speed_detail(samples, prompts, cases[-1].id),
                "reference_identity": dict(identities[-1]),
            },
            warnings=tuple(warnings),
        )

    def _memory(self, case: Case) -> Measurement:
        """One model after the other, each in a fresh process."""
        task, cases = self._tasks.memory, _sides(case)
        gated = self._manifest.limits(case, MEMORY, DEVICE_SAVING) != Limits()
        found = [self._footprint(each) for each in cases]
        (ours, identity, prompts), (theirs, anchor, others) = found[0], found[-1]
        self._require_same(cases, prompts, others)
        return self._measurement(
            case,
            memory_scores(ours, theirs),
            task=MEMORY,
            protocol=f"{task.prompt}+{task.new_tokens} tokens",
            items=1,
            prompts=prompts,
            identity=identity,
            detail={
                **memory_detail(ours, theirs, cases[-1].id),
                "reference_identity": dict(anchor),
            },
            warnings=unknown_device(ours, theirs, identity, gated=gated),
        )

    def _footprint(self, case: Case) -> tuple[Footprint, Mapping[str, Any], Prompts]:
        """Memory and files of one model, with its identity and what it was asked; kept.

        Raises:
            UsageFault: `memory-inline` where models run in this process.
        """
        if case.session_key not in self._footprints:
            task = self._tasks.memory
            sizes = source_sizes if case.backend == TORCH else package_sizes
            files = sizes(self._sessions.folder(case))
            with self._sessions.beside([case]) as (session,):
                prompts = self._prompts(
                    [case], session.limits.context, task.prompt, task.new_tokens
                )
                footprint = watch(session, prompts, task.new_tokens, files)
                identity = session.identity
            self._footprints[case.session_key] = footprint, identity, prompts
        return self._footprints[case.session_key]

    def _prompts(
        self,
        cases: list[Case],
        context: int,
        prompt: int,
        new_tokens: int,
        reads: tuple[int, ...] = (),
    ) -> Prompts:
        """The prompts of all `cases`, which must read the text alike."""
        text = self._corpora.text.text
        made = [
            make_prompts(
                text,
                self._sessions.tokenizer(case),
                context,
                prompt=prompt,
                new_tokens=new_tokens,
                reads=reads,
            )
            for case in cases
        ]
        self._require_same(cases, made[0], made[-1])
        return made[0]

    def _require_same(self, cases: list[Case], ours: Prompts, theirs: Prompts) -> None:
        if ours.digest != theirs.digest:
            tokenizers = [self._sessions.tokenizer(case) for case in (cases[0], cases[-1])]
            require_same_ids(ours.contexts, theirs.contexts, (tokenizers[0], tokenizers[1]))

    def _measurement(
        self,
        case: Case,
        scores: tuple[Score, ...],
        *,
        task: str,
        protocol: str,
        items: int,
        prompts: Prompts,
        identity: Mapping[str, Any],
        detail: Mapping[str, Any],
        warnings: tuple[str, ...] = (),
    ) -> Measurement:
        return Measurement(
            case_id=case.id,
            task=task,
            scores=scores,
            comparability=Comparability(
                protocol=protocol,
                items=items,
                ids_digest=prompts.digest,
                corpus=self._corpora.text.digest,
                tokenizer=self._sessions.tokenizer(case).digest,
                plan=sha256_bytes(canonical_json([protocol, list(map(len, prompts.reads))])),
            ),
            identity=dict(identity),
            detail=dict(detail),
            warnings=(*_unheld(case, task), *warnings),
        )


def _sides(case: Case) -> list[Case]:
    """The case, and its reference where it has one."""
    return [case] if case.reference is None else [case, case.reference]


def _unheld(case: Case, task: str) -> tuple[str, ...]:
    """Say that no limit is in force for want of a reference; () where there is one."""
    if case.reference is not None or case.is_reference:
        return ()
    mend = "name one by --gate-reference=PATH or in [models.reference]"
    return (f"{NO_REFERENCE}, so no limit of {task} is in force; {mend}",)
