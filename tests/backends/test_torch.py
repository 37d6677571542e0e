"""The torch engine: what it opens, where it runs, what it keeps and what it lets go."""

import gc
import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from quantgate.backends import torch_model
from quantgate.backends.base import BLOCK_ROWS, BackendSpec
from quantgate.backends.registry import open_backend
from quantgate.backends.torch import TorchBackend
from quantgate.backends.torch_device import require_placed
from quantgate.backends.torch_model import Decoder
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood, LoglikelihoodRolling
from tests.tiny_torch import PlainTorch, write_model

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("tied"), "llama_tied")


@pytest.fixture
def own(llama, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(llama, tmp_path / "model"))


def ids_of(count, seed):
    return tuple(np.random.default_rng(seed).integers(1, 268, count).tolist())


def requests():
    stem = ids_of(60, 1)
    return [
        Loglikelihood((*stem, *ids_of(5 + number % 4, 10 + number)), (letter,))
        for number in range(16)
        for letter in (5, 6)
    ]


def scored(backend, asked=None):
    """Logits by (sequence, position)."""
    rows = {}
    for batch in make_plan(asked or requests(), backend.limits).batches():
        logits = np.concatenate([block.logits for block in backend.score(batch)])
        rows |= {(w.sequence, w.position): row for w, row in zip(batch.wanted, logits, strict=True)}
    return rows


def largest_difference(left, right):
    assert left.keys() == right.keys()
    return max(float(np.abs(left[key] - right[key]).max()) for key in left)


def refusal(fault, **arguments):
    with pytest.raises(fault) as caught:
        TorchBackend(**arguments)
    return caught.value


def test_fault_14_pickled_weights_alone_are_refused(own):
    (own / WEIGHTS).unlink()
    (own / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert refusal(UsageFault, folder=own).code == "pickled-weights"


def test_fault_14_pickled_files_are_neither_read_nor_hashed(own):
    before = TorchBackend(own, threads=1)
    (own / "pytorch_model.bin").write_bytes(b"no pickle at all")
    after = TorchBackend(own, threads=1)
    assert after.identity == before.identity
    assert largest_difference(scored(after), scored(before)) == 0.0


@pytest.mark.parametrize(
    ("shard", "code"),
    [("../model.safetensors", "path-escapes"), ("model.bin", "pickled-weights")],
)
def test_fault_14_index_that_names_other_files(own, shard, code):
    shutil.copy(own / WEIGHTS, own.parent / WEIGHTS)
    (own / WEIGHTS).rename(own / "other.safetensors")
    (own / "model.bin").write_bytes(b"\x80\x04.")
    index = {"weight_map": {"lm_head.weight": shard}}
    (own / f"{WEIGHTS}.index.json").write_text(json.dumps(index), "utf-8")
    assert refusal(UsageFault, folder=own).code == code


def test_shards_are_read_and_hashed(own):
    """The same model in two files."""
    whole = scored(TorchBackend(own, threads=1))
    tensors = load_file(own / WEIGHTS)
    (own / WEIGHTS).unlink()
    weight_map = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for part in set(weight_map.values()):
        chosen = {name: tensors[name] for name in tensors if weight_map[name] == part}
        save_file(chosen, own / part, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": weight_map}
    (own / f"{WEIGHTS}.index.json").write_text(json.dumps(index), "utf-8")
    backend = TorchBackend(own, threads=1)
    assert largest_difference(scored(backend), whole) == 0.0
    digest = backend.identity["package"]
    flip_last_byte(own / "part-1.safetensors")
    assert TorchBackend(own, threads=1).identity["package"] != digest


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_an_adapter_is_no_whole_model(own):
    (own / "adapter_config.json").write_text("{}", "utf-8")
    assert refusal(UsageFault, folder=own).code == "not-a-model"


REMOTE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own_llama"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, input_ids=None, **kwargs):
        found = super().forward(input_ids=input_ids, **kwargs)
        if input_ids is not None:
            found.logits = found.logits + {shift}
        return found
"""


def with_own_code(folder, monkeypatch, shift):
    """Give the model code of its own; where `shift` isn't 0, its head looks at more than hidden
    rows."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder.parent / "modules")
    )
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["model_type"] = "own_llama"
    config["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "own.py").write_text(REMOTE.format(shift=shift), "utf-8")
    return folder


def test_fault_13_code_of_the_folder_runs_only_where_asked_for(own, llama, monkeypatch):
    with_own_code(own, monkeypatch, 0.0)
    assert refusal(UsageFault, folder=own).code == "remote-code"
    backend = TorchBackend(own, threads=1, trust_remote_code=True)
    assert backend.identity["trust_remote_code"] is True
    assert not backend.limits.packs
    assert largest_difference(scored(backend), scored(TorchBackend(llama, threads=1))) < 1e-4
    digest = backend.identity["package"]
    with (own / "own.py").open("a") as file:
        file.write("\n")
    changed = TorchBackend(own, threads=1, trust_remote_code=True)
    assert changed.identity["package"] != digest


def test_a_head_that_hidden_rows_cannot_reproduce_is_refused(own, monkeypatch):
    with_own_code(own, monkeypatch, 5.0)
    with pytest.raises(InvalidMeasurement) as caught:
        scored(TorchBackend(own, threads=1, trust_remote_code=True))
    assert caught.value.code == "head-not-found"


@pytest.mark.parametrize("device", ["cuda:99", "no_such_device", "meta"])
def test_fault_15_device_that_is_not_there(llama, device):
    fault = refusal(InvalidMeasurement, folder=llama, device=device)
    assert fault.code == "provider-unavailable"
    assert device in fault.need


@pytest.mark.parametrize("sharded", [True, False])
def test_fault_16_weights_elsewhere_than_asked(sharded):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2, device="meta"))
    with pytest.raises(InvalidMeasurement, match="cpu, meta") as caught:
        require_placed(model, torch.device("cpu"), sharded=sharded)
    assert caught.value.code == "provider-not-attached"
    require_placed(model[0], torch.device("cpu"), sharded=sharded)


