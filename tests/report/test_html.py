"""The page: complete, true, repeatable, and inert whatever a run file says."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from quantgate import stats
from quantgate.report.html import render_html
from quantgate.report.results_json import serialize
from quantgate.results import Verdict
from quantgate.run_file import RunFile, parse_run
from tests.report.planted_run import (
    CANDIDATE,
    DRIFTED,
    REASON,
    REFERENCE,
    WINDOWS,
    flip,
    mmlu,
    nll,
    planted_run,
)

VOID = {"meta", "link", "wbr", "br", "col", "img"}
HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}</style>\x1b[31m\u202e\x00'
)


class Page(HTMLParser):
    """Elements with their attributes and texts; fails where tags don't nest."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.sections: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("id")))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append(data)
        for tag, name in self.open:
            if tag in {"section", "header"} and name:
                self.sections[name] = self.sections.get(name, "") + data

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html():
    return render_html(planted_run())


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_policy_allows_the_one_style_sheet_and_nothing_else(html, page):
    policies = [
        each["content"]
        for each in page.attributes("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    ]
    (sheet,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert policies == [
        "; ".join(
            (
                "default-src 'none'",
                f"style-src 'sha256-{digest}'",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
            )
        )
    ]
    # It must stand before everything it is to hold for.
    assert html.index("Content-Security-Policy") < html.index("<style>") < html.index("<body>")


def test_nothing_is_loaded_and_nothing_runs(html, page):
    assert "://" not in html
    assert not {"script", "iframe", "object", "embed", "form", "img", "base"} & {
        name for name, _ in page.elements
    }
    for _, attributes in page.elements:
        assert not {"style", "src", "srcset"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith(("#", "data:,"))
    assert "url(" not in re.sub(r"url\(#chart-\d+-\d+\)", "", html)


def test_links_and_labels_lead_somewhere_and_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
        assert set(attributes.get("aria-labelledby", "").split()) <= set(ids)


def test_every_section_stands_in_its_order(page):
    assert list(page.sections) == [
        "verdict", "overview", "failing", "mmlu", "divergence", "perplexity", "flips",
        "environment", "cost", "configuration",
    ]  # fmt: skip
    assert len(page.attributes("figure")) == 4  # subjects, histogram, percentiles, perplexity
    charts = [each for each in page.attributes("svg") if each.get("class") == "chart"]
    assert len(charts) == 5  # and the interval of the one decision with evidence


def test_sections_without_a_measurement_are_absent():
    run = planted_run()
    kept = tuple(m for m in run.measurements if m.task == "perplexity.strided")
    decisions = tuple(d for d in run.decisions if d.task == "perplexity.strided")
    sections = Page(render_html(replace(run, measurements=kept, decisions=decisions))).sections
    assert not {"mmlu", "divergence", "flips", "cost"} & sections.keys()
    assert "perplexity" in sections
    empty = Page(render_html(RunFile(facts={}, measurements=(), decisions=())))
    assert "No figure was measured" in empty.sections["verdict"]
    assert "failing" not in empty.sections


def test_the_verdict_comes_first_in_a_sentence(page):
    told = " ".join(page.sections["verdict"].split())
    assert (
        "REGRESSION Of 7 figures, 1 is worse than allowed, 1 is invalid, 1 is inconclusive, "
        "1 has no baseline and 3 are within tolerance." in told
    )
    story = "tiny-int4-ort-cpu (ONNX Runtime, CPU) got worse by more than is allowed. It is held"
    assert f"{story} against its reference" in told


def test_a_failing_figure_says_how_much_why_whether_it_is_noise_and_the_way_out(page):
    told = " ".join(page.sections["failing"].split())
    # 19 of 20 before and 16 now on the reference's side: 18 and 15 by the planted answers.
    assert "mmlu accuracy tiny-int4-ort-cpu" in told
    assert REASON in told
    assert "of 20 beside the reference: 3 right to wrong, 0 wrong to right" in told
    assert f"p = {stats.mcnemar(3, 0):.2g}" in told
    assert "So large a change isn't rare where nothing changed" in told
    assert DRIFTED in told
    assert "quantgate run -m mmlu -k" in told
    assert "--gate-limit=20" in told
    assert "Quantize with less loss" in told


def test_what_is_accepted_is_one_case_behind_the_command_that_measures_it_again():
    run = planted_run()
    changed = tuple(
        replace(d, against="baseline") if d.verdict is Verdict.REGRESSION else d
        for d in run.decisions
    )
    told = " ".join(Page(render_html(replace(run, decisions=changed))).sections["failing"].split())
    command = 'quantgate run -m mmlu -k "[tiny-int4-ort-cpu]" --gate-limit=20'
    update = '--gate-update-baselines --gate-reason "..."'
    assert f"reproduce{command} accept{command} {update} Only if the change is meant" in told
    assert "Accepting it won't be enough" in told
    assert "rewrites baselines/tiny/int4-ort-cpu.json" in told


def test_intervals_of_subjects_are_those_of_the_paired_answers(page):
    # virology: of ten answers, two more are wrong; by hand, the mean of the differences is -0.2.
    estimate = stats.paired_share([1, 1, 0, 0, 1, 1, 1, 1, 0, 0], [1] * 8 + [0, 0])
    row = f"{100 * estimate.low:+.2f} to {100 * estimate.high:+.2f}"
    assert estimate.value == pytest.approx(-0.2)
    assert "-20.00" in page.sections["mmlu"]
    assert row in page.sections["mmlu"]


def test_figures_of_the_divergence_are_the_runs(page):
    told = page.sections["divergence"]
    assert "0.0150" in told
    assert "93.75 %" in told
    assert "0.00432 nats" in told
    assert "1 positions below the first bin" in told


def test_perplexity_along_the_text_is_each_windows(page):
    told = page.sections["perplexity"]
    differences = [a - b for a, b in zip(nll(0.02), nll(0.0), strict=True)]
    estimate = stats.clustered_ratio(differences, [1024] * WINDOWS)
    import math

    assert f"{100 * math.expm1(estimate.value):+.2f} % over the text" in told
    assert f"{math.exp(nll(0.02)[5] / 1024):.4g}" in told
    assert f"{100 * math.expm1(differences[5] / 1024):+.2f} %" in told


def test_flips_show_question_options_and_both_answers(html, page):
    told = page.sections["flips"]
    assert "3" in told
    assert "right to wrong" in told
    assert "Which planet\nis nearest?" in told
    assert "right → wrong" in told
    assert re.search(r"Venus\s*<em>candidate</em>", html)
    assert re.search(r"Mars\s*<em>gold</em>\s*<em>reference</em>", html)
    assert "(the first 1 of 4)" in told


def test_environment_cost_and_configuration_are_told(page):
    assert DRIFTED in page.sections["environment"]
    assert "packages.onnxruntime" in page.sections["environment"]
    assert "12,345" in page.sections["cost"]
    assert "24,690" in page.sections["cost"]  # both cases together
    assert "tasks.mmlu.shots" in page.sections["configuration"]


def test_the_baselines_are_told_with_date_commit_and_package():
    run = planted_run()
    entry = {
        "updated": "2025-12-24T07:27:06Z", "reason": "first baselines",
        "identity": {"package": "cd" * 32}, "provenance": {"git_commit": "12" * 20},
    }  # fmt: skip
    facts = {**run.facts, "baselines": {CANDIDATE: {"mmlu": entry}}}
    told = " ".join(Page(render_html(replace(run, facts=facts))).sections["environment"].split())
    for words in ("2025-12-24T07:27:06Z", "first baselines", "12" * 20, "another"):
        assert words in told
    assert "Baselines held against" not in Page(render_html(run)).sections["environment"]


def test_the_same_run_yields_the_same_bytes_even_through_its_file(html):
    assert render_html(planted_run()) == html
    run = planted_run()
    document = {
        "schema_version": 1,
        "run": run.facts,
        "measurements": [_plain(m) for m in run.measurements],
        "decisions": [_plain(d) for d in run.decisions],
    }
    assert render_html(parse_run(serialize(document), "results.json")) == html


def _plain(value):
    from quantgate.records import to_record

    return to_record(value)["value"]


def test_fault_70_hostile_texts_are_inert_wherever_they_stand():
    run = planted_run(flip(HOSTILE, HOSTILE, (HOSTILE, HOSTILE)))
    case = {REFERENCE: f"r{HOSTILE}", CANDIDATE: f"c{HOSTILE}"}
    measurements = tuple(
        replace(
            m,
            case_id=case[m.case_id],
            identity={HOSTILE: HOSTILE},
            warnings=(HOSTILE,),
            scores=tuple(
                replace(s, metric=f"subject.{HOSTILE}") if s.metric == "subject.virology" else s
                for s in m.scores
            ),
            detail=_renamed(m.detail),
        )
        for m in run.measurements
    )
    decisions = tuple(
        replace(d, case_id=case[d.case_id], reason=HOSTILE, notes=(*d.notes, HOSTILE))
        for d in run.decisions
    )
    cases = [
        {"id": case[REFERENCE], "reference": None},
        {"id": case[CANDIDATE], "reference": {"id": case[REFERENCE]}},
    ]
    facts = {
        "started": HOSTILE,
        "options": {HOSTILE: HOSTILE},
        "configuration": {"cases": cases, HOSTILE: {HOSTILE: [HOSTILE]}},
        "provenance": {HOSTILE: HOSTILE},
    }
    html = render_html(RunFile(facts=facts, measurements=measurements, decisions=decisions))
    page = Page(html)
    assert not {"script", "img"} & {name for name, _ in page.elements}
    assert not [n for _, attributes in page.elements for n in attributes if n.startswith("on")]
    assert "49" not in page.sections["flips"]
    assert "<script>alert(1)</script>" in page.sections["flips"]  # as text
    assert not {"\x1b", "\u202e", "\x00"} & set(html)
    assert html.count("</style>") == 1
    assert len(page.attributes("figure")) == 4


def _renamed(detail):
    if "answers" not in detail:
        return detail
    answers = {HOSTILE if n == "virology" else n: told for n, told in detail["answers"].items()}
    return {**detail, "answers": answers}


DAMAGE = [
    ("mmlu", {"answers": {"a": {"chosen": "AB", "gold": "A"}}}),
    ("mmlu", {"answers": ["no", "mapping"], "flips": {"listed": 3}}),
    ("kl_divergence", {"distribution": {"histogram": {"edges": [1], "counts": []}}}),
    ("kl_divergence", {"distribution": {"percentiles": "x", "histogram": None}, "windows": 3}),
    ("perplexity.strided", {"windows": [{"begin": 5}]}),
    ("perplexity.strided", {"windows": []}),
    ("perplexity.strided", {"documents": [{"words": 0, "bytes": 0, "nll_nats": 1e308}] * 3}),
]


@pytest.mark.parametrize(("task", "detail"), DAMAGE)
def test_damaged_items_are_told_and_take_no_other_part_along(task, detail):
    run = planted_run()
    measurements = tuple(
        replace(m, detail=detail) if m.task == task else m for m in run.measurements
    )
    page = Page(render_html(replace(run, measurements=measurements)))
    assert "REGRESSION" in page.sections["verdict"]
    assert "12,345" in page.sections["cost"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, -1e308, 0.0])
def test_figures_beyond_drawing_stop_nothing(value):
    run = planted_run()
    windows = [{"begin": 1024 * i, "end": 1024 * i + 1024, "n": 1024, "nll_nats": value}
               for i in range(WINDOWS)]  # fmt: skip
    measurements = tuple(
        replace(m, detail={"windows": windows})
        if (m.task, m.case_id) == ("perplexity.strided", CANDIDATE)
        else m
        for m in run.measurements
    )
    decisions = tuple(replace(d, value=value, delta=value) for d in run.decisions)
    assert Page(render_html(replace(run, measurements=measurements, decisions=decisions)))


def test_long_runs_are_cut_by_rank_and_told_so():
    run = planted_run()
    worst = run.decisions[1]
    many = tuple(
        replace(worst, metric=f"subject.s{i}", delta=-0.01 * i, evidence=None)
        for i in range(1, 1301)
    )
    html = render_html(replace(run, decisions=(*run.decisions, *many)))
    page = Page(html)
    told = page.sections["failing"]
    assert told.count("subject.s") == 15 + 200 + 15  # cards, rows, and the cards' sentences
    assert "subject.s1300" in told
    assert "subject.s1 " not in told
    assert "1,087 more rows are in results.json." in told
    assert len(html) < 600_000


def test_a_run_of_passes_has_nothing_that_fails():
    run = planted_run()
    passes = tuple(replace(d, verdict=Verdict.PASS, notes=()) for d in run.decisions)
    page = Page(render_html(replace(run, decisions=passes)))
    assert "failing" not in page.sections
    assert "PASS" in page.sections["verdict"]


def test_a_case_without_a_reference_shows_its_own_accuracies():
    run = replace(planted_run(), measurements=(mmlu(REFERENCE, 1),))
    told = Page(render_html(run)).sections["mmlu"]
    low, high = stats.wilson_interval(18, 20)
    assert f"{100 * low:.2f} to {100 * high:.2f} %" in told


def test_an_interrupted_run_says_so_before_any_figure():
    run = planted_run()
    configuration = {**run.facts["configuration"], "complete": False}
    page = Page(render_html(replace(run, facts={**run.facts, "configuration": configuration})))
    assert "interrupted" in page.sections["verdict"]


def test_charts_have_a_colour_for_each_mode(html):
    dark = html[html.index("prefers-color-scheme: dark") :]
    assert "--series-1: #0072b2" in html
    assert "--series-1: #5cb0e6" in dark
    assert json.dumps("light dark") in html
