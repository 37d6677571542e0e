"""A run as one HTML page that needs nothing else: no script, no font, no address.

Opened from a file or an artifact of a stranger's pull request it must do no harm, so its content
security policy allows the one style sheet it carries, by that sheet's digest, and nothing else.
Every text in it is stripped of control characters and credentials and then escaped, by the
template engine and not by its templates: none can forget to. Drawings and the style sheet, which
this package makes, are the exception.

The same run yields the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from quantgate import __version__
from quantgate.report.charts.style import COLOURS, SERIES
from quantgate.report.digest import judge
from quantgate.report.escape import plain, printable
from quantgate.report.sections.along import perplexity
from quantgate.report.sections.answers import answers
from quantgate.report.sections.divergence import divergence
from quantgate.report.sections.failures import failures
from quantgate.report.sections.flips import flips
from quantgate.report.sections.generation import generation
from quantgate.report.sections.overview import headline, matrix
from quantgate.report.sections.parts import Numbering
from quantgate.report.sections.precision import precision
from quantgate.report.sections.sides import Sides
from quantgate.report.sections.surroundings import surroundings
from quantgate.report.sections.tradeoff import tradeoffs
from quantgate.run_file import RunFile

if TYPE_CHECKING:
    from jinja2 import Environment


def render_html(run: RunFile) -> str:
    """Return the page; a part of the run that is damaged is told in its place."""
    sides, numbering, found = Sides(run), Numbering(), judge(run)
    page = {
        "headline": headline(run, found),
        "matrix": matrix(found, sides),
        "failures": failures(run, found, numbering),
        "tradeoffs": tradeoffs(run, sides, numbering),
        "precision": precision(run, sides),
        "answers": answers(sides, numbering),
        "divergence": divergence(sides, numbering),
        "perplexity": perplexity(sides, numbering),
        "flips": flips(sides),
        "generation": generation(sides),
        "surroundings": surroundings(run, sides),
        "started": str(run.facts.get("started", "")),
        "version": __version__,
    }
    engine = environment()
    style = engine.get_template("style.css").render(colours=COLOURS, series=SERIES)
    return engine.get_template("page.html").render(
        page, style=trusted(style), policy=content_policy(style)
    )


def content_policy(style: str) -> str:
    """Return the content security policy of a page whose only resource is the sheet `style`.

    The empty icon in the page's head keeps browsers from asking a server for one.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def environment() -> Environment:
    """Return the template engine of all pages."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    engine = Environment(
        loader=PackageLoader("quantgate.report", "templates"),
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    engine.filters["drawing"] = trusted
    engine.filters["lines"] = _lines
    return engine


def _harmless(value: Any) -> Any:
    """Clean what an expression of a template yields; it is escaped after this."""
    from markupsafe import Markup

    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _lines(text: str) -> Any:
    """Clean and escape a text that may have several lines, a question's."""
    from markupsafe import escape

    return escape(printable(text))


def trusted(text: str) -> Any:
    """Mark what this package made itself as markup."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  drawings and the style sheet only
