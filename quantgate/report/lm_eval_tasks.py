"""The tasks of lm-evaluation-harness that a measurement comes to, and what they may be called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from quantgate.results import Direction, Measurement, Score
from quantgate.run_file import RunFile
from quantgate.tasks.categories import CATEGORIES

_MMLU: Final = re.compile(r"(?P<template>\w+) (?P<shots>\d+)-shot (?P<decision>\w+), overflow \w+")
_TASK_VERSION, _GROUP_VERSION, _WIKITEXT_VERSION = 1.0, 2, 2.0  # of the harness' own tasks
_OWN_VERSION = 1
_WIKITEXT_2 = re.compile(r"wikitext-2(?:-raw)?(?:-v1)?\b", re.IGNORECASE)
_SUBJECT = "subject."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A task or, where it has subtasks, a group.

    Attributes:
        metrics: value and standard error by the metric's name there.
    """

    name: str
    alias: str
    metrics: Mapping[str, tuple[float, float | None]]
    higher_is_better: Mapping[str, bool]
    samples: int
    shots: int = 0
    version: float = _OWN_VERSION
    protocol: str = ""
    subtasks: Sequence[str] = field(default=())

    def result(self) -> dict[str, Any]:
        """The entry under `results`; every metric of the harness has the filter's name, `none`."""
        found: dict[str, Any] = {"alias": self.alias}
        for metric, (value, stderr) in self.metrics.items():
            found[f"{metric},none"] = value
            found[f"{metric}_stderr,none"] = "N/A" if stderr is None else stderr
        return found

    def config(self) -> dict[str, Any]:
        """The entry under `configs`."""
        return {
            "task": self.name,
            "task_alias": self.alias,
            "num_fewshot": self.shots,
            "metric_list": [
                {"metric": metric, "higher_is_better": better}
                for metric, better in self.higher_is_better.items()
            ],
            "metadata": {"version": self.version, "protocol": self.protocol},
        }


def entries(run: RunFile, measurement: Measurement) -> Iterator[Entry]:
    """The tasks and groups of a measurement; groups first."""
    if measurement.task == "mmlu":
        yield from _mmlu(measurement)
    elif measurement.task == "perplexity.rolling":
        own = not _is_wikitext(run, measurement)
        name = "quantgate_rolling" if own else "wikitext"
        documents = measurement.detail.get("documents")
        samples = len(documents) if isinstance(documents, list) else measurement.comparability.items
        version = _OWN_VERSION if own else _WIKITEXT_VERSION
        yield _plain(measurement, name, samples=samples, version=version)
    else:
        name = f"quantgate_{measurement.task.replace('.', '_')}"
        yield _plain(measurement, name, samples=measurement.comparability.items)


def _plain(
    measurement: Measurement, name: str, *, samples: int, version: float = _OWN_VERSION
) -> Entry:
    """A task with the measurement's own metrics."""
    scores = [score for score in measurement.scores if "." not in score.metric]
    return Entry(
        name=name,
        alias=name,
        metrics={score.metric: (score.value, _stderr(score)) for score in scores},
        higher_is_better={s.metric: s.direction is Direction.HIGHER for s in scores},
        samples=samples,
        version=version,
        protocol=measurement.comparability.protocol,
    )


def _mmlu(measurement: Measurement) -> Iterator[Entry]:
    told = _MMLU.fullmatch(measurement.comparability.protocol)
    template = told["template"] if told else "unknown"
    decision = told["decision"] if told else "unknown"
    shots = int(told["shots"]) if told and len(told["shots"]) < 4 else 0
    subjects = {
        score.metric.removeprefix(_SUBJECT): score
        for score in measurement.scores
        if score.metric.startswith(_SUBJECT)
    }
    known = CATEGORIES["lm_eval"]
    genuine = (
        (template, decision) == ("lm_eval", "loglikelihood")
        and set(subjects) <= known.keys()
        and _is_whole(measurement, shots)
    )
    root = "mmlu" if genuine else f"quantgate_mmlu_{template}_{decision}"
    tasks = [_subject(root, name, score, shots, measurement) for name, score in subjects.items()]
    leaves = dict(zip(subjects, tasks, strict=True))
    groups = []
    for category in sorted(set(known.values())) if genuine else []:
        members = [name for name, own in known.items() if own == category]
        if all(name in leaves for name in members):
            alias = category.replace("_", " ")
            names = [leaves[name] for name in members]
            groups.append(_group(f"{root}_{category}", alias, names, [e.name for e in names]))
    if not genuine:
        yield _group(root, root, tasks, [task.name for task in tasks])
    elif len(groups) == len(set(known.values())):
        yield _group(root, root, tasks, [group.name for group in groups])
    yield from groups
    yield from tasks


def _subject(root: str, name: str, score: Score, shots: int, measurement: Measurement) -> Entry:
    return Entry(
        name=f"{root}_{name}",
        alias=name,
        metrics={"acc": (score.value, score.stderr)},
        higher_is_better={"acc": True},
        samples=score.n,
        shots=shots,
        version=_TASK_VERSION if root == "mmlu" else _OWN_VERSION,
        protocol=measurement.comparability.protocol,
    )


def _group(name: str, alias: str, tasks: Sequence[Entry], subtasks: Sequence[str]) -> Entry:
    """The mean over all questions of the tasks; its variance is pooled within them.

    With n questions and standard error e in each of k tasks: sqrt(sum((n - 1) n e^2) / (N - k) / N)
    where N is the sum of n, as in `lm_eval.api.metrics.pooled_sample_stderr`.
    """
    sizes = [task.samples for task in tasks]
    values = [task.metrics["acc"][0] for task in tasks]
    errors = [task.metrics["acc"][1] for task in tasks]
    total = sum(sizes)
    value = sum(n * v for n, v in zip(sizes, values, strict=True)) / total if total else math.nan
    stderr = None
    if total > len(sizes) and all(error is not None for error in errors):
        spread = sum((n - 1) * n * (e or 0.0) ** 2 for n, e in zip(sizes, errors, strict=True))
        stderr = math.sqrt(spread / (total - len(sizes)) / total)
    return Entry(
        name=name,
        alias=alias,
        metrics={"acc": (value, stderr)},
        higher_is_better={"acc": True},
        samples=total,
        version=_GROUP_VERSION if name.startswith("mmlu") else _OWN_VERSION,
        subtasks=subtasks,
    )


def _is_whole(measurement: Measurement, shots: int) -> bool:
    """Whether every question was asked, with all its shots."""
    detail = measurement.detail
    sequential = detail.get("sequential")
    stopped = isinstance(sequential, dict) and bool(sequential.get("stopped"))
    held = detail.get("shots")
    return (
        not stopped
        and not detail.get("excluded")
        and isinstance(held, dict)
        and set(held) == {str(shots)}
    )


def _is_wikitext(run: RunFile, measurement: Measurement) -> bool:
    """Whether all documents of WikiText-2 were scored, by the manifest's words."""
    configuration = run.facts.get("configuration")
    told = configuration if isinstance(configuration, dict) else {}
    data, tasks = told.get("data"), told.get("tasks")
    location = data.get("text") if isinstance(data, dict) else None
    task = tasks.get("perplexity") if isinstance(tasks, dict) else None
    limited = isinstance(task, dict) and task.get("max_documents") is not None
    return (
        measurement.comparability.protocol.endswith(", wikitext")
        and isinstance(location, str)
        and _WIKITEXT_2.search(location) is not None
        and not limited
    )


def _stderr(score: Score) -> float | None:
    return score.stderr if score.stderr_clustered is None else score.stderr_clustered
