"""The generators' greedy ids are those of one full forward per id by plain ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantgate.backends.ortgenai import OrtGenaiBackend
from quantgate.backends.ortgenai_model import load_model, overlay
from quantgate.errors import InvalidMeasurement
from quantgate.execution.generating import carry_out
from quantgate.execution.orders import GenerateOrder
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import LoglikelihoodRolling
from tests.greedy import behind_best, decode, ids_of, naive
from tests.straightforward import PlainModel
from tests.tiny_models import Tiny, save_model, write_package

genai = pytest.importorskip("onnxruntime_genai")

ROUNDS = (ids_of(40, 1), ids_of(9, 2), ids_of(1, 3))
STEPS = 12
WINDOW = LoglikelihoodRolling(tuple(ids_of(30, 5)), range(30), (1,) * 30)
# How far behind the best logit an id may be, and the share of ids that must be the best.
NOISE = {"fp32": 0.0, "int8": 0.05, "int4": 0.05}
SAME = {"fp32": 1.0, "int8": 0.9, "int4": 0.9}


def backend_of(folder: Path) -> OrtGenaiBackend:
    return OrtGenaiBackend(open_package(folder), threads=2)


def rewrite(folder: Path, change) -> None:
    path = folder / "genai_config.json"
    config = json.loads(path.read_text("utf-8"))
    change(config)
    path.write_text(json.dumps(config), "utf-8")


def edit(folder: Path, change) -> None:
    """Change the graph of a package."""
    model = onnx.load(str(folder / "model.onnx"))
    change(model.graph)
    save_model(model, folder / "model.onnx")


def unnamed_logits(graph: onnx.GraphProto) -> str:
    """Give what yields the logits another name, so that a node may follow it."""
    (node,) = (node for node in graph.node if "logits" in node.output)
    node.output[0] = f"logits_{len(graph.node)}"
    return node.output[0]


def widened_late(graph: onnx.GraphProto) -> None:
    """Make the logits bfloat16, which the runtime can't hand over as they are."""
    cast = helper.make_node("Cast", [unnamed_logits(graph)], ["logits"], to=TensorProto.BFLOAT16)
    graph.node.append(cast)
    (logits,) = (value for value in graph.output if value.name == "logits")
    logits.type.tensor_type.elem_type = TensorProto.BFLOAT16


def strange_behind(tokens: int, value: float):
    """Make all logits `value` behind so many tokens, and leave the cache and all else as it is."""

    def change(graph: onnx.GraphProto) -> None:
        table = np.zeros((1024, 1), np.float32)
        table[tokens - 1] = value
        graph.initializer.append(numpy_helper.from_array(table, "offsets"))
        graph.node.append(helper.make_node("Gather", ["offsets", "lengths_less_1"], ["offset"]))
        graph.node.append(helper.make_node("Add", [unnamed_logits(graph), "offset"], ["logits"]))

    return change


def refuse(self, *args):
    raise RuntimeError("RewindTo is currently not supported for phi3v.")


@pytest.mark.parametrize("precision", NOISE)
def test_rounds_on_one_cache_equal_full_forwards(built, precision):
    decoding = backend_of(built[precision]).decoding(128)
    sequence, places = decode(decoding, ROUNDS, STEPS)
    assert len(places) == 3 * (STEPS + 1)
    behind = behind_best(PlainModel(built[precision]).logits, sequence, places)
    assert behind.max() <= NOISE[precision]
    assert np.mean(behind == 0) >= SAME[precision]


def test_package_that_the_runtime_cannot_continue_is_named(built):
    """What the builder writes for fp16 on the CPU fails behind a cache in the runtime itself."""
    decoding = backend_of(built["fp16"]).decoding(64)
    ids = ids_of(20, 1)
    following = decoding.append(ids)
    logits = PlainModel(built["fp16"]).logits(ids)[-1]
    assert logits.max() - logits[following] < 0.02
    with pytest.raises(InvalidMeasurement) as caught:
        decoding.step(following)
    assert caught.value.code == "run-failed"


def test_end_of_text_is_an_id_like_others(own_package):
    """The runtime ends there; who decodes decides by ids of its own."""
    forward = PlainModel(own_package).logits
    ids = ids_of(20, 4)
    expected = naive(forward, ids, 9)
    answer = expected[len(ids) :]
    for eos in ([answer[0]], [answer[4]], list(answer)):
        rewrite(own_package, lambda config, eos=eos: config["model"].update(eos_token_id=eos))
        assert decode(backend_of(own_package).decoding(64), [ids], 8)[0] == expected


