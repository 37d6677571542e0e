"""The performance page: what all steps kept, as Markdown with plots.

Nothing is measured and nothing is judged here: tables, curves, ratios and whether a target is
reached come from the benchmarks. A step that failed is told with its exit code and the last line it
said; one that was measured with other code or on another machine than the newest says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from benchmarks.models import PRECISIONS
from benchmarks.performance.facts import Document, fact_rows, newest, summary, unlike
from benchmarks.performance.plots import curve_chart, overview_chart
from benchmarks.performance.steps import SIZES, Kind
from benchmarks.performance.targets import Aim, aims, bars, first_told, largest_size, lead
from benchmarks.performance.text import duration, markdown_table
from quantgate.report.escape import markdown_code, markdown_text, plain

TEMPLATE: Final = Path(__file__).with_name("page.md.j2")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Rendered:
    """The page.

    Attributes:
        text: Markdown.
        charts: SVG documents by file name.
    """

    text: str
    charts: dict[str, str]


@dataclass(frozen=True)
class Part:
    """A step's place in its section: a heading, or "", and blocks of Markdown."""

    heading: str
    blocks: list[str]


@dataclass(frozen=True)
class Section:
    """What a benchmark measures, the commands that did, and what they found."""

    title: str
    says: str
    commands: list[str]
    parts: list[Part]


@dataclass
class Images:
    """The plots of a page.

    Attributes:
        folder: of the plots, as the page refers to it.
        charts: those drawn so far, by file name.
    """

    folder: str
    charts: dict[str, str] = field(default_factory=dict)

    def add(self, title: str, name: str, svg: str) -> str:
        """Keep a plot under a name made of `name`; return what shows it on the page."""
        file = f"{_file_name(name)}.svg"
        self.charts[file] = svg
        return f"![{markdown_text(title)}]({self.folder}/{file})"


def render(
    documents: Sequence[Document], missing: Sequence[str], kinds: Sequence[Kind], folder: str
) -> Rendered:
    """Return the page and its plots.

    Args:
        documents: what all steps kept, at least one.
        missing: names of steps that the page should have and that were not run.
        kinds: the benchmarks, in the order of their sections.
        folder: of the plots, as the page refers to it.

    Raises:
        SystemExit: a step is of no benchmark among `kinds`.
    """
    named = {kind.name: kind for kind in kinds}
    if unknown := sorted({document["step"]["kind"] for document in documents} - named.keys()):
        raise SystemExit(f"no benchmark named {', '.join(unknown)}; take its files away")
    told = sorted(documents, key=lambda document: _place(document, list(named)))
    latest, images = newest(told), Images(folder)
    failed = [document["step"] for document in told if document["step"]["exit_code"]]
    found = [aim for each in told for aim in aims(each, named[each["step"]["kind"]].title)]
    text = _template().render(
        lead=lead(found, len(failed), len(missing)),
        summary=markdown_text(summary(latest)),
        targets=markdown_table([aim.full_row for aim in first_told(found)]),
        overview=_overview(first_told(found), images),
        failures="\n".join([*map(_failure, failed), *map(_missing, missing)]),
        took=duration(sum(document["step"]["seconds"] for document in told)),
        folder=folder,
        machine=markdown_table(fact_rows(told)),
        sections=[
            _section(named[name], list(steps), latest, images)
            for name, steps in groupby(told, key=lambda document: document["step"]["kind"])
        ],
    )
    return Rendered(_EMPTY_LINES.sub("\n\n", text).rstrip() + "\n", images.charts)


def _place(document: Document, kinds: Sequence[str]) -> tuple[int, ...]:
    step = document["step"]
    ordered = ((step["kind"], kinds), (step["size"], SIZES), (step["precision"], PRECISIONS))
    return tuple(names.index(name) if name in names else len(names) for name, names in ordered)


def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    return environment.from_string(TEMPLATE.read_text("utf-8"))


def _overview(found: Sequence[Aim], images: Images) -> str:
    drawn = bars(found)
    if not drawn:
        return ""
    title = ", ".join(filter(None, ("Ratios to the peers", largest_size(found))))
    return images.add(title, "overview", overview_chart(drawn, title=title))


def _failure(step: Mapping[str, Any]) -> str:
    return f"- {markdown_code(step['name'])} failed: {_how_it_ended(step)}"


def _missing(name: str) -> str:
    return f"- {markdown_code(name)}: not run yet"


def _how_it_ended(step: Mapping[str, Any]) -> str:
    code = step["exit_code"]
    ended = f"exit code {code}" if code > 0 else f"stopped by signal {-code}"
    return f"{ended}; it said last: {markdown_code(step['said'])}"


def _section(
    kind: Kind, documents: Sequence[Document], latest: Document, images: Images
) -> Section:
    commands = [_command(document["step"]) for document in documents]
    parts = [_part(document, kind.title, latest, images) for document in documents]
    return Section(kind.title, kind.says, commands, parts)


def _command(step: Mapping[str, Any]) -> str:
    """As it is typed; places stand in it by name, so a `$` isn't quoted."""
    words = [f'"{word}"' if " " in word else word for word in step["arguments"]]
    return plain(" ".join(["python", "-m", step["module"], *words]))


def _part(document: Document, title: str, latest: Document, images: Images) -> Part:
    """A step: how it went, its targets, its tables, its plots."""
    step, content = document["step"], document.get("page", {})
    blocks = [markdown_text(f"Last run: {duration(step['seconds'])}. {unlike(document, latest)}")]
    if step["exit_code"]:
        blocks.append(f"**Failed**: {_how_it_ended(step)}")
    blocks.append(markdown_table([aim.row for aim in aims(document, title)]))
    for table in content.get("tables", ()):
        blocks.append(f"**{markdown_text(table['title'])}**")
        blocks += [markdown_table(table["rows"]), markdown_text(table["note"])]
    blocks += _curves(step["name"], content.get("curves", ()), images)
    heading = markdown_text(f"{step['size']} {step['precision']}")
    return Part(heading, list(filter(None, blocks)))


def _curves(name: str, curves: Sequence[Mapping[str, Any]], images: Images) -> Iterator[str]:
    for number, curve in enumerate(curves, start=1):
        svg = curve_chart(curve, ident=_file_name(f"{name}-{number}"))
        if svg is None:
            yield f"{markdown_text(curve['title'])}: no figure that could be drawn"
        else:
            yield images.add(curve["title"], f"{name}-{number}", svg)


def _file_name(name: str) -> str:
    """Of letters, digits and `-` alone; a plot's ids begin with it, too."""
    return _NOT_IN_A_NAME.sub("-", name.lower()).strip("-")
