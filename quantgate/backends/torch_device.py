"""Devices and types of a torch model: the one asked for, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantgate.errors import InvalidMeasurement, UsageFault

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "float16", "bfloat16")


def require_dtype(name: str) -> None:
    """Refuse a type that no model is measured in.

    Raises:
        UsageFault: `dtype-unknown`.
    """
    if name not in DTYPES:
        raise UsageFault(
            "dtype-unknown",
            need=f"dtype as one of {', '.join(DTYPES)}",
            found=repr(name),
            fix='dtype = "auto"',
        )


def require_device(name: str) -> torch.device:
    """Return the device that `name` means, with its number, once a tensor was put there.

    Raises:
        InvalidMeasurement: `provider-unavailable`.
    """
    import torch

    try:
        device = torch.device(name)
        found = torch.empty(0, device=device).device
    except Exception as error:  # noqa: BLE001  each device type refuses in its own way
        words = f"torch {torch.__version__}: {error}"
        raise _unavailable(name, words) from None
    if found.type == "meta":
        raise _unavailable(name, "a device without memory")
    return found


def _unavailable(name: str, found: str) -> InvalidMeasurement:
    return InvalidMeasurement(
        "provider-unavailable",
        need=f"torch device {name!r}",
        found=found,
        fix="install the torch build for that device, or measure with --gate-provider cpu",
    )


def require_placed(model: torch.nn.Module, device: torch.device, *, sharded: bool) -> None:
    """Prove that every parameter and buffer lies on `device`; sharded ones, on its kind.

    Raises:
        InvalidMeasurement: `provider-not-attached`, naming the devices found.
    """
    tensors = [*model.parameters(), *model.buffers()]
    wanted = device.type if sharded else str(device)
    found = {tensor.device.type if sharded else str(tensor.device) for tensor in tensors}
    if found != {wanted}:
        raise InvalidMeasurement(
            "provider-not-attached",
            need=f"all weights on {wanted}",
            found=f"weights on {', '.join(sorted(found)) or 'nothing'}",
            fix="free memory on the device, or measure on the CPU with --gate-provider cpu",
        )


def device_names(device: torch.device, *, sharded: bool) -> list[str]:
    """What the driver calls the device, or all that a model may be sharded over."""
    import torch

    if device.type != "cuda":
        return []
    numbers = range(torch.cuda.device_count()) if sharded else [device.index]
    return [torch.cuda.get_device_name(number) for number in numbers]
