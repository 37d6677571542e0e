"""On real questions and real text, the shared work of a run changes no figure.

Takes the data from the environment, because none of it is carried along:

    QUANTGATE_MMLU_DIR=... QUANTGATE_TEXT_FILE=... pytest -m slow tests/test_exactness.py -s

QUANTGATE_TEST_CACHE may name a folder that keeps the built packages. The largest differences are
printed.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from quantgate.cases import BuildRecipe, Package
from quantgate.corpus.mmlu import read_mmlu
from quantgate.corpus.text import read_text
from quantgate.packages.build import package_folder, prepare
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluOptions
from quantgate.tasks.text import TextOptions, TextTask
from quantgate.tasks.text_scores import divergence_scores, perplexity_score
from tests.running import case_of, evaluator_in
from tests.straightforward import (
    PlainModel,
    chunked_nll,
    compare,
    letter_loglikelihoods,
    mmlu_prompt,
    perplexity,
    read_rows,
    strided_nll,
)

pytestmark = pytest.mark.slow

SUBJECTS = (
    "abstract_algebra",
    "anatomy",
    "econometrics",
    "formal_logic",
    "high_school_european_history",
    "marketing",
    "moral_scenarios",
    "professional_law",
    "virology",
    "world_religions",
)
QUESTIONS_EACH = 30
TOKENS = 20_000
WINDOW, STRIDE = 1024, 512
# int8 activations turn the last bit of a float into a step, so that two batchings of a quantized
# model agree to its noise only: nats of a letter, and relative on a mean over 20,000 tokens.
LETTER_BOUND = {"fp32": 1e-4, "int8": 0.25, "int4": 0.25}
TEXT_BOUND = {"int8": 5e-2, "int4": 5e-2}


def from_environment(name: str) -> Path:
    if not (value := os.environ.get(name)):
        pytest.skip(f"{name} is not set")
    return Path(value).absolute()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory) -> dict[str, Path]:
    """The packages of the model that quantgate carries, by precision."""
    kept = os.environ.get("QUANTGATE_TEST_CACHE")
    cache = Path(kept) if kept else tmp_path_factory.mktemp("embedded")
    packages = {name: Package(recipe=BuildRecipe(None, name)) for name in ("fp32", "int8", "int4")}
    prepare(packages.values(), cache)
    return {name: package_folder(package, cache) for name, package in packages.items()}


@pytest.fixture(scope="session")
def questions() -> tuple[Path, tuple[str, ...]]:
    """A folder of questions, and ten subjects that it has."""
    folder = from_environment("QUANTGATE_MMLU_DIR")
    there = [s for s in SUBJECTS if (folder / "test" / f"{s}_test.csv").is_file()]
    if len(there) < len(SUBJECTS):
        files = sorted((folder / "test").glob("*_test.csv"))
        there += [s for p in files if (s := p.stem.removesuffix("_test")) not in there]
    return folder, tuple(sorted(there[: len(SUBJECTS)]))


@pytest.mark.parametrize("precision", LETTER_BOUND)
def test_letters_of_real_questions_equal_full_forwards(questions, embedded, precision, tmp_path):
    folder, subjects = questions
    corpus = read_mmlu(str(folder), base=folder, subjects=subjects, limit=QUESTIONS_EACH)
    options = MmluOptions("hendrycks", 5, "loglikelihood", "exclude")
    run = evaluator_in(tmp_path).run(case_of(embedded[precision]), MmluTask(corpus, options))
    asked = [(item.question.subject, item.question.row) for item in run.items.items]
    tokenizer = Tokenizer.from_file(str(embedded[precision] / "tokenizer.json"))
    model = PlainModel(embedded[precision])
    expected = np.array(
        [
            letter_loglikelihoods(model, tokenizer, mmlu_prompt(subject, dev[:5], rows[row]))
            for subject, row in asked
            for dev in [read_rows(folder, "dev", subject)]
            for rows in [read_rows(folder, "test", subject)]
        ]
    )
    found = run.samples.loglikelihoods
    worst = float(np.abs(found - expected).max())
    changed = int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
    print(
        f"\n{precision}: {len(asked)} questions of {len(subjects)} subjects, "
        f"{len(run.items.excluded)} too long, largest difference {worst:.3g} nats, "
        f"{changed} answers changed"
    )
    assert len(asked) >= 100
    assert worst < LETTER_BOUND[precision]


@pytest.fixture(scope="session")
def text() -> Path:
    return from_environment("QUANTGATE_TEXT_FILE")


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_figures_of_real_text_equal_those_of_full_logits(text, embedded, precision, tmp_path):
    corpus = read_text(str(text), base=text.parent)
    options = TextOptions(WINDOW, STRIDE, WINDOW, TOKENS)
    evaluator, task = evaluator_in(tmp_path), TextTask(corpus, options)
    reference = case_of(embedded["fp32"])
    cases = {"fp32": reference, precision: case_of(embedded[precision], "q", reference=reference)}
    runs = {name: evaluator.run(case, task) for name, case in cases.items()}
    plain = {name: PlainModel(embedded[name]) for name in cases}
    ids = runs["fp32"].items.ids.tolist()
    assert len(ids) == TOKENS
    print()
    for name, run in runs.items():
        for protocol, naive in (("strided", strided_nll), ("genai_chunked", chunked_nll)):
            found = perplexity_score(run.samples, run.items, protocol, None).value
            expected = perplexity(naive(plain[name], ids, WINDOW, STRIDE))
            relative = abs(found / expected - 1)
            print(f"{name} perplexity {protocol} {found:.6f}, relative difference {relative:.3g}")
            assert relative < (1e-6 if name == "fp32" else 1e-3)
    ours = runs[precision]
    assert ours.samples.divergence is not None
    scores = divergence_scores(
        ours.samples, ours.samples.divergence, ours.items, runs["fp32"].samples
    )
    expected = compare(plain["fp32"], plain[precision], ids, WINDOW)
    for score in scores:
        difference = abs(score.value - expected[score.metric])
        print(f"{precision} {score.metric} {score.value:.6g}, difference {difference:.3g}")
    for metric in ("kl_mean", "abs_log_ratio"):
        found = next(score.value for score in scores if score.metric == metric)
        assert found == pytest.approx(expected[metric], rel=TEXT_BOUND[precision]), metric


def test_divergence_of_real_text_is_exact_in_float32(text, embedded, tmp_path):
    """Against a float32 candidate, no rounding of activations hides behind a wide bound."""
    import onnx
    from onnx import numpy_helper

    from tests.damage import _load, _save

    model, path = _load(embedded["fp32"])
    for tensor in model.graph.initializer:
        if "mlp" in tensor.name and len(tensor.dims) == 2:
            weights = numpy_helper.to_array(tensor)
            noise = np.random.default_rng(0).normal(0, 0.02 * weights.std(), weights.shape)
            changed = (weights + noise).astype(weights.dtype)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    assert isinstance(model, onnx.ModelProto)
    _save(model, embedded["fp32"], tmp_path / "noisy", path.name)
    task = TextTask(
        read_text(str(text), base=text.parent), TextOptions(WINDOW, STRIDE, WINDOW, TOKENS)
    )
    evaluator, reference = evaluator_in(tmp_path / "cache"), case_of(embedded["fp32"])
    run = evaluator.run(case_of(tmp_path / "noisy", "q", reference=reference), task)
    before = evaluator.run(reference, task)
    scores = divergence_scores(run.samples, run.samples.divergence, run.items, before.samples)
    plain = PlainModel(embedded["fp32"]), PlainModel(tmp_path / "noisy")
    expected = compare(*plain, run.items.ids.tolist(), WINDOW)
    print()
    for score in scores:
        relative = abs(score.value / expected[score.metric] - 1)
        print(f"fp32 {score.metric} {score.value:.6g}, relative difference {relative:.3g}")
    for metric in ("kl_mean", "abs_log_ratio", "log_perplexity_ratio", "top1_agreement"):
        found = next(score.value for score in scores if score.metric == metric)
        assert found == pytest.approx(expected[metric], rel=1e-6), metric
