"""MMLU as a corpus: which questions, which shots, and the digests that tell it from others.

Texts are exactly as the files have them; nothing is stripped, mended or left out. A question's id
is its subject and its row in the subject's file, so it names the same question whatever the
selection.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantgate.corpus.files import digest_of
from quantgate.corpus.mmlu_pro import PADDING
from quantgate.corpus.mmlu_tables import MmluTables, read_tables
from quantgate.corpus.questions import Question, listed, repeated
from quantgate.errors import UsageFault

__all__ = ["MmluCorpus", "Question", "read_mmlu"]


@dataclass(frozen=True, slots=True)
class MmluCorpus:
    """The questions of a run and the shots of their subjects.

    Attributes:
        source: the location they were read from, as it was given.
        shots: every dev row of each selected subject, in file order.
        questions: the selected questions, by subject's name and then in file order.
        digest: SHA-256 of the selection as canonical JSON; the same questions and shots have the
            same digest whether they come from CSV or from the hub.
        files_digest: SHA-256 over the bytes of all files read, before any selection; a pin names
            it.
        notes: findings that change no figure, in words.
        common: MMLU-Pro's validation rows of all subjects, in file order, whatever the selection;
            none in MMLU's own layouts.
        categorized: whether the subjects are MMLU's, which have categories.
    """

    source: str
    shots: Mapping[str, tuple[Question, ...]]
    questions: tuple[Question, ...]
    digest: str
    files_digest: str
    notes: tuple[str, ...]
    common: tuple[Question, ...] = ()
    categorized: bool = True

    def __post_init__(self) -> None:
        twice = [
            f"{id_} ({n} times)"
            for id_, n in Counter(q.id for q in self.questions).items()
            if n > 1
        ]
        if twice:
            raise UsageFault(
                "mmlu-duplicate-ids",
                need="each question once",
                found=listed(twice),
                fix="let each row have an id of its own",
            )

    def shots_for(self, subject: str, k: int) -> tuple[Question, ...]:
        """Return a subject's first `k` shots.

        Raises:
            UsageFault: the subject's dev file has fewer rows.
        """
        return self._first(self.shots.get(subject, ()), k, subject)

    def common_shots(self, k: int) -> tuple[Question, ...]:
        """Return the first `k` shots that are the same for every subject.

        Raises:
            UsageFault: there are fewer; in MMLU's own layouts there are none.
        """
        return self._first(self.common, k, "MMLU-Pro's validation split")

    def _first(self, shots: tuple[Question, ...], k: int, whose: str) -> tuple[Question, ...]:
        if len(shots) < k:
            raise UsageFault(
                "mmlu-shots",
                need=f"{k} dev rows of {whose} in {self.source}",
                found=f"{len(shots)} rows" if shots else "no dev file, or no rows in it",
                fix=f"complete the dev file, or set tasks.mmlu.shots to {len(shots)} or fewer",
            )
        return shots[:k]


def read_mmlu(
    location: str, *, base: Path, subjects: Sequence[str] = (), limit: int | None = None
) -> MmluCorpus:
    """Read MMLU's questions and shots.

    Args:
        location: `embedded`; a folder, in the authors' layout (CSV), the hub's or MMLU-Pro's
            (parquet); or `hub:<dataset id>[:<config>]@<commit>`, where the config `data` stands for
            MMLU-Pro's layout and is the default of data sets of that name.
        base: the folder relative paths start from.
        subjects: the subjects wanted; none means all.
        limit: take the first so many questions of each subject.

    Raises:
        UsageFault: a file can't be read or has a row that is no question, a subject is unknown or
            has no rows, or the selection leaves nothing.
    """
    if limit is not None and limit < 1:
        raise _nothing(f"a limit of {limit} questions per subject", "a limit from 1")
    tables = read_tables(location, base)
    chosen = _chosen(tables, subjects, location)
    questions = tuple(q for subject in chosen for q in tables.tests[subject][:limit])
    shots = {subject: tables.shots.get(subject, ()) for subject in chosen}
    return MmluCorpus(
        source=location,
        shots=shots,
        questions=questions,
        digest=_digest(questions, shots, tables.common),
        files_digest=digest_of(tables.files),
        notes=_notes(questions, tables),
        common=tables.common,
        categorized=tables.categorized,
    )


def _chosen(tables: MmluTables, subjects: Sequence[str], location: str) -> list[str]:
    known = sorted(subject for subject, rows in tables.tests.items() if rows)
    empty = sorted({*tables.tests, *tables.shots} - set(known))
    if empty:
        raise _nothing(
            f"no test rows of {listed(empty)}", f"test rows for every subject in {location}"
        )
    if not known:
        raise _nothing("no subjects", f"at least one subject in {location}")
    unknown = sorted(set(subjects) - set(known))
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1) or known[:1]
        raise UsageFault(
            "mmlu-subject",
            need=f"subjects among the {len(known)} of {location}",
            found=", ".join(map(repr, unknown)),
            fix=f"correct tasks.mmlu.subjects, for example {near[0]!r}",
        )
    return sorted(set(subjects)) or known


def _nothing(found: str, need: str) -> UsageFault:
    return UsageFault(
        "mmlu-empty",
        need=need,
        found=found,
        fix="widen the selection (tasks.mmlu, --gate-limit) or restore the data",
    )


def _digest(
    questions: Sequence[Question],
    shots: Mapping[str, Sequence[Question]],
    common: Sequence[Question],
) -> str:
    content: dict[str, object] = {
        "questions": [_canonical(question) for question in questions],
        "shots": {subject: [_canonical(shot) for shot in rows] for subject, rows in shots.items()},
    }
    if common:
        content["common"] = [_canonical(shot) for shot in common]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _canonical(question: Question) -> list[object]:
    return [question.id, question.text, list(question.options), question.answer]


def _notes(questions: Sequence[Question], tables: MmluTables) -> tuple[str, ...]:
    counts = {
        "repeated questions": repeated(questions),
        "questions with duplicate options": sum(
            len(set(q.options)) < len(q.options) for q in questions
        ),
    }
    if not tables.categorized:
        counts[f"questions with an option {PADDING!r}"] = sum(
            PADDING in q.options for q in questions
        )
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    marked = [
        file.name for file in tables.files if file.has_mark and not file.name.endswith(".parquet")
    ]
    notes = [f"{found}: kept and counted"] if found else []
    if marked:
        notes.append(f"byte order mark left out of {listed(marked)}")
    return tuple(notes)
