"""The sides of whole MMLU in this process: answers, counts of tokens, and where their time goes."""

import json
import sys
import time
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from tokenizers import Tokenizer

from benchmarks import matmul_peak
from benchmarks.peers import breakdown, full_forward_side, mmlu_side, ours_side
from benchmarks.peers.breakdown import timed_calls
from benchmarks.peers.record import read_digest
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood
from tests.running import backend_of
from tests.straightforward import PlainModel, harness_prompt, read_rows
from tests.tiny_corpora import SUBJECTS
from tests.tiny_models import HEAD_SIZE, HEADS, HIDDEN, LAYERS

SHARE = 3


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a side's command line here and returns its record."""
    monkeypatch.setattr(matmul_peak, "SECONDS_EACH", 0.01)

    def side(module, *arguments) -> dict:
        path = tmp_path / "record.json"
        monkeypatch.setattr(sys, "argv", ["side", *map(str, arguments), "--json", str(path)])
        module.main()
        return json.loads(path.read_text("utf-8"))

    return side


@pytest.fixture(scope="module")
def expected(tiny_folder, mmlu_folder):
    """By subject the prompts' ids, log-likelihoods and right letters, the plain way."""
    tokenizer = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    model = PlainModel(tiny_folder)
    letters = [tokenizer.encode(f" {letter}").ids[-1] for letter in "ABCD"]
    found = {}
    for subject in SUBJECTS:
        shots = read_rows(mmlu_folder, "dev", subject)
        rows = read_rows(mmlu_folder, "test", subject)
        prompts = [tokenizer.encode(harness_prompt(subject, shots, row)).ids for row in rows]
        found[subject] = (
            prompts,
            np.array([model.logprobs(ids)[-1][letters] for ids in prompts]),
            [row[-1] for row in rows],
        )
    return found


def check(record, expected, step: int) -> None:
    """A record against the plain figures of every `step`-th question."""
    assert set(record["subjects"]) == set(SUBJECTS)
    for subject, found in record["subjects"].items():
        prompts, values, gold = (each[::step] for each in expected[subject])
        assert found["prompt_tokens"] == [len(ids) for ids in prompts]
        assert len(set(found["read"])) == len(prompts)
        assert found["gold"] == gold
        np.testing.assert_allclose(found["loglikelihoods"], values, rtol=0, atol=1e-4)
        chosen = ["ABCD"[number] for number in values.argmax(axis=1)]
        assert found["chosen"] == chosen
        assert found["accuracy"] == np.mean([a == b for a, b in zip(chosen, gold, strict=True)])
    assert record["count"] == sum(len(values[::step]) for _, values, _ in expected.values())


def test_full_forwards_answer_the_fixed_part(run, tiny_folder, mmlu_folder, expected):
    record = run(
        full_forward_side, "--model", tiny_folder, "--data", mmlu_folder, "--subjects", *SUBJECTS,
        "--share", SHARE,
    )  # fmt: skip
    check(record, expected, SHARE)
    assert record["side"] == "full-forward-ort"
    assert record["seconds"] > 0


def test_our_side_answers_all_and_tells_where_its_time_went(
    run, tiny_folder, mmlu_folder, expected
):
    before = onnxruntime.InferenceSession.run
    record = run(
        ours_side, "mmlu", "--backend", "ort", "--model", tiny_folder, "--data", mmlu_folder,
        "--subjects", *SUBJECTS, "--package", tiny_folder,
    )  # fmt: skip
    check(record, expected, 1)
    runtime = record["runtime_seconds"]
    assert set(runtime) == {"body", "head"}
    assert min(runtime.values()) > 0
    assert record["planning_seconds"] > 0
    assert record["planning_seconds"] + sum(runtime.values()) < record["seconds"]
    lengths = [len(ids) for prompts, *_ in expected.values() for ids in prompts]
    assert record["tokens_requested"] == sum(lengths)
    assert max(lengths) < record["tokens_computed"] < sum(lengths)
    rates = record["gflops_measured"]
    assert rates["peak"] == max(rates.values()) > 0
    assert min(record["useful_flops"].values()) > 0
    assert onnxruntime.InferenceSession.run is before


