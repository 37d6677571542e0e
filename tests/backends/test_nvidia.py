"""Devices in identities, by a driver that the tests speak for and by the real one where it is."""

import json
import sys
from types import ModuleType

import pytest

from quantgate import provenance
from quantgate.backends import ort, ortgenai
from quantgate.backends.nvidia import device_identity, nvml_module
from quantgate.packages.package import open_package
from tests.running import backend_of

A100, H100, T4 = "NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3", "Tesla T4"
DRIVER = "570.124.06"


class Refused(Exception):
    """What NVML raises."""


class Nvml(ModuleType):
    """NVML with devices of these names, in their order by bus; None has no name to tell."""

    NVMLError = Refused

    def __init__(self, *names, installed=True, driver=DRIVER):
        super().__init__("pynvml")
        self.names, self.installed, self.driver = names, installed, driver
        self.begun = 0

    def nvmlInit(self):
        self.begun += 1
        if not self.installed:
            raise Refused("no driver")

    def nvmlDeviceGetCount(self):
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index):
        return f"handle {index}"

    def nvmlDeviceGetName(self, handle):
        return self.tell(self.names[int(handle.removeprefix("handle "))])

    def nvmlDeviceGetUUID(self, handle):
        return f"GPU-{handle.removeprefix('handle ')}a0b1"

    def nvmlSystemGetDriverVersion(self):
        return self.tell(self.driver)

    def tell(self, answer):
        if answer is None:
            raise Refused("not supported")
        return answer


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No device is hidden, and their order is CUDA's own."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def machine(monkeypatch):
    """Puts NVML with these devices in the place of the module."""

    def install(*names, **options) -> Nvml:
        nvml = Nvml(*names, **options)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    return install


def ort_backend(monkeypatch, folder, provider="CUDAExecutionProvider", **options):
    """A backend on a provider that the installed runtime hasn't; it isn't loaded."""
    monkeypatch.setattr(ort, "require_provider", lambda _: provider)
    return backend_of(folder, provider="cuda", **options)


def test_identity_of_ort_names_the_device(machine, monkeypatch, tiny_folder):
    backend = ort_backend(monkeypatch, tiny_folder)
    found = []
    for name in (A100, H100):
        machine(name)
        found.append(backend.identity)
    assert found[0] == {**found[1], "device_name": A100}
    assert found[1]["driver"] == DRIVER
    assert json.loads(json.dumps(found)) == found
    assert provenance.drift(*found) == [f"device_name {A100} -> {H100}"]


def test_identity_of_ort_names_the_device_that_its_options_choose(
    machine, monkeypatch, tiny_folder
):
    machine(A100, H100)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    for options, name in (({}, A100), ({"provider_options": {"device_id": "1"}}, H100)):
        backend = ort_backend(monkeypatch, tiny_folder, **options)
        assert backend.identity["device_name"] == name


def test_identity_of_ortgenai_names_the_devices(machine, tiny_folder):
    pytest.importorskip("onnxruntime_genai")
    backend = ortgenai.OrtGenaiBackend(open_package(tiny_folder), provider="cuda", threads=1)
    found = []
    for name in (A100, H100):
        machine(name, T4)
        found.append(backend.identity)
    assert [each["device_name"] for each in found] == [f"{A100}, {T4}", f"{H100}, {T4}"]
    assert {each["driver"] for each in found} == {DRIVER}


def test_identities_on_the_cpu_are_what_they_were(machine, tiny_folder):
    pytest.importorskip("onnxruntime_genai")
    nvml = machine(H100)
    backends = (
        backend_of(tiny_folder),
        ortgenai.OrtGenaiBackend(open_package(tiny_folder), threads=1),
    )
    for backend in backends:
        assert not {"device_name", "driver"} & backend.identity.keys()
    assert not nvml.begun, "the driver isn't even asked"


@pytest.mark.parametrize(
    "provider", ["cpu", "CPUExecutionProvider", "OpenVINOExecutionProvider", "qnn", "rocm"]
)
def test_providers_of_other_devices_name_none(machine, provider):
    machine(H100)
    assert device_identity(provider) == {}


@pytest.mark.parametrize(
    "nvml",
    [None, Nvml(H100, installed=False), Nvml(), Nvml(None, driver=None)],
    ids=["no module", "no driver", "no device", "no answer"],
)
def test_what_nobody_tells_is_left_out(monkeypatch, nvml):
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert device_identity("cuda") == {}


def test_what_one_device_does_not_tell_hides_nothing_else(machine):
    machine(None, H100, driver=None)
    assert device_identity("cuda") == {"device_name": H100}


def test_module_that_answers_in_bytes(machine):
    machine(H100.encode(), driver=DRIVER.encode())
    assert device_identity("cuda") == {"device_name": H100, "driver": DRIVER}


BY_BUS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def visible(devices: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": devices}


@pytest.mark.parametrize(
    ("environment", "number", "names"),
    [
        ({}, None, [A100, H100, T4]),
        ({}, "0", [A100, H100, T4]),  # which is the fastest isn't known
        (BY_BUS, "0", [A100]),
        (BY_BUS, "3", [A100]),
        (BY_BUS, "4", [A100, H100, T4]),  # no such device
        (BY_BUS | visible("2,1"), "0", [T4]),
        (BY_BUS | visible("2,1"), "1", [H100]),
        (BY_BUS | visible("2,1"), None, [H100, T4]),
        (BY_BUS | visible("9"), "0", [A100, H100, T4]),
        (visible("1"), "0", [A100, H100, T4]),
        (visible("GPU-2a0b1, GPU-1a0b1"), "0", [T4]),
        (visible("GPU-2a0b1, GPU-1a0b1"), "1", [H100]),
        (visible("GPU-1"), None, [H100]),
        (visible("MIG-5c1d"), None, [A100, H100, T4]),
    ],
)
def test_devices_that_may_be_meant_are_named_once_each(
    machine, monkeypatch, environment, number, names
):
    machine(A100, H100, T4, A100)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert device_identity("cuda", number)["device_name"] == ", ".join(names)


def test_numbers_that_are_not_cudas_choose_none(machine, monkeypatch):
    machine(A100, H100)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert device_identity("DmlExecutionProvider", "0")["device_name"] == f"{A100}, {H100}"
    assert device_identity("TensorrtExecutionProvider", "0")["device_name"] == H100


@pytest.mark.gpu
def test_the_real_driver_names_the_device():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() or nvml_module() is None:
        pytest.skip("no NVIDIA device, or no way to ask its driver")
    found = device_identity("cuda")
    assert torch.cuda.get_device_name(0) in found["device_name"].split(", ")
    assert found["driver"]
