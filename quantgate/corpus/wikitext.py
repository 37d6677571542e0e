r"""WikiText's files as documents: split into articles, and put back into ordinary typography.

WikiText is tokenized text: every mark stands between blanks, and a mark inside a number or a
compound is wrapped in `@` (`1 @,@ 000`, `well @-@ known`). lm-evaluation-harness scores articles
after `detokenize` but counts words and bytes before it, so both texts are kept.

Its rule for `' 9`, an apostrophe before a digit, is left out: the pattern asks for slashes around
it and so never finds one.
"""

from __future__ import annotations

import re
from typing import Final

BLANK: Final = r"[^\S\n]*"
# Exactly one `=` on either side: ` = Title = `, but not ` = = Section = = `.
HEADING: Final = rf"{BLANK}= (?!=)[^\n]*(?<!=) ={BLANK}(?:\n|\Z)"
ARTICLE: Final = re.compile(rf"\n(?={HEADING})")
FIRST_HEADING: Final = re.compile(HEADING)

# Replaced in this order: what one rule leaves is what the next one sees.
BEFORE_PAIRS: Final = (
    ("s '", "s'"),  # the genitive of a plural
    (" @-@ ", "-"),
    (" @,@ ", ","),
    (" @.@ ", "."),
    *((f" {mark} ", f"{mark} ") for mark in ":;.!?,"),
)
# Blanks just inside belong to the tokenization. A mark that opens and closes alike is paired by
# counting, so an apostrophe inside a word may be taken for an opening quote, as it is there.
PAIRS: Final = ("()", "[]", "{}", '""', "''")
AFTER_PAIRS: Final = (
    *(("= " * (level - 1) + "=", "=" * level) for level in (4, 3, 2)),  # headings below a title
    (" \N{DEGREE SIGN} ", "\N{DEGREE SIGN}"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),  # the Penn Treebank's word for any number
    (" 's", "'s"),
)


def split_articles(text: str) -> tuple[str, ...]:
    """Articles as they stand in a file, from one title to the line end before the next.

    Text before the first title counts as an article unless it is blank.
    """
    return tuple(part for part in ARTICLE.split(text) if part.strip())


def has_title(article: str) -> bool:
    """Whether an article begins with a title."""
    return FIRST_HEADING.match(article) is not None


def detokenize(article: str) -> str:
    """An article as it would be printed."""
    for old, new in BEFORE_PAIRS:
        article = article.replace(old, new)
    for opening, closing in PAIRS:
        inside = rf"{re.escape(opening)}([^{re.escape(closing)}]*){re.escape(closing)}"
        article = re.sub(inside, lambda found: _tight(found[0]), article)
    for old, new in AFTER_PAIRS:
        article = article.replace(old, new)
    return article


def _tight(enclosed: str) -> str:
    return enclosed[0] + enclosed[1:-1].strip() + enclosed[-1]
