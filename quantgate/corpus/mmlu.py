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

from quantgate.corpus.files import EMBEDDED, DataFile, digest_of
from quantgate.corpus.hub import PREFIX, fetch, parse_location
from quantgate.corpus.mmlu_csv import csv_files, csv_root, parse_csv
from quantgate.corpus.mmlu_hub import ALL, hub_configs, parse_hub
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
    """

    source: str
    shots: Mapping[str, tuple[Question, ...]]
    questions: tuple[Question, ...]
    digest: str
    files_digest: str
    notes: tuple[str, ...]

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
        shots = self.shots.get(subject, ())
        if len(shots) < k:
            raise UsageFault(
                "mmlu-shots",
                need=f"{k} dev rows of {subject} in {self.source}",
                found=f"{len(shots)} rows" if shots else "no dev file, or no rows in it",
                fix=f"complete the dev file, or set tasks.mmlu.shots to {len(shots)} or fewer",
            )
        return shots[:k]


@dataclass(frozen=True, slots=True)
class _Tables:
    """All that a location has: questions by subject and split, and the files' bytes."""

    tests: Mapping[str, tuple[Question, ...]]
    shots: Mapping[str, tuple[Question, ...]]
    files: Sequence[DataFile]


def read_mmlu(
    location: str, *, base: Path, subjects: Sequence[str] = (), limit: int | None = None
) -> MmluCorpus:
    """Read MMLU's questions and shots.

    Args:
        location: `embedded`; a folder, in the authors' layout (CSV) or the hub's (parquet); or
            `hub:<dataset id>[:<config>]@<commit>`.
        base: the folder relative paths start from.
        subjects: the subjects wanted; none means all.
        limit: take the first so many questions of each subject.

    Raises:
        UsageFault: a file can't be read or has a row that is no question, a subject is unknown or
            has no rows, or the selection leaves nothing.
    """
    if limit is not None and limit < 1:
        raise _nothing(f"a limit of {limit} questions per subject", "a limit from 1")
    tables = _tables(location, base)
    chosen = _chosen(tables, subjects, location)
    questions = tuple(q for subject in chosen for q in tables.tests[subject][:limit])
    shots = {subject: tables.shots.get(subject, ()) for subject in chosen}
    return MmluCorpus(
        source=location,
        shots=shots,
        questions=questions,
        digest=_digest(questions, shots),
        files_digest=digest_of(tables.files),
        notes=_notes(questions, tables.files),
    )


def _tables(location: str, base: Path) -> _Tables:
    if location.startswith(PREFIX):
        hub = parse_location(location)
        configs = [hub.config or ALL]
        patterns = [f"{configs[0]}/{split}-*.parquet" for split in ("dev", "test")]
        return _hub_tables(fetch(hub, patterns), configs)
    folder = EMBEDDED / "mmlu" if location == "embedded" else base / location
    if (root := csv_root(folder)) is not None:
        return _csv_tables(root)
    if configs := hub_configs(folder):
        return _hub_tables(folder, configs)
    raise UsageFault(
        "data-missing",
        need="MMLU: a folder with test/<subject>_test.csv and dev/<subject>_dev.csv, or with "
        "<config>/test-*.parquet",
        found=f"{folder}: " + ("neither" if folder.is_dir() else "no such folder"),
        fix="name another location in quantgate.toml [data] mmlu, or with --gate-data-dir",
    )


def _csv_tables(root: Path) -> _Tables:
    tests, shots = csv_files(root, "test"), csv_files(root, "dev")
    return _Tables(
        tests={subject: parse_csv(subject, file) for subject, file in tests.items()},
        shots={subject: parse_csv(subject, file) for subject, file in shots.items()},
        files=[*tests.values(), *shots.values()],
    )


def _hub_tables(folder: Path, configs: list[str]) -> _Tables:
    tests, test_files = parse_hub(folder, configs, "test")
    shots, dev_files = parse_hub(folder, configs, "dev")
    return _Tables(tests, shots, [*test_files, *dev_files])


def _chosen(tables: _Tables, subjects: Sequence[str], location: str) -> list[str]:
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


def _digest(questions: Sequence[Question], shots: Mapping[str, Sequence[Question]]) -> str:
    content = {
        "questions": [_canonical(question) for question in questions],
        "shots": {subject: [_canonical(shot) for shot in rows] for subject, rows in shots.items()},
    }
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _canonical(question: Question) -> list[object]:
    return [question.id, question.text, list(question.options), question.answer]


def _notes(questions: Sequence[Question], files: Sequence[DataFile]) -> tuple[str, ...]:
    counts = {
        "repeated questions": repeated(questions),
        "questions with duplicate options": sum(
            len(set(q.options)) < len(q.options) for q in questions
        ),
    }
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    marked = [file.name for file in files if file.has_mark and not file.name.endswith(".parquet")]
    notes = [f"{found}: kept and counted"] if found else []
    if marked:
        notes.append(f"byte order mark left out of {listed(marked)}")
    return tuple(notes)
