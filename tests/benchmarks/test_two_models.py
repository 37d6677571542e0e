"""The usual script computes what it should, or a comparison with it would say nothing."""

import json

import numpy as np
import pytest
import torch

from benchmarks.peers.loops import TorchLoop, strided_nll
from benchmarks.peers.two_models import (
    KeptReference,
    LoadedReference,
    Text,
    compare,
    keep,
    kl_nats,
)
from tests import straightforward

VOCABULARY = 40
IDS = np.random.default_rng(7).integers(0, VOCABULARY, 53).tolist()
TEXT = Text(IDS, window=16, stride=8)


class MadeUp:
    """Logits that depend on the id and on its place in the window; as a loop and in float64."""

    threads = 1

    def __init__(self, seed: int) -> None:
        self.table = np.random.default_rng(seed).normal(0, 2, (VOCABULARY, VOCABULARY))
        self.lengths: list[int] = []

    def logits(self, ids):
        self.lengths.append(len(ids))
        steepness = 1 + np.arange(len(ids))[:, None] / 50
        return torch.from_numpy((self.table[ids] * steepness).astype(np.float32))

    def nll(self, ids, first):
        rows = self.logprobs(ids)[first - 1 : -1]
        return -float(rows[np.arange(len(rows)), ids[first:]].sum())

    def logprobs(self, ids):
        return straightforward.log_softmax(self.logits(list(ids)).numpy())


def test_divergence_of_rows_is_that_of_float64():
    p, q = np.random.default_rng(3).normal(0, 3, (2, 9, 200)).astype(np.float32)
    log_p, log_q = straightforward.log_softmax(p), straightforward.log_softmax(q)
    expected = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    found = kl_nats(torch.from_numpy(p), torch.from_numpy(q))
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(expected, rel=1e-5)
    # Neither the other direction nor ModelOpt's sum of absolute values.
    assert expected != pytest.approx((np.exp(log_q) * (log_q - log_p)).sum(axis=-1), rel=1e-2)
    assert expected != pytest.approx((np.exp(log_p) * np.abs(log_p - log_q)).sum(-1), rel=1e-2)


def test_half_precision_is_widened_before_the_softmax():
    p, q = np.random.default_rng(4).normal(0, 3, (2, 5, 60)).astype(np.float16)
    wide = kl_nats(torch.from_numpy(p).float(), torch.from_numpy(q).float())
    assert torch.equal(kl_nats(torch.from_numpy(p), torch.from_numpy(q)), wide)


def test_strided_scores_every_id_but_the_first_once():
    loop = MadeUp(1)
    total, count = strided_nll(loop, IDS, 16, 8)
    expected = straightforward.strided_nll(loop, IDS, 16, 8)
    assert count == len(expected) == len(IDS) - 1
    assert total == pytest.approx(expected.sum(), rel=1e-9)


def test_figures_are_those_of_float64():
    reference, candidate = MadeUp(1), MadeUp(2)
    found = compare(LoadedReference(reference), candidate, TEXT)
    for name, model in (("reference_perplexity", reference), ("perplexity", candidate)):
        nll = straightforward.strided_nll(model, IDS, 16, 8)
        assert found[name] == pytest.approx(straightforward.perplexity(nll), rel=1e-9)
    expected = straightforward.compare(reference, candidate, IDS, 16)["kl_mean"]
    assert found["kl_mean"] == pytest.approx(expected, rel=1e-5)


def test_a_kept_reference_gives_the_same_figures(tmp_path):
    reference, candidate = MadeUp(1), MadeUp(2)
    loaded = compare(LoadedReference(reference), candidate, TEXT)
    made = keep(reference, tmp_path / "store", TEXT)
    assert made == {"reference_perplexity": loaded["reference_perplexity"]}
    reference.lengths.clear()
    assert compare(KeptReference(tmp_path / "store"), candidate, TEXT) == loaded
    assert reference.lengths == []


def test_kept_logits_take_their_full_width(tmp_path):
    keep(MadeUp(1), tmp_path, TEXT)
    arrays = [np.load(path) for path in tmp_path.glob("*.npy")]
    assert sum(len(array) for array in arrays) == len(IDS)
    assert {(array.shape[1], array.dtype) for array in arrays} == {(VOCABULARY, np.dtype("f4"))}


def test_likelihood_by_labels_is_that_of_the_logits(hugging_face_folder):
    """`TorchLoop` takes one from the model's loss, the other from its output."""
    loop = TorchLoop(hugging_face_folder, threads=2)
    size = json.loads((hugging_face_folder / "config.json").read_text("utf-8"))["vocab_size"]
    ids = np.random.default_rng(5).integers(0, size, 24).tolist()
    logits = loop.logits(ids)
    assert logits.shape == (24, size)
    rows = straightforward.log_softmax(logits.numpy())[10:-1]
    expected = -rows[np.arange(len(rows)), ids[11:]].sum()
    assert loop.nll(ids, 11) == pytest.approx(expected, rel=1e-5)
