"""MMLU as a corpus: nothing mended, nothing lost, and digests that tell selections apart."""

import codecs
import csv
import hashlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.corpus.files import DataFile
from quantgate.corpus.mmlu import MmluCorpus, Question, read_mmlu
from quantgate.corpus.mmlu_csv import parse_csv
from quantgate.errors import UsageFault

ROOT = Path(__file__).parents[2]
REVISION = "c30699e8356da336a370243923dbaf21066bb9fe"

ROWS = {
    "anatomy": [
        ["Which bone?", "femur", "tibia", "None", "ulna", "A"],
        ['A "quoted", word\nand a line', "1", "2", "3", "4", "D"],
        ["Third?", "a", "b", "c", "d", "B"],
    ],
    "virology": [
        ["Which virus?", "0.50", "nan", "NA", "N/A", "C"],
        ["Which  spaces? ", " x", "y ", "z", "w", "A"],
    ],
}
DEV = {"anatomy": [["Dev?", "a", "b", "c", "d", "C"]] * 5, "virology": []}


def as_csv(rows, **options) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, **options).writerows(rows)
    return stream.getvalue()


def write_csv(root: Path, tests=ROWS, dev=DEV, **options) -> Path:
    for split, tables in (("test", tests), ("dev", dev)):
        (root / split).mkdir(parents=True, exist_ok=True)
        for subject, rows in tables.items():
            if rows or split == "test":
                path = root / split / f"{subject}_{split}.csv"
                path.write_bytes(as_csv(rows, **options).encode("utf-8"))
    return root


def write_hub(root: Path, config_of=lambda subject: subject, tests=ROWS, dev=DEV) -> Path:
    import datasets

    for split, tables in (("test", tests), ("dev", dev)):
        configs: dict[str, list[dict]] = {}
        for subject, rows in tables.items():
            configs.setdefault(config_of(subject), []).extend(
                {
                    "question": row[0],
                    "subject": subject,
                    "choices": row[1:5],
                    "answer": "ABCD".index(row[5]),
                }
                for row in rows
            )
        for config, records in configs.items():
            if records:
                (root / config).mkdir(parents=True, exist_ok=True)
                datasets.Dataset.from_list(records).to_parquet(
                    root / config / f"{split}-00000-of-00001.parquet"
                )
    return root


def refused(folder: Path, **selection) -> UsageFault:
    with pytest.raises(UsageFault) as caught:
        read_mmlu(str(folder), base=folder, **selection)
    return caught.value


def with_test(root: Path, content: bytes, name: str = "anatomy_test.csv") -> Path:
    write_csv(root)
    (root / "test" / name).write_bytes(content)
    return root


# --- reading ------------------------------------------------------------------------------------


def test_questions_come_by_subject_and_in_file_order(tmp_path):
    corpus = read_mmlu("mm lu", base=write_csv(tmp_path / "mm lu").parent)
    assert [q.id for q in corpus.questions] == [
        "anatomy/0",
        "anatomy/1",
        "anatomy/2",
        "virology/0",
        "virology/1",
    ]
    assert corpus.questions[1] == Question(
        "anatomy", 1, 'A "quoted", word\nand a line', ("1", "2", "3", "4"), 3
    )
    assert len(corpus.shots["anatomy"]) == 5
    assert corpus.source == "mm lu"


def test_folder_above_the_authors_data_is_taken(tmp_path):
    write_csv(tmp_path / "data")
    assert len(read_mmlu(".", base=tmp_path).questions) == 5


def test_shots_are_the_first_rows_or_a_fault(tmp_path):
    corpus = read_mmlu(".", base=write_csv(tmp_path))
    assert corpus.shots_for("anatomy", 2) == corpus.shots["anatomy"][:2]
    assert corpus.shots_for("virology", 0) == ()
    with pytest.raises(UsageFault, match="no dev file"):
        corpus.shots_for("virology", 1)
    with pytest.raises(UsageFault, match="5 rows"):
        corpus.shots_for("anatomy", 6)


def test_embedded_subjects_have_questions_and_five_shots(tmp_path):
    corpus = read_mmlu("embedded", base=tmp_path)
    assert corpus.notes == ()
    for subject in {question.subject for question in corpus.questions}:
        assert len(corpus.shots_for(subject, 5)) == 5


