"""Names of a decoder's inputs and outputs, as its configuration gives them, held against its graph.

A name with `%d` is a template: one name for each layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.errors import UsageFault

if TYPE_CHECKING:
    import onnx

COMBINED = "past_names"
LAYER = "%d"


@dataclass(frozen=True, slots=True)
class IoNames:
    """What a decoder's inputs and outputs are called.

    Attributes:
        past, present: templates for key and value, or one where both share a tensor (GPT-2).
    """

    input_ids: str
    attention_mask: str
    position_ids: str
    logits: str
    past: tuple[str, ...]
    present: tuple[str, ...]


def read_io_names(inputs: Any, outputs: Any, path: Path) -> IoNames:
    """Read `decoder.inputs` and `decoder.outputs` of the configuration in `path`.

    Raises:
        UsageFault: `config-incomplete`, naming the entry.
    """
    _require_table(inputs, "inputs", path)
    _require_table(outputs, "outputs", path)

    def name(table: Mapping[str, Any], key: str, default: str) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or not value:
            raise _malformed(key, "a name", value, path)
        return value

    def template(table: Mapping[str, Any], key: str, default: str) -> str:
        value = name(table, key, default)
        if value.count("%") != 1 or LAYER not in value:
            raise _malformed(key, f"a name with one {LAYER} for the layer", value, path)
        return value

    past: tuple[str, ...]
    present: tuple[str, ...]
    if inputs.get(COMBINED):
        past = (template(inputs, COMBINED, "past_%d"),)
        present = (template(outputs, "present_names", "present_%d"),)
    else:
        past = (
            template(inputs, "past_key_names", "past_key_values.%d.key"),
            template(inputs, "past_value_names", "past_key_values.%d.value"),
        )
        present = (
            template(outputs, "present_key_names", "present.%d.key"),
            template(outputs, "present_value_names", "present.%d.value"),
        )
    return IoNames(
        input_ids=name(inputs, "input_ids", "input_ids"),
        attention_mask=name(inputs, "attention_mask", "attention_mask"),
        position_ids=name(inputs, "position_ids", "position_ids"),
        logits=name(outputs, "logits", "logits"),
        past=past,
        present=present,
    )


def layer_names(templates: Iterable[str], layers: int) -> list[str]:
    """Names of all layers: those of layer 0, then of layer 1, and so on."""
    forms = tuple(templates)
    return [form.replace(LAYER, str(layer)) for layer in range(layers) for form in forms]


def cache_names(names: IoNames, layers: int, graph: onnx.GraphProto) -> list[tuple[str, str]]:
    """Past input and present output of every cache that `graph` takes; layers may have none."""
    taken = {value.name for value in graph.input}
    past, present = layer_names(names.past, layers), layer_names(names.present, layers)
    return [pair for pair in zip(past, present, strict=True) if pair[0] in taken]


def require_io_names(names: IoNames, layers: int, graph: onnx.GraphProto, path: Path) -> None:
    """Prove that the configuration in `path` names what `graph` takes and yields.

    Raises:
        UsageFault: `input-missing` where a named input isn't in the graph, `output-missing`
            likewise, `layout-unsupported` where the graph takes an input that nothing names.
    """
    stored = {tensor.name for tensor in graph.initializer}
    taken = [value.name for value in graph.input if value.name not in stored]
    yielded = [value.name for value in graph.output]
    past = layer_names(names.past, layers)
    known = {names.input_ids, names.attention_mask, names.position_ids, *past}
    unnamed = [name for name in taken if name not in known]
    if names.input_ids not in taken:
        raise _absent("input", names.input_ids, "decoder.inputs", taken, path)
    # A graph without a cache takes none of these; one with a cache under other names takes more.
    lacking = [name for name in past if name not in taken]
    if lacking and unnamed:
        raise _absent("input", lacking[0], "decoder.inputs", unnamed, path)
    if unnamed:
        raise UsageFault(
            "layout-unsupported",
            need="a graph that takes ids, mask, positions and a KV cache only",
            found=f"the inputs {', '.join(unnamed)}, which {path} doesn't name",
            fix="export the text decoder alone, or name them in decoder.inputs",
        )
    pairs = cache_names(names, layers, graph)
    for name in (names.logits, *(present for _, present in pairs)):
        if name not in yielded:
            raise _absent("output", name, "decoder.outputs", yielded, path)


def _require_table(value: Any, key: str, path: Path) -> None:
    if not isinstance(value, dict):
        raise _malformed(key, "a table of names", value, path)


def _malformed(key: str, need: str, found: Any, path: Path) -> UsageFault:
    return UsageFault(
        "config-incomplete",
        need=f"{path}: {key} as {need}",
        found=repr(found)[:120],
        fix="write the names that the graph has, or build the package again",
    )


def _absent(kind: str, name: str, table: str, there: list[str], path: Path) -> UsageFault:
    return UsageFault(
        f"{kind}-missing",
        need=f"an {kind} {name!r} of the graph, as {path} names it",
        found=", ".join(there) or "none",
        fix=f"correct {table} in {path.name}",
    )