def test_round_behind_an_end_of_text(own_package):
    forward = PlainModel(own_package).logits
    last = naive(forward, ROUNDS[0], STEPS + 1)[-1]
    rewrite(own_package, lambda config: config["model"].update(eos_token_id=last))
    sequence, places = decode(backend_of(own_package).decoding(128), ROUNDS, STEPS)
    assert not behind_best(forward, sequence, places).any()


def test_searches_that_a_package_asks_for_are_undone(own_package):
    forward = PlainModel(own_package).logits
    ids = ids_of(3, 4) * 6
    search = {
        "do_sample": True,
        "min_length": 30,
        "no_repeat_ngram_size": 1,
        "num_beams": 3,
        "num_return_sequences": 2,
        "repetition_penalty": 5.0,
        "temperature": 9.0,
        "top_k": 50,
    }
    rewrite(own_package, lambda config: config.update(search=search))
    decoding = backend_of(own_package).decoding(64)
    assert decode(decoding, [ids], 15)[0] == naive(forward, ids, 16)


@pytest.mark.parametrize("capacity", [40, 1024])
def test_sequence_up_to_its_capacity(built, capacity):
    """At the full context no place is left for the id that is chosen last."""
    backend = backend_of(built["fp32"])
    assert backend.limits.context == 1024
    decoding = backend.decoding(capacity)
    sequence, places = decode(decoding, [ids_of(capacity - 12, 5)], 12)
    assert len(sequence) == capacity + 1
    forward = PlainModel(built["fp32"]).logits
    assert not behind_best(lambda ids: forward(ids[:capacity]), sequence, places).any()
    with pytest.raises(ValueError, match=str(capacity)):
        decoding.step(1)


def test_ids_that_nobody_chose_are_followed(tiny_folder):
    """What is appended decides, not what was returned."""
    forward = PlainModel(tiny_folder).logits
    decoding = backend_of(tiny_folder).decoding(64)
    ids = list(ids_of(20, 4))
    found = decoding.append(ids)
    for number, forced in enumerate(ids_of(15, 5)):
        assert found == forward(ids)[-1].argmax()
        ids.append(forced if number % 3 else found)
        found = decoding.step(ids[-1])
    assert found == forward(ids)[-1].argmax()


def test_model_type_that_refuses_to_rewind(built, monkeypatch):
    """What follows is then computed with all that came before."""
    monkeypatch.setattr(genai.Generator, "rewind_to", refuse)
    sequence, places = decode(backend_of(built["fp32"]).decoding(128), ROUNDS, STEPS)
    assert not behind_best(PlainModel(built["fp32"]).logits, sequence, places).any()


def test_steps_are_the_runtimes_own(tiny_folder, monkeypatch):
    """Neither are logits fetched in a step, nor anything appended or rewound."""
    ids = ids_of(20, 4)
    expected = naive(PlainModel(tiny_folder).logits, ids, 11)
    decoding = backend_of(tiny_folder).decoding(64)
    found = [*ids, decoding.append(ids)]
    for name in ("append_tokens", "get_logits", "get_output", "rewind_to"):
        monkeypatch.delattr(genai.Generator, name)
    for _ in range(10):
        found.append(decoding.step(found[-1]))
    assert tuple(found) == expected


def ends_at(folder: Path, ids, *numbers: int) -> tuple[int, ...]:
    """Make these of the 12 ids that follow `ids` end a text; `ids` and what follows them."""
    expected = naive(PlainModel(folder).logits, ids, 12)
    ends = sorted({expected[len(ids) + number] for number in numbers})
    rewrite(folder, lambda config: config["model"].update(eos_token_id=ends))
    return expected