def test_fault_16_every_loaded_model_is_asked_where_it_lies(llama, monkeypatch):
    load = torch_model._load

    def elsewhere(loading):
        model, told = load(loading)
        return model.to("meta"), told

    monkeypatch.setattr(torch_model, "_load", elsewhere)
    with pytest.raises(InvalidMeasurement) as caught:
        scored(TorchBackend(llama, threads=1))
    assert caught.value.code == "provider-not-attached"


def test_unknown_type_is_refused(llama):
    assert refusal(UsageFault, folder=llama, dtype="int4").code == "dtype-unknown"


def test_missing_weights_are_never_made_up(own):
    tensors = load_file(own / WEIGHTS)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, own / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(InvalidMeasurement, match="up_proj") as caught:
        scored(TorchBackend(own, threads=1))
    assert caught.value.code == "weights-missing"


def test_short_weights_are_named(own):
    data = (own / WEIGHTS).read_bytes()
    (own / WEIGHTS).write_bytes(data[:-100])
    fault = refusal(InvalidMeasurement, folder=own)
    assert fault.code == "weights-unreadable"
    assert WEIGHTS in fault.need


def test_identity_names_content_and_options_not_paths(llama, own):
    backend = TorchBackend(llama, threads=1)
    assert backend.identity == TorchBackend(own, threads=1).identity
    assert not {"head", "_parts"} & backend.__dict__.keys()
    assert backend.identity["provider"] == "cpu"
    assert backend.identity["torch"] == torch.__version__
    assert backend.identity["dtype"] == "float32"
    json.dumps(backend.identity)
    others = [
        TorchBackend(own, threads=2).identity,
        TorchBackend(own, threads=1, packing=False).identity,
        TorchBackend(own, threads=1, dtype="bfloat16").identity,
        TorchBackend(own, threads=1, device_map="auto").identity,
    ]
    flip_last_byte(own / WEIGHTS)
    others.append(TorchBackend(own, threads=1).identity)
    for other in others:
        assert other != backend.identity


def test_fault_64_rows_leave_the_kept_prefix_as_it_was(llama):
    backend = TorchBackend(llama, threads=1)
    batches = list(make_plan(requests(), backend.limits).batches())
    shared = next(batch for batch in batches if batch.prefix)
    first = [block.logits for block in backend.score(shared)]
    kept = backend._kept[1]
    before = [layer.keys.clone() for layer in kept.layers]
    again = [block.logits for block in backend.score(shared)]
    assert backend._kept[1] is kept
    for layer, keys in zip(kept.layers, before, strict=True):
        assert layer.keys.shape[-2] == len(shared.prefix)
        assert torch.equal(layer.keys, keys)
    for left, right in zip(first, again, strict=True):
        assert np.array_equal(left, right)


