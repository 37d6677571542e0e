"""What sharing and packing do to the first rows is proved, and done without where it fails."""

import shutil
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from quantgate.backends import feeds
from quantgate.backends.base import BackendSpec
from quantgate.backends.ort_body import Body
from quantgate.canary import EXPLAINED, difference, narrowed
from quantgate.cost_model import CostModel
from quantgate.execution.inline import InlineSession
from quantgate.groups import PlanLimits
from quantgate.packages.package import open_package
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood
from tests.running import THREADS, case_of, evaluator_in, mmlu_task
from tests.straightforward import PlainModel, letter_loglikelihoods, mmlu_prompt, read_rows
from tests.tiny_corpora import SUBJECTS

LIMITS = PlanLimits(True, True, 1024, CostModel(linear=100_000, pair=100, cache=64))
TOLERANCE_NATS = 1e-3


@pytest.fixture(scope="module")
def letters(tiny_folder, mmlu_folder):
    """Log-likelihoods of the letters, each prompt by itself through the package as it is."""
    tokenizer = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    model = PlainModel(tiny_folder)
    prompts = [
        mmlu_prompt(subject, read_rows(mmlu_folder, "dev", subject), row)
        for subject in SUBJECTS
        for row in read_rows(mmlu_folder, "test", subject)
    ]
    return np.array([letter_loglikelihoods(model, tokenizer, prompt, "ABCD") for prompt in prompts])


@pytest.fixture
def run(tiny_folder, mmlu_folder, tmp_path):
    return lambda: evaluator_in(tmp_path).run(case_of(tiny_folder), mmlu_task(mmlu_folder))


@pytest.fixture
def blind_to_the_bias(monkeypatch):
    """Every token of a packed row sees all before it, as in a kernel that drops the bias."""

    def causal(segments, width, prefix):
        bias = np.full((width, prefix + width), -np.inf, dtype=np.float32)
        bias[:, :prefix] = 0.0
        bias[:, prefix:][np.tri(width, dtype=bool)] = 0.0
        return bias

    monkeypatch.setattr(feeds, "row_bias", causal)


@pytest.fixture
def rewinds_too_far(monkeypatch):
    """The end of a kept prefix is overwritten by what was there before it."""
    real = Body.past

    def stale(value, tokens):
        array = value.numpy()[:, :, :tokens].copy()
        half = tokens // 2
        array[:, :, half : 2 * half] = array[:, :, :half]
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)

    def past(self, ids, room):
        kept = real(self, ids, room)
        return kept and {name: stale(value, len(ids)) for name, value in kept.items()}

    monkeypatch.setattr(Body, "past", past)


def test_sound_model_shares_and_packs(run, letters):
    found = run()
    assert found.warnings == ()
    assert found.cost["tokens_computed"] < found.cost["tokens_requested"] / 2
    assert np.abs(found.samples.loglikelihoods - letters).max() < TOLERANCE_NATS


def test_fault_63_ignored_packing_bias_is_noticed_and_done_without(run, letters, blind_to_the_bias):
    found = run()
    (warning,) = found.warnings
    assert warning.startswith("packed rows differ")
    assert "run without" in warning
    assert np.abs(found.samples.loglikelihoods - letters).max() < TOLERANCE_NATS


def test_fault_63_figures_would_have_been_wrong(run, letters, blind_to_the_bias, monkeypatch):
    """Else the test above shows nothing."""
    monkeypatch.setattr("quantgate.asking.difference", lambda *_: 0.0)
    assert np.abs(run().samples.loglikelihoods - letters).max() > 10 * TOLERANCE_NATS


def test_fault_64_wrong_kept_prefix_is_noticed_and_done_without(run, letters, rewinds_too_far):
    found = run()
    first, second = found.warnings
    assert first.startswith("packed rows differ")
    assert second.startswith("rows behind a kept prefix differ")
    assert found.cost["tokens_computed"] == found.cost["tokens_requested"]
    assert np.abs(found.samples.loglikelihoods - letters).max() < TOLERANCE_NATS


