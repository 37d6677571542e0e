"""Session and provider options: what passes reaches the session, what is unsafe is refused."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from quantgate.backends import ort_session
from quantgate.backends.ort_options import OrtOptions, provider_options
from quantgate.backends.ort_session import make_session
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood
from tests.running import backend_of, score_all


def code_of(session=None, provider=None) -> str:
    with pytest.raises(UsageFault) as caught:
        OrtOptions(session or {}, provider or {})
    return caught.value.code


def applied(**options: str) -> onnxruntime.SessionOptions:
    settings = onnxruntime.SessionOptions()
    OrtOptions(options).apply(settings)
    return settings


def test_attributes_are_set():
    settings = applied(
        graph_optimization_level="basic",
        execution_mode="parallel",
        inter_op_num_threads="2",
        enable_mem_pattern="0",
        enable_mem_reuse="false",
        enable_cpu_mem_arena="FALSE",
        use_deterministic_compute="1",
    )
    assert settings.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert settings.execution_mode.name == "ORT_PARALLEL"
    assert settings.inter_op_num_threads == 2
    assert not settings.enable_mem_pattern
    assert not settings.enable_mem_reuse
    assert not settings.enable_cpu_mem_arena
    assert settings.use_deterministic_compute


@pytest.mark.parametrize("level", ["disable", "basic", "extended", "layout", "all"])
def test_every_optimization_level_is_one_of_the_runtimes(level):
    assert level.upper() in applied(graph_optimization_level=level).graph_optimization_level.name


def test_config_entries_reach_the_session(tiny_folder, monkeypatch):
    make = onnxruntime.InferenceSession
    seen = []

    def watched(model, options, **arguments):
        seen.append(options.get_session_config_entry("mlas.qnbit.force_fp32"))
        return make(model, options, **arguments)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    backend = backend_of(tiny_folder, session_options={"mlas.qnbit.force_fp32": "1"})
    score_all(backend, make_plan([Loglikelihood((1, 2), (3,))], backend.limits))
    assert seen == ["1", "1"]


def test_forced_float32_changes_the_logits_of_4_bits(built):
    """An entry with an effect that shows: level 4 without its rounding of activations."""
    found = []
    for options in (None, {"mlas.qnbit.force_fp32": "1"}):
        backend = backend_of(built["int4"], session_options=options)
        rows, _ = score_all(
            backend, make_plan([Loglikelihood(tuple(range(20)), (3,))], backend.limits)
        )
        found.append(rows[0, 19])
    exact = backend_of(built["int4"], accuracy_level=0)
    rows, _ = score_all(exact, make_plan([Loglikelihood(tuple(range(20)), (3,))], exact.limits))
    assert np.abs(found[0] - rows[0, 19]).max() > 1e-3
    np.testing.assert_allclose(found[1], rows[0, 19], atol=1e-4)


@pytest.mark.parametrize("graph_optimization_level", ["disable", "all"])
def test_optimization_changes_no_result_beyond_rounding(built, graph_optimization_level):
    options = {"graph_optimization_level": graph_optimization_level}
    requests = [Loglikelihood((*range(20), n), (3,)) for n in range(6)]
    found = []
    for session_options in (None, options):
        backend = backend_of(built["fp32"], session_options=session_options)
        found.append(score_all(backend, make_plan(requests, backend.limits))[0])
    for key, row in found[0].items():
        np.testing.assert_allclose(found[1][key], row, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "optimized_model_filepath",
        "session.optimized_model_filepath",
        "session.optimized_model_external_initializers_file_name",
        "session.model_external_initializers_file_folder_path",
        "session.save_external_prepacked_constant_initializers",
        "session.collect_node_memory_stats_to_file",
        "session.resource_cuda_partitioning_settings",
        "ep.context_enable",
        "ep.context_file_path",
        "ep_library_path",
        "ep.library.registration",
        "enable_profiling",
        "session.enable_profiling",
        "profile_file_prefix",
        "custom_ops_library",
        "register_custom_ops_library",
        "session.disable_cpu_ep_fallback",
        "session.intra_op_num_threads",
    ],
)
def test_fault_07_session_options_that_write_or_load_are_refused(name):
    assert code_of(session={name: "1"}) == "unsafe-config"


@pytest.mark.parametrize(
    "name",
    [
        "backend_path",
        "cache_dir",
        "config_file",
        "load_config",
        "profiling_file_path",
        "trt_dump_subgraphs",
        "trt_ep_context_file_path",
        "trt_extra_plugin_lib_paths",
        "trt_onnx_model_folder_path",
        "user_compute_stream",
    ],
)
def test_fault_07_provider_options_that_write_or_load_are_refused(name):
    assert code_of(provider={name: "/tmp/x"}) == "unsafe-config"


@pytest.mark.parametrize(
    "options",
    [
        {
            "device_id": "1",
            "gpu_mem_limit": "1000000000",
            "arena_extend_strategy": "kSameAsRequested",
        },
        {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0", "enable_cuda_graph": "0"},
        {"device_type": "GPU", "precision": "FP16", "num_streams": "1"},
        {"trt_fp16_enable": "1", "trt_max_workspace_size": "1000000000"},
    ],
)
def test_other_provider_options_pass_as_they_are(options):
    assert provider_options(OrtOptions(provider=options).provider, None) == options


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"graph_optimisation_level": "all"}, "option-unknown"),
        ({"sesion.force_spinning_stop": "1"}, "option-unknown"),
        ({"graph_optimization_level": "99"}, "option-invalid"),
        ({"enable_mem_pattern": "yes"}, "option-invalid"),
        ({"inter_op_num_threads": "two"}, "option-invalid"),
        ({"mlas.qnbit.force_fp32": 1}, "option-invalid"),
        ({"enable_mem_pattern": None}, "option-invalid"),
        ({5: "1"}, "option-invalid"),
        (["enable_mem_pattern"], "option-invalid"),
        ("enable_mem_pattern", "option-invalid"),
    ],
)
def test_options_that_are_none(options, code):
    assert code_of(session=options) == code


@pytest.mark.parametrize(
    "name",
    ["trt_engine_cache_path", "trt_engine_cache_prefix", "trt_timing_cache_path", "cache_dir"],
)
def test_fault_19_engine_caches_of_a_users_choice_are_refused(name):
    assert code_of(provider={name: "engines"}) == "unsafe-config"


def test_fault_19_engines_lie_where_they_are_told_to():
    folder = Path("engines") / "of-one-content"
    asked = {"trt_engine_cache_enable": "1", "trt_timing_cache_enable": "True", "device_id": "0"}
    assert provider_options(asked, folder) == {
        **asked,
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_path": str(folder),
    }
    off = {"trt_engine_cache_enable": "0"}
    assert provider_options(off, folder) == off


class FakeSession:
    """Stands for a session on a provider that this machine hasn't."""

    def __init__(self, model, options, *, providers, provider_options):
        self.made.append((options, providers, provider_options))

    def get_providers(self):
        return [*self.made[-1][1], "CPUExecutionProvider"]


