"""The performance page: its figures, its words, its plots, and what must not stand on it."""

import math
import re
import sys
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from benchmarks.output import Curve, PageTable, PageTarget, page
from benchmarks.peers.processes import ROOT
from benchmarks.performance import __main__ as command
from benchmarks.performance.page import render
from benchmarks.performance.runs import Setting, read_all, run
from benchmarks.performance.steps import KINDS, Step
from benchmarks.performance.text import duration, markdown_table, without_places

HOSTILE = 'a|b <script>alert(1)</script> `c` [d](e) *f*\n# g @h "\x1b[31m'
PLACES = {"$MMLU": "/somewhere/of mine/mmlu", "$TEXT": "/somewhere/text.txt"}
MACHINE = {
    "quantgate": "0.1.0",
    "python": "3.11.9",
    "os": "Linux 6.1",
    "machine": "x86_64",
    "cpu": {"model": "A Processor", "flags": ["avx2"], "cores": 2},
    "packages": {"numpy": "2.4.6", "onnxruntime": "1.31.1"},
    "time_utc": "2026-07-11T10:00:00Z",
    "git_commit": "0123456789abcdef",
    "memory_mib": 24576.0,
}
SVG = "{http://www.w3.org/2000/svg}"


def document(kind="perplexity", size="3m", precision="fp32", content=None, machine=MACHINE, **step):
    found = {
        "name": "-".join(filter(None, (kind, size, precision))),
        "kind": kind,
        "size": size,
        "precision": precision,
        "module": f"benchmarks.{kind}",
        "arguments": ["--data-dir", "$MMLU", "--size", size],
        "code": "c",
        "peers": {"lm-eval": "0.4.13"},
        "seconds": 61.0,
        "exit_code": 0,
        "said": "",
        **step,
    }
    return {"machine": machine, "step": found, **({"page": content} if content else {})}


def shown(*documents, missing=()):
    return render(documents, missing, KINDS, "performance")


