"""A process that scores stays under 1.5 times the loaded one plus 200 MB, whatever the vocabulary.

Of a window of 1024 positions over 151,936 ids (Qwen2.5's) the logits alone are 594 MiB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.measuring import CLEAR
from quantgate.backends import ortgenai
from quantgate.evaluate import Evaluator
from quantgate.execution.journal import BatchJournal
from quantgate.execution.memory import MIB
from quantgate.rounds import Asker
from quantgate.sessions import Execution, Sessions
from quantgate.tasks.text_pass import TextSamples
from quantgate.traces import TraceStore
from tests.running import THREADS, Silence, case_of, text_task
from tests.scoring_memory import WINDOW
from tests.tiny_corpora import write_text
from tests.tiny_models import Tiny, write_package
from tests.tiny_torch import write_model

VOCABULARY = 151_936
ROOT = Path(__file__).parents[1]
CONSTANT_MIB = 200e6 / MIB
LOGITS_MIB = WINDOW * VOCABULARY * 4 / MIB
NAMES = ("reference", "candidate")

needs_kernel = pytest.mark.skipif(not CLEAR.exists(), reason="peaks are the Linux kernel's")


class Counting(Silence):
    """A listener that adds up."""

    def __init__(self) -> None:
        self.due = self.done = 0

    def begin(self, case, task, tokens):
        self.due += tokens

    def advance(self, tokens):
        self.done += tokens


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    """Two packages that differ in every weight, with a wide embedding and a wide head."""
    folder = tmp_path_factory.mktemp("wide")
    shapes = {
        name: Tiny(vocabulary=VOCABULARY, context=WINDOW, seed=seed)
        for seed, name in enumerate(NAMES)
    }
    return {name: write_package(folder / name, tiny) for name, tiny in shapes.items()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The same for PyTorch."""
    folder = tmp_path_factory.mktemp("wide_torch")
    facts = {"vocab_size": VOCABULARY, "max_position_embeddings": WINDOW}
    return {
        name: write_model(folder / name, "llama", seed=seed, **facts)
        for seed, name in enumerate(NAMES)
    }


def measured(backend: str, models: dict[str, Path], folder: Path, *, candidate: bool) -> dict:
    """What a process tells that scored one of the models."""
    command = [sys.executable, "-m", "tests.scoring_memory", "--backend", backend]
    command += ["--reference", models["reference"], "--cache", folder / "cache"]
    command += ["--text", write_text(folder / "text.txt")]
    command += ["--candidate", models["candidate"]] if candidate else []
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def require_bounded(backend: str, models: dict[str, Path], folder: Path) -> None:
    """A reference that leaves its rows, and a candidate that is compared with them."""
    for candidate in (False, True):
        found = measured(backend, models, folder, candidate=candidate)
        bound = 1.5 * found["loaded_mib"] + CONSTANT_MIB
        print(f"{backend}: {found}, bound {bound:.0f} MiB")
        assert found["windows"] == 1
        assert found["perplexity"] > 1
        assert found["peak_mib"] <= bound < found["loaded_mib"] + LOGITS_MIB
        if candidate:
            assert found["reference_kept"] == 1
            assert found["kl_mean"] > 0.01
        else:
            assert found["kl_mean"] == 0


def scored(folder: Path, models: dict[str, Path], text: Path) -> tuple[TextSamples, Counting]:
    """A candidate's figures on onnxruntime-genai, and the progress that was told."""
    listener = Counting()
    sessions = Sessions(folder, Execution(threads=THREADS, inline=True))
    journal = BatchJournal(folder / "journal.sqlite")
    evaluator = Evaluator(Asker(sessions, TraceStore(folder / "traces"), journal, listener))
    reference = replace(case_of(models["reference"]), backend="ortgenai")
    candidate = case_of(models["candidate"], "changed", reference=reference)
    run = evaluator.run(replace(candidate, backend="ortgenai"), text_task(text))
    return run.samples, listener


def test_rows_that_travel_in_parts_give_the_same_figures(
    tiny_folder, other_folder, text_file, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime_genai")
    models = dict(zip(NAMES, (tiny_folder, other_folder), strict=True))
    whole, told = scored(tmp_path / "whole", models, text_file)
    monkeypatch.setattr(ortgenai, "carried_rows", lambda _: 64)
    parted, told_of_parts = scored(tmp_path / "parts", models, text_file)
    for name in ("strided", "disjoint", "next_token"):
        assert np.array_equal(getattr(parted, name), getattr(whole, name), equal_nan=True)
    for name in ("kl", "abs_log_ratio", "same_top"):
        left, right = (getattr(each.divergence, name) for each in (parted, whole))
        assert np.array_equal(left, right, equal_nan=True)
    assert told.done == told.due > 0
    assert (told_of_parts.done, told_of_parts.due) == (told.done, told.due)


@needs_kernel
def test_memory_of_a_wide_vocabulary_on_onnxruntime(packages, tmp_path):
    require_bounded("ort", packages, tmp_path)


@needs_kernel
@pytest.mark.slow
def test_memory_of_a_wide_vocabulary_on_onnxruntime_genai(packages, tmp_path):
    pytest.importorskip("onnxruntime_genai")
    require_bounded("ortgenai", packages, tmp_path)


@needs_kernel
@pytest.mark.slow
def test_memory_of_a_wide_vocabulary_on_torch(folders, tmp_path):
    require_bounded("torch", folders, tmp_path)
