"""The same figures computed the naive way, for tests to hold quantgate against.

Nothing of quantgate is imported. Every prompt is one full forward of the unedited package by plain
ONNX Runtime; logits are kept for every position and everything after them is float64.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

Vector = NDArray[np.float64]
ORT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class PlainModel:
    """A package as it is on disk, run on the CPU one prompt at a time."""

    def __init__(self, folder: Path) -> None:
        model = json.loads((folder / "genai_config.json").read_text("utf-8"))["model"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(
            str(folder / model["decoder"]["filename"]), options, providers=["CPUExecutionProvider"]
        )
        self.head_size: int = model["decoder"]["head_size"]

    def logits(self, ids: Sequence[int]) -> NDArray[Any]:
        """`[len(ids), V]` of one full forward, in the graph's own type."""
        count = len(ids)
        feed: dict[str, NDArray[Any]] = {}
        for value in self.session.get_inputs():
            if value.name == "input_ids":
                feed[value.name] = np.array([ids], np.int64)
            elif value.name == "attention_mask":
                feed[value.name] = np.ones((1, count), np.int64)
            elif value.name == "position_ids":
                feed[value.name] = np.arange(count, dtype=np.int64)[None]
            else:
                shape = (1, value.shape[1], 0, self.head_size)
                feed[value.name] = np.zeros(shape, ORT_TYPES[value.type])
        (logits,) = self.session.run(["logits"], feed)
        return logits.reshape(count, -1)

    def logprobs(self, ids: Sequence[int]) -> Vector:
        """Float64 log-softmax at every position, `[len(ids), V]`."""
        return log_softmax(self.logits(ids))


def log_softmax(logits: NDArray[Any]) -> Vector:
    """By the textbook, with the maximum taken out."""
    wide = logits.astype(np.float64)
    wide = wide - wide.max(axis=-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))


def read_rows(folder: Path, split: str, subject: str) -> list[list[str]]:
    """Rows of a subject's CSV file: question, four options, letter."""
    path = folder / split / f"{subject}_{split}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def mmlu_prompt(subject: str, shots: Sequence[Sequence[str]], row: Sequence[str]) -> str:
    """The template `hendrycks`, written out from the protocol."""
    text = "The following are multiple choice questions (with answers) about  "
    text += subject.replace("_", " ") + ".\n\n"
    for question, a, b, c, d, letter in shots:
        text += f"{question}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer: {letter}\n\n"
    question, a, b, c, d, _ = row
    return text + f"{question}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer:"


def harness_prompt(subject: str, shots: Sequence[Sequence[str]], row: Sequence[str]) -> str:
    """The template `lm_eval`: one space before the subject, questions without white space around.

    Options are not stripped.
    """
    text = "The following are multiple choice questions (with answers) about "
    text += " ".join(subject.split("_")) + ".\n\n"
    for question, a, b, c, d, letter in shots:
        text += question.strip()
        text += f"\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer: {letter}\n\n"
    question, a, b, c, d, _ = row
    return text + question.strip() + f"\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer:"


def pro_prompt(shots: Sequence[dict[str, Any]], record: dict[str, Any]) -> str:
    """The template `mmlu_pro`, from rows as the data set has them."""

    def asked(each: dict[str, Any]) -> str:
        text = each["question"] + "\n"
        for number, option in enumerate(each["options"]):
            text += chr(ord("A") + number) + ". " + option + "\n"
        return text + "Answer:"

    return "".join(asked(each) + " " + each["answer"] + "\n\n" for each in shots) + asked(record)


def greedy_text(
    model: PlainModel, tokenizer: Tokenizer, prompt: str, *, eos: str, steps: int = 2
) -> str:
    """What some steps of greedy generation write; `eos` ends it and is no text."""
    ids = tokenizer.encode(prompt).ids
    before = len(ids)
    for _ in range(steps):
        ids.append(int(model.logits(ids)[-1].argmax()))
        if ids[-1] == tokenizer.token_to_id(eos):
            break
    return tokenizer.decode(ids[before:], skip_special_tokens=True)


def letter_loglikelihoods(
    model: PlainModel, tokenizer: Tokenizer, prompt: str, letters: str = "ABCD"
) -> Vector:
    """Log-likelihoods of ` A`, ` B`, ... after `prompt`.

    A full forward reads all ids but the last; letters of one token share it.
    """
    before = tokenizer.encode(prompt).ids
    found = []
    forwards: dict[tuple[int, ...], Vector] = {}
    for letter in letters:
        ids = tokenizer.encode(f"{prompt} {letter}").ids
        assert ids[: len(before)] == before
        read = tuple(ids[:-1])
        if read not in forwards:
            forwards[read] = model.logprobs(read)
        logprobs = forwards[read]
        found.append(sum(logprobs[i - 1, ids[i]] for i in range(len(before), len(ids))))
    return np.array(found)


