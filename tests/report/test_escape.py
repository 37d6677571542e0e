"""Hostile text in every disguise."""

import pytest

from quantgate.report.escape import ascii_only, plain, redact


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


def test_ascii_text():
    assert ascii_only("größe 模") == "gr\\xf6\\xdfe \\u6a21"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("https://user:pass@host/x", "https://***@host/x"),
        ("https://host/a@b", "https://host/a@b"),
        ("token hf_abcdefghijklmnop!", "token ***!"),
        ("ghp_0123456789abcdef", "***"),
        ("github_pat_11AAAA_bbbb", "***"),
        ("half_precision ghost_writer", "half_precision ghost_writer"),
    ],
)
def test_fault_73_credentials(secret, shown):
    assert redact(secret) == shown
    assert plain(secret) == shown
