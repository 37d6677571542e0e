"""The text of perplexity: paragraphs exactly as they stand, and pins."""

import codecs
import hashlib
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.corpus.pins import check_pin
from quantgate.corpus.text import Document, _paragraphs, _unix, read_text
from quantgate.errors import UsageFault

ROOT = Path(__file__).parents[2]
REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
OLD, NEW = "0" * 64, "1" * 64


def refused(content: bytes, tmp_path: Path) -> UsageFault:
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(UsageFault) as caught:
        read_text("t.txt", base=tmp_path)
    return caught.value


def test_a_paragraph_a_line_and_blank_lines_are_none(tmp_path):
    content = b" one \n\n \t \n two\x0c\xe2\x80\xa8more \nlast"
    (tmp_path / "t.txt").write_bytes(content)
    corpus = read_text("t.txt", base=tmp_path)
    assert corpus.paragraphs == (" one ", " two\x0c\u2028more ", "last")
    assert corpus.text == " one \n\n two\x0c\u2028more \n\nlast"
    assert corpus.source == "t.txt"
    assert corpus.files_digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_change_the_bytes_and_not_the_text(tmp_path, end):
    for name, text in (("lf", "a\n\n b\nc\n"), ("other", f"a{end}{end} b{end}c{end}")):
        (tmp_path / name).write_bytes(text.encode())
    plain, other = (read_text(name, base=tmp_path) for name in ("lf", "other"))
    assert plain.paragraphs == other.paragraphs
    assert plain.digest == other.digest
    assert plain.files_digest != other.files_digest


def test_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "t.txt").write_bytes(codecs.BOM_UTF8 + b"one\n")
    assert read_text("t.txt", base=tmp_path).paragraphs == ("one",)


def test_embedded_text_has_paragraphs(tmp_path):
    paragraphs = read_text("embedded", base=tmp_path).paragraphs
    assert paragraphs
    assert all(paragraph == paragraph.strip() for paragraph in paragraphs)


LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n")).filter(lambda t: t.strip())


@given(lines=st.lists(LINE), end=st.sampled_from(["\n", "\r\n", "\r", "\n \n"]))
def test_any_paragraphs_survive_a_file(lines, end):
    assert _paragraphs(_unix(end.join(lines))) == tuple(lines)


@pytest.mark.parametrize("content", [b"", b" \n\n", codecs.BOM_UTF8])
def test_fault_36_empty_text(tmp_path, content):
    assert refused(content, tmp_path).code == "data-empty"


def test_fault_36_text_of_unicode_blanks(tmp_path):
    assert refused("\u2003\n\u00a0\n".encode(), tmp_path).code == "text-empty"


def test_fault_36_missing_text(tmp_path):
    for location in ("nowhere.txt", "."):
        with pytest.raises(UsageFault) as caught:
            read_text(location, base=tmp_path)
        assert caught.value.code == "data-missing"


def test_fault_9_lfs_pointer(tmp_path):
    assert refused(b"version https://git-lfs.github.com/spec/v1\n", tmp_path).code == "lfs-pointer"


def test_fault_37_not_utf8(tmp_path):
    error = refused(b"one\ncaf\xe9\n", tmp_path)
    assert error.code == "not-utf8"
    assert "0xe9 on line 2" in error.found


def test_fault_41_another_text_has_another_digest(tmp_path):
    digests = set()
    for text in ("a\nb", "a\nb ", "ab", "b\na", "a"):
        (tmp_path / "t.txt").write_text(text, encoding="utf-8")
        digests.add(read_text("t.txt", base=tmp_path).digest)
    assert len(digests) == 5