def tables(text):
    """Every table's rows of cells, as a reader sees them."""
    found, row = [], []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token, after in pairwise(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            row = []
            found[-1].append(row)
        elif token.type in {"th_open", "td_open"}:
            row.append("".join(child.content for child in after.children))
    return found


OURS, THEIRS = "quantgate-ort", "lm-eval-ort"
TARGET = PageTarget(f"fp32: {OURS} against {THEIRS}, time", 6.123456, 6.0, OURS, THEIRS)
MISSED = PageTarget(f"fp32: {OURS} against {THEIRS}, memory", 4.5, 5.0, OURS, THEIRS)


def test_targets_come_first_with_a_verdict_in_words():
    text = shown(document(content=page(targets=[TARGET, MISSED]))).text
    assert "**1 of 2 targets are reached.**" in text
    assert "A Processor, 2 cores, 24 GiB of memory; commit 0123456789ab, 2026-07-11" in text
    heading, *rows = tables(text)[0]
    assert heading == ["benchmark", "model", "target", "ratio", "wanted", "verdict"]
    model = ["Perplexity", "3m fp32"]
    assert rows == [
        [*model, f"{OURS} against {THEIRS}, time", "6.123", "6", "reached"],
        [*model, f"{OURS} against {THEIRS}, memory", "4.5", "5", "missed: 90% of it"],
    ]
    assert text.index("targets are reached") < text.index("## What is compared")


def test_targets_of_smaller_models_stand_with_their_figures():
    small = document(content=page(targets=[MISSED]))
    large = document(size="135m", content=page(targets=[TARGET]))
    text = shown(small, large).text
    assert "**1 of 1 targets are reached at 135m, 1 of 2 at all sizes.**" in text
    assert len(tables(text)[0]) == 2
    section = text[text.index("### 3m fp32") : text.index("### 135m fp32")]
    assert tables(section)[0][1][-1] == "missed: 90% of it"


def test_a_failed_step_reaches_no_target():
    failed = document(content=page(targets=[TARGET]), exit_code=1, said="FAILED: they differ")
    rendered = shown(failed)
    assert "**0 of 1 targets are reached. 1 step failed.**" in rendered.text
    assert tables(rendered.text)[0][1][-1] == "not judged: its step failed"
    assert rendered.charts == {}


def test_a_target_without_a_figure_is_missed_and_not_drawn():
    nothing = PageTarget("nothing", math.nan, 2.0, "quantgate-ort", "p")
    rendered = shown(document(content=page(targets=[nothing])))
    assert tables(rendered.text)[0][1][-3:] == ["nan", "2", "missed: no figure"]
    assert rendered.charts == {}
    assert "overview" not in rendered.text


def test_sections_follow_the_benchmarks_and_parts_the_sizes():
    given = [("generation", "3m", "int4"), ("mmlu", "135m", "fp32"), ("mmlu", "3m", "int4")]
    given += [("growth", "", ""), ("mmlu", "3m", "fp32")]
    text = shown(*(document(*each) for each in given)).text
    found = [line for line in text.splitlines() if line.startswith("##")]
    start = found.index("## MMLU, all subjects")
    assert found[start:] == [
        *("## MMLU, all subjects", "### 3m fp32", "### 3m int4", "### 135m fp32"),
        *("## Generation", "### 3m int4"),
        "## How costs grow",
    ]


def test_tables_show_their_rows_with_note_and_command():
    rows = [{"side": "loop", "s": 12.3456, "ok": True}, {"side": "ours", "s": None, "ok": False}]
    content = page([PageTable("Some title", rows, "A note.")])
    text = shown(document(content=content)).text
    assert [["side", "s", "ok"], ["loop", "12.35", "yes"], ["ours", "-", "no"]] in tables(text)
    assert "|---|---:|---|" in text
    assert "**Some title**" in text
    assert "\nA note.\n" in text
    assert "```console\npython -m benchmarks.perplexity --data-dir $MMLU --size 3m\n```" in text
    assert "Last run: 61 s." in text


def test_commands_can_be_typed_as_they_stand():
    given = ["--text", "$TEXT", "--sides", "quantgate-ort", "lm-eval-hf b1"]
    line = 'python -m benchmarks.perplexity --text $TEXT --sides quantgate-ort "lm-eval-hf b1"'
    assert f"```console\n{line}\n```" in shown(document(arguments=given)).text


def test_hostile_names_stay_in_their_cells():
    target = PageTarget(HOSTILE, 2.0, 1.0, HOSTILE, HOSTILE)
    curve = Curve(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: [[1, 1], [2, 2]]})
    table = PageTable(HOSTILE, [{HOSTILE: HOSTILE, "s": 1.0}], HOSTILE)
    rendered = shown(
        document(content=page([table], [curve], [target])),
        document("mmlu", exit_code=1, said=HOSTILE),
    )
    assert "<script" not in rendered.text
    assert "\x1b" not in rendered.text
    for rows in tables(rendered.text):
        assert {len(row) for row in rows} == {len(rows[0])}
    tokens = MarkdownIt("commonmark").enable("table").parse(rendered.text)
    inline = [child for token in tokens for child in token.children or ()]
    assert {child.content for child in inline if child.type == "html_inline"} <= {
        *("<code>", "</code>", "<span>", "</span>")
    }
    links = {child.attrs["href"] for child in inline if child.type == "link_open"}
    assert links == {"#how-to-measure-it-again"}
    for svg in rendered.charts.values():
        assert {element.tag for element in ET.fromstring(svg).iter()}.isdisjoint({f"{SVG}script"})


def test_a_failed_step_is_told_with_its_exit_code_and_last_line():
    failed = document("mmlu", "3m", "int4", exit_code=2, said="no such | file")
    killed = document("growth", "", "", exit_code=-9, said="")
    text = shown(failed, killed, document(content=page(targets=[TARGET])), missing=["x"]).text
    assert "**1 of 1 targets are reached. 2 steps failed. 1 step was not run.**" in text
    assert "<code>mmlu-3m-int4</code> failed: exit code 2; it said last: <code>no such" in text
    assert "<code>growth</code> failed: stopped by signal 9" in text
    assert "<code>x</code>: not run yet" in text
    section = text[text.index("## MMLU") :]
    assert "**Failed**: exit code 2" in section[: section.index("## Perplexity")]