@pytest.mark.parametrize("backend", ["ortgenai", "torch"])
def test_other_backends_tell_the_time_inside_their_runtime(
    run, tiny_folder, hugging_face_folder, mmlu_folder, backend
):
    model = hugging_face_folder if backend == "torch" else tiny_folder
    record = run(
        ours_side, "mmlu", "--backend", backend, "--model", model, "--data", mmlu_folder,
        "--subjects", SUBJECTS[0],
    )  # fmt: skip
    (seconds,) = record["runtime_seconds"].values()
    assert 0.1 * record["seconds"] < seconds < record["seconds"]
    assert "useful_flops" not in record


class Runtime:
    """Stands for a runtime, whose calls take at least a known time."""

    def __init__(self) -> None:
        time.sleep(0.02)
        self.name = "runtime"

    def run(self, result: int) -> int:
        time.sleep(0.03)
        return result


def test_only_calls_of_the_runtime_are_timed(monkeypatch):
    module = SimpleNamespace(Runtime=Runtime)
    calls = [breakdown._Call("model", module, "Runtime", makes=True)]
    monkeypatch.setitem(breakdown._CALLS, "planted", lambda: calls)
    with timed_calls("planted") as meters:
        runtime = module.Runtime()
        assert [runtime.run(number) for number in range(3)] == [0, 1, 2]
        assert runtime.name == "runtime"
        time.sleep(0.2)
    assert 0.11 <= meters["model"].seconds < 0.2
    module.Runtime().run(0)
    assert meters["model"].seconds < 0.2
    assert module.Runtime is Runtime


def projections(folder) -> tuple[int, int]:
    """Multiply-adds of a token in the body's matrices, and in the head's, from the file itself."""
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    products = [
        (shapes[node.input[1]], "logits" in node.output)
        for node in graph.node
        if node.op_type == "MatMul"
    ]
    body = sum(inner * outer for (inner, outer), is_head in products if not is_head)
    (head,) = (inner * outer for (inner, outer), is_head in products if is_head)
    return body, head


def test_useful_work_is_what_the_distinct_tokens_need(tiny_folder):
    package, backend = open_package(tiny_folder), backend_of(tiny_folder)
    stem = tuple(range(10, 210))
    tails = [(1, 2, 3), (1, 2, 4), (5, 6, 7)]
    plan = make_plan([Loglikelihood(stem + tail, (9,)) for tail in tails], backend.limits)
    # Tokens by what they come behind: the stem, then 1 2, 3 and 4, then 5 6 7.
    depths = [*range(200), 200, 201, 202, 202, 200, 201, 202]
    assert plan.computed == len(depths)
    body, head = projections(tiny_folder)
    pairs = sum(depth + 1 for depth in depths)
    attention = 2 * LAYERS * HEADS * HEAD_SIZE * pairs
    work = matmul_peak.useful_work(plan, package)
    assert work.body == 2 * (body * len(depths) + attention)
    assert work.head == 2 * head * len(tails)
    assert matmul_peak.useful_flops(plan, package) == work.body + work.head
    assert head == HIDDEN * package.config.vocab_size


def test_what_is_read_is_known_by_its_ids_alone():
    class Reads:
        """A model of lm-eval whose tokenizer reads a line end before a digit as the digit's."""

        def __init__(self, splits: bool) -> None:
            self.splits = splits

        def _encode_pair(self, context: str, letter: str) -> tuple[list[int], list[int]]:
            split = context.replace("\n3", "3\n") if self.splits else context
            return [ord(each) for each in split], [ord(letter[-1])]

    told = [("Answer: A\n3", f" {letter}") for letter in "ABCD"]
    plain = [("Answer: A\nB", f" {letter}") for letter in "ABCD"]
    one, other = Reads(splits=False), Reads(splits=True)
    assert mmlu_side._read(one, plain) == mmlu_side._read(other, plain)
    assert mmlu_side._read(one, told) != mmlu_side._read(other, told)
    ids = [ord(each) for each in "Answer: A\n3"]
    assert mmlu_side._read(one, told) == read_digest((*ids, ord(each)) for each in "ABCD")
