"""Which session and provider options may be asked for: those that change how a model is computed.

They come with a manifest or a command line, so that none may load native code, write a file or
undo a check: such an entry is told by a word of its name, because every release brings new ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantgate.errors import UsageFault

# ONNX Runtime's config entries are named `group.entry`.
ENTRY_GROUPS = frozenset({"ep", "memory", "mlas", "optimization", "session"})
UNSAFE_WORDS = frozenset(
    {
        *("cache", "caching", "config", "context", "dir", "directory", "dump", "external", "file"),
        *("filename", "filepath", "folder", "lib", "libs", "library", "libraries", "ops"),
        *("partitioning", "path", "paths", "plugin", "plugins", "profiling", "registration"),
        *("save", "stream"),
    }
)
# Ours: thread counts are an option of their own, and a session that may fall back to the CPU
# would measure another provider than it names.
OWNED = frozenset(
    {
        "intra_op_num_threads",
        "session.intra_op_num_threads",
        "session.disable_cpu_ep_fallback",
        "session.use_per_session_threads",
    }
)
SWITCHES = ("enable_mem_pattern", "enable_mem_reuse", "enable_cpu_mem_arena")
DETERMINISTIC = "use_deterministic_compute"
OPTIMIZATION = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
EXECUTION = {"sequential": "ORT_SEQUENTIAL", "parallel": "ORT_PARALLEL"}
TRUTH = {"0": False, "1": True, "false": False, "true": True}
# TensorRT's caches of compiled engines: the switch and where it then writes.
ENGINE_CACHES = {
    "trt_engine_cache_enable": "trt_engine_cache_path",
    "trt_timing_cache_enable": "trt_timing_cache_path",
}


@dataclass(frozen=True)
class OrtOptions:
    """Checked options of a session and its provider; empty ones change nothing.

    Raises:
        UsageFault: `unsafe-config`, `option-unknown` or `option-invalid`.
    """

    session: Mapping[str, str] = field(default_factory=dict)
    provider: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, options in (("session", self.session), ("provider", self.provider)):
            if not isinstance(options, Mapping):
                raise _invalid(f"{what} options as texts by name", options)
            for name, value in options.items():
                _require_text(what, name, value)
                if name not in ENGINE_CACHES:
                    _refuse_unsafe(what, name, value)
        for name, value in self.session.items():
            _session_value(name, value)

    @property
    def caches_engines(self) -> bool:
        """Whether the provider is to keep compiled engines."""
        return any(TRUTH.get(self.provider.get(name, "").lower()) for name in ENGINE_CACHES)

    def apply(self, options: Any) -> None:
        """Set the session options on an `onnxruntime.SessionOptions`."""
        import onnxruntime

        for name, text in self.session.items():
            if name.partition(".")[0] in ENTRY_GROUPS:
                options.add_session_config_entry(name, text)
                continue
            value = _session_value(name, text)
            if name == "graph_optimization_level":
                value = getattr(onnxruntime.GraphOptimizationLevel, value)
            elif name == "execution_mode":
                value = getattr(onnxruntime.ExecutionMode, value)
            setattr(options, name, value)


def provider_options(options: Mapping[str, str], engines: Path | None) -> dict[str, str]:
    """`options` as a provider is given them: caches of engines lie in the folder `engines`.

    An engine compiled for other weights must never be found again (it is looked up by the graph's
    name), so that the folder is new for each package's content.
    """
    caches = {
        path: str(engines)
        for switch, path in ENGINE_CACHES.items()
        if engines is not None and TRUTH.get(options.get(switch, "").lower())
    }
    return {**options, **caches}


def _session_value(name: str, text: str) -> Any:
    """Value of a known attribute, or the text itself for a config entry."""
    if "." in name and name.partition(".")[0] in ENTRY_GROUPS:
        return text
    attributes: dict[str, Mapping[str, Any] | Callable[[str], Any]] = {
        "graph_optimization_level": OPTIMIZATION,
        "execution_mode": EXECUTION,
        "inter_op_num_threads": int,
        **dict.fromkeys((*SWITCHES, DETERMINISTIC), TRUTH),
    }
    if name not in attributes:
        raise UsageFault(
            "option-unknown",
            need=f"a session option among {', '.join(attributes)}, or a config entry that begins "
            f"with {', '.join(f'{group}.' for group in sorted(ENTRY_GROUPS))}",
            found=repr(name),
            fix="see the entries in ONNX Runtime's onnxruntime_session_options_config_keys.h",
        )
    reading = attributes[name]
    try:
        return reading(text) if callable(reading) else reading[text.lower()]
    except (KeyError, ValueError):
        allowed = "a whole number" if callable(reading) else "one of " + ", ".join(reading)
        raise _invalid(f"session option {name} as {allowed}", text) from None


def _require_text(what: str, name: Any, value: Any) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise _invalid(f"{what} options as texts by name", {name: value})


def _refuse_unsafe(what: str, name: str, value: str) -> None:
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    if name in OWNED or words & UNSAFE_WORDS:
        raise UsageFault(
            "unsafe-config",
            need=f"{what} options that load no native code, write no file and keep our checks",
            found=f"{name} = {value!r}",
            fix=f"remove {name}; engine caches lie in a folder of their own where they are enabled",
        )


def _invalid(need: str, found: Any) -> UsageFault:
    return UsageFault("option-invalid", need=need, found=repr(found), fix="correct the option")
