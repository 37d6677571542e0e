"""Shares of the machine's ceilings: work counted by hand, time from the product's own runs."""

import numpy as np
import pytest

from benchmarks import ceilings
from benchmarks.achieved import (
    Decoded,
    Scored,
    measure_decoding,
    measure_scoring,
    projection_bytes,
)
from benchmarks.ceilings import best_rates, page_content
from benchmarks.random_work import LETTERS, QUESTION_TOKENS, SHOTS_TOKENS, questions, windows
from quantgate.packages.package import open_package
from tests.tiny_models import HEAD_SIZE, HEADS, HIDDEN, KV_HEADS, LAYERS, Tiny, write_package

# Of one layer, from the graph that `tiny_models` writes: q and o, k and v, gate, up and down.
LAYER_WEIGHTS = (
    2 * HIDDEN * HEADS * HEAD_SIZE + 2 * HIDDEN * KV_HEADS * HEAD_SIZE + 3 * HIDDEN * 2 * HIDDEN
)
VOCABULARY = 268


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return open_package(write_package(tmp_path_factory.mktemp("tiny"), Tiny(context=1024)))


def test_questions_share_their_shots_and_windows_share_nothing():
    requests = questions(7, VOCABULARY)
    contexts = list(dict.fromkeys(request.context for request in requests))
    assert (len(requests), len(contexts)) == (7 * LETTERS, 7)
    assert len({context[:SHOTS_TOKENS] for context in contexts}) == 1
    lengths = [len(context) - SHOTS_TOKENS for context in contexts]
    assert all(QUESTION_TOKENS[0] <= length <= QUESTION_TOKENS[1] for length in lengths)
    letters = {request.continuation for request in requests}
    assert len(letters) == LETTERS
    assert all(len(letter) == 1 for letter in letters)
    first, second = windows(2, VOCABULARY, size=50)
    assert first.ids[:3] != second.ids[:3]
    assert first.targets == first.ids[1:]
    assert max(first.ids) < VOCABULARY
    assert questions(7, VOCABULARY) == requests


def test_useful_work_of_a_window_is_the_textbooks(package):
    count = 60
    scored = measure_scoring(package, windows(1, VOCABULARY, size=count), 1, 1)
    pairs = count * (count + 1) / 2
    attention = LAYERS * pairs * HEADS * HEAD_SIZE * 2
    assert scored.tokens == count
    assert scored.body_flops == 2 * (count * LAYERS * LAYER_WEIGHTS + attention)
    assert scored.head_flops == 2 * (count - 1) * HIDDEN * VOCABULARY
    assert 0 < scored.body_seconds < scored.seconds
    assert 0 < scored.head_seconds < scored.seconds - scored.body_seconds
    assert 0 < scored.outside < 1


def test_the_round_of_median_time_is_told(package, monkeypatch):
    from benchmarks import achieved

    asked = []
    monkeypatch.setattr(achieved, "ask", lambda *facts: asked.append(facts))
    scored = measure_scoring(package, windows(1, VOCABULARY, size=10), 1, 3)
    assert len(asked) == 4
    assert scored.body_seconds == scored.head_seconds == 0


def test_every_round_computes_all_tokens_that_are_told(package, monkeypatch):
    from onnxruntime import InferenceSession, IOBinding

    from benchmarks import achieved

    fed: list[int] = []
    run, bind, ask = (
        InferenceSession.run_with_ort_values,
        IOBinding.bind_ortvalue_input,
        achieved.ask,
    )

    def counted(session, outputs, feed, *rest):
        fed[-1] += feed["input_ids"].numpy().size
        return run(session, outputs, feed, *rest)

    def bound(binding, name, value):
        if name == "input_ids":  # bound once a run
            fed[-1] += value.numpy().size
        bind(binding, name, value)

    def begun(*facts):
        fed.append(0)
        return ask(*facts)

    monkeypatch.setattr(InferenceSession, "run_with_ort_values", counted)
    monkeypatch.setattr(IOBinding, "bind_ortvalue_input", bound)
    monkeypatch.setattr(achieved, "warm_up", lambda session: None)
    monkeypatch.setattr(achieved, "forget", _uncounted(fed, achieved.forget))
    monkeypatch.setattr(achieved, "ask", begun)
    scored = measure_scoring(package, questions(7, VOCABULARY), 1, 2)
    assert fed == [scored.tokens] * 3


