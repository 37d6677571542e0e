"""A model's memory doesn't depend on whether its weights lie in the graph's file or beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from quantgate.backends.base import BackendSpec
from quantgate.execution.process import ProcessSession
from quantgate.packages.sizes import package_sizes
from quantgate.tasks.memory import Footprint, watch
from quantgate.tasks.prompt_ids import Prompts
from tests.running import THREADS
from tests.tiny_models import Tiny, write_package

WIDE = 150_000  # ids, so that embedding and head have 37 MiB each
# Of 73 MiB of weights; each copy of them would be above it.
NOISE_MIB = 20


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """One package, saved in two ways."""
    home = tmp_path_factory.mktemp("saved")
    beside = write_package(home / "beside", Tiny(vocabulary=WIDE))
    inside = Path(shutil.copytree(beside, home / "inside"))
    onnx.save(onnx.load(inside / "model.onnx"), inside / "model.onnx")
    (inside / "model.onnx.data").unlink()
    return {"beside": beside, "inside": inside}


def footprint(folder: Path) -> Footprint:
    session = ProcessSession(BackendSpec("ort", str(folder), threads=THREADS))
    try:
        return watch(session, Prompts(tuple(range(8))), 4, package_sizes(folder))
    finally:
        session.close()


def test_weights_inside_the_graph_are_not_held_more_often(folders):
    found = {name: footprint(folder).figures for name, folder in folders.items()}
    for what in ("loading", "resident", "peak"):
        difference = found["inside"][what] - found["beside"][what]
        assert abs(difference) < NOISE_MIB, (what, found)
