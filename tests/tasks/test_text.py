"""Perplexity and divergence of a text, against full logits kept for every position."""

import math
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from quantgate import stats
from quantgate.corpora import Corpora
from quantgate.errors import InvalidMeasurement
from quantgate.manifest.manifest import load_manifest
from quantgate.measure import Measurer
from quantgate.results import Measurement
from quantgate.suites import KL_DIVERGENCE
from quantgate.tasks.text_pass import TextItems, TextSamples
from quantgate.tasks.windows import make_windows
from tests.running import case_of, evaluator_in, text_task
from tests.straightforward import (
    PlainModel,
    chunked_nll,
    compare,
    disjoint_nll,
    perplexity,
    strided_nll,
)
from tests.tiny_corpora import write_text
from tests.tiny_models import Tiny, byte_tokenizer, write_package

WINDOW, STRIDE, KL_WINDOW = 256, 128, 200
MANIFEST = f"""\
schema_version = 1
[data]
text = "text.txt"
[tasks.perplexity]
protocols = ["strided", "genai_chunked", "disjoint"]
window = {WINDOW}
stride = {STRIDE}
[tasks.kl_divergence]
window = {KL_WINDOW}
"""


def manifest_of(folder: Path, reference: Path, candidate: Path) -> Path:
    lines = ["[[models]]", 'name = "tiny"', "[models.reference]", 'name = "fp32"']
    lines += ['precision = "fp32"', f'path = "{reference.as_posix()}"', "[[models.variants]]"]
    lines += ['name = "int4"', 'precision = "int4"', f'path = "{candidate.as_posix()}"']
    path = folder / "quantgate.toml"
    path.write_text(MANIFEST + "\n".join(lines) + "\n", "utf-8")
    return path


def ids_of(package: Path, text: Path) -> list[int]:
    paragraphs = text.read_text("utf-8").splitlines()
    tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
    return tokenizer.encode("\n\n".join(paragraphs)).ids


class Measured:
    """A reference and a candidate by quantgate, and the same two by full logits."""

    def __init__(self, folder: Path, reference: Path, candidate: Path) -> None:
        text = write_text(folder / "text.txt", words=560)
        manifest = load_manifest(manifest_of(folder, reference, candidate))
        self.cases = manifest.cases()
        self.measurer = Measurer(manifest, Corpora(manifest), evaluator_in(folder / "cache"))
        self.ids = ids_of(reference, text)
        self.plain = PlainModel(reference), PlainModel(candidate)
        self.divergence = compare(*self.plain, self.ids, KL_WINDOW)

    def measure(self, case: int, task: str) -> Measurement:
        return self.measurer.measure(self.cases[case], task)


@pytest.fixture(scope="module")
def measured(tiny_folder, other_folder, tmp_path_factory) -> Measured:
    return Measured(tmp_path_factory.mktemp("measured"), tiny_folder, other_folder)


@pytest.mark.parametrize("case", [0, 1], ids=["reference", "candidate"])
@pytest.mark.parametrize("protocol", ["strided", "genai_chunked", "disjoint"])
def test_perplexity_equals_that_of_full_logits(measured, case, protocol):
    found = measured.measure(case, f"perplexity.{protocol}")
    score = found.score("perplexity")
    nll = nll_by(protocol, measured.plain[case], measured.ids)
    assert len(measured.ids) > 2000
    assert score.n == len(nll) == found.comparability.items
    assert score.value == pytest.approx(perplexity(nll), rel=1e-6)
    shares = found.detail["windows"]
    assert sum(share["n"] for share in shares) == len(nll)
    assert sum(share["nll_nats"] for share in shares) == pytest.approx(nll.sum(), rel=1e-6)


def test_protocols_are_told_with_their_parameters(measured):
    told = {
        name: measured.measure(0, f"perplexity.{name}").comparability.protocol
        for name in ("strided", "genai_chunked", "disjoint")
    }
    assert told == {
        "strided": f"strided {WINDOW}/{STRIDE}",
        "genai_chunked": f"genai_chunked {WINDOW}/{STRIDE}",
        "disjoint": f"disjoint {WINDOW}",
    }


