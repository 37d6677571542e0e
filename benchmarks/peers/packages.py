"""Copies of a package that the peers can run, with the thread count they shall use.

Weights are linked, not copied, where the file system allows. Three things are changed, none of
which changes a figure:

* `genai_config.json` gets `intra_op_num_threads`: ORT-GenAI takes it from nowhere else, and runs
  one thread without it;
* `config.json` of the Hugging Face folder is laid beside the model: Olive's `ort` reads it for the
  context length, and the model builder doesn't write it;
* for Olive's `ort`, KV inputs and outputs of the graph say the head size in numbers: Olive makes
  its buffers from the declared shape alone, and the model builder declares the last dimension by
  a name, so Olive 0.13 multiplies by a text and stops.

    python -m benchmarks.peers.packages --package DIR --model DIR --threads 2 --out DIR
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

CONFIG = "genai_config.json"


def prepare(package: Path, model: Path, folder: Path, *, threads: int) -> Path:
    """Make the copy in `folder` and return it.

    Args:
        package: a package of the model builder.
        model: the Hugging Face folder it was built from.
        folder: where the copy goes; what is there is replaced.
        threads: intra-op threads for ORT-GenAI.
    """
    config = json.loads((package / CONFIG).read_text("utf-8"))
    decoder = config["model"]["decoder"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source in package.iterdir():
        if source.is_file() and source.name not in {CONFIG, decoder["filename"]}:
            _link(source.resolve(), folder / source.name)
    if not (folder / "config.json").exists():
        shutil.copyfile(model / "config.json", folder / "config.json")
    decoder.setdefault("session_options", {})["intra_op_num_threads"] = threads
    (folder / CONFIG).write_text(json.dumps(config, indent=4), "utf-8")
    _number_head_size(package / decoder["filename"], folder / decoder["filename"], decoder)
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _number_head_size(source: Path, target: Path, decoder: dict[str, Any]) -> None:
    import onnx

    graph_file: Any = onnx.load(source, load_external_data=False)
    names = [*decoder["inputs"].items(), *decoder["outputs"].items()]
    layers = range(decoder["num_hidden_layers"])
    caches = {
        name % layer
        for key, name in names
        if key.startswith(("past_", "present_"))
        for layer in layers
    }
    for value in [*graph_file.graph.input, *graph_file.graph.output]:
        if value.name in caches:
            width = value.type.tensor_type.shape.dim[-1]
            if not width.HasField("dim_value"):
                width.dim_value = decoder["head_size"]
    onnx.save(graph_file, target)


def main() -> None:
    """Make one copy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="its Hugging Face folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    print(prepare(options.package, options.model, options.out, threads=options.threads))


if __name__ == "__main__":
    main()