def test_fault_75_text_beyond_ascii_under_an_ascii_locale(tmp_path):
    file = tmp_path / "ein Text ü.txt"
    file.write_text("Größe 大きさ\n", encoding="utf-8")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from quantgate.corpus.text import read_text\n"
        "p = Path(sys.argv[1])\n"
        "sys.stdout.buffer.write(read_text(p.name, base=p.parent).text.encode('utf-8'))\n"
    )
    run = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", script, str(file)],
        env={"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert run.stdout.decode("utf-8") == "Größe 大きさ"


# --- documents ----------------------------------------------------------------------------------

ARTICLES = (
    " = Kite = \n \n A kite is a toy , and a bird . \n \n = = Flight = = \n \n It rises . \n ",
    " = Ångström = \n \n He measured 0 @.@ 1 nm . \n",
)


def write_articles(folder: Path, end: str = "\n") -> Path:
    path = folder / "articles.txt"
    path.write_bytes("\n".join((" ", *ARTICLES)).replace("\n", end).encode())
    return path


def test_paragraphs_are_one_document(tmp_path):
    (tmp_path / "t.txt").write_text(" one , \n\ntwo\n", encoding="utf-8")
    corpus = read_text("t.txt", base=tmp_path)
    assert corpus.documents == (Document(corpus.text, corpus.text),)
    assert corpus.text == " one , \n\ntwo"


@pytest.mark.parametrize(
    ("raw", "words", "size"),
    [
        ("one two", 2, 7),
        (" one  two\n", 4, 10),  # an empty part at either end counts, as it does for the peers
        ("größer\u2003大きさ", 2, 8 + 3 + 9),
        ("", 1, 0),
    ],
)
def test_words_and_bytes_are_those_of_the_raw_text(raw, words, size):
    document = Document(raw, "another text")
    assert (document.words, document.size) == (words, size)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_articles_of_wikitext_are_documents(tmp_path, end):
    path = write_articles(tmp_path, end)
    corpus = read_text(path.name, base=tmp_path, text_format="wikitext")
    assert tuple(document.raw for document in corpus.documents) == ARTICLES
    assert corpus.documents[1].text == " = Ångström =\n\nHe measured 0.1 nm.\n"


def test_format_leaves_the_joined_text_alone(tmp_path):
    path = write_articles(tmp_path)
    plain = read_text(path.name, base=tmp_path)
    articles = read_text(path.name, base=tmp_path, text_format="wikitext")
    assert (plain.text, plain.digest) == (articles.text, articles.digest)


def test_wikitext_without_a_title_is_refused(tmp_path):
    (tmp_path / "t.txt").write_text("one\n = = Section = = \ntwo\n", encoding="utf-8")
    with pytest.raises(UsageFault, match="paragraphs") as caught:
        read_text("t.txt", base=tmp_path, text_format="wikitext")
    assert caught.value.code == "text-format"


# --- the hub ------------------------------------------------------------------------------------


@pytest.fixture
def hub_text(tmp_path, monkeypatch):
    import datasets
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder = tmp_path / "datasets--Salesforce--wikitext" / "snapshots" / REVISION / "raw-v1"
    folder.mkdir(parents=True)
    for shard, rows in enumerate((["", " = T = \n"], [" two \n", ""])):
        datasets.Dataset.from_dict({"text": rows}).to_parquet(
            folder / f"test-{shard:05}-of-00002.parquet"
        )
    return tmp_path


def test_rows_of_the_hub_come_as_they_are(hub_text):
    for location in ("hub:Salesforce/wikitext:raw-v1", "hub:Salesforce/wikitext:raw-v1:test"):
        corpus = read_text(f"{location}@{REVISION}", base=hub_text)
        assert corpus.paragraphs == ("", " = T = \n", " two \n", "")
        assert corpus.text == "\n\n = T = \n\n\n two \n\n\n"


def test_empty_rows_of_the_hub_are_blank_lines_of_wikitext(hub_text):
    corpus = read_text(
        f"hub:Salesforce/wikitext:raw-v1@{REVISION}", base=hub_text, text_format="wikitext"
    )
    assert corpus.articles == (" = T = \n two \n \n",)


@pytest.mark.parametrize("what", [":raw-v1:train", "", ":other"])
def test_fault_74_split_that_is_not_in_the_cache(hub_text, what):
    with pytest.raises(UsageFault) as caught:
        read_text(f"hub:Salesforce/wikitext{what}@{REVISION}", base=hub_text)
    assert caught.value.code == "data-missing"
    assert "HF_HUB_OFFLINE=0" in caught.value.fix


# --- pins ---------------------------------------------------------------------------------------

PINNED = f'# mmlu\r\n[data]\r\ntext_sha256 = "{OLD}"\r\n  mmlu_sha256="{OLD}" # größer\r\n'


@pytest.fixture
def manifest(tmp_path) -> Path:
    file = tmp_path / "quantgate.toml"
    file.write_bytes(PINNED.encode())
    return file


def pin_fault(**options) -> UsageFault:
    with pytest.raises(UsageFault) as caught:
        check_pin(NEW, OLD, what="mmlu", **options)
    return caught.value


@pytest.mark.parametrize("pin", [None, NEW])
def test_no_pin_or_an_equal_one_changes_nothing(manifest, pin):
    changed = check_pin(NEW, pin, what="mmlu", in_ci=False, accept=True, manifest=manifest)
    assert not changed
    assert manifest.read_bytes() == PINNED.encode()


@pytest.mark.parametrize("in_ci", [True, False])
def test_fault_40_other_bytes_than_pinned(in_ci):
    error = pin_fault(in_ci=in_ci)
    assert error.code == "dataset-pin"
    assert OLD in error.need
    assert NEW in error.found
    assert "--gate-accept-dataset" in error.fix


def test_fault_40_new_pin_is_written_and_nothing_else(manifest):
    manifest.chmod(0o640)
    assert check_pin(NEW, OLD, what="mmlu", in_ci=False, accept=True, manifest=manifest)
    expected = PINNED.replace(f'mmlu_sha256="{OLD}"', f'mmlu_sha256="{NEW}"')
    assert manifest.read_bytes() == expected.encode()
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o640
    assert [path.name for path in manifest.parent.iterdir()] == ["quantgate.toml"]


def test_fault_40_no_pin_is_written_in_ci(manifest):
    error = pin_fault(in_ci=True, accept=True, manifest=manifest)
    assert "refused in CI" in error.found
    assert manifest.read_bytes() == PINNED.encode()


def test_fault_40_a_pin_that_stands_nowhere_is_not_guessed_at(manifest):
    manifest.write_text("schema_version = 1\n", encoding="utf-8")
    error = pin_fault(in_ci=False, accept=True, manifest=manifest)
    assert error.code == "pin-line"
    assert NEW in error.fix
