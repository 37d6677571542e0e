"""Rolling perplexity of documents, against full logits and counts made the plain way."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from quantgate import stats
from quantgate.corpora import Corpora
from quantgate.corpus.text import read_text
from quantgate.errors import InvalidMeasurement
from quantgate.manifest.manifest import load_manifest
from quantgate.measure import Measurer
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.results import Measurement
from quantgate.tasks.rolling import RollingItems, RollingOptions, RollingSamples, RollingTask
from quantgate.tasks.rolling_scores import rolling_scores
from tests.running import case_of, evaluator_in
from tests.straightforward import PlainModel, rolling_nll
from tests.tiny_models import SPECIALS, Tiny, byte_tokenizer, write_package

WINDOW = 64
BODY = "the thin horn , on a stone @-@ bridge , turns into rain ( or nothing ) . "
# Three articles: one of several windows, one shorter than a window, one beyond ASCII.
ARTICLES = (
    f" = Horn = \n \n {BODY * 3}\n ",
    " = Rain = \n \n In autumn . \n ",
    f" = Größe = \n \n ein Maß , 大きさ . \n = = Note = = \n \n {BODY}\n",
)
MANIFEST = """\
schema_version = 1
[data]
text = "text.txt"
text_format = "{text_format}"
[tasks.perplexity]
protocols = ["rolling"]
window = {window}
stride = {stride}
{more}
[tasks.kl_divergence]
window = {window}
[[models]]
name = "tiny"
reference = {{ name = "fp32", precision = "fp32", path = "{reference}" }}
variants = [{{ name = "int4", precision = "int4", path = "{candidate}" }}]
"""


class Measured:
    """A reference and a candidate by quantgate, and the same two by full logits."""

    def __init__(
        self,
        folder: Path,
        packages: tuple[Path, Path],
        *,
        text_format: str = "wikitext",
        window: int = WINDOW,
        more: str = "",
    ) -> None:
        (folder / "text.txt").write_text("\n".join((" ", *ARTICLES)), encoding="utf-8")
        text = MANIFEST.format(
            text_format=text_format,
            window=window,
            stride=window // 2,
            more=more,
            reference=packages[0].as_posix(),
            candidate=packages[1].as_posix(),
        )
        (folder / "quantgate.toml").write_text(text, encoding="utf-8")
        manifest = load_manifest(folder / "quantgate.toml")
        self.cases = manifest.cases()
        self.measurer = Measurer(manifest, Corpora(manifest), evaluator_in(folder / "cache"))
        self.plain = [PlainModel(package) for package in packages]
        self.tokenizer = Tokenizer.from_file(str(packages[0] / "tokenizer.json"))

    def measure(self, case: int) -> Measurement:
        return self.measurer.measure(self.cases[case], "perplexity.rolling")

    def nll(self, case: int, texts: list[str], before: str = SPECIALS[0]) -> list[np.ndarray]:
        """Of every id of every text, by full logits."""
        first = self.tokenizer.token_to_id(before)
        lines = [self.tokenizer.encode(text).ids for text in texts]
        return [rolling_nll(self.plain[case], ids, first, WINDOW) for ids in lines]


def printed(article: str) -> str:
    """An article of this file as it was before it was tokenized, by hand."""
    for old, new in ((" , ", ", "), (" . ", ". "), (" @-@ ", "-"), ("( ", "("), (" )", ")")):
        article = article.replace(old, new)
    article = article.replace(" = = Note = = ", " == Note == ")
    return article.replace(" \n", "\n").replace("\n ", "\n")


@pytest.fixture(scope="module")
def measured(tiny_folder, other_folder, tmp_path_factory) -> Measured:
    return Measured(tmp_path_factory.mktemp("rolling"), (tiny_folder, other_folder))


@pytest.fixture(scope="module")
def nll(measured) -> list[list[np.ndarray]]:
    """By case and article."""
    return [measured.nll(case, [printed(a) for a in ARTICLES]) for case in (0, 1)]


@pytest.mark.parametrize("case", [0, 1], ids=["reference", "candidate"])
def test_figures_equal_those_of_full_logits(measured, nll, case):
    found = measured.measure(case)
    total = math.fsum(np.concatenate(nll[case]))
    words = sum(len(re.split(r"\s+", article)) for article in ARTICLES)
    size = sum(len(article.encode()) for article in ARTICLES)
    assert len(nll[case][0]) > 2 * WINDOW > WINDOW > len(nll[case][1])
    assert [score.metric for score in found.scores] == [
        "word_perplexity",
        "byte_perplexity",
        "bits_per_byte",
    ]
    assert found.score("word_perplexity").value == pytest.approx(math.exp(total / words), rel=1e-5)
    assert found.score("byte_perplexity").value == pytest.approx(math.exp(total / size), rel=1e-6)
    assert found.score("bits_per_byte").value == pytest.approx(total / size / math.log(2), rel=1e-6)
    assert {score.n for score in found.scores} == {sum(map(len, nll[case]))}


def test_documents_are_listed_with_their_shares(measured, nll):
    documents = measured.measure(1).detail["documents"]
    assert [document["ids"] for document in documents] == [len(part) for part in nll[1]]
    assert [document["words"] for document in documents] == [len(a.split()) + 2 for a in ARTICLES]
    assert [document["bytes"] for document in documents] == [len(a.encode()) for a in ARTICLES]
    sums = [document["nll_nats"] for document in documents]
    assert sums == pytest.approx([part.sum() for part in nll[1]], rel=1e-6)


def test_errors_are_those_of_the_mean_by_window(measured, nll):
    found = measured.measure(1)
    flat = np.concatenate(nll[1])
    labels = [
        (document, index // WINDOW)
        for document, part in enumerate(nll[1])
        for index in range(len(part))
    ]
    words = sum(len(re.split(r"\s+", article)) for article in ARTICLES)
    size = sum(len(article.encode()) for article in ARTICLES)
    clustered = stats.clustered_stderr(flat, labels)
    score = found.score("word_perplexity")
    assert score.clusters == len(set(labels))
    assert score.stderr_clustered == pytest.approx(
        score.value * clustered * len(flat) / words, rel=1e-5
    )
    plain = flat.std(ddof=1) * math.sqrt(len(flat))
    assert score.stderr == pytest.approx(score.value * plain / words, rel=1e-5)
    bits = found.score("bits_per_byte")
    assert bits.stderr == pytest.approx(plain / size / math.log(2), rel=1e-5)


def test_paired_deltas_are_the_logarithms_of_the_ratios(measured):
    before, after = measured.measure(0), measured.measure(1)
    for metric, unit in (("word_perplexity", "nats/word"), ("byte_perplexity", "nats/byte")):
        score = after.score(metric)
        ratio = math.log(score.value / before.score(metric).value)
        assert score.paired_delta == pytest.approx(ratio, abs=1e-12)
        assert score.paired_unit == unit
        assert score.paired_stderr > 0
    bits = after.score("bits_per_byte")
    change = bits.value - before.score("bits_per_byte").value
    assert (bits.paired_delta, bits.paired_unit) == (pytest.approx(change, abs=1e-12), "bits/byte")
    assert before.score("bits_per_byte").paired_delta is None


def test_paragraphs_are_one_document(tiny_folder, other_folder, tmp_path):
    one = Measured(tmp_path, (tiny_folder, other_folder), text_format="paragraphs")
    lines = "\n".join(ARTICLES).split("\n")
    text = "\n\n".join(line for line in lines if line.strip())
    (nll,) = one.nll(1, [text])
    found = one.measure(1)
    expected = math.exp(nll.sum() / len(text.encode()))
    assert found.score("byte_perplexity").value == pytest.approx(expected, rel=1e-6)
    assert found.comparability.protocol == f"rolling {WINDOW} from <s>"
    assert len(found.detail["documents"]) == 1


def test_first_documents_only(measured, nll, tiny_folder, other_folder, tmp_path):
    first = Measured(tmp_path, (tiny_folder, other_folder), more="max_documents = 2")
    found, every = first.measure(1), measured.measure(1)
    for part, whole in zip(found.detail["documents"], every.detail["documents"][:2], strict=True):
        assert part == pytest.approx(whole)
    assert found.comparability.items == sum(map(len, nll[1][:2]))
    for name in ("corpus", "ids_digest", "plan"):
        assert getattr(found.comparability, name) != getattr(every.comparability, name)


def test_protocol_names_window_start_and_format(measured):
    comparability = measured.measure(1).comparability
    assert comparability.protocol == f"rolling {WINDOW} from <s>, wikitext"
    assert comparability == measured.measure(0).comparability


def test_rolling_changes_nothing_about_the_other_protocols(tiny_folder, other_folder, tmp_path):
    """A baseline of `strided` outlives a manifest that adds `rolling`."""
    path = Measured(tmp_path, (tiny_folder, other_folder)).measurer._manifest.file
    found = []
    for protocols in ('["strided", "rolling"]', '["strided"]'):
        path.write_text(re.sub(r"protocols = .*", f"protocols = {protocols}", path.read_text()))
        manifest = load_manifest(path)
        measurer = Measurer(manifest, Corpora(manifest), evaluator_in(tmp_path / "cache"))
        found.append(measurer.measure(manifest.cases()[0], "perplexity.strided"))
    assert found[0].comparability == found[1].comparability
    assert found[0].scores == found[1].scores


# --- the id before a document -------------------------------------------------------------------


def package_with(folder: Path, *, adds_bos: bool = False, **specials: str) -> Path:
    """A package whose tokenizer names just these special tokens."""
    write_package(folder, Tiny(context=128), tokenizer=byte_tokenizer(adds_bos=adds_bos))
    path = folder / "tokenizer_config.json"
    facts = json.loads(path.read_text("utf-8"))
    kept = {key: value for key, value in facts.items() if key not in ("bos_token", "eos_token")}
    path.write_text(json.dumps({**kept, **specials}), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("adds_bos", "specials", "start", "own"),
    [
        (False, {"bos_token": "<s>", "eos_token": "</s>"}, "<s>", []),
        (False, {"eos_token": "</s>"}, "</s>", []),
        # The tokenizer's own BOS is scored after another, as the peer does.
        (True, {"bos_token": "<s>", "eos_token": "</s>"}, "<s>", ["<s>"]),
    ],
)
def test_fault_28_document_follows_bos_or_else_eos(tmp_path, adds_bos, specials, start, own):
    folder = package_with(tmp_path / "package", adds_bos=adds_bos, **specials)
    found = Measured(tmp_path, (folder, folder))
    plain = byte_tokenizer()
    first = plain.token_to_id(start)
    lines = [
        [plain.token_to_id(token) for token in own] + plain.encode(printed(article)).ids
        for article in ARTICLES
    ]
    nll = [rolling_nll(found.plain[0], ids, first, WINDOW) for ids in lines]
    measured = found.measure(0)
    assert measured.comparability.items == sum(map(len, lines))
    assert measured.comparability.protocol == f"rolling {WINDOW} from {start}, wikitext"
    sums = [document["nll_nats"] for document in measured.detail["documents"]]
    assert sums == pytest.approx([part.sum() for part in nll], rel=1e-6)


def test_fault_28_another_start_makes_other_items(tmp_path, text_file):
    task = RollingTask(read_text(str(text_file), base=Path()), RollingOptions(WINDOW))
    names = {"one": {"bos_token": "<s>"}, "other": {"eos_token": "</s>"}}
    one, other = (package_with(tmp_path / name, **each) for name, each in names.items())
    case = case_of(other, "int4", reference=case_of(one))
    with pytest.raises(InvalidMeasurement, match="item 0 differs at id 0") as caught:
        evaluator_in(tmp_path / "cache").run(case, task)
    assert caught.value.code == "tokenizer-mismatch"


def test_tokenizer_without_bos_and_eos_has_nothing_to_start_from(tmp_path, text_file):
    tokenizer = load_tokenizer(package_with(tmp_path / "package"))
    task = RollingTask(read_text(str(text_file), base=Path()), RollingOptions(WINDOW))
    with pytest.raises(InvalidMeasurement, match="neither") as caught:
        task.encode(tokenizer, 128)
    assert caught.value.code == "no-start-token"


# --- refusals and edges -------------------------------------------------------------------------


def test_fault_33_documents_shorter_than_a_window_together(tiny_folder, tmp_path):
    (tmp_path / "t.txt").write_text("In autumn.\n", "utf-8")
    task = RollingTask(read_text("t.txt", base=tmp_path), RollingOptions(WINDOW))
    with pytest.raises(InvalidMeasurement) as caught:
        task.encode(load_tokenizer(tiny_folder), 1024)
    assert caught.value.code == "text-short"


def test_fault_34_window_longer_than_the_context(tiny_folder, text_file):
    task = RollingTask(read_text(str(text_file), base=Path()), RollingOptions(1025))
    tokenizer = load_tokenizer(tiny_folder)
    with pytest.raises(InvalidMeasurement, match="1024") as caught:
        task.encode(tokenizer, 1024)
    assert caught.value.code == "context-overflow"


def test_window_of_the_whole_context_fits(tiny_folder, text_file):
    task = RollingTask(read_text(str(text_file), base=Path()), RollingOptions(1024))
    items = task.encode(load_tokenizer(tiny_folder), 1024)
    assert max(len(request.ids) for request in items.requests) == 1024


def test_requests_are_named_by_span_and_document():
    items = RollingItems(((9, 1, 2, 3), (9, 4)), "<s>", (), 2)
    names = [items.name(number) for number in range(len(items.requests))]
    assert names == [
        "tokens 0 to 2 of document 0",
        "tokens 2 to 3 of document 0",
        "tokens 0 to 1 of document 1",
    ]
    assert [request.ids for request in items.requests] == [(9, 1), (1, 2), (9,)]
    assert [request.targets for request in items.requests] == [(1, 2), (3,), (4,)]


def test_digest_tells_documents_apart():
    lines = [((9, 1, 2), (9, 3)), ((9, 1), (2, 9, 3)), ((9, 3), (9, 1, 2)), ((8, 1, 2), (8, 3))]
    assert len({RollingItems(each, "", (), 2).digest for each in lines}) == len(lines)


def test_text_without_words_has_no_finite_word_perplexity(tmp_path, tiny_folder):
    (tmp_path / "t.txt").write_text("大きさ" * 300, "utf-8")
    task = RollingTask(read_text("t.txt", base=tmp_path), RollingOptions(WINDOW))
    items = task.encode(load_tokenizer(tiny_folder), 1024)
    samples = RollingSamples(np.full(items.count, -2.0))
    word, byte, bits = rolling_scores(samples, items, None)
    assert word.value == math.inf
    assert byte.value == pytest.approx(math.exp(2.0))  # a byte a token
    assert bits.value == pytest.approx(2.0 / math.log(2))
