"""Does the gate stay quiet about an unchanged candidate, and speak up about a damaged one?

False alarms: the carried INT4 package is measured again and again in ways that should change
nothing (every sequence alone, rows of other widths, another number of threads) and decided by the
manifest's policy against the committed baselines and the reference. Not one REGRESSION may come.

True alarms: the package with the scales of some blocks damaged. Its drop over all questions (or
windows) is what is known to be true; runs of fewer or as many are drawn from them with replacement.
A drop as large as the run's smallest detectable one must be found in 80 % of the runs.

    python -m benchmarks.alarms [--repeats 20] [--draws 2000] [--cache DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import print_table, write_json
from quantgate.baselines.store import BaselineStore
from quantgate.cases import BuildRecipe, Case, Package
from quantgate.corpora import Corpora
from quantgate.gate.evidence import bounds, pair
from quantgate.items import ChoiceItems, ItemResults, WindowItems, items_of
from quantgate.manifest.manifest import Manifest, load_manifest
from quantgate.options import RunOptions, default_cache
from quantgate.packages.build import package_folder, prepare
from quantgate.report.progress import Silence
from quantgate.results import Measurement, Verdict
from quantgate.session import GateSession
from tests.damage import damage_package

ROOT = Path(__file__).parents[1]
TASKS = ("mmlu", "perplexity.strided", "kl_divergence")
DAMAGES = ((8, 4.0), (16, 4.0), (32, 4.0), (64, 4.0), (96, 6.0))  # blocks, factor of their scales
SIZES = {"mmlu": (200, 406, 812), "perplexity.strided": (16, 32, 63)}  # questions, windows
FIGURES = {"mmlu": "accuracy", "perplexity.strided": "perplexity"}
MANIFEST = """\
schema_version = 1
[tasks.mmlu]
degenerate = "warn"
[tasks.perplexity]
protocols = ["strided"]
[[models]]
name = "damaged"
[models.reference]
name = "int4"
precision = "int4"
path = "{whole}"
"""
VARIANT = """
[[models.variants]]
name = "{name}"
precision = "int4"
path = "{folder}"
"""


def main() -> None:
    """Count alarms, print both tables."""
    options = _options()
    false = _false_alarms(options)
    print(f"unchanged candidate, {options.repeats} repeats; ways: different plans and threads")
    print_table(false)
    true = _true_alarms(options)
    print(f"\ndamaged candidates, {options.draws} runs drawn for each row")
    print_table(true)
    write_json(options.json, "alarms", {"false": false, "true": true})
    loud = any(row["REGRESSION"] for row in false)
    deaf = any(row["drop / detectable"] >= 1 and row["found"] < 0.8 for row in true)
    raise SystemExit(int(loud or deaf))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _session(manifest: Manifest, options: argparse.Namespace) -> GateSession:
    baselines = ROOT / "baselines"
    run = RunOptions(
        cache=options.cache.absolute(), reports=Path("reports"), baselines=baselines,
        baseline_ref=None, update=False, reason="", accept_dataset=False, strict=False,
    )  # fmt: skip
    return GateSession(manifest, run, Corpora(manifest), BaselineStore(baselines), Silence())


def _false_alarms(options: argparse.Namespace) -> list[dict[str, Any]]:
    manifest = load_manifest(ROOT / "quantgate.toml")
    case = next(each for each in manifest.cases() if each.variant == "int4")
    verdicts: dict[tuple[str, str], Counter[str]] = {}
    moved: dict[tuple[str, str], float] = {}
    ways: dict[str, set[tuple[str, int]]] = {}
    with closing(_session(manifest, options)) as gate:
        usual = {task: gate.measure(case, task) for task in TASKS}
        for number in range(1, options.repeats + 1):
            for task, first in usual.items():
                found = gate.measure(replace(case, repeat=number), task)
                threads = int(found.identity["threads"])
                ways.setdefault(task, set()).add((found.comparability.plan, threads))
                # Another plan is what is tried here; everything else must be comparable.
                plan = first.comparability.plan
                found = replace(found, comparability=replace(found.comparability, plan=plan))
                for metric in gate.gated(case, found):
                    family = metric.partition(".")[0]
                    decision = gate.decide(case, found, metric)
                    verdicts.setdefault((task, family), Counter())[decision.verdict] += 1
                    change = abs(found.score(metric).value - first.score(metric).value)
                    moved[task, family] = max(moved.get((task, family), 0.0), change)
    return [
        {
            "figure": f"{task} {metric}",
            "ways": len(ways[task]),
            "decisions": sum(counts.values()),
            **{verdict.value: counts[verdict] for verdict in Verdict},
            "largest change": moved[task, metric],
        }
        for (task, metric), counts in verdicts.items()
    ]


def _true_alarms(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        manifest = _damaged(Path(folder), options.cache.absolute())
        with closing(_session(manifest, options)) as gate:
            for case in manifest.cases():
                if case.reference is not None:
                    rows += list(_found(gate, case, case.reference, options.draws))
    return rows


def _damaged(folder: Path, cache: Path) -> Manifest:
    whole = Package(recipe=BuildRecipe(None, "int4"))
    prepare([whole], cache)
    source = package_folder(whole, cache)
    text = MANIFEST.format(whole=source)
    for blocks, factor in DAMAGES:
        name = f"blocks{blocks}x{factor:g}"
        damage_package(source, folder / name, blocks=blocks, factor=factor, seed=0)
        text += VARIANT.format(name=name, folder=folder / name)
    file = folder / "quantgate.toml"
    file.write_text(text, "utf-8")
    return load_manifest(file)


def _found(gate: GateSession, case: Case, whole: Case, draws: int) -> Iterator[dict[str, Any]]:
    for task, metric in FIGURES.items():
        now, before = gate.measure(case, task), gate.measure(whole, task)
        for size in SIZES[task]:
            yield {
                "candidate": case.variant,
                "figure": f"{task} {metric}",
                **_drawn(now, before, metric, size, draws),
            }


def _drawn(
    now: Measurement, before: Measurement, metric: str, size: int, draws: int
) -> dict[str, Any]:
    """Share of runs of `size` items that find the drop over all items to be more than chance."""
    score = now.score(metric)
    ours, theirs = items_of(now), items_of(before)
    if ours is None or theirs is None:
        raise ValueError(f"{now.task} keeps no items")
    truth = pair(metric, score, ours, theirs, "reference", 0.0)
    if truth is None:
        raise ValueError(f"{metric} has no pairs")
    random = np.random.default_rng(0)
    found, detectable = 0, []
    for _ in range(draws):
        chosen = random.integers(0, truth.clusters, size)
        evidence = pair(metric, score, _some(ours, chosen), _some(theirs, chosen), "reference", 0.0)
        if evidence is not None:
            found += bounds(evidence, score.direction)[0] > 0
            detectable.append(evidence.detectable)
    smallest = float(np.median(detectable))
    return {
        "items": size,
        "true drop": abs(truth.delta),
        "detectable": smallest,
        "drop / detectable": abs(truth.delta) / smallest,
        "found": found / draws,
    }


def _some(items: ItemResults, chosen: np.ndarray[Any, np.dtype[np.int64]]) -> ItemResults:
    """The items drawn, numbered anew: what is drawn twice counts as two."""
    if isinstance(items, ChoiceItems):
        subjects = tuple(items.subjects[number] for number in chosen)
        return ChoiceItems(subjects, items.chosen[chosen], items.gold[chosen])
    return WindowItems(
        np.arange(len(chosen)),
        {metric: counts[chosen] for metric, counts in items.counts.items()},
        {metric: sums[chosen] for metric, sums in items.sums.items()},
    )


if __name__ == "__main__":
    main()
