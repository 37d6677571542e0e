"""Vector functions of torch are accurate from their first call on, in every process."""

import runpy
import subprocess
import sys
from pathlib import Path

from quantgate import vector_math
from quantgate.backends import torch as torch_engine
from quantgate.backends.torch import TorchBackend
from tests.tiny_torch import write_model

ROOT = Path(__file__).parents[1]
PROCESSES = 12
# Without settling, about one such process in ten prints an error.
PROGRAM = """
import array
import torch
from quantgate.vector_math import settle_vector_math

settle_vector_math()
values = array.array("f", (0.01 + 0.0005 * number for number in range(16384)))
x = torch.frombuffer(values, dtype=torch.float32)
for name in ("cos", "sqrt", "sin", "exp", "erf", "log", "tanh"):
    function = getattr(torch, name)
    found, exact = function(x).double(), function(x.double())
    if not torch.allclose(found, exact, rtol=1e-6, atol=1e-6):
        print(name, (found - exact).abs().max().item())
"""


def test_first_calls_of_many_threads_are_accurate():
    command = [sys.executable, "-c", PROGRAM]
    for _ in range(PROCESSES):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == ""


def test_builder_runs_behind_settled_functions(tmp_path, monkeypatch, capsys):
    (tmp_path / "printing_builder.py").write_text("import sys; print(*sys.argv[1:])", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(vector_math, "settle_vector_math", lambda: print("settled"))
    monkeypatch.setattr(sys, "argv", ["run_builder", "printing_builder", "-p", "int4"])
    runpy.run_module("quantgate.packages.run_builder", run_name="__main__")
    assert capsys.readouterr().out == "settled\n-p int4\n"


def test_torch_loads_behind_settled_functions(tmp_path, monkeypatch):
    order = []
    load = torch_engine.load_whole
    monkeypatch.setattr(torch_engine, "settle_vector_math", lambda: order.append("settled"))
    monkeypatch.setattr(
        torch_engine, "load_whole", lambda loading: order.append("loaded") or load(loading)
    )
    backend = TorchBackend(write_model(tmp_path, "llama"), threads=2)
    backend.decoding(capacity=8)
    assert order == ["settled", "loaded"]
