"""The noise of a figure: how far repetitions in other ways move it."""

from collections import Counter
from dataclasses import replace

import pytest

from quantgate.corpora import Corpora
from quantgate.manifest.manifest import Manifest, load_manifest
from quantgate.measure import Measurer, with_noise
from quantgate.results import Comparability, Direction, Measurement, Score
from tests.running import evaluator_in

SAME = Comparability(protocol="p", items=1, ids_digest="a", corpus="b", tokenizer="c", plan="d")
MANIFEST = """\
schema_version = 1
[data]
mmlu = "{mmlu}"
text = "{text}"
[tasks.mmlu]
shots = 5
[tasks.perplexity]
window = 128
stride = 64
[tasks.kl_divergence]
window = 96
[tasks.agreement]
backends = ["ort", "ortgenai"]
questions = 8
tokens = 64
[[models]]
name = "tiny"
[[models.variants]]
name = "fp32"
precision = "fp32"
path = "{package}"
"""


def measure(**figures: float) -> Measurement:
    scores = tuple(
        Score(metric=metric, value=value, n=1, unit="nats", direction=Direction.LOWER)
        for metric, value in figures.items()
    )
    return Measurement(case_id="c", task="t", scores=scores, comparability=SAME, identity={})


def test_fault_62_noise_is_the_largest_change_of_each_figure():
    again = [measure(a=1.25, b=10.0), measure(a=0.5, b=10.0), measure(a=1.0, b=10.0)]
    found = with_noise(measure(a=1.0, b=10.0), again)
    assert [(s.metric, s.value, s.noise) for s in found.scores] == [
        ("a", 1.0, 0.5),
        ("b", 10.0, 0.0),
    ]


def test_without_repetitions_there_is_no_noise():
    first = measure(a=1.0)
    assert with_noise(first, []) is first
    assert first.scores[0].noise is None


@pytest.fixture
def manifest(tmp_path, mmlu_folder, text_file, tiny_folder) -> Manifest:
    file = tmp_path / "quantgate.toml"
    file.write_text(MANIFEST.format(mmlu=mmlu_folder, text=text_file, package=tiny_folder), "utf-8")
    return load_manifest(file)


def measurer(manifest: Manifest, cache, repeats: int) -> tuple[Measurer, Counter]:
    """A measurer that counts the repetitions it asks for."""
    evaluator = evaluator_in(cache)
    asked: Counter = Counter()
    run = evaluator.run

    def counted(case, task):
        asked[task.name, case.repeat] += 1
        return run(case, task)

    evaluator.run = counted
    return Measurer(manifest, Corpora(manifest), evaluator, repeats), asked


def test_fault_62_repetitions_give_every_figure_its_noise(manifest, tmp_path):
    (case,) = manifest.cases()
    plain = measurer(manifest, tmp_path / "plain", 0)[0].measure(case, "perplexity.strided")
    repeated, asked = measurer(manifest, tmp_path / "cache", 2)
    found = repeated.measure(case, "perplexity.strided")
    assert plain.scores[0].noise is None
    assert found.scores[0].value == plain.scores[0].value
    assert 0 <= found.scores[0].noise < 1e-3 * plain.scores[0].value
    assert {repeat for _, repeat in asked} == {0, 1, 2}
    accuracy = repeated.measure(case, "mmlu")
    assert all(score.noise is not None for score in accuracy.scores)


def test_fault_62_noise_is_what_the_repetitions_differ_by(manifest, tmp_path):
    """Each repetition by itself, measured as a first one would be."""
    (case,) = manifest.cases()
    each = [
        measurer(manifest, tmp_path / str(number), 0)[0]
        .measure(replace(case, repeat=number), "perplexity.strided")
        .scores[0]
        .value
        for number in range(4)
    ]
    found = measurer(manifest, tmp_path / "all", 3)[0].measure(case, "perplexity.strided")
    assert found.scores[0].noise == max(abs(value - each[0]) for value in each[1:])


def test_measuring_twice_asks_once(manifest, tmp_path):
    (case,) = manifest.cases()
    repeated, asked = measurer(manifest, tmp_path, 1)
    first = repeated.measure(case, "mmlu")
    before = asked.total()
    assert repeated.measure(case, "mmlu") is first
    assert asked.total() == before


def test_fault_62_agreement_keeps_the_noise_that_it_measures_itself(manifest, tmp_path):
    """Whatever number of repetitions is asked for: sharing against none is its repetition."""
    (case,) = manifest.cases()
    noise = [
        measurer(manifest, tmp_path / str(repeats), repeats)[0]
        .measure(case, "agreement")
        .score("max_difference")
        .noise
        for repeats in (0, 1)
    ]
    assert noise[0] is not None
    assert noise[0] > 0
    assert noise[1] == noise[0]