def test_limit_counts_questions_of_each_subject(tmp_path):
    corpus = read_mmlu(".", base=write_csv(tmp_path), limit=1)
    assert [q.id for q in corpus.questions] == ["anatomy/0", "virology/0"]


TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip())


@given(
    rows=st.lists(
        st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT, st.sampled_from("ABCD")), min_size=1, max_size=5
    ),
    terminator=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
)
def test_fault_37_any_text_survives_a_csv_file(rows, terminator, mark):
    content = as_csv(rows, lineterminator=terminator, quoting=csv.QUOTE_ALL).encode("utf-8")
    file = DataFile("x_test.csv", codecs.BOM_UTF8 * mark + content)
    questions = parse_csv("x", file)
    assert [(q.text, *q.options, "ABCD"[q.answer]) for q in questions] == rows
    assert [q.row for q in questions] == list(range(len(rows)))


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\n", codecs.BOM_UTF8])
def test_fault_36_empty_subject(tmp_path, content):
    error = refused(with_test(tmp_path, content))
    assert error.code == "data-empty"
    assert "anatomy_test.csv" in error.need


def test_fault_36_shots_without_questions(tmp_path):
    write_csv(tmp_path)
    (tmp_path / "test" / "anatomy_test.csv").unlink()
    error = refused(tmp_path)
    assert error.code == "mmlu-empty"
    assert "anatomy" in error.found


def test_fault_36_unknown_subject(tmp_path):
    error = refused(write_csv(tmp_path), subjects=["anatomy", "anatomie"])
    assert error.code == "mmlu-subject"
    assert "'anatomie'" in error.found
    assert "'anatomy'" in error.fix


@pytest.mark.parametrize("limit", [0, -1])
def test_fault_36_limit_leaves_nothing(tmp_path, limit):
    assert refused(write_csv(tmp_path), limit=limit).code == "mmlu-empty"


def test_fault_36_no_subjects(tmp_path):
    (tmp_path / "test").mkdir()
    assert refused(tmp_path).code == "mmlu-empty"


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_fault_36_folder_without_a_layout(tmp_path, folder):
    error = refused(tmp_path / folder)
    assert error.code == "data-missing"
    assert "--gate-data-dir" in error.fix


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"q,a,b,c,d,A\nq,a,b,c,A\n", "row 1 (line 2): 5 columns"),
        (b'"q\n",a,b,c,d,A\nq,a,b,c,d,e,A\n', "row 1 (line 3): 7 columns"),
        (b"q,a,b,c,d,A\n\nq,a,b,c,d,A\n", "row 1 (line 2): 0 columns"),
        (b'q,a,b,c,d,A\n"q" x,a,b,c,d,A\n', "row 1 (line 2)"),
        (b'q,a,b,c,d,A\nq,"a,b,c,d,A\n', "row 1 (line 2)"),
        (b"q;a;b;c;d;A\n", "row 0 (line 1): 1 columns"),
    ],
)
def test_fault_37_malformed_csv(tmp_path, content, found):
    error = refused(with_test(tmp_path, content))
    assert error.code == "csv-malformed"
    assert "test/anatomy_test.csv" in error.need
    assert found in error.found


@pytest.mark.parametrize(
    "content", [b"q,a,b,c,d,A\nq,caf\xe9,b,c,d,A\n", "q,a,b,c,d,A\n".encode("utf-16")]
)
def test_fault_37_not_utf8(tmp_path, content):
    error = refused(with_test(tmp_path, content))
    assert error.code == "not-utf8"
    assert "test/anatomy_test.csv" in error.need


def test_fault_37_crlf_and_mark_change_no_question(tmp_path):
    plain = read_mmlu(".", base=write_csv(tmp_path / "lf", lineterminator="\n"))
    root = write_csv(tmp_path / "crlf", lineterminator="\r\n")
    file = root / "test" / "anatomy_test.csv"
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    marked = read_mmlu(".", base=root)
    assert marked.questions == plain.questions
    assert marked.digest == plain.digest
    assert marked.files_digest != plain.files_digest
    assert any("byte order mark" in note and "anatomy" in note for note in marked.notes)
    assert not any("byte order mark" in note for note in plain.notes)


def test_fault_37_file_of_another_name(tmp_path):
    error = refused(with_test(tmp_path, b"q,a,b,c,d,A\n", name="anatomy.csv"))
    assert error.code == "data-names"
    assert error.found == "anatomy.csv"


