"""Memory that a process holds on NVIDIA devices, as their driver counts it (NVML).

The driver lists the processes on a device by their numbers on the host. A container that has
numbers of its own isn't told which are its own, and under Windows' own memory manager (WDDM) no
process' memory is told at all: then nothing is known, which is not the same as holding nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from quantgate.backends.nvidia import nvml_module

MIB: Final = 2**20


class DeviceMemory:
    """Reads the driver of this machine.

    Args:
        nvml: the module `pynvml`, or what stands in for it.

    Raises:
        nvml.NVMLError: no driver answers.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
        self._devices = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]

    def held_mib(self, pid: int) -> int:
        """What the process holds on all devices together, in MiB; 0 where the driver can't tell."""
        return sum(self._held_bytes(device, pid) for device in self._devices) // MIB

    def _held_bytes(self, device: Any, pid: int) -> int:
        try:
            processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
        except self._nvml.NVMLError:  # one device that can't be read hides no other
            return 0
        return sum(each.usedGpuMemory or 0 for each in processes if each.pid == pid)


@cache
def device_memory() -> DeviceMemory | None:
    """The driver's reader; None without NVML's module or without a driver."""
    nvml = nvml_module()
    if nvml is None:
        return None
    try:
        return DeviceMemory(nvml)
    except nvml.NVMLError:
        return None
