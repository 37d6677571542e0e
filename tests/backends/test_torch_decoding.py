"""Greedy decoding of every family is that of a plain forward for each id."""

import gc
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from quantgate.backends import torch as torch_backend
from quantgate.backends.torch import TorchBackend
from quantgate.backends.torch_decoding import TorchDecoding, WholeModel
from quantgate.errors import InvalidMeasurement
from quantgate.execution.generating import carry_out
from quantgate.execution.orders import GenerateOrder
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood
from tests.tiny_torch import FAMILIES, LONGROPE_SWITCH, WINDOW, PlainTorch, write_model

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture
def own(llama, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(llama, tmp_path / "model"))


def ids_of(count: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(1, 268, count).tolist())


def greedy(plain: PlainTorch, rounds, limit: int) -> list[tuple[int, ...]]:
    """Answers by whole forwards: no cache, and NumPy's argmax, which takes the lowest id."""
    sequence: list[int] = []
    answers = []
    for ids in rounds:
        sequence += ids
        for _ in range(limit):
            sequence.append(int(plain.logits(sequence)[-1].argmax()))
        answers.append(tuple(sequence[-limit:]))
    return answers


def generate(backend: TorchBackend, rounds, limit: int):
    total = sum(map(len, rounds)) + limit * len(rounds)
    return carry_out(backend, GenerateOrder(rounds, limit, (), total))


@pytest.mark.parametrize("family", FAMILIES)
def test_dialogs_are_those_of_whole_forwards(tmp_path, family):
    """Rounds reach over windows, and the second over the switch of rotary tables."""
    folder = write_model(tmp_path / family, family)
    rounds, limit = (ids_of(WINDOW + 4, 1), ids_of(2 * WINDOW + 8, 2), ids_of(3, 3)), 12
    assert len(rounds[0]) + limit <= LONGROPE_SWITCH < len(rounds[0]) + limit + len(rounds[1])
    backend = TorchBackend(folder, threads=1, packing=False)
    found = generate(backend, rounds, limit)
    assert list(found.ids) == greedy(PlainTorch(folder), rounds, limit)


def test_an_answer_grows_over_the_switch_of_tables(tmp_path):
    folder = write_model(tmp_path / "longrope", "phi3_longrope")
    backend = TorchBackend(folder, threads=1, packing=False)
    rounds = (ids_of(LONGROPE_SWITCH - 5, 4),)
    assert list(generate(backend, rounds, 12).ids) == greedy(PlainTorch(folder), rounds, 12)


def test_answers_are_those_of_transformers_generate(llama):
    ids = ids_of(30, 5)
    plain = PlainTorch(llama)
    with torch.no_grad():
        whole = plain.model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=20,
            eos_token_id=None,
        )
    found = generate(TorchBackend(llama, threads=1), (ids,), 20)
    assert list(found.ids[0]) == whole[0, len(ids) :].tolist()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_of_equal_logits_the_lowest_id_is_taken(own, dtype):
    """Every row of the head stands there twice."""
    tensors = load_file(own / WEIGHTS)
    head = tensors["lm_head.weight"]
    half = len(head) // 2
    tensors["lm_head.weight"] = np.concatenate([head[:half], head[:half]])
    save_file(tensors, own / WEIGHTS, metadata={"format": "pt"})
    found = generate(TorchBackend(own, threads=1, dtype=dtype), (ids_of(9, 6),), 30)
    assert max(found.ids[0]) < half
    assert len(set(found.ids[0])) > 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_fault_20_logits_that_are_not_finite_are_refused(own, value):
    tensors = load_file(own / WEIGHTS)
    # Of one hidden dimension only, and both signs: the sum is no NaN, and one of the two is large.
    tensors["lm_head.weight"][7:9, 0] = value, -value
    save_file(tensors, own / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(InvalidMeasurement, match=r"logits-not-finite.*behind 9 tokens"):
        generate(TorchBackend(own, threads=1), (ids_of(9, 6),), 30)


def test_one_row_of_logits_is_computed_a_call(llama):
    backend = TorchBackend(llama, threads=1)
    shapes = []
    decoding = backend.decoding(20)
    hook = lambda *seen: shapes.append(tuple(seen[2].logits.shape[:2]))  # noqa: E731
    handle = backend._whole.register_forward_hook(hook)
    decoding.step(decoding.append(ids_of(15, 7)))
    handle.remove()
    assert shapes == [(1, 1), (1, 1)]


def test_any_id_may_be_given_back(llama):
    """Not the most likely one alone: whoever asks may want to go on otherwise."""
    ids, plain = ids_of(15, 8), PlainTorch(llama)
    decoding = TorchBackend(llama, threads=1).decoding(20)
    other = (decoding.append(ids) + 1) % 268
    assert decoding.step(other) == plain.logits((*ids, other))[-1].argmax()


def test_there_is_room_for_the_capacity_alone(llama):
    decoding = TorchBackend(llama, threads=1).decoding(16)
    id_ = decoding.append(ids_of(15, 9))
    decoding.step(id_)
    with pytest.raises(ValueError, match="in room for 16"):
        decoding.step(id_)
    with pytest.raises(ValueError, match="0 ids"):
        TorchBackend(llama, threads=1).decoding(16).append(())


def scored(backend: TorchBackend) -> np.ndarray:
    requests = [Loglikelihood((*ids_of(20, 10), n), (5,)) for n in range(4)]
    plan = make_plan(requests, backend.limits)
    return np.concatenate([b.logits for batch in plan.batches() for b in backend.score(batch)])


def test_weights_are_in_memory_once(llama, monkeypatch):
    """Scoring takes the whole apart; generating drops the parts and loads it again."""
    loads = []
    real = torch_backend.load_whole
    monkeypatch.setattr(
        torch_backend, "load_whole", lambda loading: loads.append(1) or real(loading)
    )
    backend = TorchBackend(llama, threads=1)
    first = generate(backend, (ids_of(15, 7),), 5)
    whole = weakref.ref(backend._whole.lm_head.weight)
    before = scored(backend)
    assert len(loads) == 1
    parts = weakref.ref(backend._parts[0].module)
    assert generate(backend, (ids_of(15, 7),), 5).ids == first.ids
    assert parts() is None
    assert whole() is None
    assert len(loads) == 2
    assert np.array_equal(scored(backend), before)
    generate(backend, (ids_of(15, 7),), 5)
    last = weakref.ref(backend._whole)
    backend.close()
    assert last() is None


def test_a_closed_sequence_leaves_no_cache(llama):
    backend = TorchBackend(llama, threads=1)
    decoding = backend.decoding(20)
    decoding.append(ids_of(15, 7))
    keys = weakref.ref(decoding._cache.layers[0].keys)
    assert keys() is not None
    decoding.close()
    decoding.close()
    gc.collect()
    assert keys() is None


class Recurrent(torch.nn.Module):
    """A model that keeps a state of its own kind."""

    def forward(self, input_ids, cache_params=None): ...


def test_models_without_keys_and_values_are_refused():
    with pytest.raises(InvalidMeasurement, match=r"generation-unsupported.*Recurrent without"):
        TorchDecoding(WholeModel(Recurrent(), "here", None), 8)


def test_failures_of_the_device_are_named(llama, monkeypatch):
    backend = TorchBackend(llama, threads=1)
    decoding = backend.decoding(20)

    def full(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(backend._whole, "forward", full)
    with pytest.raises(InvalidMeasurement, match="out-of-memory"):
        decoding.append((1, 2))