def test_another_machine_and_other_code_are_told():
    packages = {**MACHINE["packages"], "onnxruntime": "1.30.0"}
    other = {**MACHINE, "packages": packages, "time_utc": "2026-07-01T00:00:00Z"}
    old = document("mmlu", machine={**other, "git_commit": "fff0-dirty"}, code="d")
    text = shown(old, document()).text
    assert "other code, commit fff0 with changes that are in no commit" in text
    assert "onnxruntime 1.31.1 -&gt; 1.30.0" in text
    assert text.count("Unlike the newest step") == 1
    assert "2026-07-01 to 2026-07-11" in text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("s/question and 1/2", "s/question and 1/2"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("see '/usr/lib/python3/x.py', line 3", "see '…/x.py', line 3"),
        ("/somewhere/text.txt:3", "$TEXT:3"),
        ("/somewhere/text.txt2", "…/text.txt2"),
        ("D:\\data\\x.csv", "…/x.csv"),
    ],
)
def test_folders_are_hidden_and_nothing_else(text, hidden):
    found = without_places({"a": [text, 1]}, PLACES, ROOT)
    assert found == {"a": [hidden, 1]}


def test_the_same_results_give_the_same_bytes():
    curve = Curve("C", "x", "y", {"a": [[1, 1.0], [10, 2.0]], "b": [[1, 3.0]]}, log_x=True)
    given = [document(content=page(curves=[curve], targets=[TARGET, MISSED]))]
    first, second = shown(*given), shown(*given)
    assert first == second
    assert set(first.charts) == {"overview.svg", "perplexity-3m-fp32-1.svg"}
    for name, svg in first.charts.items():
        assert f"](performance/{name})" in first.text
        root = ET.fromstring(svg)
        assert root.find(f"{SVG}rect").attrib["fill"] == "#ffffff"
        assert float(root.attrib["width"]) > 0
        assert not re.search(r"\d{4}-\d\d-\d\d", svg)


def lines(svg, colour):
    """The points of every open path of a colour, in the SVG's units."""
    paths = [e.attrib for e in ET.fromstring(svg).iter(f"{SVG}path")]
    drawn = [p["d"] for p in paths if p.get("stroke") == colour and "z" not in p["d"]]
    numbers = [[float(n) for n in re.findall(r"-?[\d.]+", d)] for d in drawn]
    return [list(zip(each[::2], each[1::2], strict=True)) for each in numbers]


@pytest.mark.parametrize("log", [False, True])
def test_a_curve_goes_through_its_points(log):
    points = [[1.0, 2.0], [2.0, 3.0], [4.0, 7.0], [8.0, 20.0], [16.0, 21.0]]
    unsorted = [points[3], *points[:3], points[4], [32.0, math.nan]]
    curve = Curve("C", "x", "y", {"a": unsorted}, log_x=log, log_y=log)
    (svg,) = shown(document(content=page(curves=[curve]))).charts.values()
    (drawn,) = [line for line in lines(svg, "#0072b2") if len(line) == len(points)]
    scale = math.log if log else float
    for axis in (0, 1):
        values = [scale(point[axis]) for point in points]
        places = [point[axis] for point in drawn]
        for value, place in zip(values, places, strict=True):
            share = (value - values[0]) / (values[-1] - values[0])
            assert place == pytest.approx(places[0] + share * (places[-1] - places[0]), abs=0.03)


def test_a_curve_without_points_is_told():
    curve = Curve("Nothing here", "x", "y", {"a": [[0.0, 1.0]]}, log_x=True)
    rendered = shown(document(content=page(curves=[curve])))
    assert rendered.charts == {}
    assert "Nothing here: no figure that could be drawn" in rendered.text


