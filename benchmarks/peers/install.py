"""Installs the peers that quantgate is held against, at pinned versions, in their own environment.

lm-eval and Olive bring some fifty packages that quantgate doesn't need, so they get a virtual
environment of their own. The project's constraints hold there too, so that runtimes, tokenizers and
kernels are the same on both sides; only what the peers can't live with is left out of them
(`UNHELD`).

    python -m benchmarks.peers.install --env DIR [--pip-args="..."]

Where several builds of torch are on offer, name the wanted one's index in `--pip-args`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PEERS = (
    "torch==2.13.0",
    "transformers==5.23.0",
    "lm-eval[hf]==0.4.13",
    "olive-ai==0.13.0",
    "onnxruntime==1.31.1",
    "onnxruntime-genai==0.18.0",
)
# lm-eval's table writer needs python-dateutil below 3; no figure depends on it.
UNHELD = ("python-dateutil",)
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def main() -> int:
    """Make the environment and print what it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--constraints", type=Path, default=CONSTRAINTS)
    parser.add_argument("--pip-args", default="", help="more arguments for pip install")
    options = parser.parse_args()
    python = environment_python(options.env)
    if not python.exists():
        venv.create(options.env, with_pip=True)
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder, "constraints.txt")
        held.write_text(_held(options.constraints.read_text("utf-8")), "utf-8")
        command = [str(python), "-m", "pip", "install", "-c", str(held)]
        subprocess.run([*command, *shlex.split(options.pip_args), *PEERS], check=True)
    checked = subprocess.run([str(python), "-m", "pip", "check"], check=False)
    print(f"{python}\n{json.dumps(_versions(python), indent=2)}")
    return checked.returncode


def environment_python(env: Path) -> Path:
    """The interpreter of a virtual environment."""
    return env / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _held(constraints: str) -> str:
    lines = constraints.splitlines()
    return "\n".join(line for line in lines if line.split("==")[0] not in UNHELD) + "\n"


def _versions(python: Path) -> dict[str, str]:
    command = [str(python), "-m", "pip", "list", "--format=json"]
    listed = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    wanted = {peer.split("==")[0].split("[")[0].replace("_", "-") for peer in PEERS}
    found = {entry["name"].replace("_", "-"): entry["version"] for entry in listed}
    return {name: found[name] for name in sorted(wanted & set(found))}


if __name__ == "__main__":
    sys.exit(main())
