"""Makes ONNX Runtime sessions from graphs in memory, on the provider asked for or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.backends.load_faults import load_fault
from quantgate.backends.ort_options import OrtOptions, provider_options
from quantgate.errors import InvalidMeasurement

if TYPE_CHECKING:
    import onnx

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "dml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
}


def require_provider(provider: str) -> str:
    """Return ONNX Runtime's name of `provider` if the installed build has it.

    Raises:
        InvalidMeasurement: `provider-unavailable`.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    name = PROVIDERS.get(provider, provider)
    if name not in available:
        raise InvalidMeasurement(
            "provider-unavailable",
            need=f"execution provider {provider!r} ({name})",
            found=f"onnxruntime {onnxruntime.__version__} with {', '.join(available)}",
            fix='install the matching runtime, for example pip install "pytest-quantgate[cuda]"',
        )
    return name


def make_session(
    model: onnx.ModelProto,
    folder: Path,
    *,
    provider: str,
    threads: int,
    weights: Path | None = None,
    options: OrtOptions | None = None,
    engines: Path | None = None,
    spins: bool = False,
) -> Any:
    """Load `model` on `provider`.

    Args:
        model: a graph, weights on disk.
        folder: its package, for messages.
        provider: slug of the execution provider.
        threads: intra-op threads.
        weights: where its external data lies; in `folder` by default.
        options: session and provider options.
        engines: an empty folder for engines that the provider compiles and keeps.
        spins: threads stay awake for some 70 ms behind a run, as the runtime has it: what a loop
            of short runs wants. Otherwise they leave the cores to what comes between the runs.

    Raises:
        InvalidMeasurement: `provider-unavailable`; `provider-not-attached` where the session
            landed elsewhere than asked; `opset-unsupported`, `type-unsupported` or `load-failed`
            with the runtime's own words.
    """
    import onnxruntime

    asked = options or OrtOptions()
    name = require_provider(provider)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(weights or folder)
    )
    if not spins:
        # Body, head and NumPy take turns on the same cores; a pool that spins after its run would
        # take half of them from the next (1.6 times on a small model with two threads).
        settings.add_session_config_entry("session.force_spinning_stop", "1")
    if provider != "cpu":
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    asked.apply(settings)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(),
            settings,
            providers=[name],
            provider_options=[provider_options(asked.provider, engines)],
        )
    except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
        raise load_fault(error, model, folder, name) from None
    require_attached(session.get_providers(), name)
    return session


def require_attached(attached: list[str], name: str) -> None:
    """Prove that a session runs where it was asked to.

    Raises:
        InvalidMeasurement: `provider-not-attached`.
    """
    if not attached or attached[0] != name:
        raise InvalidMeasurement(
            "provider-not-attached",
            need=f"a session on {name}",
            found=f"a session on {', '.join(attached) or 'nothing'}",
            fix="install the provider's libraries, or measure on the CPU with --gate-provider cpu",
        )
