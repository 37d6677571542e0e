"""Ratios by window against hand computation, the errors of means and a direct long-run variance."""

import math

import numpy as np
import pytest

from quantgate import stats
from quantgate.stats.serial import cosines, serial_stderr


def test_ratio_of_documents_by_hand():
    # R = 6 / 6 = 1; residuals 0, -1, 1; sqrt(3 / 2 * 2) / 6; 36 / (1 + 4 + 9) = 2.6 counts as 2.
    found = stats.clustered_ratio([1, 1, 4], [1, 2, 3], independent=True)
    assert found.value == 1.0
    assert found.stderr == pytest.approx(math.sqrt(3) / 6)
    assert (found.n, found.clusters) == (6, 2)
    assert found.high == pytest.approx(1 + 12.7062 * math.sqrt(3) / 6, rel=1e-5)


def test_ratio_of_documents_has_the_error_of_the_clustered_mean():
    rng = np.random.default_rng(21)
    labels = np.sort(rng.integers(0, 9, 120))
    items = rng.normal(size=120) + labels
    sums, counts = np.bincount(labels, items), np.bincount(labels)
    found = stats.clustered_ratio(sums, counts, independent=True)
    assert found.value == pytest.approx(items.mean(), rel=1e-12)
    assert found.stderr == pytest.approx(stats.clustered_stderr(items, labels.tolist()), rel=1e-12)


def test_equal_documents_are_as_many_as_they_are():
    found = stats.clustered_ratio([1.0, 3.0, 2.0, 5.0], [2, 2, 2, 2], independent=True)
    assert found.clusters == 4
    assert found.stderr == pytest.approx(np.std([1, 3, 2, 5], ddof=1) / 2 / 2)


@pytest.mark.parametrize("windows", [2, 3, 5])
def test_with_all_cosines_the_order_means_nothing(windows):
    # They are an orthonormal basis then (Parseval), so nothing is left but the sum of squares.
    sums, counts = np.random.default_rng(6).normal(size=windows), np.full(windows, 7.0)
    text = stats.clustered_ratio(sums, counts)
    documents = stats.clustered_ratio(sums, counts, independent=True)
    assert text.stderr == pytest.approx(documents.stderr, rel=1e-12)
    assert text.clusters == documents.clusters == windows


@pytest.mark.parametrize(("windows", "count"), [(2, 1), (5, 4), (16, 4), (64, 4), (280, 12)])
def test_number_of_cosines(windows, count):
    assert cosines(windows) == count
    assert stats.clustered_ratio(np.arange(windows), np.ones(windows)).clusters == count + 1


def test_serial_error_by_its_sum():
    residuals = np.random.default_rng(12).normal(size=40)
    residuals -= residuals.mean()
    total = 0.0
    for j in (1, 2, 3, 4):
        wave = sum(math.cos(math.pi * j * (g - 0.5) / 40) * residuals[g - 1] for g in range(1, 41))
        total += (math.sqrt(2 / 40) * wave) ** 2
    assert serial_stderr(residuals) == pytest.approx(math.sqrt(40 / 4 * total), rel=1e-12)


def test_serial_error_is_that_of_repeated_texts():
    # Moving averages of 6: neighbours are alike, and the spread of many texts' means is the truth.
    rng = np.random.default_rng(13)
    texts = np.stack(
        [np.convolve(row, np.ones(6) / 6, "valid") for row in rng.normal(size=(1500, 305))]
    )
    counts = np.full(texts.shape[1], 100.0)
    told = np.array([stats.clustered_ratio(text * 100, counts).stderr for text in texts])
    naive = stats.clustered_ratio(texts[0] * 100, counts, independent=True).stderr
    truth = texts.mean(axis=1).std(ddof=1)
    assert math.sqrt((told**2).mean()) == pytest.approx(truth, rel=0.06)
    assert naive < 0.6 * truth


def test_ratio_scales_with_its_unit():
    rng = np.random.default_rng(17)
    sums, counts = rng.normal(size=70), rng.integers(1, 9, 70)
    nats = stats.clustered_ratio(sums, counts)
    bits = stats.clustered_ratio(sums / math.log(2), counts)
    for name in ("value", "stderr", "low", "high"):
        assert getattr(bits, name) == pytest.approx(getattr(nats, name) / math.log(2), rel=1e-12)


def test_equal_windows_leave_no_doubt():
    found = stats.clustered_ratio([0.0, 0.0, 0.0], [512, 512, 100])
    assert (found.value, found.stderr, found.low, found.high) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("sums", "counts"),
    [([1.0], [1]), ([1, 2], [1, 0]), ([1, 2], [0, 0]), ([1, 2, 3], [1, 1, -1])],
)
@pytest.mark.parametrize("independent", [False, True])
def test_what_has_no_error_is_refused(sums, counts, independent):
    with pytest.raises(ValueError, match=r"two values|two windows"):
        stats.clustered_ratio(sums, counts, independent=independent)


def test_windows_and_counts_belong_together():
    with pytest.raises(ValueError, match="equal lengths"):
        stats.clustered_ratio([1, 2, 3], [1, 1])
    with pytest.raises(ValueError, match="item 1 is nan"):
        stats.clustered_ratio([1, math.nan], [1, 1])
