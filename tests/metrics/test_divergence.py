"""Divergences against closed forms and against the definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantgate.errors import InvalidMeasurement
from quantgate.metrics.divergence import PADDING_MASS, divergence, log_softmax
from quantgate.metrics.loglikelihood import log_normalizer, token_logprobs

blocks = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8),
    elements=st.floats(-60, 60, width=32),
)


def logits_of(*rows: tuple[float, ...]) -> np.ndarray:
    return np.log(np.array(rows)).astype(np.float32)


P, Q = logits_of((0.5, 0.5)), logits_of((0.25, 0.75))


def test_fault_25_closed_form_of_two_tokens():
    found = divergence(P, Q, 2)
    # ln 2 - ln 3 / 2 and ln 3 / 2, worked out by hand from the definitions.
    assert found.kl[0] == pytest.approx(0.5 * math.log(4 / 3), abs=1e-7)
    assert found.kl[0] == pytest.approx(0.1438, abs=5e-5)
    assert found.abs_log_ratio[0] == pytest.approx(0.5 * math.log(3), abs=1e-7)
    assert found.abs_log_ratio[0] == pytest.approx(0.549, abs=5e-4)


def test_fault_25_direction_is_from_the_reference():
    forth, back = divergence(P, Q, 2).kl[0], divergence(Q, P, 2).kl[0]
    assert forth == pytest.approx(0.14384, abs=1e-5)
    # 0.25 ln(1/2) + 0.75 ln(3/2)
    assert back == pytest.approx(0.13081, abs=1e-5)


@given(blocks)
def test_fault_25_divergence_from_itself_is_exactly_zero(logits):
    found = divergence(logits, logits.copy(), logits.shape[1])
    assert np.array_equal(found.kl, np.zeros(len(logits)))
    assert np.array_equal(found.abs_log_ratio, np.zeros(len(logits)))
    assert found.same_top.all()


@given(blocks, st.integers(0, 2**32 - 1), st.floats(1e-6, 10))
def test_fault_25_divergence_is_not_negative(logits, seed, size):
    noise = np.random.default_rng(seed).normal(0, size, logits.shape)
    other = (logits + noise).astype(np.float32)
    found = divergence(logits, other, logits.shape[1])
    assert (found.kl >= -1e-9).all()
    assert (found.abs_log_ratio >= found.kl - 1e-12).all()


@given(blocks, st.floats(-1000, 1000))
def test_divergence_ignores_a_constant_added_to_all_logits(logits, shift):
    moved = (logits.astype(np.float64) + shift).astype(np.float32)
    assert divergence(logits, moved, logits.shape[1]).kl == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_row_gives_the_same_bits_whatever_is_beside_it(rows):
    reference, other = np.random.default_rng(0).normal(0, 3, (2, 12, 49_153)).astype(np.float32)
    whole = divergence(reference, other, 49_153)
    for start in range(0, 12, rows):
        part = slice(start, start + rows)
        found = divergence(reference[part], other[part], 49_153)
        assert found.kl.tobytes() == whole.kl[part].tobytes()
        assert found.abs_log_ratio.tobytes() == whole.abs_log_ratio[part].tobytes()


def test_fault_21_ties_at_the_top_go_to_the_lowest_id():
    tied = np.array([[1.0, 3.0, 3.0]], dtype=np.float32)
    second = np.array([[1.0, 3.0, 3.5]], dtype=np.float32)
    first = np.array([[1.0, 3.5, 3.0]], dtype=np.float32)
    assert divergence(tied, first, 3).same_top.tolist() == [True]
    assert divergence(tied, second, 3).same_top.tolist() == [False]


def test_fault_26_padding_without_mass_is_left_out():
    padded = np.concatenate([Q, np.full((1, 3), -40.0, np.float32)], axis=1)
    bare, found = divergence(P, Q, 2), divergence(P, padded, 2)
    assert found.kl == pytest.approx(bare.kl, abs=1e-12)
    assert divergence(padded, Q, 2).kl.shape == (1,)


@pytest.mark.parametrize("side", ["reference", "candidate"])
def test_fault_26_padding_with_mass_is_refused(side):
    padded = np.concatenate([Q, np.full((1, 3), -5.0, np.float32)], axis=1)
    pair = (padded, P) if side == "reference" else (P, padded)
    with pytest.raises(InvalidMeasurement, match=f"in the {side}") as caught:
        divergence(*pair, 2)
    assert caught.value.code == "padded-vocabulary"


def test_fault_26_mass_just_above_the_limit_is_refused():
    for mass, refused in ((PADDING_MASS / 2, False), (PADDING_MASS * 2, True)):
        padded = logits_of((0.5, 0.5 - mass, mass))
        if refused:
            with pytest.raises(InvalidMeasurement):
                divergence(P, padded, 2)
        else:
            divergence(P, padded, 2)


def test_fault_26_fewer_logits_than_tokens_are_refused():
    three = np.zeros((1, 3), np.float32)
    told = "beyond the 2 that both have; found: .* in the reference"
    with pytest.raises(InvalidMeasurement, match=told) as caught:
        divergence(three, P, 3)
    assert caught.value.code == "vocabulary-short"


def test_an_id_of_the_tokenizer_that_no_model_ever_yields_is_left_out():
    """Gemma 3's tokenizer has an id for images that its text models have no logit for."""
    wide = np.concatenate([Q, np.full((1, 1), -40.0, np.float32)], axis=1)
    assert divergence(P, wide, 4).kl == pytest.approx(divergence(P, Q, 2).kl, abs=1e-12)


def logprobs_of(logits, rows, tokens):
    return token_logprobs(logits, log_normalizer(logits), rows, tokens)


def test_fault_23_softmax_at_the_extremes_of_half_floats():
    top = np.float32(np.finfo(np.float16).max)  # 65504: its exponential overflows every float
    logits = np.array([[top, top, -top], [0.0, -top, -top]], dtype=np.float32)
    half = math.log(0.5)
    assert log_softmax(logits)[:, 0].tolist() == pytest.approx([half, 0.0])
    assert log_softmax(logits)[0, 2] == pytest.approx(-2.0 * float(top) + half)
    assert log_normalizer(logits).tolist() == pytest.approx([float(top) + math.log(2), 0.0])
    found = logprobs_of(logits, np.array([0, 0, 1]), np.array([1, 2, 0]))
    assert found.tolist() == pytest.approx([half, -2.0 * float(top) + half, 0.0])
    assert np.isfinite(divergence(logits, logits[::-1].copy(), 3).kl).all()


def test_fault_23_known_answer():
    # softmax of (1, 2, 3) to twelve places, from the exponential series.
    expected = [0.090030573170, 0.244728471055, 0.665240955775]
    logits = np.array([[1, 2, 3]], dtype=np.float32)
    assert np.exp(log_softmax(logits))[0].tolist() == pytest.approx(expected, abs=1e-12)
    found = logprobs_of(logits, np.zeros(3, np.int64), np.arange(3))
    assert np.exp(found).tolist() == pytest.approx(expected, abs=1e-7)


@given(blocks)
def test_token_logprobs_are_those_of_a_float64_softmax(logits):
    rows, tokens = np.indices(logits.shape).reshape(2, -1)
    found = logprobs_of(logits, rows, tokens).reshape(logits.shape)
    assert found == pytest.approx(log_softmax(logits), abs=1e-6)


def test_token_outside_the_vocabulary_is_an_error():
    with pytest.raises(IndexError):
        logprobs_of(P, np.array([0]), np.array([2]))