def test_fault_64_figures_would_have_been_wrong(run, letters, rewinds_too_far, monkeypatch):
    monkeypatch.setattr("quantgate.asking.difference", lambda *_: 0.0)
    assert np.abs(run().samples.loglikelihoods - letters).max() > 10 * TOLERANCE_NATS


def test_fault_63_plan_that_was_given_up_shows_in_the_digest(run, blind_to_the_bias, monkeypatch):
    """So that a baseline of the packed plan isn't compared with."""
    narrow = run().plan
    monkeypatch.setattr("quantgate.asking.difference", lambda *_: 0.0)
    assert run().plan != narrow


def test_difference_is_the_largest_one_of_log_probabilities(tiny_folder, monkeypatch):
    """Against two forwards by plain ONNX Runtime, one of them of the wrong tokens."""
    stem = tuple(range(60, 100))
    requests = [Loglikelihood((*stem, first, 50), (1,)) for first in (10, 20)]
    plan = make_plan(requests, LIMITS)
    (group,) = plan.groups
    assert group.prefix == stem
    real = feeds.BodyInputs.row

    def row(self, row, prefix, past):
        if past is not None:
            row = replace(row, ids=tuple(11 if token == 10 else token for token in row.ids))
        return real(self, row, prefix, past)

    monkeypatch.setattr(feeds.BodyInputs, "row", row)
    session = InlineSession(BackendSpec("ort", str(tiny_folder), threads=THREADS))
    found = difference(session, plan)
    plain = PlainModel(tiny_folder)
    right, wrong = (plain.logprobs((*stem, first, 50))[-1] for first in (10, 11))
    ids = np.unique([*stem, *(id_ for row in group.rows for id_ in row.ids)])
    probes = ids[np.linspace(0, len(ids) - 1, 16).astype(int)]
    assert found == pytest.approx(np.abs(right - wrong)[probes].max(), abs=1e-4)
    session.close()


def test_plan_that_shares_nothing_needs_no_proof():
    """No session is asked: there is none."""
    alone = replace(LIMITS, alone=True)
    plan = make_plan([Loglikelihood((1, 2, n), (4,)) for n in range(9)], alone)
    assert difference(None, plan) == 0.0


def test_ids_that_the_model_has_no_logits_for_are_no_probes(tiny_folder, tmp_path, mmlu_folder):
    """A tokenizer may have more ids than its model, as Gemma 3's text models have."""
    folder = tmp_path / "package"
    shutil.copytree(tiny_folder, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([f"<image {number}>" for number in range(40)])
    tokenizer.save(str(folder / "tokenizer.json"))
    assert load_tokenizer(folder).size > open_package(folder).config.vocab_size
    found = evaluator_in(tmp_path / "cache").run(case_of(folder), mmlu_task(mmlu_folder))
    assert found.warnings == ()
    assert np.isfinite(found.samples.loglikelihoods).all()


def test_what_is_done_without_first_is_packing_then_all_sharing():
    first = narrowed(LIMITS)
    assert first == replace(LIMITS, packs=False)
    second = narrowed(first)
    assert second == replace(LIMITS, packs=False, alone=True)
    assert narrowed(second) is None


def test_float32_must_be_finer_than_types_that_round():
    assert EXPLAINED["fp32"] < EXPLAINED["fp16"] <= EXPLAINED["bf16"]


def test_fault_63_what_a_coarse_type_explains_is_let_pass(run, tiny_folder, mmlu_folder, tmp_path):
    """A difference that fp32 can't explain and an int8 model can."""
    from quantgate import asking

    cases = {"fp32": 1, "int8": 0}
    for precision, warnings in cases.items():
        case = replace(case_of(tiny_folder), precision=precision)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asking, "difference", lambda _, plan: 0.1 * _shares(plan))
            found = evaluator_in(tmp_path / precision).run(case, mmlu_task(mmlu_folder))
        assert len(found.warnings) in {warnings, 2 * warnings}


def _shares(plan) -> bool:
    return any(group.prefix or not group.rows[0].is_chain for group in plan.groups)