def test_fault_38_options_that_read_like_missing_values_stay_text(tmp_path):
    corpus = read_mmlu(".", base=write_csv(tmp_path))
    assert corpus.questions[0].options[2] == "None"
    assert corpus.questions[3].options == ("0.50", "nan", "NA", "N/A")
    assert corpus.questions[4].options[:2] == (" x", "y ")


@pytest.mark.parametrize("empty", ["", " "])
def test_fault_38_empty_option(tmp_path, empty):
    rows = [ROWS["anatomy"][0], ["q", "a", empty, "c", "d", "A"]]
    error = refused(with_test(tmp_path, as_csv(rows).encode()))
    assert error.code == "mmlu-rows"
    assert error.found == "row 1 (line 2): option B is empty"


def test_fault_39_answers_list_their_rows(tmp_path):
    rows = [["q", "a", "b", "c", "d", letter] for letter in ("A", "E", "b", "AB", "", " A", "1")]
    error = refused(with_test(tmp_path, as_csv(rows).encode()))
    assert error.code == "mmlu-rows"
    for row in range(1, 7):
        assert f"row {row} (line {row + 1})" in error.found
    assert "row 0" not in error.found


def test_fault_39_long_lists_of_rows_are_counted(tmp_path):
    rows = [["q", "a", "b", "c", "d", "E"]] * 25
    error = refused(with_test(tmp_path, as_csv(rows).encode()))
    assert error.found.endswith("and 15 more")


def test_fault_39_duplicate_ids():
    question = Question("x", 0, "q", ("a", "b", "c", "d"), 0)
    with pytest.raises(UsageFault, match=r"x/0 \(2 times\)"):
        MmluCorpus("s", {}, (question, question), "", "", ())


def test_fault_39_duplicates_are_kept_and_counted(tmp_path):
    rows = [["q", "a", "a", "c", "d", "A"]] * 3 + [["p", "a", "b", "c", "d", "A"]]
    corpus = read_mmlu(".", base=with_test(tmp_path, as_csv(rows).encode()))
    assert len(corpus.questions) == 4 + 2
    assert corpus.notes == (
        "2 repeated questions, 3 questions with duplicate options: kept and counted",
    )


def test_fault_9_lfs_pointer(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    error = refused(with_test(tmp_path, pointer))
    assert error.code == "lfs-pointer"
    assert error.fix == "git lfs pull"


def test_fault_40_files_digest_names_the_bytes_before_selection(tmp_path):
    base = write_csv(tmp_path)
    whole = read_mmlu(".", base=base)
    listing = "".join(
        f"{hashlib.sha256((base / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("dev/anatomy_dev.csv", "test/anatomy_test.csv", "test/virology_test.csv")
    )
    assert whole.files_digest == hashlib.sha256(listing.encode()).hexdigest()
    assert read_mmlu(".", base=base, limit=1).files_digest == whole.files_digest
    assert read_mmlu(".", base=base, subjects=["anatomy"]).files_digest == whole.files_digest


def test_fault_41_each_selection_has_a_digest_of_its_own(tmp_path):
    base = write_csv(tmp_path)
    selections = [{}, {"limit": 1}, {"limit": 2}, {"subjects": ["anatomy"]}]
    digests = [read_mmlu(".", base=base, **selection).digest for selection in selections]
    assert len(set(digests)) == len(selections)
    assert read_mmlu(".", base=base, limit=3).digest == digests[0]  # nothing was cut


def test_fault_41_shuffled_rows_and_other_shots_are_another_corpus(tmp_path):
    plain = read_mmlu(".", base=write_csv(tmp_path / "a")).digest
    turned = {**ROWS, "anatomy": ROWS["anatomy"][::-1]}
    assert read_mmlu(".", base=write_csv(tmp_path / "b", tests=turned)).digest != plain
    dev = {**DEV, "anatomy": DEV["anatomy"][:4]}
    assert read_mmlu(".", base=write_csv(tmp_path / "c", dev=dev)).digest != plain


def test_fault_75_names_and_texts_beyond_ascii(tmp_path):
    rows = {"größe_und maß": [["Größe 大きさ?", "ä", "ø", "ß", "й", "B"]]}
    base = write_csv(tmp_path / "mit Leer zeichen", tests=rows, dev={})
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from quantgate.corpus.mmlu import read_mmlu\n"
        "q = read_mmlu('.', base=Path(sys.argv[1])).questions[0]\n"
        "sys.stdout.buffer.write(f'{q.id}: {q.text}'.encode('utf-8'))\n"
    )
    run = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", script, str(base)],
        env={"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert run.stdout.decode("utf-8") == "größe_und maß/0: Größe 大きさ?"


# --- the hub's layout ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config_of", [lambda subject: subject, lambda subject: "all"], ids=["subjects", "all"]
)
def test_hub_layout_gives_the_same_questions_as_csv(tmp_path, config_of):
    plain = read_mmlu("csv", base=write_csv(tmp_path / "csv").parent)
    hub = read_mmlu("hub", base=write_hub(tmp_path / "hub", config_of).parent)
    assert hub.questions == plain.questions
    assert hub.shots == plain.shots
    assert hub.digest == plain.digest
    assert hub.files_digest != plain.files_digest


