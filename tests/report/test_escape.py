"""Hostile text in every disguise."""

import pytest

from quantgate.report.escape import (
    ascii_only,
    markdown_cell,
    markdown_code,
    markdown_text,
    plain,
    printable,
    redact,
    xml_text,
)


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2\x1b\\sixel", "sixel"),
        ("\x1bcreset", "reset"),
        ("\x1b]0;never ended", ""),
        ("a\x1b", "a"),
        ("bell\x07 back\x08space\x7f\x00\x85", "bell backspace "),
        ("one\ntwo\r\nthree\u2028four\tfive", "one two three four five"),
        ("abc\u202etxt.exe", "abctxt.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("lone \udcff surrogate", "lone \\udcff surrogate"),
        ("größe 模型 [bold]", "größe 模型 [bold]"),
    ],
)
def test_fault_70_plain_text(hostile, harmless):
    assert plain(hostile) == harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a&#124;b"),
        ("snake_case *x*", "snake\\_case \\*x\\*"),
        ("@team a @ b", "@&#8203;team a @ b"),
        ("fixes #1", "fixes #&#8203;1"),
        ("GH-1", "GH&#8203;-1"),
        ("https://x", "https:&#8203;//x"),
        ("02:14:08", "02:14:08"),
        ("-2.25 points", "-2.25 points"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("0.1.0", "0.1.0"),
        ("a\n\nb", "a b"),
        ("", ""),
    ],
)
def test_fault_70_markdown_text(text, shown):
    assert markdown_text(text) == shown


def test_markdown_cells_are_never_empty():
    assert (markdown_cell(""), markdown_cell(" \n")) == ("\\-", "\\-")
    assert markdown_code("a_b") == "<code>a\\_b</code>"


def test_lines_are_kept_where_lines_are_wanted():
    assert printable("a\x1b[1m\r\nb\tc\x00\u2028d") == "a\nb\tc\nd"
    assert xml_text("a\ufffeb\udcff") == "ab\\udcff"


def test_ascii_text():
    assert ascii_only("größe 模") == "gr\\xf6\\xdfe \\u6a21"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("https://user:pass@host/x", "https://***@host/x"),
        ("https://user:pa@ss@host/x", "https://***@host/x"),
        ("https://host/a@b", "https://host/a@b"),
        ("https://host?q=a@b", "https://host?q=a@b"),
        ("https://h/x?access_token=abc&y=1", "https://h/x?access_token=***&y=1"),
        ("https://h/x?X-Amz-Signature=abc#t", "https://h/x?X-Amz-Signature=***#t"),
        ("xoxb-1234567890-abc", "***"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM", "***"),
        ("token hf_abcdefghijklmnop!", "token ***!"),
        ("ghp_0123456789abcdef", "***"),
        ("github_pat_11AAAA_bbbb", "***"),
        ("half_precision ghost_writer", "half_precision ghost_writer"),
    ],
)
def test_fault_73_credentials(secret, shown):
    assert redact(secret) == shown
    assert plain(secret) == shown
