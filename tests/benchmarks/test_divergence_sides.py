"""Each side of the divergence, in this process, on packages small enough to compute by hand."""

import json
import math
from argparse import Namespace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from benchmarks.peers import divergence_side, ours_divergence
from benchmarks.peers.two_models import Text
from tests import straightforward
from tests.straightforward import PlainModel
from tests.tiny_models import HIDDEN

TOKENS, WINDOW, STRIDE, THREADS = 600, 128, 64, 2
FACTS = {
    "options",
    "versions",
    "threads",
    "load_seconds",
    "encode_seconds",
    "seconds",
    "memory",
    "count",
    "ids",
    "kept_bytes",
    "reference_perplexity",
}
FIGURES = ("reference_perplexity", "perplexity", "kl_mean")


@pytest.fixture(scope="module")
def ids(tiny_folder, text_file) -> list[int]:
    tokenizer = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    text = "\n\n".join(text_file.read_text("utf-8").splitlines())
    found = tokenizer.encode(text).ids[:TOKENS]
    assert len(found) == TOKENS
    return found


@pytest.fixture(scope="module")
def expected(tiny_folder, other_folder, ids) -> dict[str, float]:
    models = PlainModel(tiny_folder), PlainModel(other_folder)
    reference, candidate = (
        straightforward.perplexity(straightforward.strided_nll(model, ids, WINDOW, STRIDE))
        for model in models
    )
    kl_mean = straightforward.compare(*models, ids, WINDOW)["kl_mean"]
    return dict(zip(FIGURES, (reference, candidate, kl_mean), strict=True))


@pytest.fixture
def ours(tiny_folder, other_folder, text_file, tmp_path):
    """Runs quantgate's side with a new journal, as a new process has it."""

    def run(*, make: bool, backend: str = "ort") -> dict:
        scratch = tmp_path / f"journal-{len(list(tmp_path.glob('journal-*')))}"
        scratch.mkdir()
        options = Namespace(
            backend=backend,
            reference=tiny_folder,
            model=other_folder,
            precision="int4",
            text=text_file,
            tokens=TOKENS,
            window=WINDOW,
            stride=STRIDE,
            threads=THREADS,
            store=tmp_path / f"store-{backend}",
            make=make,
        )
        return ours_divergence.run(options, scratch)

    return run


@pytest.fixture
def theirs(tiny_folder, other_folder, ids, tmp_path):
    """Runs a peer's side."""
    file = tmp_path / "ids.json"
    file.write_text(json.dumps(ids), "utf-8")

    def run(engine: str, *, store: Path | None = None, make: bool = False) -> dict:
        options = Namespace(
            engine=engine,
            reference=tiny_folder,
            model=other_folder,
            ids=file,
            window=WINDOW,
            stride=STRIDE,
            threads=THREADS,
            store=store,
            make=make,
        )
        return divergence_side.run(options)

    return run


def test_quantgate_finds_the_kept_reference_and_the_right_figures(ours, expected, ids):
    made, found = ours(make=True), ours(make=False)
    assert set(made) == FACTS
    assert set(found) == FACTS | set(FIGURES)
    assert made["reference_perplexity"] == found["reference_perplexity"]
    for name in FIGURES:
        assert found[name] == pytest.approx(expected[name], rel=1e-5)
    assert found["count"] == TOKENS
    assert found["ids"] == Text(ids, WINDOW, STRIDE).digest
    # A row of the head's input a position, not one of the vocabulary.
    assert TOKENS * HIDDEN * 4 < found["kept_bytes"] < 2 * TOKENS * HIDDEN * 4


def test_quantgate_does_not_time_a_reference_that_is_missing(ours):
    with pytest.raises(SystemExit, match="--make"):
        ours(make=False)


def test_two_models_find_the_right_figures(theirs, expected, ids):
    found = theirs("two-model-ort")
    assert set(found) == FACTS | set(FIGURES)
    for name in FIGURES:
        assert found[name] == pytest.approx(expected[name], rel=1e-5)
    assert found["ids"] == Text(ids, WINDOW, STRIDE).digest
    assert found["kept_bytes"] == 0
    assert found["threads"]["set"] == [THREADS, THREADS]


def test_two_models_with_kept_logits_find_the_same(theirs, tmp_path, tiny_folder):
    loaded = theirs("two-model-ort")
    made = theirs("two-model-ort-kept", store=tmp_path / "store", make=True)
    found = theirs("two-model-ort-kept", store=tmp_path / "store")
    assert set(made) == FACTS
    assert [found[name] for name in FIGURES] == pytest.approx([loaded[name] for name in FIGURES])
    vocabulary = json.loads((tiny_folder / "genai_config.json").read_text("utf-8"))["model"][
        "vocab_size"
    ]
    assert found["kept_bytes"] >= TOKENS * vocabulary * 4
    assert found["threads"]["set"] == [THREADS]


def test_every_record_tells_time_threads_and_memory(ours, theirs):
    for found in (ours(make=True), ours(make=False), theirs("two-model-ort")):
        assert found["options"] == {"window": WINDOW, "stride": STRIDE, "tokens": TOKENS}
        assert found["seconds"] > 0
        assert found["threads"]["asked"] == THREADS
        assert found["threads"]["busy"] > 0
        memory = found["memory"]
        assert 0 < memory["loaded_mib"] < math.inf
        assert memory["beyond_mib"] == pytest.approx(memory["peak_mib"] - memory["loaded_mib"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--engine", "two-model-ort", "--store", "s"],
        ["--engine", "two-model-ort-kept"],
        ["--engine", "two-model-ort", "--make"],
    ],
)
def test_a_store_goes_with_the_engines_that_keep(arguments, monkeypatch, capsys):
    others = ["--reference", "r", "--model", "m", "--ids", "i", "--json", "j"]
    monkeypatch.setattr("sys.argv", ["divergence_side", *arguments, *others])
    with pytest.raises(SystemExit):
        divergence_side.main()
    assert "goes with" in capsys.readouterr().err
