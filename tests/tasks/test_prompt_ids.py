"""Prompts made of a text's first tokens."""

import pytest

from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.tasks.prompt_ids import make_prompts, text_ids


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return load_tokenizer(tiny_folder)


TEXT = "The cat sat on the mat, and the rain in Spain stays mainly in the plain. " * 8


def test_ids_are_the_first_of_the_whole_text(tokenizer):
    (ids,) = tokenizer.encode([TEXT])
    for count in (1, 7, 64):
        assert text_ids(TEXT, tokenizer, count) == ids[:count]


def test_a_short_text_is_read_again(tokenizer):
    (ids,) = tokenizer.encode(["a cat"])
    assert text_ids("a cat", tokenizer, 3 * len(ids) + 1) == ids * 3 + ids[:1]


def test_an_empty_text_is_no_prompt(tokenizer):
    with pytest.raises(InvalidMeasurement) as caught:
        text_ids("", tokenizer, 4)
    assert caught.value.code == "text-empty"


def test_prompts_leave_room_for_what_follows(tokenizer):
    found = make_prompts(TEXT, tokenizer, 64, prompt=32, new_tokens=32, reads=(128, 16, 63, 64))
    (ids,) = tokenizer.encode([TEXT])
    assert found.prompt == ids[:32]
    assert found.reads == (ids[:16], ids[:63])
    assert found.left_out == (64, 128)
    other = make_prompts(TEXT, tokenizer, 64, prompt=31, new_tokens=32, reads=(16, 63))
    assert other.digest != found.digest


def test_what_exceeds_the_context_is_told(tokenizer):
    with pytest.raises(InvalidMeasurement) as caught:
        make_prompts(TEXT, tokenizer, 64, prompt=33, new_tokens=32)
    assert caught.value.code == "context-overflow"
