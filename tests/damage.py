"""Two ways to touch an INT4 package: break it a little, or rewrite it without changing a number.

`damage_package` multiplies some blocks' scales, as a wrong calibration or a broken kernel would;
the package still loads and runs. `re_export` stores the same tensors in another file layout, as a
harmless re-export does: the digest changes and no figure may.

    python -m tests.damage SOURCE TARGET --blocks 64 --factor 4
    python -m tests.damage SOURCE TARGET --re-export
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

SCALES = 2  # MatMulNBits takes activations, packed weights, scales, ...


def damage_package(source: Path, target: Path, *, blocks: int, factor: float, seed: int) -> int:
    """Copy `source` to `target` with the scales of `blocks` random blocks times `factor`.

    Returns the number of MatMulNBits nodes that were hit.

    Raises:
        ValueError: the package has fewer blocks, or `target` is there already.
    """
    model, path = _load(source)
    nodes = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    names = list(dict.fromkeys(node.input[SCALES] for node in nodes))
    tensors = {t.name: t for t in model.graph.initializer if t.name in names}
    arrays = {name: numpy_helper.to_array(tensors[name]).copy() for name in names}
    sizes = np.array([arrays[name].size for name in names])
    if blocks > sizes.sum():
        raise ValueError(f"{source} has {sizes.sum()} quantized blocks, fewer than {blocks}")
    chosen = np.random.default_rng(seed).choice(int(sizes.sum()), blocks, replace=False)
    starts = np.cumsum(sizes) - sizes
    owners = np.searchsorted(starts, chosen, side="right") - 1
    for owner, place in zip(owners, chosen, strict=True):
        arrays[names[owner]].reshape(-1)[place - starts[owner]] *= factor
    for owner in set(owners.tolist()):
        name = names[owner]
        tensors[name].CopyFrom(numpy_helper.from_array(arrays[name], name))
    _save(model, source, target, path.name)
    return len(set(owners.tolist()))


def re_export(source: Path, target: Path) -> None:
    """Copy `source` to `target` with the same tensors in another order, in a file of their own.

    Raises:
        ValueError: `target` is there already.
    """
    model, path = _load(source)
    tensors = sorted(model.graph.initializer, key=lambda tensor: tensor.name, reverse=True)
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
    del model.graph.initializer[:]
    model.graph.initializer.extend(copies)
    model.producer_name = "re-export"
    _save(model, source, target, path.name, data="weights.bin.data")


def _load(source: Path) -> tuple[onnx.ModelProto, Path]:
    config = json.loads((source / "genai_config.json").read_text("utf-8"))
    path = source / config["model"]["decoder"]["filename"]
    return onnx.load(str(path)), path


def _save(
    model: onnx.ModelProto, source: Path, target: Path, name: str, data: str | None = None
) -> None:
    if target.exists():
        raise ValueError(f"{target} is there already")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(f"{name}*"))
    onnx.save_model(
        model,
        str(target / name),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data or f"{name}.data",
        size_threshold=256,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--blocks", type=int, default=64, help="blocks whose scales are changed")
    parser.add_argument("--factor", type=float, default=4.0, help="what their scales are times")
    parser.add_argument("--seed", type=int, default=0, help="which blocks are chosen")
    parser.add_argument("--re-export", action="store_true", help="change the layout, no number")
    options = parser.parse_args(arguments)
    if options.re_export:
        re_export(options.source, options.target)
        print(f"{options.target}: the numbers of {options.source} in another layout")
        return
    hit = damage_package(
        options.source,
        options.target,
        blocks=options.blocks,
        factor=options.factor,
        seed=options.seed,
    )
    print(f"{options.target}: {options.blocks} blocks in {hit} nodes times {options.factor}")


if __name__ == "__main__":
    main()
