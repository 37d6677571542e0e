"""Two tokenizers of one model: where they part, and whether it is the beginning alone."""

import json
import shutil
from dataclasses import replace

import pytest
from tokenizers import Tokenizer as PlainTokenizer

from quantgate.backends.ortgenai_tokenizer import runtime_ids
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.parity import PROBE, require_parity
from tests.running import case_of, evaluator_in
from tests.tiny_models import byte_tokenizer, write_tokenizer

RUNTIME = "the runtime"


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return load_tokenizer(tiny_folder)


def fault(tokenizer, ours, theirs) -> InvalidMeasurement:
    with pytest.raises(InvalidMeasurement) as caught:
        require_parity(tokenizer, ours, theirs, runtime=RUNTIME)
    return caught.value


def test_equal_ids_pass(tokenizer):
    ids = tokenizer.encode([PROBE, "the thin horn", ""])
    require_parity(tokenizer, ids, [list(each) for each in ids], runtime=RUNTIME)


def test_fault_28_bos_added_by_one_side_only(tokenizer):
    (ids,) = tokenizer.encode([PROBE])
    ours = fault(tokenizer, [ids], [(257, *ids)])
    assert ours.code == "bos-differs"
    assert ours.found == f"{RUNTIME} begins with id 257, what is scored doesn't"
    theirs = fault(tokenizer, [(258, *ids)], [ids])
    assert theirs.code == "bos-differs"
    assert theirs.found == f"what is scored begins with id 258, {RUNTIME} doesn't"
    assert "add_bos_token" in theirs.fix


def test_fault_27_first_difference_is_shown_with_its_text(tokenizer):
    ours, theirs = tokenizer.encode(["the thin horn on", "the thin HORN on"])
    at = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
    found = fault(tokenizer, [(), ours], [(), theirs])
    assert found.code == "tokenizer-mismatch"
    assert f"text 1 differs at id {at}: scored {list(ours[at : at + 8])}" in found.found
    assert "horn" in found.found
    assert "HORN" in found.found


def test_fault_27_an_end_that_one_side_lacks_is_no_beginning(tokenizer):
    (ids,) = tokenizer.encode(["the thin horn"])
    found = fault(tokenizer, [ids], [(*ids, 258)])
    assert found.code == "tokenizer-mismatch"
    assert f"differs at id {len(ids)}: scored [] " in found.found


def test_runtimes_own_tokenizer_reads_what_is_scored(built):
    """Against the `tokenizers` library itself, without transformers between."""
    plain = PlainTokenizer.from_file(str(built["fp32"] / "tokenizer.json"))
    texts = ["the thin horn on a stone bridge", "Answer: A", "1,000 lines\n\nthe end"]
    assert runtime_ids(built["fp32"], texts) == [tuple(plain.encode(t).ids) for t in texts]


def test_runtime_that_cannot_load_is_told(tmp_path):
    with pytest.raises(InvalidMeasurement) as caught:
        runtime_ids(tmp_path, ["text"])
    assert caught.value.code == "tokenizer-failed"
    assert str(tmp_path) in caught.value.need
    assert "exit code" in caught.value.found


def test_fault_28_package_whose_runtime_adds_no_bos_is_invalid(built, tmp_path):
    """The tokenizer that scores adds one, by its template; the runtime's settings say no."""
    folder = shutil.copytree(built["fp32"], tmp_path / "package")
    write_tokenizer(folder, byte_tokenizer(adds_bos=True))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": False}), "utf-8")
    ours = load_tokenizer(folder).encode(["the"])[0]
    theirs = runtime_ids(folder, ["the"])[0]
    assert theirs == ours[1:]
    case = replace(case_of(folder), backend="ortgenai")
    with pytest.raises(InvalidMeasurement) as caught:
        evaluator_in(tmp_path / "cache").require_parity(case, ["the thin horn"])
    assert caught.value.code == "bos-differs"


def test_backends_without_a_tokenizer_need_no_proof(tmp_path):
    """Nothing is opened: the folder doesn't exist."""
    case = case_of(tmp_path / "nowhere")
    evaluator_in(tmp_path / "cache").require_parity(case, [PROBE])