def test_bars_reach_from_one_to_their_ratio_on_a_logarithmic_axis():
    targets = [
        PageTarget("a", 10.0, 2.0, "quantgate-ort", "p"),
        PageTarget("b", 100.0, 2.0, "quantgate-ort", "p"),
        PageTarget("c", 0.1, 2.0, "quantgate-ort", "p"),
        PageTarget("a share of a ceiling", 0.6, 0.6),
    ]
    svg = shown(document(content=page(targets=targets))).charts["overview.svg"]
    paths = [e.attrib for e in ET.fromstring(svg).iter(f"{SVG}path")]
    spans = []
    for path in paths:
        if path.get("fill") == "#0072b2":
            across = [float(n) for n in re.findall(r"[\d.]+", path["d"])][::2]
            spans.append((min(across), max(across)))
    ten, hundred, tenth = spans[:3]  # the legend's patch comes last
    assert len(spans) == 4
    assert hundred[1] - hundred[0] == pytest.approx(2 * (ten[1] - ten[0]), abs=0.05)
    assert tenth[1] - tenth[0] == pytest.approx(ten[1] - ten[0], abs=0.05)
    assert tenth[1] == pytest.approx(ten[0], abs=0.03)


def test_bars_of_a_benchmark_stand_under_its_name():
    targets = [
        PageTarget(f"{what} against lm-eval", 2.0, 2.0, what, "lm-eval")
        for what in ("quantgate-ort", "quantgate-torch")
    ]
    found = [document(precision=each, content=page(targets=targets)) for each in ("fp32", "int4")]
    svg = shown(*found).charts["overview.svg"]
    texts = ["".join(each.itertext()) for each in ET.fromstring(svg).iter(f"{SVG}text")]
    (title,) = {kind.title for kind in KINDS if kind.name == "perplexity"}
    bars = [target.what for target in targets]
    told = [text for text in texts if text in {f"{title}, fp32", f"{title}, int4", *bars}]
    assert told == [f"{title}, fp32", *bars, f"{title}, int4", *bars]
    assert {"ort", "torch", "wanted"} <= set(texts)


def test_what_is_missed_by_little_is_missed():
    target = PageTarget("quantgate against lm-eval", 4.9999, 5.0, OURS, THEIRS)
    text = shown(document(content=page(targets=[target]))).text
    assert "missed: 99% of it" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99.4, "99 s"), (119, "2 min"), (5940, "99 min"), (7512, "2 h 05 min")],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


def test_no_rows_are_no_table():
    assert markdown_table([]) == ""


def test_a_step_of_no_benchmark_is_refused():
    with pytest.raises(SystemExit, match="no benchmark named other"):
        shown(document("other"))


def test_the_command_writes_page_and_plots_and_tells_a_failure(tmp_path, monkeypatch, capsys):
    results, written = tmp_path / "results", tmp_path / "docs" / "costs.md"
    results.mkdir()
    stale = tmp_path / "docs" / "costs" / "gone.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("<svg/>", "utf-8")
    setting = Setting({}, "c", MACHINE, {})
    run(Step("growth", "no_such_module", "", "", ()), setting, results)
    given = ["--results", str(results), "--page", str(written), "--render-only", "--sizes", "3m"]
    monkeypatch.setattr(sys, "argv", ["performance", *given])
    assert command.main() == 1
    text = written.read_text("utf-8")
    assert "No module named no_such_module" in text.replace("\\_", "_")
    assert "<code>mmlu-3m-fp32</code>: not run yet" in text
    assert not stale.exists()
    assert read_all(written.with_suffix("")) == read_all(results) != []
    assert "1 steps, 1 failed" in capsys.readouterr().out


def test_nothing_measured_makes_no_page(tmp_path, monkeypatch):
    given = ["--results", str(tmp_path), "--page", str(tmp_path / "p.md"), "--render-only"]
    monkeypatch.setattr(sys, "argv", ["performance", *given])
    with pytest.raises(SystemExit, match="nothing was measured yet"):
        command.main()
    assert not (tmp_path / "p.md").exists()


def test_measuring_needs_what_there_is_to_measure(tmp_path, monkeypatch, capsys):
    given = ["--results", str(tmp_path), "--peers", str(tmp_path), "--data-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["performance", *given])
    with pytest.raises(SystemExit):
        command.main()
    assert "--text: text, a paragraph a line: none is named" in capsys.readouterr().err
