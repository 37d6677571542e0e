"""What NVIDIA's driver (NVML) calls the devices that a provider computes on, for identities.

The driver numbers devices by their bus. CUDA has only those that `CUDA_VISIBLE_DEVICES` lists, and
numbers the fastest first unless `CUDA_DEVICE_ORDER` says otherwise. Where it can't be told which of
them is meant, all that may be are named: results of one are then never taken for another's.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

MODULE: Final = "pynvml"  # of the distribution nvidia-ml-py
# Slugs of providers that never compute on these devices, and of those that number them otherwise.
ELSEWHERE: Final = frozenset({"cpu", "openvino", "qnn", "rocm", "ryzenai"})
UNNUMBERED: Final = frozenset({"dml", "webgpu"})


def nvml_module() -> Any | None:
    """The module `pynvml`; None where it isn't installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # another distribution of that module says it is old
            return importlib.import_module(MODULE)
    except ImportError:
        return None


def device_identity(provider: str, number: str | None = None) -> dict[str, str]:
    """Return `device_name` and `driver` as far as NVML tells them; on the CPU there are none.

    Args:
        provider: slug or ONNX Runtime's name of the execution provider.
        number: the device's as CUDA counts, or None for any that it has.
    """
    slug = provider.lower().removesuffix("executionprovider")
    nvml = None if slug in ELSEWHERE else nvml_module()
    if nvml is None:
        return {}
    try:
        nvml.nvmlInit()
        devices = list(map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount())))
    except nvml.NVMLError:
        return {}
    meant = devices if slug in UNNUMBERED else _meant(nvml, devices, number)
    names = {_told(nvml, nvml.nvmlDeviceGetName, device) for device in meant}
    told = {
        "device_name": ", ".join(sorted(names - {""})),
        "driver": _told(nvml, nvml.nvmlSystemGetDriverVersion) if devices else "",
    }
    return {key: text for key, text in told.items() if text}


def _meant(nvml: Any, devices: list[Any], number: str | None) -> Iterator[Any]:
    """Devices that CUDA may mean by `number`, some of them perhaps twice."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    entries = [*map(str, range(len(devices)))] if listed is None else listed.split(",")
    if number is not None and number.isdecimal() and int(number) < len(entries):
        entries = [entries[int(number)]]
    for entry in entries:
        yield from _called(nvml, devices, entry.strip()) or devices


def _called(nvml: Any, devices: list[Any], entry: str) -> list[Any]:
    """Devices with a number by bus or the beginning of an id; none where that can't be told."""
    if entry.isdecimal():
        by_bus = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
        return devices[int(entry) : int(entry) + 1] if by_bus else []
    return [each for each in devices if _told(nvml, nvml.nvmlDeviceGetUUID, each).startswith(entry)]


def _told(nvml: Any, ask: Callable[..., str | bytes], *what: Any) -> str:
    """An answer of the driver as text, empty where it gives none; older modules answer in bytes."""
    try:
        answer = ask(*what)
    except nvml.NVMLError:
        return ""
    return answer.decode() if isinstance(answer, bytes) else answer
