"""Where answers end, and texts that are put together id by id."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, normalizers
from tokenizers import Tokenizer as Fast
from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import Metaspace

from quantgate.packages.tokenizer import Tokenizer, load_tokenizer
from quantgate.tasks.stops import Detokenizer, read_answer, stop_ids
from tests.tiny_models import byte_tokenizer, write_tokenizer

TEXTS = (
    "the thin horn",
    "naïve Ωμέγα 東京 🙂 end",
    "  two  spaces and\nline ends\r\n\t.",
    "🙂🙃👩‍👩‍👧 family",
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    """Bytes, so that most characters of TEXTS span ids."""
    folder = tmp_path_factory.mktemp("bytes")
    write_tokenizer(folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def sentence_pieces(tmp_path_factory) -> Tokenizer:
    """Words that bring their space, bytes for the rest, as Llama's first tokenizer."""
    words = ["▁the", "▁thin", "▁", "t", "h", "e", "i", "n", ".", "\n"]
    vocabulary = [("<unk>", 0.0), *((word, -1.0) for word in words)]
    vocabulary += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    fast = Fast(Unigram(vocabulary, unk_id=0, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([])
    fast.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="first", split=False)
    fast.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    folder = tmp_path_factory.mktemp("pieces")
    fast.add_special_tokens([AddedToken("</s>", special=True), AddedToken("<s>", special=True)])
    write_tokenizer(folder, fast)
    return load_tokenizer(folder)


def pieces(tokenizer: Tokenizer, ids, before=()) -> list[str]:
    detokenizer = Detokenizer(tokenizer, before)
    return [*(detokenizer.add(id_) for id_ in ids), detokenizer.finish()]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_text_and_never_a_part_of_a_character(tokenizer, text):
    (ids,) = tokenizer.encode([text])
    assert len(ids) > len(text) / 3
    found = pieces(tokenizer, ids)
    assert "".join(found) == text
    assert all("\ufffd" not in piece for piece in found)
    assert found[-1] == ""


@given(ids=st.lists(st.integers(0, 265), max_size=40))
def test_pieces_of_any_ids_are_their_text(tokenizer, ids):
    """Broken characters included, wherever they stand."""
    assert "".join(pieces(tokenizer, ids)) == tokenizer.texts([ids])[0]


def test_first_token_behind_a_prompt_keeps_its_space(sentence_pieces):
    prompt, answer = "the", "the thin"
    (before,) = sentence_pieces.encode([prompt])
    (ids,) = sentence_pieces.encode([answer])
    assert sentence_pieces.texts([ids]) == [answer], "alone, the first space goes"
    assert "".join(pieces(sentence_pieces, ids, before)) == f" {answer}"
    whole = sentence_pieces.texts([(*before, *ids)])[0]
    assert whole == prompt + "".join(pieces(sentence_pieces, ids, before))


def test_pieces_of_random_sentence_pieces_are_their_text(sentence_pieces):
    """Words, and characters byte by byte, in any order."""
    source = random.Random(0)
    (before,) = sentence_pieces.encode(["the thin"])
    parts = [sentence_pieces.encode_behind(text) for text in (" the", " thin", "the", "日", "🙂")]
    parts += [(sentence_pieces.encode_behind(text)[-1],) for text in ("n", ".", "\n")]
    assert max(map(len, parts)) > 3, "some are bytes"
    for _ in range(100):
        ids = sum(source.choices(parts, k=8), ())
        found = pieces(sentence_pieces, ids, before)
        whole = sentence_pieces.texts([(*before, *ids)])[0]
        assert sentence_pieces.texts([before])[0] + "".join(found) == whole
        assert not any("\ufffd" in piece for piece in found)


def test_ids_that_end_an_answer_are_those_whose_own_text_holds_a_string(tmp_path):
    """An independent look at the vocabulary: by the bytes that its names stand for."""
    merges = (("Ċ", "Ċ"), (".", "Ċ"), ("t", "h"))
    fast = write_tokenizer(tmp_path, byte_tokenizer(merges=merges))
    tokenizer = load_tokenizer(tmp_path)
    expected = {id_ for name, id_ in fast.get_vocab().items() if "Ċ" in name}
    assert len(expected) == 3
    assert set(stop_ids(tokenizer, ["\n"])) == expected | {tokenizer.end}
    assert stop_ids(tokenizer, []) == (tokenizer.end,)
    assert stop_ids(tokenizer, [], (7, tokenizer.end, 3)) == (3, 7, tokenizer.end)
    both = fast.token_to_id("ĊĊ")
    assert set(stop_ids(tokenizer, ["\n\n"])) == {both, tokenizer.end}


@pytest.fixture(scope="module")
def chat(tmp_path_factory) -> Tokenizer:
    """With special tokens that end a turn and aren't the tokenizer's own end of a text."""
    folder = tmp_path_factory.mktemp("chat")
    fast = byte_tokenizer()
    names = ("<|im_start|>", "<|im_end|>")
    fast.add_special_tokens([AddedToken(name, special=True) for name in names])
    write_tokenizer(folder, fast)
    return load_tokenizer(folder)


def test_special_token_that_a_string_names_ends_an_answer(chat):
    (end,), (start,) = chat.encode(["<|im_end|>", "<|im_start|>"])
    assert set(stop_ids(chat, ["<|im_end|>"])) == {end, chat.end}
    assert set(stop_ids(chat, ["<|im_"])) == {start, end, chat.end}, "held, as by other tokens"
    assert set(stop_ids(chat, ["<|im_end|>\n"])) == {chat.end}, "spans tokens"


def test_answer_ends_before_a_string_that_holds_a_special_token(chat):
    for string in ("<|im_end|>", "<|im_end|>\n"):
        found, ids = read(chat, "B<|im_end|>\n<|im_start|>", string)
        assert (found.text, found.ended) == ("B", "string")
        assert found.ids + found.cut == ids
        assert len(found.ids) == (2 if string.endswith(">") else 3)


def test_special_token_within_an_answer_is_written_out(chat):
    found, _ = read(chat, "B<|im_start|>C<|im_end|>", ids=chat.encode(["<|im_end|>"])[0])
    assert (found.text, found.ended) == ("B<|im_start|>C", "id")


def read(tokenizer, text, *strings, ids=()):
    (generated,) = tokenizer.encode([text])
    return read_answer(tokenizer, (1,), generated, ids=ids, strings=strings), generated


def test_answer_ends_before_a_string_that_spans_tokens(tokenizer):
    found, ids = read(tokenizer, "B stop here", "stop")
    assert (found.text, found.ended) == ("B ", "string")
    assert found.ids == ids[:6], "the ids to the one that completes it"
    assert (found.cut, found.cut_text) == (ids[6:], "stop here")


@given(
    text=st.text("ab\n日", max_size=12),
    strings=st.lists(st.text("ab\n日", min_size=1, max_size=3), max_size=3),
)
def test_answer_is_the_text_before_the_first_string_to_be_complete(tokenizer, text, strings):
    """Against a search of ever longer texts, character by character."""
    if not text:
        return
    expected = text
    for end in range(1, len(text) + 1):
        at = [text[:end].find(string) for string in strings if string in text[:end]]
        if at:
            expected = text[: min(at)]
            break
    found, _ = read(tokenizer, text, *strings)
    assert found.text == expected
    assert found.text + found.cut_text == text
    assert (found.ended == "string") == any(string in text for string in strings)


def test_answer_ends_at_an_id(tokenizer):
    (ids,) = tokenizer.encode(["ab"])
    generated = (*ids, tokenizer.end)
    found = read_answer(tokenizer, (1,), generated, ids=(tokenizer.end,), strings=("x",))
    assert (found.ids, found.text, found.ended) == (generated, "ab", "id")


def test_unfinished_character_at_the_limit_is_told_as_it_is(tokenizer):
    (ids,) = tokenizer.encode(["a🙂"])
    found = read_answer(tokenizer, (), ids[:-1], ids=(), strings=("a\ufffd",))
    assert found.ended == "string", "even there a string is looked for"
    found = read_answer(tokenizer, (), ids[:-1], ids=(), strings=())
    assert (found.text, found.ended) == ("a\ufffd", "limit")


def test_byte_pairs_without_a_text_end_have_no_id_for_it(tmp_path):
    fast = Fast(BPE(vocab={"a": 0, "b": 1}, merges=[]))
    fast.save(str(tmp_path / "tokenizer.json"))
    facts = '{"tokenizer_class": "PreTrainedTokenizerFast"}'
    (tmp_path / "tokenizer_config.json").write_text(facts, "utf-8")
    assert stop_ids(load_tokenizer(tmp_path), ["b"]) == (1,)
