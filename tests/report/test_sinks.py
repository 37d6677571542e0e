"""Every hostile name through every sink: it is shown as a text, and does nothing."""

import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from quantgate.report import results_json
from quantgate.report.escape import (
    github_output,
    markdown_cell,
    markdown_code,
    markdown_link,
    markdown_text,
    plain,
    printable,
    workflow_command,
    xml_text,
)
from quantgate.report.junit import render_junit
from quantgate.report.lm_eval import render_lm_eval
from quantgate.report.markdown import render_comment, render_summary
from quantgate.report.terminal import print_table, render_table
from quantgate.report.wording import word
from quantgate.run_file import parse_run
from tests.hostile import HOSTILE, SECRETS, hostile_run
from tests.planted_runs import evidence

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
every_name = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
# What GitHub looks for in a finished text, outside of code.
LIVE = {
    "mention": re.compile(r"@[A-Za-z0-9]"),
    "issue": re.compile(r"#\d|\bGH-\d", re.IGNORECASE),
    "address": re.compile(r"://|\bwww\.", re.IGNORECASE),
    "formula": re.compile(r"\$"),
    "emoji": re.compile(r":(?:smile|\+1|100):"),
}
# What our own Markdown makes; any other element or attribute came from a name.
TAGS = {
    "h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "code",
    "pre", "br", "strong", "ul", "li", "span",
}  # fmt: skip
ATTRIBUTES = {("td", "style"), ("th", "style"), ("code", "class")}
INVISIBLE = "\u200b"


class Page(HTMLParser):
    """What a browser would make of a page: elements, attributes, comments, texts by place."""

    def __init__(self, html, *, balanced=True):
        super().__init__(convert_charrefs=True)
        self._balanced = balanced
        self.tags, self.attributes, self.comments = set(), set(), []
        self.texts, self.alone, self.cells = [], [], []
        self._open = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}
        if tag != "br":
            self._open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        if self._balanced:
            assert self._open.pop() == tag, f"{tag} closes what isn't open"

    def handle_data(self, data):
        if not {"code", "pre"} & set(self._open):
            # A formula's marks in an element of their own begin no formula.
            (self.alone if self._open[-1:] == ["span"] else self.texts).append(data)
        if "td" in self._open:
            self.cells[-1] += data

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_decl(self, decl):
        assert decl.lower() == "doctype html"
        assert not self._balanced

    def handle_pi(self, data):
        raise AssertionError(data)

    unknown_decl = handle_pi


def page(markdown):
    return Page(
        MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)
    )


def assert_inert(found):
    assert found.tags <= TAGS
    assert found.attributes <= ATTRIBUTES
    assert set(found.alone) <= {"$"}
    for kind, pattern in LIVE.items():
        assert not [text for text in found.texts if pattern.search(text)], kind


def same_words(shown, text):
    """Whether nothing but invisible marks and blanks sets them apart."""
    return shown.replace(INVISIBLE, "").split() == (plain(text).strip() or "-").split()


def leaked(text):
    return [secret for secret in SECRETS if secret in text]


@every_name
def test_fault_70_markdown_text_is_read_as_it_stands(text):
    for markdown in (markdown_cell(text), f"before {markdown_text(text) or '-'}"):
        found = page(markdown)
        assert_inert(found)
        assert found.tags <= {"p", "span"}
        whole = "".join(found.texts + found.alone) if "$" not in text else ""
        assert not whole or same_words(whole.removeprefix("before "), text)


@every_name
def test_fault_70_markdown_cell_is_one_cell(text):
    found = page(f"|a|b|\n|---|---|\n|{markdown_cell(text)}|{markdown_code(text)}|")
    assert_inert(found)
    assert len(found.cells) == 2
    assert all(same_words(cell, text) for cell in found.cells)


@every_name
@pytest.mark.parametrize("render", [render_summary, render_comment])
def test_fault_70_markdown_reports(text, render):
    markdown = render(hostile_run(text))
    assert not CONTROLS.search(markdown)
    found = page(markdown)
    assert_inert(found)
    assert found.comments == ([" quantgate "] if render is render_comment else [])
    assert found.tags & {"h2", "table"} == {"h2", "table"}
    assert not leaked(markdown)
    assert leaked(text) == [] or "***" in "".join(found.cells)
    widths = {}
    for line in markdown.splitlines():
        if line.startswith("|"):
            widths.setdefault(line.count("|"), []).append(line)
    assert all(len(lines) > 1 for lines in widths.values()), "a row has as many cells as its head"


@every_name
def test_fault_70_commands_to_paste_hold_no_foreign_name(text):
    markdown = render_summary(hostile_run(text))
    assert "```" not in markdown


