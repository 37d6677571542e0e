"""The generators' rows are those of one forward per prompt by plain ONNX Runtime."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from quantgate.backends import base, ortgenai
from quantgate.backends.base import BLOCK_ROWS, BackendSpec
from quantgate.backends.ortgenai import OrtGenaiBackend, carried_rows, continues_behind_cache
from quantgate.backends.ortgenai_generator import APPEND_TOKENS, pieces
from quantgate.backends.ortgenai_model import require_device
from quantgate.backends.registry import open_backend
from quantgate.errors import InvalidMeasurement
from quantgate.groups import Group
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood, LoglikelihoodRolling
from tests.straightforward import PlainModel
from tests.tiny_models import Tiny, write_package

genai = pytest.importorskip("onnxruntime_genai")

VOCABULARY = 268
EOS = VOCABULARY - 1

# As in `test_ort`: kernels that round activations to 8 bits may turn the last bit of a float into a
# step of about 1e-2.
NOISE = {"fp32": 1e-4, "int8": 0.05, "int4": 0.05, "fp16": 0.02}


class Counting:
    """A generator that tells how many tokens it was given at a time."""

    made: list[Counting]

    def __init__(self, model, params):
        self.generator = ORIGINAL(model, params)
        self.appended: list[int] = []
        Counting.made.append(self)

    def append_tokens(self, ids):
        self.appended.append(len(ids))
        self.generator.append_tokens(ids)

    def __getattr__(self, name):
        return getattr(self.generator, name)


ORIGINAL = genai.Generator


@pytest.fixture
def counted(monkeypatch) -> list[Counting]:
    """Generators made so far; the three of the trials come first."""
    Counting.made = []
    monkeypatch.setattr(genai, "Generator", Counting)
    return Counting.made


def backend_of(folder: Path, **options) -> OrtGenaiBackend:
    return OrtGenaiBackend(open_package(folder), threads=2, **options)


def ids_of(count: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(0, VOCABULARY, count).tolist())


def tree_requests() -> list[Loglikelihood]:
    """Two shared beginnings, forks behind them, and letters that need several tokens."""
    requests = []
    for stem in (ids_of(60, 1), ids_of(45, 2)):
        for number in range(6):
            context = (*stem, *ids_of(3, 9), *ids_of(5 + number % 4, 10 + number))
            requests += [Loglikelihood(context, (letter,)) for letter in (5, 6)]
            requests.append(Loglikelihood(context, (7, 8, 9)))
    return requests


def window(count: int, seed: int = 3) -> LoglikelihoodRolling:
    return LoglikelihoodRolling(ids_of(count, seed), range(count), (1,) * count)


def score_all(backend, requests) -> tuple[dict[tuple[int, ...], np.ndarray], list[int]]:
    """Logits by the ids up to their position, and the sizes of the blocks they came in."""
    plan = make_plan(requests, backend.limits)
    rows, sizes = {}, []
    for batch in plan.batches():
        blocks = list(backend.score(batch))
        sizes += [len(block.logits) for block in blocks]
        logits = np.concatenate([block.logits for block in blocks])
        assert logits.dtype == np.float32
        for want, row in zip(batch.wanted, logits, strict=True):
            rows[plan.sequences[want.sequence][: want.position + 1]] = row
    return rows, sizes


def largest_difference(backend, folder: Path, requests) -> float:
    rows, _ = score_all(backend, requests)
    expected = {request.ids[: p + 1] for request in requests for p in request.scored}
    assert rows.keys() == expected
    plain = PlainModel(folder)
    return max(float(np.abs(row - plain.logits(ids)[-1]).max()) for ids, row in rows.items())


@pytest.mark.parametrize("precision", NOISE)
def test_rows_behind_a_prefix_equal_whole_prompts(built, precision):
    backend = backend_of(built[precision])
    plan = make_plan(tree_requests(), backend.limits)
    # What the builder writes for fp16 can't take several tokens behind a cache.
    assert any(group.prefix for group in plan.groups) == (precision != "fp16")
    difference = largest_difference(backend, built[precision], tree_requests())
    assert difference < NOISE[precision]


@pytest.mark.parametrize("precision", NOISE)
def test_every_position_of_a_window(built, precision):
    count = 2 * APPEND_TOKENS + 70
    rows, sizes = score_all(backend_of(built[precision]), [window(count)])
    assert sizes == [BLOCK_ROWS] * (count // BLOCK_ROWS) + [count % BLOCK_ROWS]
    expected = PlainModel(built[precision]).logits(ids_of(count, 3))
    found = np.stack([rows[ids_of(count, 3)[: p + 1]] for p in range(count)])
    assert np.abs(found - expected).max() < NOISE[precision]


@pytest.mark.parametrize("head", ["matmul", "capped", "nbits", "tied"])
def test_heads_of_other_forms(tmp_path, head):
    folder = write_package(tmp_path, Tiny(head=head))
    assert largest_difference(backend_of(folder), folder, tree_requests()) < 1e-4


def test_local_window_behind_a_kept_prefix(tmp_path):
    folder = write_package(tmp_path, Tiny(attention={"local_window_size": 16}))
    backend = backend_of(folder)
    assert backend.limits.keeps_prefix
    assert largest_difference(backend, folder, tree_requests()) < 1e-4


def last_only(folder: Path, target: Path, *, declared: bool = True) -> Path:
    """A copy of a package whose head computes the last position alone."""
    shutil.copytree(folder, target)
    model = onnx.load(str(target / "model.onnx"), load_external_data=False)
    graph = model.graph
    index, head = next((i, n) for i, n in enumerate(graph.node) if "logits" in n.output)
    graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "last"))
    gather = helper.make_node("Gather", [head.input[0], "last"], ["last_hidden"], axis=1)
    graph.node.insert(index, gather)
    head.input[0] = "last_hidden"
    if declared:
        (logits,) = (value for value in graph.output if value.name == "logits")
        logits.type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save_model(model, str(target / "model.onnx"))
    return target


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
@pytest.mark.parametrize("precision", NOISE)
def test_fault_22_head_that_yields_only_the_last_position(built, tmp_path, precision, declared):
    """The package that it was made from says what each position must be."""
    folder = last_only(built[precision], tmp_path / "pruned", declared=declared)
    requests = [*tree_requests(), window(20)]
    assert largest_difference(backend_of(folder), built[precision], requests) < NOISE[precision]


def test_fault_22_last_position_where_rewinding_is_refused(built, tmp_path, monkeypatch):
    folder = last_only(built["fp32"], tmp_path / "pruned")
    refuse_rewinding(monkeypatch)
    requests = [*tree_requests(), window(12)]
    assert largest_difference(backend_of(folder), built["fp32"], requests) < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    "tail", [(5, EOS), (EOS, EOS), (EOS, 5, EOS)], ids=["last", "last_two", "around"]
)
def test_end_of_text_ids_are_ids_like_others(built, precision, tail):
    """The builder makes end-of-text the pad id, behind which the runtime reads other rows."""
    config = json.loads((built[precision] / "genai_config.json").read_text("utf-8"))["model"]
    assert config["pad_token_id"] == EOS
    stem = ids_of(30, 4)
    requests = [Loglikelihood((*stem, *ids_of(4, i), *tail), (9,)) for i in range(3)]
    requests += [Loglikelihood((EOS,) * 3, (9,)), Loglikelihood((EOS, *stem), (9, EOS, EOS, 9))]
    difference = largest_difference(backend_of(built[precision]), built[precision], requests)
    assert difference < NOISE[precision]


@pytest.mark.parametrize("count", [1023, 1024])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_rows_up_to_the_full_context(built, precision, count):
    context = json.loads((built[precision] / "genai_config.json").read_text("utf-8"))["model"][
        "context_length"
    ]
    assert context == 1024
    stem = ids_of(900, 5)
    requests = [Loglikelihood((*stem, *ids_of(count - 900, i)), (5,)) for i in range(2)]
    difference = largest_difference(backend_of(built[precision]), built[precision], requests)
    assert difference < NOISE[precision]


def test_positions_between_are_read_from_their_own_rows(built):
    """Scored positions with gaps, and tokens behind the last of them."""
    ids = ids_of(300, 6)
    backend = backend_of(built["fp32"])
    row = make_plan([LoglikelihoodRolling(ids, range(300), (1,) * 300)], backend.limits)
    (group,) = row.groups
    chosen = (0, 7, 100, 254, 255, 256, 280)
    wanted = tuple(group.rows[0].wanted[offset] for offset in chosen)
    batch = Group((), (replace(group.rows[0], wanted=wanted),))
    (block,) = backend.score(batch)
    expected = PlainModel(built["fp32"]).logits(ids)[list(chosen)]
    assert np.abs(block.logits - expected).max() < 1e-4


def refuse_rewinding(monkeypatch) -> None:
    def refuse(self, length):
        raise RuntimeError("RewindTo is currently not supported for phi3v.")

    monkeypatch.setattr(ORIGINAL, "rewind_to", refuse)


def test_model_type_that_refuses_to_rewind(built, monkeypatch, counted):
    """Each row is then one append in a generator of its own."""
    refuse_rewinding(monkeypatch)
    backend = backend_of(built["fp32"])
    assert largest_difference(backend, built["fp32"], tree_requests()) < 1e-4
    rows = [generator.appended for generator in counted[2:]]
    assert len(rows) == 24
    assert all(len(appended) == 1 for appended in rows)


def test_model_types_known_to_refuse_are_planned_as_whole_sequences(own_package):
    config = json.loads((own_package / "genai_config.json").read_text("utf-8"))
    config["model"]["type"] = "phi3v"
    (own_package / "genai_config.json").write_text(json.dumps(config), "utf-8")
    limits = backend_of(own_package).limits
    assert not limits.keeps_prefix
    assert all(group.padded for group in make_plan(tree_requests(), limits).groups)


def test_graph_that_chooses_by_length_is_planned_as_whole_sequences(built):
    """LongRoPE: what a short prefix left in the cache is wrong behind a long row."""
    package = open_package(built["fp32"])
    assert continues_behind_cache(package)
    package.graph.graph.node.append(helper.make_node("If", ["is_long"], ["cos", "sin"]))
    assert not continues_behind_cache(package)


def test_fault_64_rewinding_that_does_nothing_is_found_out(built, monkeypatch):
    monkeypatch.setattr(ORIGINAL, "rewind_to", lambda self, length: None)
    backend = backend_of(built["fp32"])
    with pytest.warns(RuntimeWarning, match="other logits after rewind_to"):
        assert largest_difference(backend, built["fp32"], tree_requests()) < 1e-4


def test_cache_that_lost_its_beginning_is_made_anew(built, monkeypatch):
    """A cache with a window rewinds until it has dropped something."""
    original, calls = ORIGINAL.rewind_to, []

    def rewind(self, length):
        calls.append(length)
        if len(calls) % 3 == 0:
            raise RuntimeError("Cannot rewind: already evicted")
        original(self, length)

    monkeypatch.setattr(ORIGINAL, "rewind_to", rewind)
    assert largest_difference(backend_of(built["fp32"]), built["fp32"], tree_requests()) < 1e-4
    assert len(calls) > 6


def test_prefix_is_computed_once_for_all_its_rows(built, counted):
    stem = ids_of(300, 1)
    requests = [Loglikelihood((*stem, *ids_of(20, i)), (5,)) for i in range(2, 8)]
    backend = backend_of(built["fp32"])
    plan = make_plan(requests, backend.limits)
    (group,) = plan.groups
    for rows in (group.rows[:3], group.rows[3:]):
        list(backend.score(Group(group.prefix, rows)))
    *trials, generator = counted
    assert [trial.appended for trial in trials] == [[4], [4, 4, 4], [4, 4]]
    assert generator.appended == [64, 64, 64, 64, 44, *[20] * 6]


def test_longer_row_behind_the_same_prefix_gets_a_longer_cache(built):
    stem = ids_of(200, 1)
    backend = backend_of(built["fp32"])
    requests = [Loglikelihood((*stem, *ids_of(size, size)), (5,)) for size in (20, 500, 30)]
    (group,) = make_plan(requests, backend.limits).groups
    plain = PlainModel(built["fp32"])
    for row in group.rows:
        (block,) = backend.score(Group(group.prefix, (row,)))
        expected = plain.logits(group.prefix + row.ids)[-1]
        assert np.abs(block.logits[0] - expected).max() < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_second_run_gives_the_same_bits(built, precision):
    backend = backend_of(built[precision])
    first, _ = score_all(backend, tree_requests())
    score_all(backend, [window(40)])
    second, _ = score_all(backend, tree_requests())
    assert all(np.array_equal(first[ids], second[ids]) for ids in first)
    fresh, _ = score_all(backend_of(built[precision]), tree_requests()[::-1])
    assert all(np.array_equal(first[ids], fresh[ids]) for ids in first)


def test_no_more_rows_than_an_append_has_live_at_once(built, counted):
    count = 1000
    backend = backend_of(built["fp32"])
    (batch,) = make_plan([window(count)], backend.limits).batches()
    blocks = 0
    for block in backend.score(batch):
        blocks += len(block.logits)
        base = block.logits if block.logits.base is None else block.logits.base
        assert base.size <= APPEND_TOKENS * VOCABULARY
        assert sum(counted[-1].appended) <= blocks + APPEND_TOKENS
    assert blocks == count


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_parts_of_a_window_give_the_same_bits_and_compute_no_token_twice(built, counted, precision):
    count = 3 * APPEND_TOKENS + 20
    plan = make_plan([window(count), window(count, 4)], backend_of(built[precision]).limits)
    backend, parted = backend_of(built[precision]), backend_of(built[precision])
    whole = [block.logits for batch in plan.batches() for block in backend.score(batch)]
    parts = list(plan.batches(APPEND_TOKENS))
    assert len(parts) == 8
    list(parted.score(parts[0]))  # the trials are over
    before = len(counted)
    found = [block.logits for batch in parts[1:] for block in parted.score(batch)]
    assert np.array_equal(np.concatenate(found), np.concatenate(whole)[APPEND_TOKENS:])
    (second,) = counted[before:]  # the first window went on in the generator that began it
    assert sum(second.appended) == count


def test_a_window_is_resumed_in_the_middle(built):
    backend, other = backend_of(built["fp32"]), backend_of(built["fp32"])
    plan = make_plan([window(200)], backend.limits)
    *_, expected = [block.logits for batch in plan.batches() for block in backend.score(batch)]
    *_, last = plan.batches(APPEND_TOKENS)
    (block,) = other.score(last)
    assert np.array_equal(block.logits, expected)


def test_wide_logits_come_in_short_appends_and_small_parts(tmp_path, monkeypatch, counted):
    monkeypatch.setattr(base, "BLOCK_BYTES", 4 * VOCABULARY * 20)
    monkeypatch.setattr(ortgenai, "BLOCK_BYTES", 4 * VOCABULARY * 20)
    folder = write_package(tmp_path, Tiny())
    backend = backend_of(folder)
    assert backend.limits.carried_rows == 20
    rows, sizes = score_all(backend, [window(90)])
    assert sizes == [20, 20, 20, 20, 10]
    assert counted[-1].appended == [20, 20, 20, 20, 10]
    expected = PlainModel(folder).logits(ids_of(90, 3))
    found = np.stack([rows[ids_of(90, 3)[: p + 1]] for p in range(90)])
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("vocabulary", "rows"), [(2048, 2048), (32_768, 128), (49_152, 64), (151_936, 27)]
)
def test_rows_travel_in_whole_blocks_of_about_a_block_of_bytes(vocabulary, rows):
    assert carried_rows(vocabulary) == rows


def test_a_generator_that_failed_to_append_is_not_used_again(built, monkeypatch):
    backend = backend_of(built["fp32"])
    plan = make_plan([window(100)], backend.limits)
    (batch,) = plan.batches()
    expected = [block.logits for block in backend.score(batch)]
    appends = backend._scorer.appends
    real = appends._generator

    class Failing:
        def append_tokens(self, ids):
            real.append_tokens(ids)
            raise RuntimeError("planted")

        def rewind_to(self, length):
            real.rewind_to(length)

    monkeypatch.setattr(appends, "_generator", Failing())
    with pytest.raises(InvalidMeasurement, match="planted"):
        list(backend.score(batch))
    found = [block.logits for block in backend.score(batch)]
    assert np.array_equal(np.concatenate(found), np.concatenate(expected))


def test_kept_rows_are_logits_and_their_head_is_the_identity(built):
    for precision in ("fp32", "fp16"):
        backend = backend_of(built[precision])
        (batch,) = make_plan([window(80)], backend.limits).batches()
        for block in backend.score(batch):
            assert block.hidden.dtype == np.dtype(f"float{precision[2:]}")
            assert np.array_equal(backend.head.logits(block.hidden), block.logits)


def test_spans_end_where_rows_are_read():
    assert list(pieces([4], every_position=True)) == [(0, 5)]
    assert list(pieces([0, 99], every_position=True)) == [(0, 64), (64, 100)]
    assert list(pieces([63], every_position=True)) == [(0, 64)]
    assert list(pieces([2, 3, 99], every_position=False)) == [(0, 3), (3, 4), (4, 64), (64, 100)]


def test_searches_that_a_package_asks_for_are_undone(own_package):
    config = json.loads((own_package / "genai_config.json").read_text("utf-8"))
    config["search"] = {"num_beams": 3, "num_return_sequences": 2, "chunk_size": 16}
    (own_package / "genai_config.json").write_text(json.dumps(config), "utf-8")
    backend = backend_of(own_package)
    assert largest_difference(backend, own_package, [*tree_requests(), window(90)]) < 1e-4


def test_package_without_an_end_of_text_id(own_package):
    config = json.loads((own_package / "genai_config.json").read_text("utf-8"))
    del config["model"]["eos_token_id"]
    (own_package / "genai_config.json").write_text(json.dumps(config), "utf-8")
    assert largest_difference(backend_of(own_package), own_package, tree_requests()) < 1e-4


def test_identity_names_package_provider_threads_and_versions(built):
    import onnxruntime

    backend = backend_of(built["fp32"])
    assert backend.identity == {
        "backend": "ortgenai",
        "package": open_package(built["fp32"]).digest,
        "provider": "cpu",
        "threads": 2,
        "onnxruntime_genai": genai.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
    assert not {"_scorer", "_decoder"} & vars(backend).keys()
    json.dumps(backend.identity)


def with_provider(folder: Path, target: Path, options: list) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / "genai_config.json").read_text("utf-8"))
    config["model"]["decoder"]["session_options"] = {"provider_options": options}
    (target / "genai_config.json").write_text(json.dumps(config), "utf-8")
    return target


def test_provider_of_the_package(tiny_folder, tmp_path):
    """Another provider in the configuration counts only where it is asked for."""
    folder = with_provider(tiny_folder, tmp_path / "package", [{"cuda": {}}])
    assert backend_of(folder, provider="package").identity["provider"] == "cuda"
    assert backend_of(tiny_folder, provider="package").identity["provider"] == "cpu"
    for asked in (tiny_folder, "package"), (folder, "cpu"):
        backend = backend_of(asked[0], provider=asked[1])
        assert largest_difference(backend, tiny_folder, tree_requests()[:3]) < 1e-4


@pytest.mark.skipif(genai.is_cuda_available(), reason="this build has CUDA")
@pytest.mark.parametrize("provider", ["cuda", "package", "dml", "no_such_provider"])
def test_fault_15_provider_that_is_not_installed(tiny_folder, tmp_path, provider):
    folder = with_provider(tiny_folder, tmp_path / "package", [{"cuda": {}}])
    backend = backend_of(folder, provider=provider)
    with pytest.raises(InvalidMeasurement) as caught:
        score_all(backend, tree_requests()[:1])
    assert caught.value.code == "provider-unavailable"
    assert ("cuda" if provider == "package" else provider) in caught.value.need


def test_fault_16_model_elsewhere_than_asked(tiny_folder, monkeypatch):
    class Elsewhere:
        device_type = "CPU"

        def __init__(self, config): ...

    monkeypatch.setattr(genai, "Model", Elsewhere)
    with pytest.raises(InvalidMeasurement, match=r"a model on CUDA.*a model on CPU") as caught:
        score_all(backend_of(tiny_folder, provider="cuda"), tree_requests()[:1])
    assert caught.value.code == "provider-not-attached"
    require_device("DirectML", "directml")


def test_load_that_fails_is_named(own_package):
    config = json.loads((own_package / "genai_config.json").read_text("utf-8"))
    config["model"]["type"] = "no_such_type"
    (own_package / "genai_config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(InvalidMeasurement, match="no_such_type") as caught:
        score_all(backend_of(own_package), tree_requests()[:1])
    assert caught.value.code == "load-failed"


def test_run_that_fails_is_named(tiny_folder):
    with pytest.raises(InvalidMeasurement, match="999999") as caught:
        score_all(backend_of(tiny_folder), [Loglikelihood((1, 2, 999_999), (1,))])
    assert caught.value.code == "run-failed"


def test_failure_of_a_row_leaves_the_next_one_right(tiny_folder):
    backend = backend_of(tiny_folder)
    with pytest.raises(InvalidMeasurement):
        score_all(backend, [Loglikelihood((1, 2, 999_999), (1,))])
    assert largest_difference(backend, tiny_folder, tree_requests()[:6]) < 1e-4


def test_memory_that_ran_out_is_named(tiny_folder, monkeypatch):
    def exhaust(self, ids):
        raise RuntimeError("Failed to allocate memory for requested buffer of size 1")

    backend = backend_of(tiny_folder)
    monkeypatch.setattr(ORIGINAL, "append_tokens", exhaust)
    with pytest.raises(InvalidMeasurement) as caught:
        score_all(backend, tree_requests()[:1])
    assert caught.value.code == "out-of-memory"


SHAPES = {"short": (1, 8, 268), "transposed": (9, 1, 268), "narrow": (1, 9, 9), "flat": (9, 268)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_fault_24_logits_of_another_shape(tiny_folder, monkeypatch, shape):
    backend = backend_of(tiny_folder)
    monkeypatch.setattr(ORIGINAL, "get_output", lambda self, name: np.zeros(shape, np.float32))
    with pytest.raises(InvalidMeasurement) as caught:
        score_all(backend, [window(9)])
    assert caught.value.code == "logits-shape"
    assert str(list(shape)) in caught.value.found


def test_closed_backend_opens_again(tiny_folder):
    backend = backend_of(tiny_folder)
    first, _ = score_all(backend, tree_requests()[:3])
    backend.close()
    backend.close()
    assert not {"_scorer", "_decoder"} & vars(backend).keys()
    again, _ = score_all(backend, tree_requests()[:3])
    assert all(np.array_equal(first[ids], again[ids]) for ids in first)


CHILD = """
import sys
from quantgate.backends.base import BackendSpec
from quantgate.backends.registry import open_backend
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood

def own_threads():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads:"))

folder, threads, close = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "close"
backend = open_backend(BackendSpec("ortgenai", folder, threads=threads))
(batch,) = make_plan([Loglikelihood((1, 2, 3), (4,))], backend.limits).batches()
import onnxruntime_genai
before = own_threads()
(block,) = backend.score(batch)
print(block.logits.shape, own_threads() - before)
if close:
    backend.close()
"""


def run_child(folder: Path, threads: int, ending: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(threads), ending],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shape, _, started = done.stdout.strip().rpartition(" ")
    return shape, int(started)


@pytest.mark.parametrize("ending", ["close", "leave"])
def test_child_process_ends_cleanly(tiny_folder, ending):
    shape, _ = run_child(tiny_folder, 2, ending)
    assert shape == "(1, 268)"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts threads by /proc")
def test_thread_count_takes_effect(tiny_folder):
    _, two = run_child(tiny_folder, 2, "close")
    _, five = run_child(tiny_folder, 5, "close")
    assert five - two == 3


def test_registry_opens_it(tiny_folder):
    backend = open_backend(BackendSpec("ortgenai", str(tiny_folder), threads=2))
    assert isinstance(backend, OrtGenaiBackend)