def _uncounted(fed, function):
    def called(session):
        fed.append(0)
        function(session)
        fed.pop()

    return called


@pytest.mark.parametrize("head", ["matmul", "tied", "nbits"])
def test_bytes_of_weights_that_a_token_reads(tmp_path, head):
    package = open_package(write_package(tmp_path, Tiny(head=head)))
    layers = LAYERS * LAYER_WEIGHTS * 4
    in_head = {
        "matmul": HIDDEN * VOCABULARY * 4,
        "tied": HIDDEN * VOCABULARY * 4,
        "nbits": VOCABULARY * (HIDDEN // 2 + HIDDEN // 32 * 4),
    }
    assert projection_bytes(package) == layers + in_head[head]


def test_decoding_tells_tokens_and_bytes(package):
    decoded = measure_decoding(package, 5, 1, 1)
    assert decoded.tokens_per_s > 0
    assert decoded.weight_bytes == projection_bytes(package)
    assert Decoded(500_000_000, 20.0).gb_per_s == pytest.approx(10.0)


def test_the_best_of_all_measurements_counts():
    assert best_rates([{"a": 1.0, "peak": 1.0}, {"a": 3.0, "b": 2.0, "peak": 3.0}]) == {
        "a": 3.0,
        "b": 2.0,
        "peak": 3.0,
    }


def test_page_tells_shares_and_targets():
    scored = Scored(
        tokens=1000, body_flops=60e9, head_flops=20e9, body_seconds=1.0, head_seconds=0.5, seconds=2
    )
    gflops = {"onnxruntime 1x2x3": 90.0, "numpy": 100.0, "peak": 100.0}
    gb = {"triad": 8.0, "sum": 10.0, "peak": 10.0}
    content = page_content(
        gflops,
        gb,
        {("3m", "2 windows"): scored, ("135m", "2 windows"): scored},
        {("3m", "int4"): Decoded(100_000_000, 40.0)},
    )
    best, scoring, decoding = (table["rows"] for table in content["tables"])
    assert [(row["best"], row["measured by"]) for row in best] == [(100.0, "numpy"), (10.0, "sum")]
    assert scoring[0]["body of ceiling"] == pytest.approx(0.6)
    assert scoring[0]["whole of ceiling"] == pytest.approx(0.4)
    assert scoring[0]["outside the runtime"] == pytest.approx(0.25)
    assert decoding[0]["of ceiling"] == pytest.approx(0.4)
    (target,) = content["targets"]
    assert "135m" in target["what"]
    assert (target["ratio"], target["wanted"], target["reached"]) == (pytest.approx(0.6), 0.6, True)


def test_command_measures_what_it_is_asked_to(package, tmp_path, monkeypatch, capsys):
    import json
    import sys

    packages = {"3m": {"fp32": package, "int4": package}}
    monkeypatch.setattr(ceilings, "packages_by_size", lambda options, precisions: packages)
    monkeypatch.setattr(ceilings, "measure_peak", lambda each, threads: {"x": 50.0, "peak": 50.0})
    monkeypatch.setattr(ceilings, "measure_bandwidth", lambda threads: {"y": 9.0, "peak": 9.0})
    words = "ceilings --size 3m --questions 3 --windows 1 --new 4 --rounds 1 --threads 1 --json"
    monkeypatch.setattr(sys, "argv", [*words.split(), str(tmp_path / "found.json")])
    ceilings.main()
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert [each["work"] for each in found["results"]["scoring"]] == ["3 questions", "1 windows"]
    assert [each["precision"] for each in found["results"]["decoding"]] == ["fp32", "int4"]
    assert found["options"]["sizes"] == ["3m"]
    assert found["page"]["targets"] == []
    assert "Decoding against the memory" in capsys.readouterr().out
    assert np.isfinite([each["seconds"] for each in found["results"]["scoring"]]).all()