@pytest.mark.parametrize("rewinds", [True, False])
def test_steps_behind_an_end_of_text_are_plain(own_package, monkeypatch, rewinds):
    """Nothing is rewound or fetched, and no id but that one computed: a step like all others."""
    ids = ids_of(20, 4)
    expected = ends_at(own_package, ids, 0, 3, 7)
    if not rewinds:
        monkeypatch.setattr(genai.Generator, "rewind_to", refuse)
    decoding = backend_of(own_package).decoding(64)
    found = [*ids, decoding.append(ids)]
    append, appended = genai.Generator.append_tokens, []

    def counted(self, new):
        appended.append(new.tolist())
        append(self, new)

    for name in ("get_logits", "get_output", "rewind_to"):
        monkeypatch.delattr(genai.Generator, name)
    monkeypatch.setattr(genai.Generator, "append_tokens", counted)
    monkeypatch.delattr(genai, "Generator")
    for _ in range(11):
        found.append(decoding.step(found[-1]))
    assert tuple(found) == expected
    answer = expected[len(ids) :]
    ends = {answer[number] for number in (0, 3, 7)}
    assert appended == [[id_] for id_ in answer[:-1] if id_ in ends]


def test_end_of_text_on_a_device_that_takes_nothing_behind_a_cache(own_package, monkeypatch):
    """DirectML's: what follows is computed with all that came before."""
    append, begun = genai.Generator.append_tokens, set()

    def first_alone(self, ids):
        if id(self) in begun:
            raise RuntimeError("Continuous decoding is not supported on the selected device type")
        begun.add(id(self))
        append(self, ids)

    def new(model, params):
        begun.clear()
        return generator(model, params)

    generator = genai.Generator
    monkeypatch.setattr(generator, "append_tokens", first_alone)
    monkeypatch.setattr(genai, "Generator", new)
    ids = ids_of(20, 4)
    expected = ends_at(own_package, ids, 0, 3, 7)
    assert decode(backend_of(own_package).decoding(64), [ids], 11)[0] == expected


class Counting:
    """A generator that counts an end-of-text id as its sequence's last, and chooses none behind it.

    CUDA's in 0.9 did.
    """

    def __init__(self, model, params):
        self.generator = ORIGINAL(model, params)
        self.over = False

    def generate_next_token(self):
        assert not self.over
        self.generator.generate_next_token()
        self.over = self.generator.is_done()
        if self.over:
            self.generator.append_tokens(self.generator.get_next_tokens())

    def is_done(self):
        return self.over

    def rewind_to(self, length):
        self.generator.rewind_to(length)
        self.over = False

    def __getattr__(self, name):
        return getattr(self.generator, name)


ORIGINAL = genai.Generator


def test_end_of_text_that_the_runtime_counts(own_package, monkeypatch):
    monkeypatch.setattr(genai, "Generator", Counting)
    ids = ids_of(20, 4)
    expected = ends_at(own_package, ids, 0, 3, 7)
    assert decode(backend_of(own_package).decoding(64), [ids], 11)[0] == expected


@pytest.mark.parametrize("ends", [False, True])
def test_last_place_of_a_context_is_a_plain_step(own_package, monkeypatch, ends):
    """No place is left for a choice, but the logits are there."""
    forward = PlainModel(own_package).logits
    ids = ids_of(1022, 5)
    expected = naive(forward, ids, 3)
    if ends:
        rewrite(own_package, lambda config: config["model"].update(eos_token_id=expected[-2]))
    decoding = backend_of(own_package).decoding(1024)
    found = [decoding.append(ids)]
    found.append(decoding.step(found[-1]))
    monkeypatch.delattr(genai.Generator, "rewind_to")
    found.append(decoding.step(found[-1]))
    assert tuple(found) == expected[-3:]


def test_second_sequence_knows_nothing_of_the_first(tiny_folder):
    backend = backend_of(tiny_folder)
    expected = naive(PlainModel(tiny_folder).logits, ids_of(12, 6), 9)
    for seed in (7, 8):
        other = backend.decoding(100)
        decode(other, [ids_of(70, seed)], 5)
        other.close()
        other.close()
        assert decode(backend.decoding(100), [ids_of(12, 6)], 8)[0] == expected
    backend.close()
    assert decode(backend.decoding(21), [ids_of(12, 6)], 8)[0] == expected


def test_fault_21_of_equally_likely_ids_the_lowest(tmp_path):
    folder = write_package(tmp_path, Tiny(logit_scale=0.0))
    sequence, places = decode(backend_of(folder).decoding(32), [ids_of(5, 1)], 3)
    assert [sequence[place] for place in places] == [0] * 4


def test_fault_20_logits_that_are_not_finite(tmp_path):
    folder = write_package(tmp_path, Tiny(poison="nan"))
    with pytest.raises(InvalidMeasurement, match="nan as the largest logit behind 20") as caught:
        backend_of(folder).decoding(64).append(ids_of(20, 1))
    assert caught.value.code == "logits-not-finite"


