"""The reference model's data: reproducible, held out, and unanswerable without its options."""

import csv
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from safetensors import safe_open
from tokenizers import Tokenizer

from tools.reference_model import export, prose, template, tokenizer
from tools.reference_model.curriculum import one_paragraph
from tools.reference_model.questions import Split, draw, split_of
from tools.reference_model.subjects import TESTED
from tools.reference_model.template import LETTERS, Question

EMBEDDED = Path(__file__).parents[2] / "quantgate" / "embedded"
MODEL = EMBEDDED / "model"


def committed(split: Split, subject: str) -> list[Question]:
    path = EMBEDDED / "mmlu" / split.value / f"{subject}_{split.value}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [Question(row[0], (row[1], row[2], row[3], row[4]), LETTERS.index(row[5]))
                for row in csv.reader(file)]  # fmt: skip


@pytest.fixture(scope="module")
def built() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


def test_committed_data_is_what_the_generator_writes() -> None:
    files = export.data_files()
    written = {path.relative_to(EMBEDDED).as_posix() for path in EMBEDDED.rglob("*.csv")}
    assert written | {"text.txt"} == set(files)
    for name, text in files.items():
        assert (EMBEDDED / name).read_bytes() == text.encode(), name


def test_committed_tokenizer_is_what_the_builder_makes(built: Tokenizer) -> None:
    made = json.loads(tokenizer.build().to_str())
    assert json.loads(built.to_str()) == made


@pytest.mark.parametrize("subject", TESTED)
def test_same_seed_draws_same_questions(subject: str) -> None:
    first, second = (
        [draw(random.Random(3), subject, Split.TRAIN) for _ in range(3)] for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("subject", TESTED)
def test_training_never_draws_a_held_out_question(subject: str) -> None:
    rng = random.Random(11)
    drawn = {draw(rng, subject, Split.TRAIN).canonical for _ in range(2000)}
    dev = {question.canonical for question in committed(Split.DEV, subject)}
    test = {question.canonical for question in committed(Split.TEST, subject)}
    assert not drawn & (dev | test)
    assert not dev & test
    assert len(dev) == 5
    assert len(test) == 116


def test_order_of_options_does_not_decide_the_split() -> None:
    question = Question("What is it?", ("red", "blue", "green", "grey"), 0)
    turned = Question("What is it?", ("grey", "green", "blue", "red"), 3)
    assert split_of(question) is split_of(turned)


def test_training_never_writes_a_held_out_paragraph() -> None:
    rng = random.Random(5)
    written = {one_paragraph(rng).rstrip("\n") for _ in range(2000)}
    held_out = set((EMBEDDED / "text.txt").read_text(encoding="utf-8").splitlines())
    assert not written & held_out
    assert all(map(prose.is_held_out, held_out))


@pytest.mark.parametrize("subject", TESTED)
def test_letters_are_balanced(subject: str) -> None:
    letters = Counter(question.letter for question in committed(Split.TEST, subject))
    assert letters == dict.fromkeys(LETTERS, 29)


@pytest.mark.parametrize("subject", TESTED)
def test_options_are_needed(subject: str) -> None:
    """The same question, asked often, has each letter as its answer about equally often."""
    rng = random.Random(17)
    letters = Counter(draw(rng, subject, Split.TRAIN).letter for _ in range(2000))
    assert all(abs(letters[letter] - 500) < 100 for letter in LETTERS)


@pytest.mark.parametrize("subject", TESTED)
def test_options_differ(subject: str) -> None:
    for split in (Split.DEV, Split.TEST):
        assert all(len(set(each.options)) == len(LETTERS) for each in committed(split, subject))


@pytest.mark.parametrize(
    "text",
    [
        "Plain words, 12 of them.",
        "naïve café — “quoted” …",
        "漢字かな 한국어 العربية ελληνικά",
        "\t tabs \r\n\n  and   spaces ",
        "\U0001f600\x00\x7f",
        "<unk> = Heading = @-@",
    ],
)
def test_any_text_survives_the_tokenizer(built: Tokenizer, text: str) -> None:
    assert built.decode(built.encode(text).ids, skip_special_tokens=False) == text


def test_words_and_letters_are_single_tokens(built: Tokenizer) -> None:
    for text in [*tokenizer.whole_words(), *(f" {letter}" for letter in LETTERS)]:
        assert len(built.encode(text).ids) == 1, text


def test_encoding_adds_no_special_token(built: Tokenizer) -> None:
    ids = built.encode("Answer: A").ids
    assert built.token_to_id(tokenizer.BOS) not in ids
    assert built.token_to_id(tokenizer.EOS) not in ids


def test_held_out_text_fills_many_windows(built: Tokenizer) -> None:
    text = (EMBEDDED / "text.txt").read_text(encoding="utf-8")
    assert len(built.encode(text).ids) >= 24_000


def test_shape_and_size_keep_to_their_limits() -> None:
    config = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    assert config["num_key_value_heads"] < config["num_attention_heads"]
    assert config["head_dim"] % 16 == 0
    assert config["hidden_size"] % 32 == config["intermediate_size"] % 32 == 0
    with safe_open(MODEL / "model.safetensors", "pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    sizes = [shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in shapes]
    assert sum(sizes) <= 3_000_000
    assert sum(path.stat().st_size for path in MODEL.iterdir()) <= 6_000_000


def test_prompt_is_the_template_to_the_character() -> None:
    question = Question("Why?", ("p", "q", "r", "s"), 2)
    asked = "Why?\nA. p\nB. q\nC. r\nD. s\nAnswer:"
    assert template.prompt("two_words", [question], question) == (
        "The following are multiple choice questions (with answers) about  two words.\n\n"
        f"{asked} C\n\n{asked}"
    )