@every_name
def test_fault_70_junit(text):
    document = render_junit(hostile_run(text))
    root = ET.fromstring(document)
    assert {each.tag for each in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error",
        "skipped",
    }  # fmt: skip
    values = [value for each in root.iter() for value in each.attrib.values()]
    values += [each.text or "" for each in root.iter()]
    assert not [value for value in values if CONTROLS.search(value)]
    assert not re.search("[\ufffe\uffff\ud800-\udfff]", document.decode("utf-8"))
    suite = root.find("testsuite")
    assert suite.get("name") == xml_text(f"{text} {text}")
    assert not leaked(document.decode("utf-8"))


@every_name
def test_fault_70_lm_eval_files_stay_in_their_folder(text, tmp_path):
    files = render_lm_eval(hostile_run(text))
    ((name, data),) = files.items()
    assert re.fullmatch(r"[a-z0-9_][a-z0-9_.-]*\.json", name)
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    document = json.loads(data.decode("utf-8"))
    assert document["model_name"] == plain(text)
    assert not CONTROLS.search(json.dumps(document, ensure_ascii=False).replace("\n", ""))
    assert not leaked(data.decode("utf-8"))


@every_name
def test_fault_70_terminal_and_log(text):
    run = hostile_run(text)
    log = render_table(run.decisions, run.measurements, width=160)
    assert log.isascii()
    assert not CONTROLS.search(log.replace("\n", ""))
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160, color_system="standard")
    print_table(run.decisions, run.measurements, console)
    ours = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert not CONTROLS.search(ours.replace("\n", ""))
    assert not leaked(log + ours)


@every_name
def test_fault_70_words_of_a_failure(text):
    run = hostile_run(text)
    for decision in run.decisions:
        # In a run the anchor's kind and the evidence are the gate's own words.
        own = replace(decision, against="baseline", evidence=evidence())
        told = word(own, None, f"baselines/{text}.json")
        assert not CONTROLS.search(told.replace("\n", ""))
        assert not leaked(told)


def test_fault_70_html():
    """All names in one page, since its charts take their time."""
    runs = [hostile_run(text) for text in HOSTILE.values()]
    run = replace(
        runs[0],
        measurements=tuple(each for run in runs for each in run.measurements),
        decisions=tuple(each for run in runs for each in run.decisions),
    )
    html = pytest.importorskip("quantgate.report.html").render_html(run)
    assert not CONTROLS.search(html)
    assert not leaked(html)
    found = Page(html, balanced=False)
    assert not {name for _, name in found.attributes if name.startswith("on")}
    for forged in (
        "<script>alert",
        "<svg/onload",
        "<img src=x",
        "</table></td></code>",
        "<!ENTITY",
    ):
        assert forged not in html


def read_outputs(text):
    """What GitHub's runner reads from the file of outputs."""
    values, lines = {}, iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        match = re.fullmatch(r"([\w-]+)<<(\S+)", line)
        assert match, line
        value = []
        for each in lines:
            if each == match[2]:
                break
            value.append(each)
        else:
            raise AssertionError("the mark is missing")
        values[match[1]] = "\n".join(value)
    return values


@every_name
def test_fault_72_outputs_set_one_value(text):
    written = github_output("verdict", text) + github_output("other", "x")
    assert read_outputs(written) == {"verdict": printable(text), "other": "x"}
    assert not leaked(written)


def test_fault_72_marks_of_outputs_are_random():
    marks = {github_output("a", "b").splitlines()[0] for _ in range(20)}
    assert len(marks) == 20
    with pytest.raises(ValueError, match="a name of letters"):
        github_output("a<<b\nc", "d")


@every_name
def test_fault_72_workflow_commands_are_one_line(text):
    line = workflow_command("error", text, title=text)
    assert "\n" not in line
    assert "\r" not in line
    match = re.fullmatch(r"::error title=([^:,]*)::(.*)", line)
    assert match

    def read(escaped):
        for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            escaped = escaped.replace(code, char)
        return escaped

    assert read(match[1]) == read(match[2]) == printable(text)
    assert not leaked(line)


def test_workflow_commands_have_names():
    assert workflow_command("notice", "100 %", file="a:b,c") == ("::notice file=a%3Ab%2Cc::100 %25")
    with pytest.raises(ValueError, match="a name of letters"):
        workflow_command("error::x", "y")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://x/a b",
        "https://x/)(",
        "https://u:p@x/",
        "//x",
        "https://x\n",
    ],
)
def test_fault_70_only_plain_addresses_become_links(url):
    assert markdown_link("report", url) == "report"
    assert markdown_link("a|b", "https://x/y?z=1#t") == "[a&#124;b](<https://x/y?z=1#t>)"


@every_name
def test_hostile_texts_survive_a_results_file(text):
    run = hostile_run(text)
    facts = results_json._strict(run.facts, "run")
    document = {
        "schema_version": results_json.SCHEMA_VERSION,
        "run": facts,
        "measurements": [results_json._strict(each, "m") for each in run.measurements],
        "decisions": [results_json._strict(each, "d") for each in run.decisions],
    }
    read = parse_run(results_json.serialize(document), "here")
    assert plain(read.decisions[0].reason) == plain(text)
    assert render_summary(read)
