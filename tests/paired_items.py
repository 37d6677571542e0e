"""Measurements with items whose changes are known by number."""

from __future__ import annotations

import math

from quantgate.results import Comparability, Direction, Measurement, Score

COMPARABILITY = Comparability(
    protocol="p", items=1000, ids_digest="a" * 64, corpus="b" * 64, tokenizer="c" * 64,
    plan="d" * 64,
)  # fmt: skip
CASE, REFERENCE = "tiny-int4-ort-cpu", "tiny-fp32-ort-cpu"


def answered(right, lost=0, won=0, n=1000):
    """Letters of `n` answers whose right one is A, of which `right` were before the changes."""
    first = "B" * lost + "A" * (right - lost)
    return first + "A" * won + "B" * (n - right - won)


def accuracy_of(letters):
    asked = [letter for letter in letters if letter != "."]
    return sum(letter == "A" for letter in asked) / max(1, len(asked))


def questions(subjects, *, case=CASE, **detail):
    """A run over questions; `subjects` gives each subject's answers as letters, A is right."""
    everything = "".join(subjects.values())
    figures = {"accuracy": everything}
    figures |= {f"subject.{name}": letters for name, letters in subjects.items()}
    scores = tuple(
        Score(
            metric=metric, value=accuracy_of(letters), n=len(letters), unit="fraction",
            direction=Direction.HIGHER,
        )
        for metric, letters in figures.items()
    )  # fmt: skip
    answers = {
        name: {"chosen": letters, "gold": "A" * len(letters)} for name, letters in subjects.items()
    }
    return Measurement(
        case_id=case, task="mmlu", scores=scores, comparability=COMPARABILITY,
        identity={"package": case}, detail={"answers": answers, **detail},
    )  # fmt: skip


def text(nats, count=512, *, case=CASE, begins=None, **detail):
    """A run over windows of `count` tokens each; `nats` are sums of negative log-probabilities."""
    begins = [count * number for number in range(len(nats))] if begins is None else begins
    windows = [
        {"begin": begin, "end": begin + count, "n": count, "nll_nats": nll}
        for begin, nll in zip(begins, nats, strict=True)
    ]
    value = math.exp(sum(nats) / (count * len(nats)))
    score = Score(
        metric="perplexity", value=value, n=count * len(nats), unit="perplexity",
        direction=Direction.LOWER,
    )  # fmt: skip
    return Measurement(
        case_id=case, task="perplexity.strided", scores=(score,), comparability=COMPARABILITY,
        identity={"package": case}, detail={"windows": windows, **detail},
    )  # fmt: skip


def divergence(means, count=512, *, agreement=0.9, **detail):
    """A divergence whose windows have these means of KL."""
    windows = [
        {
            "begin": count * number, "end": count * (number + 1), "n": count, "n_next": count,
            "kl_mean": mean, "top1_agreement": agreement, "log_perplexity_ratio": mean / 2,
        }
        for number, mean in enumerate(means)
    ]  # fmt: skip
    kl = sum(means) / len(means)
    figures = {
        "kl_mean": (kl, "nats", Direction.LOWER),
        "top1_agreement": (agreement, "fraction", Direction.HIGHER),
        "log_perplexity_ratio": (kl / 2, "nats", Direction.LOWER),
        "kl_median": (kl, "nats", Direction.LOWER),
    }
    scores = tuple(
        Score(metric=name, value=value, n=count * len(means), unit=unit, direction=direction)
        for name, (value, unit, direction) in figures.items()
    )
    return Measurement(
        case_id=CASE, task="kl_divergence", scores=scores, comparability=COMPARABILITY,
        identity={"package": CASE}, detail={"windows": windows, **detail},
    )  # fmt: skip