def test_blocks_are_bounded_and_full(llama):
    backend = TorchBackend(llama, threads=1)
    ids = ids_of(150, 3)
    asked = [LoglikelihoodRolling(ids, range(150), (*ids[1:], 1))]
    (batch,) = make_plan(asked, backend.limits).batches()
    sizes = [len(block.logits) for block in backend.score(batch)]
    assert sizes == [BLOCK_ROWS, BLOCK_ROWS, 150 - 2 * BLOCK_ROWS]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_kept_rows_give_the_same_logits_again(tied, dtype):
    """Also where NumPy has no such type, and from a head that was loaded without a body."""
    backend = TorchBackend(tied, threads=1, dtype=dtype)
    batches = make_plan(requests(), backend.limits).batches()
    blocks = [block for batch in batches for block in backend.score(batch)]
    backend.close()
    for block in blocks:
        block.hidden.setflags(write=False)
        assert np.array_equal(backend.head.logits(block.hidden), block.logits)
    assert "_parts" not in backend.__dict__


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_the_plain_forwards_within_its_noise(llama, dtype):
    plain = PlainTorch(llama, dtype)
    backend = TorchBackend(llama, threads=1, dtype=dtype)
    plan = make_plan(requests(), backend.limits)
    rows = scored(backend)
    expected = [plain.logits(ids) for ids in plan.sequences]
    right = {key: expected[key[0]][key[1]] for key in rows}
    size = np.sqrt(np.mean([np.mean(row**2) for row in right.values()]))
    error = np.sqrt(np.mean([np.mean((rows[key] - right[key]) ** 2) for key in rows]))
    assert error / size < {"float16": 0.01, "bfloat16": 0.1}[dtype]


def test_auto_is_the_type_the_model_was_saved_in(llama, tmp_path):
    PlainTorch(llama, "bfloat16").model.save_pretrained(tmp_path)
    assert TorchBackend(tmp_path, threads=1).identity["dtype"] == "bfloat16"
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del config["dtype"]
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    assert TorchBackend(tmp_path, threads=1).identity["dtype"] == "bfloat16"


def test_a_tied_matrix_lies_in_memory_once(tied):
    backend = TorchBackend(tied, threads=1)
    head = backend.head
    first = scored(backend)
    table = backend._parts[0].module.get_input_embeddings().weight
    assert backend.head is head
    assert table.data_ptr() == head.wrapper.get_parameter("lm_head.weight").data_ptr()
    other = TorchBackend(tied, threads=1)
    assert largest_difference(scored(other), first) == 0.0


def test_a_device_map_gives_the_same_rows(llama):
    pytest.importorskip("accelerate")
    spec = BackendSpec("torch", str(llama), "cpu", 1, {"device_map": "auto"})
    sharded = open_backend(spec)
    if torch.cuda.is_available():
        pytest.skip("auto would choose the GPU")
    assert largest_difference(scored(sharded), scored(TorchBackend(llama, threads=1))) < 1e-5


def test_closing_frees_the_model(llama):
    backend = TorchBackend(llama, threads=1)
    scored(backend)
    weights = [weakref.ref(value) for value in backend._parts[0].module.parameters()]
    weights += [weakref.ref(value) for value in backend.head.wrapper.parameters()]
    kept = weakref.ref(backend._kept[1])
    gc.disable()  # what is still there has to be collected by close itself
    try:
        backend.close()
        assert not any(reference() is not None for reference in (*weights, kept))
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("words", "code"),
    [("CUDA out of memory. Tried to allocate 2 GiB", "out-of-memory"), ("bad shape", "run-failed")],
)
def test_fault_51_device_that_is_full(llama, monkeypatch, words, code):
    backend = TorchBackend(llama, threads=1)
    whole = scored(backend)

    def fail(self, feed, past=None):
        raise RuntimeError(words)

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "hidden", fail)
        with pytest.raises(InvalidMeasurement, match=words.split()[0]) as caught:
            scored(backend)
        assert caught.value.code == code
        assert backend._kept is None or code == "run-failed"
    assert largest_difference(scored(backend), whole) == 0.0
