"""Memory on devices: by a driver that the tests speak for, and by the real one where it is."""

import os
import sys
import time
from dataclasses import dataclass
from types import ModuleType

import pytest

from quantgate.backends.base import BackendSpec
from quantgate.execution import process
from quantgate.execution.device_memory import DeviceMemory, device_memory
from quantgate.execution.orders import GenerateOrder
from quantgate.execution.process import ProcessSession

MIB = 2**20


@dataclass
class Listed:
    """A process in the driver's list."""

    pid: int
    usedGpuMemory: int | None


class Refused(Exception):
    """What NVML raises."""


class Nvml(ModuleType):
    """NVML with these processes on its devices; a device that is an error can't be read."""

    NVMLError = Refused

    def __init__(self, *devices, driver=True):
        super().__init__("pynvml")
        self.devices = devices
        self.driver = driver
        self.asked = 0

    def nvmlInit(self):
        if not self.driver:
            raise Refused("no driver")

    def nvmlDeviceGetCount(self):
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):
        return f"handle {index}"

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self.asked += 1
        found = self.devices[int(handle.removeprefix("handle "))]
        if isinstance(found, Refused):
            raise found
        return found() if callable(found) else found


def test_devices_are_added_up_and_other_processes_left_out():
    nvml = Nvml(
        [Listed(7, 300 * MIB), Listed(8, 5000 * MIB)],
        Refused("not supported"),
        [],
        [Listed(8, 1), Listed(7, 200 * MIB + 1), Listed(7, 12 * MIB)],
    )
    memory = DeviceMemory(nvml)
    assert memory.held_mib(7) == 512
    assert memory.held_mib(8) == 5000
    assert memory.held_mib(9) == 0


def test_memory_that_the_driver_does_not_tell_is_none():
    assert DeviceMemory(Nvml([Listed(7, None)])).held_mib(7) == 0


@pytest.fixture
def fresh():
    """NVML is opened once a process; these tests want another."""
    device_memory.cache_clear()
    yield
    device_memory.cache_clear()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("nvml", [None, Nvml(driver=False)], ids=["no module", "no driver"])
def test_machines_without_a_driver_have_no_reader(monkeypatch, nvml):
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert device_memory() is None


@pytest.mark.usefixtures("fresh")
def test_the_module_is_found_by_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml([Listed(1, 3 * MIB)]))
    assert device_memory().held_mib(1) == 3


def session_of(monkeypatch, nvml, provider: str) -> ProcessSession:
    monkeypatch.setattr(process, "device_memory", lambda: DeviceMemory(nvml))
    return ProcessSession(BackendSpec("writer", "/nowhere", provider))


def test_the_peak_of_a_child_is_kept_while_it_comes_and_goes(planted, monkeypatch):
    """The third reading is the highest, and later ones are lower."""
    pid, told, held = [], [], iter([100, 200, 900, *[300] * 10_000])

    def listed():
        told.extend(next(held) for _ in pid)
        return [Listed(each, told[-1] * MIB) for each in pid]

    session = session_of(monkeypatch, Nvml(listed), "cuda")
    pid.append(session._child.pid)
    while len(told) < 5:
        time.sleep(0.02)
    assert session.device_peak_mib == 900
    session.restart_peak()
    assert session.device_peak_mib == 900, "that of resident memory alone starts anew"
    session.close()


def test_a_child_on_the_cpu_is_not_looked_for(planted, monkeypatch):
    nvml = Nvml([])
    session = session_of(monkeypatch, nvml, "cpu")
    session.generate(GenerateOrder(((1, 2),), 4, (), 6))
    assert session.device_peak_mib == 0
    assert nvml.asked == 0
    session.close()


@pytest.mark.gpu
def test_the_real_driver_counts_what_a_process_holds():
    """This process is the one that the driver is asked about."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() or device_memory() is None:
        pytest.skip("no NVIDIA device, or no way to ask its driver")
    kept = [torch.zeros(64 * MIB, dtype=torch.uint8, device="cuda")]
    torch.cuda.synchronize()
    before = device_memory().held_mib(os.getpid())
    if not before:
        pytest.skip("this driver doesn't tell the memory of a process by its number here")
    kept.append(torch.zeros(256 * MIB, dtype=torch.uint8, device="cuda"))
    torch.cuda.synchronize()
    assert 250 <= device_memory().held_mib(os.getpid()) - before <= 300
