"""Says why ONNX Runtime didn't load a graph, where its own words don't."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.errors import InvalidMeasurement

if TYPE_CHECKING:
    import onnx

OPSET_LIMIT = re.compile(r"official support for domain (\S*) is till opset (\d+)")
IR_LIMIT = re.compile(r"max supported IR version: (\d+)")
NO_KERNEL = "Could not find an implementation"
# By `onnx.TensorProto.DataType`; every provider computes in float32.
NARROW_TYPES = {10: "float16", 16: "bfloat16", 17: "float8e4m3fn", 19: "float8e5m2"}


def load_fault(
    error: Exception, model: onnx.ModelProto, folder: Path, provider: str
) -> InvalidMeasurement:
    """The fault that `error` means.

    Args:
        error: what the runtime raised.
        model: the graph that it was given.
        folder: its package, for messages.
        provider: ONNX Runtime's name of it.
    """
    text = str(error)
    if versions := _unsupported_versions(text, model):
        found, supported = versions
        return InvalidMeasurement(
            "opset-unsupported",
            need=f"{folder} in {supported}, which this ONNX Runtime reads",
            found=found,
            fix="install a newer onnxruntime, or export with an older opset",
        )
    types = _narrow_types(model)
    if NO_KERNEL in text and types:
        return InvalidMeasurement(
            "type-unsupported",
            need=f"{provider} to compute the {' and '.join(types)} of {folder}",
            found=text,
            fix="build the package with -p fp32 (or fp16), or measure it on a provider that has "
            "the type, such as --gate-provider cuda",
        )
    return InvalidMeasurement(
        "load-failed",
        need=f"{folder} to load on {provider}",
        found=f"{type(error).__name__}: {text}",
        fix=f"check the package with: quantgate inspect {folder}",
    )


def _unsupported_versions(text: str, model: onnx.ModelProto) -> tuple[str, str] | None:
    """What the graph has and the newest that is read, where that is the trouble."""
    if match := IR_LIMIT.search(text):
        return f"IR version {model.ir_version}", f"IR version {match[1]} or older"
    if match := OPSET_LIMIT.search(text):
        domain = match[1].rstrip(".")
        versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        return (
            f"opset {versions.get(domain, 'unknown')} of {domain}",
            f"opset {match[2]} or older of {domain}",
        )
    return None


def _narrow_types(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    types = {tensor.data_type for tensor in graph.initializer}
    types |= {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    return [name for number, name in NARROW_TYPES.items() if number in types]
