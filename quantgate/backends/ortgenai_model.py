"""Loads a package into onnxruntime-genai: provider, threads, and what scoring must switch off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quantgate.backends.base import out_of_memory
from quantgate.backends.load_faults import load_fault
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.genai_config import CONFIG_NAME
from quantgate.packages.package import OnnxPackage
from quantgate.packages.strict_json import read_json_object

AS_PACKAGED = "package"
CPU = "cpu"

# Slug, lower case: name in genai_config.json, and what `Model.device_type` says once attached.
PROVIDERS = {
    "cpu": ("cpu", "CPU"),
    "cuda": ("cuda", "CUDA"),
    "dml": ("DML", "DirectML"),
    "nvtensorrtrtx": ("NvTensorRtRtx", "NvTensorRtRtx"),
    "openvino": ("OpenVINO", "OpenVINO"),
    "qnn": ("QNN", "QnnWithSharedMemory"),
    "ryzenai": ("RyzenAI", "RyzenAI"),
    "webgpu": ("WebGPU", "WebGPU"),
}
# How the runtime says that it hasn't a provider; it has no error type for it.
MISSING = ("not available", "provider is not supported", "not been built", "unknown provider")

# Ids are compared with the pad id to find a sequence's end, so that logits after a real end-of-text
# id, usually the same number, would be read elsewhere, even outside their buffer. No id is -1.
NO_PAD = -1


def import_genai() -> Any:
    """The module.

    Raises:
        UsageFault: `backend-not-installed`.
    """
    try:
        import onnxruntime_genai
    except ImportError as error:
        raise UsageFault(
            "backend-not-installed",
            need="onnxruntime-genai for the backend ortgenai",
            found=str(error),
            fix='pip install "pytest-quantgate[cpu]"',
        ) from None
    return onnxruntime_genai


def resolve_provider(package: OnnxPackage, provider: str) -> str:
    """Slug of the provider that `provider` asks for; `package` is the first its config names."""
    if provider != AS_PACKAGED:
        return provider
    config = read_json_object(package.folder / CONFIG_NAME)
    entries = config["model"]["decoder"].get("session_options", {}).get("provider_options", [])
    names = [name.lower() for entry in entries for name in entry]
    return names[0].removesuffix("executionprovider") if names else CPU


def load_model(package: OnnxPackage, *, provider: str, threads: int, spins: bool = False) -> Any:
    """Load `package` as an `onnxruntime_genai.Model` that runs on `provider`.

    Args:
        package: a checked package.
        provider: a slug, or `package` for the providers and options of its own configuration.
        threads: intra-op threads; the runtime's own default is one.
        spins: threads stay awake between runs, as in `ort_session.make_session`.

    Raises:
        InvalidMeasurement: `provider-unavailable`; `provider-not-attached` where the model landed
            elsewhere than asked; `out-of-memory`; what `load_fault` makes of other errors.
    """
    genai = import_genai()
    if hasattr(genai, "disable_telemetry_events"):
        genai.disable_telemetry_events()
    asked = resolve_provider(package, provider)
    name, device = PROVIDERS.get(asked, (asked, asked))
    try:
        config = genai.Config(str(package.folder))
        config.overlay(json.dumps(overlay(package, threads, spins=spins)))
        if provider != AS_PACKAGED:
            config.clear_providers()
            if asked != CPU:
                config.append_provider(name)
        model = genai.Model(config)
    except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
        raise _load_fault(package, asked, error) from None
    require_device(model.device_type, device)
    return model


def new_generator(model: Any, capacity: int) -> Any:
    """A greedy generator for one sequence of at most `capacity` tokens.

    What a package asks of its searches, beams, chunks, chance or penalties, is undone.
    """
    genai = import_genai()
    params = genai.GeneratorParams(model)
    params.set_search_options(
        batch_size=1,
        chunk_size=0,
        do_sample=False,
        max_length=capacity,
        min_length=0,
        no_repeat_ngram_size=0,
        num_beams=1,
        num_return_sequences=1,
        repetition_penalty=1.0,
    )
    return genai.Generator(model, params)


def overlay(package: OnnxPackage, threads: int, *, spins: bool = False) -> dict[str, Any]:
    """What is laid over `genai_config.json`."""
    session: dict[str, Any] = {
        "intra_op_num_threads": threads,
        "inter_op_num_threads": 1,
        "log_severity_level": 3,
    }
    if not spins:  # runs and NumPy take turns on the same cores
        session["session.force_spinning_stop"] = "1"
    model: dict[str, Any] = {"pad_token_id": NO_PAD, "decoder": {"session_options": session}}
    if not package.config.eos_ids:  # the pad id would stand in for it, and -1 is refused there
        model["eos_token_id"] = 0
    return {"model": model}


def require_device(found: str, device: str) -> None:
    """Prove that a model runs where it was asked to.

    Raises:
        InvalidMeasurement: `provider-not-attached`.
    """
    if found.lower() != device.lower():
        raise InvalidMeasurement(
            "provider-not-attached",
            need=f"a model on {device}",
            found=f"a model on {found}",
            fix="install the provider's libraries, or measure on the CPU with --gate-provider cpu",
        )


def _load_fault(package: OnnxPackage, provider: str, error: Exception) -> InvalidMeasurement:
    said = str(error).lower()
    if provider != CPU and any(words in said for words in MISSING):
        return InvalidMeasurement(
            "provider-unavailable",
            need=f"execution provider {provider!r} in onnxruntime-genai",
            found=str(error).strip(),
            fix='install the matching runtime, for example pip install "pytest-quantgate[cuda]"',
        )
    if out_of_memory(error):
        return _run_fault(package, provider, error)
    return load_fault(error, package.graph, package.folder, provider)


@contextmanager
def running(package: OnnxPackage, provider: str) -> Iterator[None]:
    """Name what the runtime raises while it runs.

    Raises:
        InvalidMeasurement: `out-of-memory` or `run-failed`.
    """
    try:
        yield
    except InvalidMeasurement:
        raise
    except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
        raise _run_fault(package, provider, error) from None


def _run_fault(package: OnnxPackage, provider: str, error: Exception) -> InvalidMeasurement:
    return InvalidMeasurement(
        "out-of-memory" if out_of_memory(error) else "run-failed",
        need=f"{package.folder} to run on {provider}",
        found=f"{type(error).__name__}: {error}",
        fix=f"check the package with: quantgate inspect {package.folder}",
    )
