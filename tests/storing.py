"""Measurements small enough to compute by hand, and a store to put them in."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from quantgate.baselines.store import BaselineStore
from quantgate.cases import Case, Package
from quantgate.results import Comparability, Direction, Limits, Measurement, Score, Tolerance

CASE = Case(
    model="tiny", variant="int4", precision="int4", backend="ort", provider="cpu",
    package=Package(path=Path("model")),
)  # fmt: skip
COMPARABILITY = Comparability(
    protocol="hendrycks 5-shot loglikelihood", items=80, ids_digest="a" * 64, corpus="b" * 64,
    tokenizer="c" * 64, plan="d" * 64,
)  # fmt: skip
FACTS = {"packages": {"onnxruntime": "1.31.1"}}
TOLERANCE = Tolerance(kind="absolute", value=0.01)
LETTERS = np.array(list("ABCD-."))


def measure(value=0.8125, task="mmlu", **changes) -> Measurement:
    score = Score(
        metric="accuracy", value=value, n=80, unit="fraction", direction=Direction.HIGHER,
        stderr=0.04, stderr_clustered=0.05,
    )  # fmt: skip
    facts = {"case_id": CASE.id, "comparability": COMPARABILITY, "identity": {"package": "e" * 64}}
    return Measurement(**{**facts, "task": task, "scores": (score,), **changes})


def answers(counts: dict[str, int], seed: int = 0) -> dict[str, Any]:
    """A detail of random answers to so many questions of each subject, some unreadable."""
    random = np.random.default_rng(seed)
    return {
        "answers": {
            name: {
                "chosen": "".join(LETTERS[random.integers(0, 5, count)]),
                "gold": "".join(LETTERS[random.integers(0, 4, count)]),
            }
            for name, count in counts.items()
        }
    }


def windows(count: int, seed: int = 0) -> dict[str, Any]:
    """A detail of random sums of nats over windows of 512 tokens."""
    random = np.random.default_rng(seed)
    return {
        "windows": [
            {
                "begin": 512 * i,
                "end": 512 * i + 1024,
                "n": 512,
                "nll_nats": float(random.gamma(900)),
            }
            for i in range(count)
        ]
    }


def divergences(count: int, seed: int = 0) -> dict[str, Any]:
    """A detail of random mean divergences over windows of 1,024 tokens."""
    random = np.random.default_rng(seed)
    return {
        "windows": [
            {
                "begin": 1024 * i,
                "end": 1024 * (i + 1),
                "n": 1024,
                "n_next": 1024,
                "kl_mean": float(random.gamma(0.01)),
                "top1_agreement": float(random.uniform()),
                "log_perplexity_ratio": float(random.normal()),
            }
            for i in range(count)
        ]
    }


def limits(task: str, metric: str) -> Limits:
    return Limits(baseline=TOLERANCE)


def update(
    store: BaselineStore, *measurements, limits=limits, reason="first figures", new_only=False
) -> list[str]:
    """Store and return the lines that tell of it."""
    changed = store.update(
        CASE, measurements, limits, reason=reason, provenance=FACTS, new_only=new_only
    )
    return [str(change) for change in changed]


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person without settings."""
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.strip()
