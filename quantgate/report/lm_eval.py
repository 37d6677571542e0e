"""Results in the form that lm-evaluation-harness 0.4 writes, for whatever reads its files.

One file a case. A task has the harness' own name only where the harness' own protocol was run:

- `mmlu_<subject>`: template `lm_eval`, decided by log-likelihood, every question asked, each with
  all its shots; the groups `mmlu`, `mmlu_stem`, ... only where all of their subjects were measured;
- `wikitext`: rolling perplexity of all documents of WikiText-2.

All else is named `quantgate_...` with what sets it apart. Accuracies are over questions, as the
harness weights groups, and a group's error is pooled over its subjects as there. `n-samples` are
the questions asked; `config.limit` says that a subject has more.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from quantgate.report.escape import plain
from quantgate.report.lm_eval_tasks import Entry, entries
from quantgate.results import Measurement
from quantgate.run_file import RunFile

_FILE_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,150}")
_NOT_IN_NAMES = re.compile(r"[\"<>:/|\\?*\[\]]+")  # what the harness itself replaces by "__"


def render_lm_eval(run: RunFile) -> dict[str, bytes]:
    """Return a JSON document for each case by its file's name."""
    by_case: dict[str, list[Measurement]] = {}
    for measurement in run.measurements:
        by_case.setdefault(measurement.case_id, []).append(measurement)
    return {
        file_name(case): _serialize(_document(run, case, found)) for case, found in by_case.items()
    }


def file_name(case_id: str) -> str:
    """The case's name where it is a plain one, else one made of its digest: it may be a path."""
    if _FILE_NAME.fullmatch(case_id):
        return f"{case_id}.json"
    digest = hashlib.sha256(case_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"case.{digest[:16]}.json"


def _document(run: RunFile, case: str, measurements: list[Measurement]) -> dict[str, Any]:
    found = [entry for each in measurements for entry in entries(run, each)]
    groups = [entry for entry in found if entry.subtasks]
    tasks = [entry for entry in found if not entry.subtasks]
    provenance = _mapping(run.facts.get("provenance"))
    seconds = sum(each.cost.get("seconds", 0.0) for each in measurements)
    return {
        "results": {entry.name: entry.result() for entry in found},
        **({"groups": {entry.name: entry.result() for entry in groups}} if groups else {}),
        "group_subtasks": {entry.name: list(entry.subtasks) for entry in groups}
        | {entry.name: [] for entry in tasks if not _within(entry, groups)},
        "configs": {entry.name: entry.config() for entry in tasks},
        "versions": {entry.name: entry.version for entry in found},
        "n-shot": {entry.name: entry.shots for entry in tasks},
        "higher_is_better": {entry.name: dict(entry.higher_is_better) for entry in found},
        "n-samples": {
            entry.name: {"original": entry.samples, "effective": entry.samples} for entry in tasks
        },
        "config": _config(run, case, measurements[0]),
        "git_hash": provenance.get("git_commit"),
        "date": _timestamp(run.facts.get("started")),
        "transformers_version": _mapping(provenance.get("packages")).get("transformers"),
        "quantgate_version": provenance.get("quantgate"),
        "task_hashes": {},
        "model_source": "quantgate",
        "model_name": case,
        "model_name_sanitized": _NOT_IN_NAMES.sub("__", plain(case)),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": str(seconds),
    }


def _config(run: RunFile, case: str, measurement: Measurement) -> dict[str, Any]:
    identity = measurement.identity
    tasks = _mapping(_mapping(run.facts.get("configuration")).get("tasks"))
    limit = _mapping(tasks.get("mmlu")).get("limit")
    return {
        "model": f"quantgate-{identity.get('backend', 'unknown')}",
        "model_args": {"pretrained": case, "package": identity.get("package")},
        "batch_size": None,
        "batch_sizes": [],
        "device": identity.get("provider"),
        "use_cache": None,
        "limit": limit if isinstance(limit, int) else None,
        "bootstrap_iters": 0,
        "gen_kwargs": None,
    }


def _within(entry: Entry, groups: list[Entry]) -> bool:
    return any(entry.name in group.subtasks for group in groups)


def _timestamp(started: object) -> float | None:
    """Seconds since 1970, as the harness tells a date."""
    try:
        return datetime.fromisoformat(str(started)).timestamp()
    except (ValueError, OverflowError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _serialize(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(_clean(document), indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def _clean(value: Any) -> Any:
    """Strict JSON of `plain` texts; what is no finite number is `N/A`, as the harness has it."""
    if isinstance(value, Mapping):
        return {plain(str(name)): _clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "N/A"
    return plain(value) if isinstance(value, str) else value
