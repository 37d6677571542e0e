"""WikiText's articles: where one ends, and what it looks like before it was tokenized."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.corpus.wikitext import detokenize, has_title, split_articles


def test_articles_begin_at_titles_and_nowhere_else():
    first = " = Lantern = \n \n Light . \n = = Use = = \n = = = At sea = = = \n a = b \n "
    second = " = x = y = \n more"
    assert split_articles(f" \n{first}\n{second}") == (first, second)


def test_text_before_the_first_title_is_kept():
    parts = split_articles("Preface .\n = A = \n a")
    assert parts == ("Preface .", " = A = \n a")
    assert [has_title(part) for part in parts] == [False, True]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        (" = Lantern = ", True),
        ("= Lantern =", True),
        (" = Lantern ( novel , 1901 ) = ", True),
        (" = 1 kg = 1000 g = ", True),
        (" = = Lantern = = ", False),
        (" = = = Lantern = = = ", False),
        (" = = Lantern = ", False),
        (" = Lantern = = ", False),
        (" = Lantern", False),
        ("Lantern = ", False),
        (" =Lantern= ", False),
        (" = = ", False),
        (" = ", False),
    ],
)
def test_title_has_one_equals_sign_on_either_side(line, title):
    assert has_title(line) == title
    assert len(split_articles(f"before\n{line}\nafter")) == 1 + title


@given(st.lists(st.sampled_from([" = A = ", " = = B = = ", " text ", "", " "]), max_size=12))
def test_split_articles_put_together_are_the_text(lines):
    text = "\n".join(lines)
    parts = split_articles(text)
    assert len([line for line in lines if line == " = A = "]) == sum(map(has_title, parts))
    blank = text[: text.index(parts[0])] if parts else text
    assert not blank.strip()
    assert blank + "\n".join(parts) == text


@pytest.mark.parametrize(
    ("tokenized", "printed"),
    [
        ("a well @-@ kept 1 @,@ 250 @.@ 5 km road", "a well-kept 1,250.5 km road"),
        ("first , second ; third : fourth .\n", "first, second; third: fourth .\n"),
        ("Who ? Me ! Well . Yes", "Who? Me! Well. Yes"),
        ("the sailors ' knots", "the sailors' knots"),
        ("the sailor 's knot", "the sailor's knot"),
        ("( north or [ rather ] south )", "(north or [rather] south)"),
        ("{ a , b } and (\tc\n)", "{a, b} and (c)"),
        ('he said " not today " and left', 'he said "not today" and left'),
        ("the ship ' Anna ' sank", "the ship 'Anna' sank"),
        ("an open ( bracket stays", "an open ( bracket stays"),
        ("\n = = Use = = \n text", "\n== Use ==\ntext"),
        ("\n = = = At sea = = = \n", "\n=== At sea ===\n"),
        ("\n = = = = By night = = = = \n", "\n==== By night ====\n"),
        (" = Lantern = \n \n It burns . \n", " = Lantern =\n\nIt burns.\n"),
        ("at 12 ° north", "at 12°north"),
        ("about N tons", "about 1 tons"),
    ],
)
def test_detokenized_text_is_what_was_printed(tokenized, printed):
    assert detokenize(tokenized) == printed


def test_apostrophe_may_be_taken_for_an_opening_quote():
    """So it is in the figures that others publish."""
    assert detokenize("the boys ' knots , ' he said") == "the boys'knots,' he said"


@given(st.text("abc1 \n"))
def test_text_without_marks_changes_at_line_ends_only(text):
    assert detokenize(text).split() == text.split()
