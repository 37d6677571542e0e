"""Short ways from a package folder to a backend, a case, an evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantgate.backends.base import Backend, ScoredBlock
from quantgate.backends.ort import OrtBackend
from quantgate.cases import Case, Package
from quantgate.corpus.mmlu import read_mmlu
from quantgate.corpus.text import read_text
from quantgate.evaluate import Evaluator
from quantgate.execution.journal import BatchJournal
from quantgate.packages.package import open_package
from quantgate.plan import Plan
from quantgate.rounds import Asker
from quantgate.sessions import Execution, Sessions
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluOptions
from quantgate.tasks.text import TextOptions, TextTask
from quantgate.traces import TraceStore

THREADS = 2


class Silence:
    """A listener that tells nobody."""

    def begin(self, case: Case, task: str, tokens: int) -> None: ...

    def advance(self, tokens: int) -> None: ...

    def end(self) -> None: ...


def backend_of(folder: Path, *, packing: bool = True, **options: Any) -> OrtBackend:
    return OrtBackend(open_package(folder), threads=THREADS, packing=packing, **options)


def case_of(
    folder: Path | Package, variant: str = "fp32", *, reference: Case | None = None
) -> Case:
    """A case on the CPU; without `reference` it is one itself."""
    return Case(
        model="tiny",
        variant=variant,
        precision="fp32",
        backend="ort",
        provider="cpu",
        package=folder if isinstance(folder, Package) else Package(path=folder),
        reference=reference,
        is_reference=reference is None,
    )


def evaluator_in(folder: Path, *, resume: bool = False, inline: bool = True) -> Evaluator:
    """An evaluator whose cache is `folder`; without `resume` no batch is known before."""
    sessions = Sessions(folder, Execution(threads=THREADS, inline=inline))
    journal = BatchJournal(folder / "journal.sqlite")
    if not resume:
        for path in folder.glob("journal.sqlite*"):
            path.unlink()
    return Evaluator(Asker(sessions, TraceStore(folder / "traces"), journal, Silence()))


def mmlu_task(folder: Path, **options: Any) -> MmluTask:
    corpus = read_mmlu(str(folder), base=folder)
    defaults = {
        "template": "hendrycks",
        "shots": 5,
        "decision": "loglikelihood",
        "overflow": "error",
    }
    return MmluTask(corpus, MmluOptions(**{**defaults, **options}))


def text_task(path: Path, *, window: int = 128, stride: int = 64, kl_window: int = 96) -> TextTask:
    options = TextOptions(window=window, stride=stride, kl_window=kl_window, max_tokens=None)
    return TextTask(read_text(str(path), base=path.parent), options)


def score_all(backend: Backend, plan: Plan) -> tuple[dict[tuple[int, int], Any], list[ScoredBlock]]:
    """Logits by (sequence, position), and the blocks they came in."""
    rows: dict[tuple[int, int], Any] = {}
    blocks: list[ScoredBlock] = []
    for batch in plan.batches():
        scored = list(backend.score(batch))
        logits = [row for block in scored for row in block.logits]
        for want, row in zip(batch.wanted, logits, strict=True):
            rows[want.sequence, want.position] = row
        blocks += scored
    return rows, blocks
