"""One tokenization a case, from local files, with no code of the package's own."""

import json
import sys

import pytest
from tokenizers import Tokenizer

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.build import source_files
from quantgate.packages.package import open_package
from quantgate.packages.tokenizer import load_tokenizer, require_same_ids
from tests.tiny_models import byte_tokenizer, write_tokenizer


def test_ids_are_the_tokenizers_own(tmp_path):
    plain = write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    texts = ["the horn in autumn", "", "Ünïcode \n\n A"]
    assert tokenizer.encode(texts) == [tuple(plain.encode(text).ids) for text in texts]
    assert tokenizer.size == plain.get_vocab_size()
    assert tokenizer.decode(plain.encode("the horn").ids) == "the horn"


def test_every_token_has_a_text_special_ones_and_those_behind_a_gap_as_well(tmp_path):
    content = json.loads(byte_tokenizer().to_str())
    last = content["added_tokens"][-1]
    content["model"]["vocab"]["<x>"] = far = last["id"] + 9
    content["added_tokens"].append({**last, "id": far, "content": "<x>"})
    plain = write_tokenizer(tmp_path, Tokenizer.from_str(json.dumps(content)))
    tokenizer = load_tokenizer(tmp_path)
    texts = tokenizer.own_texts()
    assert tokenizer.size == far + 1
    assert set(texts) == set(plain.get_vocab().values())
    expected = {"<x>": "<x>", "<s>": "<s>", "Ġthe": " the"}
    assert {name: texts[plain.token_to_id(name)] for name in expected} == expected
    assert texts[far] == "<x>"


def test_nothing_is_encoded_from_nothing(tmp_path):
    write_tokenizer(tmp_path)
    assert load_tokenizer(tmp_path).encode([]) == []


def test_special_tokens_come_by_the_tokenizers_own_default(tmp_path):
    write_tokenizer(tmp_path, byte_tokenizer(adds_bos=True))
    tokenizer = load_tokenizer(tmp_path)
    (ids,) = tokenizer.encode(["the"])
    assert tokenizer.decode(ids[:1]) == "<s>"


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_fault_13_remote_code_is_refused(own_package, file):
    path = own_package / file
    facts = json.loads(path.read_text("utf-8")) if path.exists() else {}
    facts["auto_map"] = {"AutoTokenizer": ["tokenization_evil.EvilTokenizer", None]}
    path.write_text(json.dumps(facts), "utf-8")
    marker = own_package / "executed"
    (own_package / "tokenization_evil.py").write_text(f"open({str(marker)!r}, 'w')", "utf-8")
    for attempt in (open_package, load_tokenizer):
        with pytest.raises(UsageFault, match="EvilTokenizer") as caught:
            attempt(own_package)
        assert caught.value.code == "remote-code"
    assert not marker.exists()
    assert not [name for name in sys.modules if "tokenization_evil" in name]


def test_fault_13_remote_code_in_a_build_source_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Evil"}}', "utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageFault) as caught:
        source_files(tmp_path)
    assert caught.value.code == "remote-code"


def test_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(UsageFault, match=tmp_path.name) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.code == "tokenizer-missing"


def test_tokenizer_that_is_damaged_is_named(tmp_path):
    write_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 5}', "utf-8")
    with pytest.raises(UsageFault) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.code == "tokenizer-missing"


def test_fault_27_first_differing_id_is_shown_with_its_text(tmp_path):
    tokenizers = []
    for name, merges in (("ours", [("t", "h")]), ("theirs", [("h", "e")])):
        write_tokenizer(tmp_path / name, byte_tokenizer(merges=merges))
        tokenizers.append(load_tokenizer(tmp_path / name))
    texts = ["on", "on the"]
    ours, theirs = (t.encode(texts) for t in tokenizers)
    with pytest.raises(InvalidMeasurement) as caught:
        require_same_ids(ours, theirs, (tokenizers[0], tokenizers[1]))
    assert caught.value.code == "tokenizer-mismatch"
    assert "item 1 differs at id 3" in caught.value.found
    assert "'the'" in caught.value.found


def test_fault_27_a_longer_sequence_differs_where_the_other_ends(tmp_path):
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    with pytest.raises(InvalidMeasurement, match="item 0 differs at id 2"):
        require_same_ids([(1, 2, 3)], [(1, 2)], (tokenizer, tokenizer))


def test_same_ids_pass(tmp_path):
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    require_same_ids([(1, 2), (3,)], [[1, 2], [3]], (tokenizer, tokenizer))