@pytest.fixture
def elsewhere(monkeypatch):
    """Every provider is there; returns what sessions were made with."""
    made = []
    monkeypatch.setattr(FakeSession, "made", made, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", FakeSession)
    names = list(ort_session.PROVIDERS.values())
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    return made


def test_fault_19_engines_of_each_package_lie_in_a_new_folder_of_its_own(
    tiny_folder, other_folder, elsewhere
):
    folders = []
    enabled = {"trt_engine_cache_enable": "1"}
    for folder in (tiny_folder, tiny_folder, other_folder):
        backend = backend_of(folder, provider="tensorrt", provider_options=enabled)
        for graph in (backend._split.body, backend._split.head):
            backend._load(graph)
        found = {asked[0]["trt_engine_cache_path"] for _, _, asked in elsewhere[-2:]}
        (path,) = map(Path, found)  # body and head share it
        assert open_package(folder).digest[:20] in path.name
        assert list(path.iterdir()) == []
        folders.append(path)
        backend.close()
        assert not path.exists()
    assert len(set(folders)) == 3


def test_fault_19_no_engine_is_kept_unless_asked(tiny_folder, elsewhere):
    backend = backend_of(tiny_folder, provider="tensorrt", provider_options={"device_id": "0"})
    backend._load(backend._split.body)
    assert elsewhere[-1][2] == [{"device_id": "0"}]


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "dml", "webgpu", "openvino", "rocm"])
def test_fault_17_no_part_of_the_graph_may_fall_back_to_the_cpu(tiny_folder, elsewhere, provider):
    backend = backend_of(tiny_folder, provider=provider)
    backend._load(backend._split.body)
    options, providers, _ = elsewhere[-1]
    assert providers == [ort_session.PROVIDERS[provider]]
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_fault_17_on_the_cpu_nothing_falls_back(tiny_folder, elsewhere):
    backend = backend_of(tiny_folder)
    backend._load(backend._split.body)
    with pytest.raises(RuntimeError):  # no such entry
        elsewhere[-1][0].get_session_config_entry("session.disable_cpu_ep_fallback")


def test_fault_17_session_that_fell_back_is_the_runtimes_error(tiny_folder, elsewhere, monkeypatch):
    def refusing(*_, **__):
        raise RuntimeError("This session contains graph nodes that are assigned to the default CPU")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing)
    package = open_package(tiny_folder)
    with pytest.raises(InvalidMeasurement, match="assigned to the default CPU") as caught:
        make_session(package.graph, tiny_folder, provider="cuda", threads=1)
    assert caught.value.code == "load-failed"


def test_options_are_recorded_where_they_are_given(tiny_folder):
    plain = backend_of(tiny_folder).identity
    assert not {"session_options", "provider_options"} & plain.keys()
    given = {"session_options": {"enable_mem_pattern": "0"}}
    found = backend_of(tiny_folder, **given).identity
    assert found == {**plain, **given}
    assert json.loads(json.dumps(found)) == found