def test_disjoint_windows_are_listed_with_their_spans(measured):
    shares = measured.measure(1, "perplexity.disjoint").detail["windows"]
    count = len(measured.ids)
    spans = [(begin, min(begin + WINDOW, count)) for begin in range(0, count, WINDOW)]
    assert [(share["begin"], share["end"]) for share in shares] == spans
    nll = disjoint_nll(measured.plain[1], measured.ids, WINDOW)
    assert shares[0]["nll_nats"] == pytest.approx(nll[: WINDOW - 1].sum(), rel=1e-6)


def test_one_pass_answers_all_protocols(measured):
    """A protocol costs nothing where another one reads its windows already."""
    plans = {
        measured.measure(1, task).comparability.plan
        for task in ("perplexity.strided", "perplexity.disjoint", KL_DIVERGENCE)
    }
    assert len(plans) == 1
    shared = text_items(measured, kl_window=WINDOW).requests
    assert len(shared) == len(text_items(measured, ("strided",), kl_window=WINDOW).requests)


def test_default_protocols_ask_for_no_other_windows(measured):
    asked = text_items(measured, ("strided", "genai_chunked")).requests
    assert asked == text_items(measured, ("strided",)).requests
    assert len(text_items(measured, ()).requests) == math.ceil(len(measured.ids) / KL_WINDOW)


def text_items(measured: Measured, protocols=("strided", "disjoint"), kl_window=KL_WINDOW):
    windows = make_windows(
        len(measured.ids), window=WINDOW, stride=STRIDE, kl_window=kl_window, protocols=protocols
    )
    return TextItems(np.array(measured.ids), windows)


def nll_by(protocol: str, model: PlainModel, ids: list[int]) -> np.ndarray:
    if protocol == "disjoint":
        return disjoint_nll(model, ids, WINDOW)
    return (strided_nll if protocol == "strided" else chunked_nll)(model, ids, WINDOW, STRIDE)


def test_paired_delta_is_the_log_ratio_of_the_perplexities(measured):
    values = [measured.measure(case, "perplexity.strided").score("perplexity") for case in (0, 1)]
    expected = math.log(values[1].value / values[0].value)
    assert values[1].paired_delta == pytest.approx(expected, abs=1e-12)
    assert values[1].paired_unit == "nats/token"
    assert values[0].paired_delta is None


@pytest.mark.parametrize(
    "metric",
    [
        "kl_mean",
        "kl_median",
        "kl_p90",
        "kl_p95",
        "kl_p99",
        "kl_p99_9",
        "kl_max",
        "abs_log_ratio",
        "rms_delta_p",
        "log_perplexity_ratio",
        "top1_agreement",
    ],
)
def test_divergence_equals_that_of_full_logits(measured, metric):
    score = measured.measure(1, KL_DIVERGENCE).score(metric)
    expected = measured.divergence[metric]
    assert expected != 0
    assert score.value == pytest.approx(expected, rel=1e-6)


def test_divergence_counts_every_position(measured):
    found = measured.measure(1, KL_DIVERGENCE)
    assert found.score("kl_mean").n == len(measured.ids)
    assert found.score("kl_mean").clusters == math.ceil(len(measured.ids) / KL_WINDOW)
    assert found.comparability.items == len(measured.ids)


def test_reference_read_back_from_its_own_rows_does_not_diverge(measured):
    found = measured.measure(0, KL_DIVERGENCE)
    assert abs(found.score("kl_mean").value) < 1e-9
    assert found.score("top1_agreement").value == 1.0


# Activations of int8 and int4 are rounded to 8 bits, which turns the last bit of a float into a
# step, so the figures of two batchings agree to a few parts in a thousand only.
@pytest.mark.parametrize(
    ("precision", "relative"), [("fp16", 2e-2), ("int8", 5e-2), ("int4", 2e-2)]
)
def test_built_packages_diverge_as_full_logits_do(built, tmp_path, precision, relative):
    measured = Measured(tmp_path, built["fp32"], built[precision])
    found = measured.measure(1, KL_DIVERGENCE)
    for metric in ("kl_mean", "abs_log_ratio"):
        expected = measured.divergence[metric]
        assert found.score(metric).value == pytest.approx(expected, rel=relative), metric
    nll = strided_nll(measured.plain[1], measured.ids, WINDOW, STRIDE)
    score = measured.measure(1, "perplexity.strided").score("perplexity")
    assert score.value == pytest.approx(perplexity(nll), rel=1e-3)


