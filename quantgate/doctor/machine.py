"""The machine: runtimes, execution providers that load, cores, memory."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Collection, Iterator
from importlib import metadata

from quantgate.doctor.findings import Finding, Level, failed
from quantgate.errors import GateError, InvalidMeasurement

# By backend: the module it imports, the distributions that may bring it, what installs it.
RUNTIMES = {
    "ort": (
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
        'pip install "pytest-quantgate[cpu]"',
    ),
    "ortgenai": (
        "onnxruntime_genai",
        ("onnxruntime-genai", "onnxruntime-genai-cuda", "onnxruntime-genai-directml"),
        'pip install "pytest-quantgate[cpu]"',
    ),
    "torch": ("torch", ("torch",), "pip install torch"),
}
LIBRARIES = ("onnx", "transformers", "tokenizers", "datasets", "numpy")
GIB = 2**30


def check_runtimes(needed: Collection[str]) -> Iterator[Finding]:
    """Tell each backend's runtime and version; one that is needed and missing fails."""
    section = "runtimes"
    yield Finding(section, f"Python {platform.python_version()} on {platform.platform()}")
    for backend, (module, names, install) in RUNTIMES.items():
        versions = [f"{name} {version}" for name in names if (version := _version(name))]
        if importlib.util.find_spec(module) is None:
            level = Level.FAIL if backend in needed else Level.NOTE
            yield Finding(section, f"no {module}, so no backend {backend}", level, install)
        elif len(versions) > 1:
            spare = " ".join(each.split()[0] for each in versions)
            yield Finding(
                section,
                f"{' and '.join(versions)} share one module: the last installed is in force",
                Level.NOTE,
                f"pip uninstall {spare}, then install the one that is wanted",
            )
        else:
            yield Finding(section, f"backend {backend}: {' '.join(versions) or module}")
    versions = [f"{name} {_version(name) or 'missing'}" for name in LIBRARIES]
    yield Finding(section, ", ".join(versions))


def check_providers(needed: Collection[str]) -> Iterator[Finding]:
    """Run one node on each execution provider: that a build lists one doesn't make it load.

    Args:
        needed: slugs of the providers that the manifest's cases on `ort` ask for.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return
    import onnxruntime

    from quantgate.backends.ort_session import PROVIDERS

    listed = onnxruntime.get_available_providers()
    known = [slug for slug, name in PROVIDERS.items() if name in listed]
    for provider in dict.fromkeys([*known, *sorted(needed)]):
        try:
            _probe(provider)
        except GateError as fault:
            found = failed("providers", fault)
            level = Level.FAIL if provider in needed else Level.NOTE
            yield Finding("providers", f"{provider}: {found.what}", level, found.fix)
        else:
            yield Finding("providers", f"{provider} loads and runs")


def check_devices(needed: Collection[str]) -> Iterator[Finding]:
    """Put a tensor on each device that the manifest's cases on `torch` ask for."""
    wanted = sorted(set(needed) - {"cpu"})
    if not wanted or importlib.util.find_spec("torch") is None:
        return
    from quantgate.backends.torch_device import require_device

    for device in wanted:
        try:
            require_device(device)
        except GateError as fault:
            yield failed("providers", fault)
        else:
            yield Finding("providers", f"torch device {device} takes a tensor")


def check_memory() -> Iterator[Finding]:
    """Tell cores and memory; what a model needs is held against them with the model."""
    import psutil

    from quantgate.backends.base import usable_cores

    memory = psutil.virtual_memory()
    yield Finding(
        "machine", f"{usable_cores()} cores, {platform.processor() or platform.machine()}"
    )
    yield Finding(
        "machine",
        f"{memory.available / GIB:,.1f} GiB of memory available of {memory.total / GIB:,.1f} GiB",
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _probe(provider: str) -> None:
    """Run an addition on a provider and nowhere else.

    Raises:
        InvalidMeasurement: `provider-unavailable`, `provider-not-attached` or `provider-fails`.
    """
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    from quantgate.backends.ort_session import require_attached, require_provider

    name = require_provider(provider)
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in ("x", "y")]
    node = helper.make_node("Add", ["x", "x"], ["y"])
    graph = helper.make_graph([node], "probe", tensors[:1], tensors[1:])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    if provider != "cpu":
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    ones = np.ones(4, np.float32)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), settings, providers=[name]
        )
        require_attached(session.get_providers(), name)
        (got,) = session.run(None, {"x": ones})
    except GateError:
        raise
    except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
        raise _fails(name, f"{type(error).__name__}: {error}") from None
    if not np.array_equal(got, ones + ones):
        raise _fails(name, f"1 + 1 = {got[0]}")


def _fails(name: str, found: str) -> InvalidMeasurement:
    return InvalidMeasurement(
        "provider-fails",
        need=f"an addition on {name}",
        found=found[:400],
        fix="install the provider's libraries and driver, or measure with --gate-provider cpu",
    )