def test_all_is_read_alone_where_both_kinds_of_config_are(tmp_path):
    write_hub(tmp_path)
    write_hub(tmp_path, lambda subject: "all")
    assert len(read_mmlu(".", base=tmp_path).questions) == 5


def test_fault_39_rows_of_the_hub_are_checked_too(tmp_path):
    import datasets

    record = {"question": "q", "subject": "x", "choices": ["a", "b", "c", "d"], "answer": 1}
    wrong = [
        record,
        record | {"answer": 4},
        record | {"choices": ["a", "b"]},
        record | {"answer": -1},
    ]
    (tmp_path / "x").mkdir()
    datasets.Dataset.from_list(wrong).to_parquet(tmp_path / "x" / "test-00000-of-00001.parquet")
    error = refused(tmp_path)
    assert error.code == "mmlu-rows"
    assert [f"x row {row}" in error.found for row in range(4)] == [False, True, True, True]
    assert "2 options" in error.found


def test_parquet_of_another_shape_is_refused(tmp_path):
    import datasets

    (tmp_path / "x").mkdir()
    file = tmp_path / "x" / "test-00000-of-00001.parquet"
    datasets.Dataset.from_list([{"question": "q"}]).to_parquet(file)
    error = refused(tmp_path)
    assert error.code == "parquet-unreadable"
    assert "choices" in error.found
    file.write_bytes(b"<html>not here</html>")
    assert refused(tmp_path).code == "parquet-unreadable"


def part(folder: Path, name: str, config: str = "anatomy") -> None:
    """A copy of a config's test file under another name."""
    whole = folder / config / "test-00000-of-00001.parquet"
    whole.with_name(f"test-{name}.parquet").write_bytes(whole.read_bytes())


@pytest.mark.parametrize(
    ("there", "absent"),
    [
        (["00000-of-00002"], "anatomy/test-00001-of-00002.parquet"),
        (["00001-of-00002"], "anatomy/test-00000-of-00002.parquet"),
        (["00000-of-00003", "00002-of-00003"], "anatomy/test-00001-of-00003.parquet"),
        (["00000-of-00002-0a1b2c"], "anatomy/test-00001-of-00002.parquet"),
        (["00000-of-00001", "00000-of-00002"], "anatomy/test-00001-of-00002.parquet"),
        (["00000-of-00009"], ", anatomy/test-00005-of-00009.parquet and 3 more"),
    ],
)
def test_split_that_lacks_a_shard_is_no_split(tmp_path, there, absent):
    folder = write_hub(tmp_path)
    for name in there:
        part(folder, name)
    if "00000-of-00001" not in there:
        (folder / "anatomy" / "test-00000-of-00001.parquet").unlink()
    error = refused(folder)
    assert error.code == "data-missing"
    assert error.found.endswith(absent)
    assert "HF_HUB_OFFLINE=0" in error.fix


@pytest.mark.parametrize("more", ["00000-of-00001-0a1b2c", "00001-of-00001", "copy"])
def test_shard_that_is_there_twice_or_too_many_is_refused(tmp_path, more):
    part(write_hub(tmp_path), more)
    error = refused(tmp_path)
    assert error.code == "data-names"
    assert f"test-{more}.parquet" in error.found


@pytest.mark.parametrize("name", ["0000", "00000-of-00001-0a1b2c"])
def test_files_of_other_names_are_read_as_before(tmp_path, name):
    """Files without numbers tell of no others; the hub's older ones end with a digest."""
    digest = read_mmlu(".", base=write_hub(tmp_path)).digest
    part(tmp_path, name)
    (tmp_path / "anatomy" / "test-00000-of-00001.parquet").unlink()
    assert read_mmlu(".", base=tmp_path).digest == digest


