"""Rows are left out whole, the worst stay, and it is said how many are missing."""

import pytest

from quantgate.report.fitting import Section, fit


def table(name, count, size=50):
    rows = [f"{name} {i:05d} {'x' * (size - len(name) - 8)}" for i in range(count)]
    return Section(head=f"# {name}\n", rows=rows, tail="end\n")


def kept(text, name):
    return [line for line in text.splitlines() if line.startswith(f"{name} ")]


def test_all_that_fits_is_there():
    sections = [table("a", 3), Section(head="alone"), table("b", 2)]
    text = fit(sections, 10_000, "elsewhere")
    assert kept(text, "a") == list(sections[0].rows)
    assert kept(text, "b") == list(sections[2].rows)
    assert "left out" not in text
    assert text.count("end") == 2


@pytest.mark.parametrize("limit", [2_000, 5_000, 20_000, 64_000])
def test_fault_71_the_worst_rows_stay_whole(limit):
    sections = [table("a", 3_000), table("b", 3_000), table("c", 3_000)]
    text = fit(sections, limit, "elsewhere")
    assert limit - 800 < len(text.encode()) <= limit
    for section, name in zip(sections, "abc", strict=True):
        rows = kept(text, name)
        assert rows
        assert rows == list(section.rows[: len(rows)]), "a prefix by rank, uncut"
        missing = 3_000 - len(rows)
        assert f"{missing:,} of 3,000 rows are left out here; elsewhere." in text
    assert len(kept(text, "a")) > len(kept(text, "c"))


def test_fault_71_a_row_too_long_displaces_no_other():
    section = Section(head="h\n", rows=["r 0", "r 1 " + "ü" * 2_000, "r 2"])
    text = fit([section], 4_000, "elsewhere")
    assert kept(text, "r") == ["r 0", "r 2"]
    assert "1 of 3 rows is left out here" in text


def test_room_of_one_section_serves_another():
    text = fit([table("a", 1), table("b", 1), table("c", 100)], 8_000, "elsewhere")
    assert len(kept(text, "c")) == 100


def test_a_limit_that_holds_nothing_is_refused():
    with pytest.raises(ValueError, match="can't hold"):
        fit([table("a", 1)], 100, "elsewhere")
