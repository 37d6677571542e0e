"""Two sides compared: what is subtracted, what is paired, what isn't, and how it is shown."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import PurePosixPath

import numpy as np
import pytest
import scipy.stats
from rich.console import Console

from quantgate.baselines.items import SUFFIX, describe, pack
from quantgate.baselines.schema import CaseBaseline, TaskBaseline
from quantgate.baselines.sets import BaselineSet, baselines_at, baselines_in, commits_of
from quantgate.comparing.compare import compare
from quantgate.comparing.comparison import Outcome
from quantgate.comparing.history import Moment, moments_of_baselines, moments_of_runs, trace
from quantgate.comparing.saved_runs import save_run
from quantgate.comparing.sides import side_of_baselines, side_of_run
from quantgate.comparing.sources import Places, find_side
from quantgate.errors import UsageFault
from quantgate.items import items_of
from quantgate.report import compare_markdown, compare_table, tables_page
from quantgate.report.charts.history import history_chart, standalone
from quantgate.report.history_table import print_history
from quantgate.report.results_json import RunFacts, build, serialize
from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Measurement,
    Score,
    Verdict,
)
from quantgate.run_file import RunFile, parse_run
from tests.test_saved_runs import COMMIT, NOON

CASE = "tiny-int4-ort-cpu"
COMPARABILITY = Comparability(
    protocol="p", items=400, ids_digest="ids", corpus="corpus", tokenizer="tok", plan="plan"
)
HOSTILE = "<script>alert(1)</script>|`x`\x1b[31m@you [a](http://b)"


def mmlu(chosen: dict[str, str], gold: dict[str, str], case: str = CASE, **changes) -> Measurement:
    """A measurement of answers; every figure is counted here."""
    right = {name: [a == b for a, b in zip(chosen[name], gold[name], strict=True)] for name in gold}
    everything = [one for each in right.values() for one in each]
    scores = [score("accuracy", float(np.mean(everything)), len(everything))]
    scores += [score(f"subject.{k}", float(np.mean(v)), len(v)) for k, v in right.items()]
    answers = {name: {"chosen": chosen[name], "gold": gold[name]} for name in gold}
    facts = {
        "case_id": case,
        "task": "mmlu",
        "scores": tuple(scores),
        "comparability": COMPARABILITY,
        "identity": {"package": "a" * 64},
        "detail": {"answers": answers},
    }
    return Measurement(**{**facts, **changes})


def score(metric: str, value: float, n: int = 400, **changes) -> Score:
    facts = {"unit": "fraction", "direction": Direction.HIGHER, "stderr": 0.02}
    return Score(**{"metric": metric, "value": value, "n": n, **facts, **changes})


def perplexity(nats: np.ndarray, tokens: np.ndarray, case: str = CASE, **changes) -> Measurement:
    windows = [
        {"begin": 64 * i, "end": 64 * i + 64, "n": int(n), "nll_nats": float(x)}
        for i, (x, n) in enumerate(zip(nats, tokens, strict=True))
    ]
    value = math.exp(nats.sum() / tokens.sum())
    facts = {
        "case_id": case,
        "task": "perplexity.strided",
        "scores": (
            score("perplexity", value, unit="perplexity", direction=Direction.LOWER, stderr=0.1),
        ),
        "comparability": COMPARABILITY,
        "identity": {"package": "a" * 64},
        "detail": {"windows": windows},
    }
    return Measurement(**{**facts, **changes})


def decided(measurement: Measurement, *metrics: str) -> tuple[Decision, ...]:
    return tuple(
        Decision(
            case_id=measurement.case_id,
            task=measurement.task,
            metric=metric,
            verdict=Verdict.PASS,
            value=None,
            reason="",
        )
        for metric in metrics
    )


def run_of(*measurements: Measurement, provenance=None, decisions=()) -> RunFile:
    return RunFile(
        facts={"provenance": provenance or {}},
        measurements=measurements,
        decisions=decisions,
    )


def side(*measurements: Measurement, label="some run", **facts):
    return side_of_run(run_of(*measurements, **facts), label)


def results_of(*measurements: Measurement) -> bytes:
    facts = RunFacts(started=NOON, ended=NOON, options={}, configuration={}, provenance={})
    return serialize(build(facts, measurements, ()))


def only(comparison, metric):
    return next(row for row in comparison.rows if row.metric == metric)


GOLD = {"law": "A" * 200, "art": "B" * 200}
BEFORE = {"law": "A" * 150 + "C" * 50, "art": "B" * 100 + "C" * 100}
# Of law 20 are lost and none won, of art 3 are lost and 5 won.
NOW = {"law": "C" * 20 + "A" * 130 + "C" * 50, "art": "C" * 3 + "B" * 97 + "B" * 5 + "C" * 95}


def test_answers_are_paired_question_by_question():
    row = only(compare(side(mmlu(BEFORE, GOLD)), side(mmlu(NOW, GOLD))), "accuracy")
    assert (row.evidence.lost, row.evidence.won) == (23, 5)
    assert row.delta == pytest.approx(-18 / 400)
    assert row.evidence.delta == pytest.approx(-18 / 400)
    expected = scipy.stats.binomtest(5, 28).pvalue
    assert row.p_value == pytest.approx(expected, rel=1e-12)
    assert row.outcome is Outcome.WORSE
    assert only(compare(side(mmlu(NOW, GOLD)), side(mmlu(BEFORE, GOLD))), "accuracy").outcome is (
        Outcome.BETTER
    )


def test_windows_are_paired_on_the_logarithm():
    random = np.random.default_rng(3)
    tokens = random.integers(40, 64, 50).astype(float)
    before = tokens * random.gamma(20, 0.1, 50)
    now = before + tokens * random.normal(0.05, 0.02, 50)
    row = only(
        compare(side(perplexity(before, tokens)), side(perplexity(now, tokens))), "perplexity"
    )
    change = (now - before).sum() / tokens.sum()
    assert row.evidence.delta == pytest.approx(change)
    assert row.evidence.low < change < row.evidence.high
    freedom = row.evidence.clusters - 1
    p_value = 2 * scipy.stats.t.sf(change / row.evidence.stderr, freedom)
    assert row.p_value == pytest.approx(p_value, rel=1e-9)
    width = 2 * scipy.stats.t.ppf(0.975, freedom) * row.evidence.stderr
    assert row.evidence.high - row.evidence.low == pytest.approx(width)
    assert row.outcome is Outcome.WORSE
    ratio = math.exp(now.sum() / tokens.sum()) / math.exp(before.sum() / tokens.sum())
    assert math.log(row.now / row.before) == pytest.approx(math.log(ratio))


def test_change_that_chance_explains_is_noise_and_none_is_the_same():
    few = {"law": "C" * 2 + BEFORE["law"][2:], "art": BEFORE["art"]}
    assert only(compare(side(mmlu(BEFORE, GOLD)), side(mmlu(few, GOLD))), "accuracy").outcome is (
        Outcome.NOISE
    )
    same = only(compare(side(mmlu(NOW, GOLD)), side(mmlu(NOW, GOLD))), "accuracy")
    assert same.outcome is Outcome.SAME
    assert same.evidence.delta == 0


def test_equal_accuracy_by_other_answers_is_noise_not_the_same():
    swapped = {"law": "C" * 9 + "A" * 150 + "C" * 41, "art": BEFORE["art"]}
    row = only(compare(side(mmlu(BEFORE, GOLD)), side(mmlu(swapped, GOLD))), "accuracy")
    assert row.delta == 0
    assert (row.evidence.lost, row.evidence.won) == (9, 9)
    assert row.outcome is Outcome.NOISE


def test_one_subject_of_many_needs_more_than_one_alone():
    """Six lost of six changed: p = 1/32, but 57 subjects are asked."""
    gold = {f"s{i:02}": "A" * 30 for i in range(57)}
    lost = {**gold, "s07": "B" * 6 + "A" * 24}
    many = compare(side(mmlu(gold, gold)), side(mmlu(lost, gold)), metrics=["subject.*"])
    assert len(many.rows) == 57
    row = only(many, "subject.s07")
    assert row.evidence.p_value == pytest.approx(1 / 32)
    assert row.p_value == 1
    assert row.outcome is Outcome.NOISE
    assert {each.outcome for each in many.rows if each is not row} == {Outcome.SAME}
    alone = {"s07": gold["s07"]}, {"s07": lost["s07"]}
    one = compare(
        side(mmlu(alone[0], alone[0])), side(mmlu(alone[1], alone[0])), metrics=["subject.*"]
    )
    assert only(one, "subject.s07").outcome is Outcome.WORSE


@pytest.mark.parametrize(
    ("field", "value"),
    [("protocol", "q"), ("items", 399), ("ids_digest", "other"), ("corpus", "else")],
)
def test_other_data_are_told_and_not_subtracted(field, value):
    unlike = replace(COMPARABILITY, **{field: value})
    comparison = compare(
        side(mmlu(BEFORE, GOLD)), side(mmlu(NOW, GOLD, comparability=unlike)), metrics=["accuracy"]
    )
    (row,) = comparison.rows
    assert row.outcome is Outcome.UNLIKE
    assert row.delta is None
    assert row.evidence is None
    assert row.why.startswith(field.replace("_", " "))
    text = compare_table.render_comparison(comparison)
    assert "not comparable" in text
    assert field.replace("_", " ") in text


@pytest.mark.parametrize("field", ["plan", "tokenizer"])
def test_other_batches_are_comparable(field):
    other = replace(COMPARABILITY, **{field: "other"})
    comparison = compare(side(mmlu(BEFORE, GOLD)), side(mmlu(NOW, GOLD, comparability=other)))
    assert only(comparison, "accuracy").outcome is Outcome.WORSE


def test_figure_that_is_no_number_is_not_subtracted():
    broken = mmlu(NOW, GOLD, scores=(score("accuracy", math.nan),))
    comparison = compare(side(mmlu(BEFORE, GOLD)), side(broken))
    row = only(comparison, "accuracy")
    assert row.outcome is Outcome.UNLIKE
    assert "no finite number" in row.why
    assert "nan" in compare_table.render_comparison(comparison)


def test_what_one_side_lacks_is_told():
    other = mmlu(NOW, GOLD, case="tiny-int8-ort-cpu")
    comparison = compare(side(mmlu(BEFORE, GOLD)), side(other))
    found = {(row.case, row.outcome) for row in comparison.rows}
    assert found == {("tiny-int8-ort-cpu", Outcome.NEW), (CASE, Outcome.GONE)}
    text = compare_table.render_comparison(comparison)
    assert "only now" in text
    assert "only before" in text


def test_two_cases_are_held_against_each_other():
    other = mmlu(NOW, GOLD, case="tiny-int8-ort-cpu", identity={"package": "b" * 64})
    both = side(mmlu(BEFORE, GOLD), other)
    comparison = compare(both, both, cases=(CASE, "tiny-int8-ort-cpu"))
    (row,) = comparison.rows
    assert row.case == f"{CASE} -> tiny-int8-ort-cpu"
    assert row.delta == pytest.approx(-18 / 400)
    with pytest.raises(UsageFault, match="compare-case"):
        compare(both, both, cases=(CASE, "tiny-int2-ort-cpu"))


def test_without_items_the_change_is_told_unpaired():
    bare = mmlu(BEFORE, GOLD, detail={})
    row = only(compare(side(bare), side(mmlu(NOW, GOLD))), "accuracy")
    assert row.outcome is Outcome.UNPAIRED_WORSE
    assert row.evidence is None
    assert row.delta == pytest.approx(-18 / 400)


def test_metrics_of_a_policy_are_shown_unless_others_are_named():
    before, now = mmlu(BEFORE, GOLD), mmlu(NOW, GOLD)
    gated = decided(now, "accuracy", "subject.law")
    default = compare(side(before), side(now, decisions=gated))
    assert [row.metric for row in default.rows] == ["accuracy"]
    named = compare(side(before), side(now), metrics=["mmlu/subject.l*"])
    assert [row.metric for row in named.rows] == ["subject.law"]
    with pytest.raises(UsageFault, match="compare-metric"):
        compare(side(before), side(now), metrics=["acuracy"])


def test_environment_files_and_reference_are_told():
    before = {"packages": {"onnxruntime": "1.30.0"}, "time_utc": "then"}
    now = {"packages": {"onnxruntime": "1.31.1"}, "time_utc": "now"}
    kl = {"task": "kl_divergence", "scores": (score("kl_mean", 0.1, direction=Direction.LOWER),)}
    measured = [
        mmlu(BEFORE, GOLD, **kl, detail={"reference_identity": {"package": digest}})
        for digest in ("r", "s")
    ]
    comparison = compare(
        side(mmlu(BEFORE, GOLD), measured[0], provenance=before),
        side(mmlu(NOW, GOLD, identity={"package": "f" * 64}), measured[1], provenance=now),
    )
    assert comparison.drift == ("onnxruntime 1.30.0 -> 1.31.1",)
    assert f"{CASE}: other files, digest {'a' * 12} -> {'f' * 12}" in comparison.notes
    assert any("another reference" in note for note in comparison.notes)


# Baselines and git


def stored(measurement: Measurement) -> dict[PurePosixPath, bytes]:
    """The two files of a baseline, written without the store."""
    items = items_of(measurement)
    assert items is not None
    accuracy = measurement.scores[0]
    task = TaskBaseline.model_validate(
        {
            "comparability": {
                name: getattr(measurement.comparability, name)
                for name in ("protocol", "items", "ids_digest", "corpus", "tokenizer", "plan")
            },
            "identity": dict(measurement.identity),
            "provenance": {},
            "reason": "first",
            "updated": "2026-03-04T12:00:00Z",
            "items": describe(items).model_dump(),
            "metrics": {
                accuracy.metric: {
                    "value": accuracy.value,
                    "stderr": accuracy.stderr,
                    "n": accuracy.n,
                    "unit": accuracy.unit,
                    "tolerance": {"kind": "absolute", "value": 0.01},
                }
            },
        }
    )
    document = CaseBaseline(case=measurement.case_id, tasks={measurement.task: task})
    path = PurePosixPath("tiny", "int4-ort-cpu.json")
    return {
        path: document.model_dump_json().encode(),
        path.with_name(f"{path.stem}{SUFFIX}"): pack({measurement.task: items}),
    }


def write(root, files):
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def git(folder, *words):
    told = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *told, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """Two commits of baselines, and a third without any; the working tree is as the second."""
    git(tmp_path, "init", "-q", "-b", "main")
    for commit, chosen in (("first", BEFORE), ("second", NOW)):
        write(tmp_path / "baselines", stored(mmlu(chosen, GOLD)))
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", commit)
    (tmp_path / "other").write_text("x")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "third")
    return tmp_path


def test_baselines_are_paired_with_a_run_and_with_each_other():
    before, now = (BaselineSet("b", stored(mmlu(chosen, GOLD))) for chosen in (BEFORE, NOW))
    for comparison in (
        compare(side_of_baselines(before), side_of_baselines(now)),
        compare(side_of_baselines(before), side(mmlu(NOW, GOLD))),
    ):
        row = only(comparison, "accuracy")
        assert (row.evidence.lost, row.evidence.won) == (23, 5)


def test_baseline_without_its_items_is_compared_unpaired():
    files = {
        path: data for path, data in stored(mmlu(BEFORE, GOLD)).items() if ".json" in str(path)
    }
    row = only(
        compare(side_of_baselines(BaselineSet("b", files)), side(mmlu(NOW, GOLD))), "accuracy"
    )
    assert row.outcome is Outcome.UNPAIRED_WORSE


def test_items_of_another_baseline_are_refused():
    files = stored(mmlu(BEFORE, GOLD))
    others = stored(mmlu(NOW, GOLD))
    mixed = {path: (others if SUFFIX in str(path) else files)[path] for path in files}
    with pytest.raises(UsageFault, match="baseline-items"):
        side_of_baselines(BaselineSet("b", mixed))


def test_revisions_give_the_baselines_of_then(repository, monkeypatch):
    monkeypatch.chdir(repository)
    places = Places()
    comparison = compare(find_side("main~2", places), find_side("git:main", places))
    assert only(comparison, "accuracy").evidence.lost == 23
    assert "main~2 (" in comparison.before
    same = compare(find_side("HEAD", places), find_side("baselines", places))
    assert only(same, "accuracy").outcome is Outcome.SAME
    alone = find_side("baselines/tiny/int4-ort-cpu.json", places)
    assert alone.entries[CASE, "mmlu"].items is not None
    assert (
        baselines_at(repository, "HEAD").contents.keys() == baselines_in(repository).contents.keys()
    )


@pytest.mark.parametrize(
    "word", ["--output=x", "git:--help", "git:nothing", "HEAD:baselines", "17"]
)
def test_words_that_name_nothing_are_refused(repository, monkeypatch, word):
    monkeypatch.chdir(repository)
    with pytest.raises(UsageFault, match=r"compare-unknown|revision-unknown"):
        find_side(word, Places())
    assert not (repository / "x").exists()


def test_files_that_are_no_run_are_refused(tmp_path):
    for name, data in (("a.json", b"[]"), ("b.json", b"\xff"), ("c.json", b'{"tasks": 1}')):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageFault):
            find_side(str(tmp_path / name), Places())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageFault, match="compare-unknown"):
        find_side(str(tmp_path / "empty"), Places())


def test_run_with_damaged_items_is_named(tmp_path):
    measurement = mmlu(BEFORE, GOLD, detail={"answers": {"law": {"chosen": "AB", "gold": "A"}}})
    with pytest.raises(UsageFault, match=r"run-items.*mmlu"):
        side(measurement)


# History


def test_history_of_runs_follows_a_metric_and_breaks_where_data_change(tmp_path):
    unlike = replace(COMPARABILITY, corpus="else")
    for measurement in (
        mmlu(BEFORE, GOLD),
        mmlu(NOW, GOLD),
        mmlu(NOW, GOLD, comparability=unlike),
    ):
        save_run(tmp_path, results_of(measurement), commit=COMMIT, now=NOON)
    save_run(tmp_path, b"broken", commit=COMMIT, now=NOON)
    moments, notes = moments_of_runs(tmp_path, 30)
    history = trace(moments, metrics=["accuracy"], notes=notes)
    (series,) = history.series
    assert [point.value for point in series.points] == pytest.approx([0.625, 0.58, 0.58])
    assert [bool(point.unlike) for point in series.points] == [False, False, True]
    assert "left out" in notes[0]
    assert "0004_" in notes[0]
    console = Console(file=io.StringIO(), width=132)
    print_history(history, console)
    text = console.file.getvalue()
    assert "-4.50 points" in text
    assert "other data" in text
    assert "0001" in text
    assert [m.label for m in moments_of_runs(tmp_path, 2)[0]] == ["0003"]


def test_history_of_baselines_has_the_commits_that_changed_them(repository):
    moments, notes = moments_of_baselines(repository / "baselines", 30)
    (series,) = trace(moments).series
    assert [point.value for point in series.points] == pytest.approx([0.625, 0.58])
    assert not notes
    assert len(commits_of(repository / "baselines", 1)) == 1
    assert moments[-1].label == commits_of(repository / "baselines", 1)[0].digest[:10]


def test_chart_shows_each_case_with_its_error(tmp_path):
    sides = [
        side(mmlu(chosen, GOLD), mmlu(BEFORE, GOLD, case="tiny-int8-ort-cpu"))
        for chosen in (BEFORE, NOW)
    ]
    moments = [Moment(label=f"000{i}", time=NOON, side=each) for i, each in enumerate(sides)]
    svg = standalone(history_chart(trace(moments), ident="x"))
    for text in (CASE, "tiny-int8-ort-cpu", "mmlu accuracy", "0001", "%"):
        assert text in svg
    assert svg.startswith("<?xml")
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")


# Sinks


class Page(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.metas, self.styles = [], [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "meta":
            named = dict(attributes)
            self.metas[named.get("http-equiv") or named.get("name")] = named.get("content")

    def handle_data(self, data):
        (self.styles if self.tags and self.tags[-1] == "style" else self.texts).append(data)


@pytest.fixture
def hostile():
    names = {"case": HOSTILE, "identity": {"package": HOSTILE}}
    other = replace(COMPARABILITY, protocol=HOSTILE)
    return compare(
        side(mmlu(BEFORE, GOLD, **names), label=HOSTILE),
        side(mmlu(NOW, GOLD, **names, comparability=other), label=HOSTILE),
    )


def test_fault_70_hostile_names_do_nothing_in_the_page(hostile):
    moment = Moment(label=HOSTILE, time=NOON, side=side(mmlu(BEFORE, GOLD, case=HOSTILE)))
    pages = tables_page.render_comparison(hostile), tables_page.render_history(trace([moment]))
    for text in pages:
        page = Page(text)
        assert "script" not in page.tags
        assert not {"a", "img", "iframe", "form"} & set(page.tags)
        assert any("<script>alert(1)</script>" in shown for shown in page.texts)
        assert "\x1b" not in text
        policy = page.metas["Content-Security-Policy"]
        style = page.styles[0].encode("utf-8")
        digest = base64.b64encode(hashlib.sha256(style).digest()).decode("ascii")
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
        assert " style=" not in text, "the policy forbids style attributes"


def test_fault_70_hostile_names_are_text_in_markdown_and_on_the_terminal(hostile):
    page = compare_markdown.render_comparison(hostile)
    assert "<script" not in page
    assert not re.search(r"(?<!\\)\]\(", page)
    assert "@you" not in page
    rows = [line for line in page.splitlines() if line.startswith("| mmlu")]
    assert {line.count("|") for line in rows} == {7}
    text = compare_table.render_comparison(hostile)
    assert "\x1b" not in text
    assert text.isascii()


def test_page_of_a_comparison_holds_every_figure():
    before, now = mmlu(BEFORE, GOLD), mmlu(NOW, GOLD)
    page = Page(tables_page.render_comparison(compare(side(before), side(now))))
    text = " ".join(page.texts)
    for told in ("62.50 %", "58.00 %", "-4.50 points", "23 lost, 5 won", "exact McNemar", "worse"):
        assert told in text


def test_results_file_is_what_is_compared(tmp_path):
    """A run that went through its file compares like the one in memory."""
    data = results_of(mmlu(NOW, GOLD))
    row = only(
        compare(side(mmlu(BEFORE, GOLD)), side_of_run(parse_run(data, "x"), "x")), "accuracy"
    )
    assert (row.evidence.lost, row.evidence.won) == (23, 5)