@pytest.fixture
def hub_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub, in its own layout, and a network that would be noticed."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "hub"


def test_hub_location_is_read_from_the_cache(hub_cache, tmp_path):
    write_hub(hub_cache / "datasets--cais--mmlu" / "snapshots" / REVISION, lambda subject: "all")
    corpus = read_mmlu(f"hub:cais/mmlu@{REVISION}", base=tmp_path)
    assert corpus.digest == read_mmlu("c", base=write_csv(tmp_path / "c").parent).digest
    assert corpus.source == f"hub:cais/mmlu@{REVISION}"


def test_hub_config_may_be_a_subject(hub_cache, tmp_path):
    write_hub(hub_cache / "datasets--cais--mmlu" / "snapshots" / REVISION)
    corpus = read_mmlu(f"hub:cais/mmlu:anatomy@{REVISION}", base=tmp_path)
    assert {q.subject for q in corpus.questions} == {"anatomy"}


def test_fault_74_nothing_in_the_cache(hub_cache, tmp_path):
    with pytest.raises(UsageFault) as caught:
        read_mmlu(f"hub:cais/mmlu@{REVISION}", base=tmp_path)
    assert caught.value.code == "hub-unavailable"
    assert "HF_HUB_OFFLINE=0" in caught.value.fix
    assert REVISION in caught.value.fix


def half_a_split(hub_cache: Path) -> Path:
    """A revision in the cache whose test split lacks its second file."""
    snapshot = hub_cache / "datasets--cais--mmlu" / "snapshots" / REVISION
    rows = {"anatomy": ROWS["anatomy"]}
    folder = write_hub(snapshot, lambda subject: "all", tests=rows)
    part(folder, "00000-of-00002", "all")
    (folder / "all" / "test-00000-of-00001.parquet").unlink()
    return folder


def test_fault_74_half_a_split_in_the_cache_is_missing(hub_cache, tmp_path):
    half_a_split(hub_cache)
    with pytest.raises(UsageFault) as caught:
        read_mmlu(f"hub:cais/mmlu@{REVISION}", base=tmp_path)
    assert caught.value.code == "data-missing"
    assert "all/test-00001-of-00002.parquet" in caught.value.found


def test_half_a_split_in_the_cache_is_downloaded_where_that_is_allowed(
    hub_cache, tmp_path, monkeypatch
):
    import huggingface_hub

    folder, calls = half_a_split(hub_cache), []

    def snapshot_download(*args, local_files_only, **options):
        calls.append(local_files_only)
        if not local_files_only:
            rows = {"virology": ROWS["virology"]}
            brought = write_hub(hub_cache / "more", lambda subject: "all", tests=rows)
            (brought / "all" / "test-00000-of-00001.parquet").rename(
                folder / "all" / "test-00001-of-00002.parquet"
            )
        return str(folder)

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    for _ in range(2):
        assert len(read_mmlu(f"hub:cais/mmlu@{REVISION}", base=tmp_path).questions) == 5
    assert calls == [True, False, True]


@pytest.mark.parametrize(("status", "attempts"), [(429, 3), (404, 1)])
def test_fault_74_attempts_are_bounded(hub_cache, tmp_path, monkeypatch, status, attempts):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    calls = []

    class Refused(Exception):
        response = type("Response", (), {"status_code": status})()

    def snapshot_download(*args, local_files_only, **options):
        calls.append(local_files_only)
        raise LocalEntryNotFoundError("no") if local_files_only else Refused("slow down")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr("quantgate.corpus.hub._PAUSE_SECONDS", 0)
    with pytest.raises(UsageFault, match="slow down") as caught:
        read_mmlu(f"hub:cais/mmlu@{REVISION}", base=tmp_path)
    assert caught.value.code == "hub-unavailable"
    assert calls == [True] + [False] * attempts


@pytest.mark.parametrize(
    "location",
    ["hub:cais/mmlu", "hub:cais/mmlu@main", "hub:cais/mmlu@c30699e", f"hub:../x@{REVISION}"],
)
def test_fault_74_revision_is_a_commit(tmp_path, location):
    with pytest.raises(UsageFault, match="hub-location"):
        read_mmlu(location, base=tmp_path)
