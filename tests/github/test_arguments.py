"""What the action's `arguments` make a run rest on, read as pytest reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantgate.errors import UsageFault
from quantgate.github.arguments import Arguments, read_arguments


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("", ()),
        ("-m\nperplexity\n\n--gate-threads=2", ()),
        ("--gate-text=data/a text.txt", ("data/a text.txt",)),
        ("--gate-text\r\ndata/a text.txt\r\n", ("data/a text.txt",)),
        ("--gate-data-dir=mmlu\n--gate-reference=fp32/\n-n2", ("fp32", "mmlu")),
        ("--gate-baselines=full/", ("full",)),
        ("--gate-text=one\n--gate-text=two", ("two",)),
        ("--gate-text=embedded\n--gate-data-dir=hub:owner/name@0", ()),
        ("--gate-reason=--gate-text=x", ()),
        ("--\n--gate-text=x", ()),
    ],
)
def test_paths_are_taken_as_the_run_takes_them(text, paths):
    assert read_arguments(text) == Arguments(tuple(Path(path) for path in paths))


@pytest.mark.parametrize(
    "text",
    ["--gate-model=int4=out/int4", "--gate-model\nint4=a", "--gate-config=b.toml", "-m\n@words"],
)
def test_what_replaces_the_models_or_comes_from_a_file_is_beyond_git(text):
    assert read_arguments(text).unknown


@pytest.mark.parametrize("text", ["--gate-text", "--gate-text\n--gate-strict", "--gate-threads=x"])
def test_what_the_run_would_refuse_is_refused(text):
    with pytest.raises(UsageFault, match="arguments-unreadable"):
        read_arguments(text)