def strided_nll(model: PlainModel, ids: Sequence[int], window: int, stride: int) -> Vector:
    """Negative log-probability of every id but the first, `[N - 1]`."""
    found: list[float] = []
    previous_end = 1
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        logprobs = model.logprobs(ids[begin:end])
        found += [-logprobs[t - 1 - begin, ids[t]] for t in range(previous_end, end)]
        previous_end = end
        if end == len(ids):
            break
    return np.array(found)


def chunked_nll(model: PlainModel, ids: Sequence[int], window: int, chunk: int) -> Vector:
    """What a last-chunk-only prefill can score: targets inside the window's last chunk."""
    found: list[float] = []
    seen: set[int] = set()
    for begin in range(0, len(ids), chunk):
        end = min(begin + window, len(ids))
        logprobs = model.logprobs(ids[begin:end])
        chunks = [range(i, min(i + chunk, end)) for i in range(begin, end, chunk)]
        last = chunks[-1]
        # The first id of the last chunk was predicted by the chunk before it, whose logits are
        # gone; what its own first position predicts is the second.
        for target in last[1:]:
            if target not in seen:
                seen.add(target)
                found.append(-logprobs[target - 1 - begin, ids[target]])
        if end == len(ids):
            break
    return np.array(found)


def disjoint_nll(model: PlainModel, ids: Sequence[int], window: int) -> Vector:
    """Negative log-probability of all but the first id of each window that stands by itself."""
    found: list[float] = []
    for begin in range(0, len(ids), window):
        part = ids[begin : begin + window]
        logprobs = model.logprobs(part)
        found += [-row[following] for row, following in zip(logprobs, part[1:], strict=False)]
    return np.array(found)


def rolling_nll(model: PlainModel, ids: Sequence[int], before: int, window: int) -> Vector:
    """Negative log-probability of every id, `[N]`.

    `window` new ids at a time, each time after as much of what precedes them as lets the model
    read `window` ids; `before` precedes the text.
    """
    found: list[float] = []
    for done in range(0, len(ids), window):
        new = ids[done : done + window]
        read = [before, *ids[: done + len(new) - 1]][-window:]
        logprobs = model.logprobs(read)[-len(new) :]
        found += [-row[target] for row, target in zip(logprobs, new, strict=True)]
    return np.array(found)


def perplexity(nll: Vector) -> float:
    """Exponential of the mean."""
    return math.exp(math.fsum(nll) / len(nll))


def compare(p: PlainModel, q: PlainModel, ids: Sequence[int], window: int) -> dict[str, Any]:
    """Divergence of q from p at every position of disjoint windows, by the definitions."""
    kl: list[float] = []
    ratio_by_window: list[float] = []
    same: list[bool] = []
    change: list[float] = []
    log_ratio: list[float] = []
    for begin in range(0, len(ids), window):
        part = ids[begin : begin + window]
        log_p, log_q = p.logprobs(part), q.logprobs(part)
        prob = np.exp(log_p)
        kl += (prob * (log_p - log_q)).sum(axis=-1).tolist()
        ratio_by_window.append(float((prob * np.abs(log_p - log_q)).sum(axis=-1).mean()))
        same += (log_p.argmax(-1) == log_q.argmax(-1)).tolist()
        for position in range(len(part)):
            if begin + position + 1 < len(ids):
                following = ids[begin + position + 1]
                a, b = log_p[position, following], log_q[position, following]
                change.append(math.exp(b) - math.exp(a))
                log_ratio.append(a - b)
    order = np.sort(np.array(kl))
    return {
        "kl_mean": math.fsum(kl) / len(kl),
        "kl_median": percentile(order, 50),
        "kl_p90": percentile(order, 90),
        "kl_p95": percentile(order, 95),
        "kl_p99": percentile(order, 99),
        "kl_p99_9": percentile(order, 99.9),
        "kl_max": float(order[-1]),
        "top1_agreement": sum(same) / len(same),
        "rms_delta_p": math.sqrt(math.fsum(x * x for x in change) / len(change)),
        "log_perplexity_ratio": math.fsum(log_ratio) / len(log_ratio),
        "abs_log_ratio": math.fsum(ratio_by_window) / len(ratio_by_window),
    }


def percentile(ordered: Vector, q: float) -> float:
    """Linear interpolation between order statistics (Hyndman and Fan's type 7)."""
    place = (len(ordered) - 1) * q / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))