@pytest.mark.parametrize("behind", [24, 31], ids=["amid", "last"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["plain", "never_rewound", "bfloat16"])
def test_fault_20_logits_of_a_step_that_are_not_finite(
    own_package, monkeypatch, kind, value, behind
):
    """They leave nothing behind in the cache, so that no later step shows them."""
    edit(own_package, strange_behind(behind, value))
    if kind == "bfloat16":
        edit(own_package, widened_late)
    if kind == "never_rewound":
        monkeypatch.setattr(genai.Generator, "rewind_to", refuse)
    backend = backend_of(own_package)
    order = GenerateOrder((ids_of(20, 1),), 12, (), 40)
    for _ in range(2):
        with pytest.raises(
            InvalidMeasurement, match=f"{value} as the .*behind {behind} "
        ) as caught:
            carry_out(backend, order)
        assert caught.value.code == "logits-not-finite"
    shorter = GenerateOrder(order.rounds, behind - 20, (), 40)
    assert len(carry_out(backend, shorter).ids[0]) == behind - 20


@pytest.mark.parametrize("bfloat16", [False, True])
def test_answers_of_verified_steps(own_package, bfloat16):
    ids = ids_of(20, 4)
    expected = naive(PlainModel(own_package).logits, ids, 12)
    if bfloat16:
        edit(own_package, widened_late)
    (answer,) = carry_out(backend_of(own_package), GenerateOrder((ids,), 12, (), 32)).ids
    assert (*ids, *answer) == expected


@pytest.fixture
def shapes(monkeypatch) -> list[tuple[int, ...]]:
    """Shapes of all outputs that were read."""
    read, found = genai.Generator.get_output, []

    def get_output(self, name):
        output = read(self, name)
        found.append(output.shape)
        return output

    monkeypatch.setattr(genai.Generator, "get_output", get_output)
    return found


def test_nothing_comes_between_the_steps_of_a_sequence_that_comes_again(tiny_folder, shapes):
    """A warm-up looks at all logits, and what is timed behind it at none."""
    backend = backend_of(tiny_folder)
    order, other = (GenerateOrder((ids_of(20, seed),), 12, (), 32) for seed in (4, 5))
    answers = carry_out(backend, order).ids
    assert shapes[1:] == [(1, 1, 268)] * 11  # behind the trial's
    assert carry_out(backend, order).ids == answers
    assert len(shapes) == 12
    carry_out(backend, other)
    assert len(shapes) == 23


def test_logits_are_looked_at_once(tiny_folder, shapes):
    """Those behind a whole prompt may be larger than the model."""
    decoding = backend_of(tiny_folder).decoding(64)
    shapes.clear()
    following = decoding.append(ids_of(20, 4))
    decoding.verify()
    following = decoding.step(following)
    decoding.verify()
    decoding.step((following + 1) % 268)  # looked at as it is appended
    decoding.verify()
    assert shapes == [(1, 1, 268)]


def test_run_that_fails_is_named(tiny_folder):
    with pytest.raises(InvalidMeasurement, match="999999") as caught:
        backend_of(tiny_folder).decoding(8).append((1, 999_999))
    assert caught.value.code == "run-failed"


def test_scoring_and_decoding_take_each_others_place(built, monkeypatch):
    """Weights are in memory once, and threads stay awake only between the steps of a sequence."""
    spinning = []

    def load(package, **options):
        spinning.append(options["spins"])
        return load_model(package, **options)

    monkeypatch.setattr("quantgate.backends.ortgenai.load_model", load)
    backend = backend_of(built["fp32"])
    (batch,) = make_plan([WINDOW], backend.limits).batches()

    def scored():
        return np.concatenate([block.logits for block in backend.score(batch)])

    before = scored()
    answers = decode(backend.decoding(128), ROUNDS, STEPS)
    assert "_scorer" not in vars(backend)
    assert np.array_equal(scored(), before)
    assert "_decoder" not in vars(backend)
    assert decode(backend.decoding(128), ROUNDS, STEPS) == answers
    assert spinning == [False, True, False, True]


def test_threads_stay_awake_only_where_asked(own_package):
    package = open_package(own_package)
    stop = "session.force_spinning_stop"
    asleep, awake = (
        overlay(package, 2, spins=spins)["model"]["decoder"]["session_options"]
        for spins in (False, True)
    )
    assert asleep.pop(stop) == "1"
    assert asleep == awake