def test_fault_65_identical_packages_have_identical_digests(tiny_folder, own_package, tmp_path):
    text = write_text(tmp_path / "text.txt", words=120)
    reference = case_of(tiny_folder)
    evaluator = evaluator_in(tmp_path / "cache")
    task = text_task(text)
    runs = [
        evaluator.run(case, task)
        for case in (reference, case_of(own_package, "int4", reference=reference))
    ]
    assert runs[0].identity["package"] == runs[1].identity["package"]
    assert np.array_equal(runs[0].samples.strided, runs[1].samples.strided, equal_nan=True)
    assert abs(runs[1].samples.divergence.kl).max() < 1e-9


def test_fault_33_short_text_is_found_before_a_model_loads(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "quantgate.backends.ort.make_session", lambda *_, **__: pytest.fail("loaded")
    )
    text = write_text(tmp_path / "text.txt", words=40)
    with pytest.raises(InvalidMeasurement) as caught:
        evaluator_in(tmp_path).run(case_of(tiny_folder), text_task(text, window=500))
    assert caught.value.code == "text-short"


def test_fault_33_protocol_without_a_scored_id_is_found_before_a_model_loads(
    tiny_folder, text_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "quantgate.backends.ort.make_session", lambda *_, **__: pytest.fail("loaded")
    )
    task = text_task(text_file, window=3, stride=2, kl_window=3)
    with pytest.raises(InvalidMeasurement, match="genai_chunked") as caught:
        evaluator_in(tmp_path).run(case_of(tiny_folder), task)
    assert caught.value.code == "nothing-scored"


def test_fault_34_window_longer_than_the_context(tiny_folder, text_file, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "quantgate.backends.ort.make_session", lambda *_, **__: pytest.fail("loaded")
    )
    for windows in ({"window": 1025}, {"kl_window": 1025}):
        with pytest.raises(InvalidMeasurement, match="1024") as caught:
            evaluator_in(tmp_path).run(case_of(tiny_folder), text_task(text_file, **windows))
        assert caught.value.code == "context-overflow"


def test_fault_26_padded_vocabularies_are_compared_over_the_tokenizers_ids(tmp_path, text_file):
    """Padding ids with mass make the divergence of unequal widths meaningless."""
    narrow = write_package(tmp_path / "narrow", Tiny())
    wide = write_package(tmp_path / "wide", Tiny(vocabulary=288))
    case = case_of(wide, "int4", reference=case_of(narrow))
    with pytest.raises(InvalidMeasurement, match="in the candidate") as caught:
        evaluator_in(tmp_path / "cache").run(case, text_task(text_file))
    assert caught.value.code == "padded-vocabulary"


def test_fault_28_bos_of_one_side_only_moves_every_id(tiny_folder, text_file, tmp_path):
    other = write_package(tmp_path / "other", Tiny(), tokenizer=byte_tokenizer(adds_bos=True))
    case = case_of(other, "int4", reference=case_of(tiny_folder))
    with pytest.raises(InvalidMeasurement, match="item 0 differs at id 0") as caught:
        evaluator_in(tmp_path / "cache").run(case, text_task(text_file))
    assert caught.value.code == "tokenizer-mismatch"


def test_clustered_error_is_by_window(measured):
    score = measured.measure(1, "perplexity.strided").score("perplexity")
    nll = strided_nll(measured.plain[1], measured.ids, WINDOW, STRIDE)
    first = WINDOW - 1
    labels = [0] * first + [1 + i // STRIDE for i in range(len(nll) - first)]
    assert score.clusters == len(set(labels))
    expected = perplexity(nll) * stats.clustered_stderr(nll, labels)
    assert score.stderr_clustered == pytest.approx(expected, rel=1e-5)


def test_samples_have_a_figure_for_every_id(measured):
    run = measured.measurer._evaluator.run(
        measured.cases[1], measured.measurer._protocols.task("perplexity")
    )
    samples: TextSamples = run.samples
    assert len(samples.strided) == len(measured.ids)
    assert np.isnan(samples.strided).nonzero()[0].tolist() == [0]
    first_ids = list(range(0, len(measured.ids), WINDOW))
    assert np.isnan(samples.disjoint).nonzero()[0].tolist() == first_ids
    assert np.isnan(samples.next_token).nonzero()[0].tolist() == [len(measured.ids) - 1]
