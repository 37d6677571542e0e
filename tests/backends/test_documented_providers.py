"""The page on backends offers providers that a manifest takes."""

import re
from pathlib import Path

import pytest

from quantgate.manifest.tables import NAME

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"


@pytest.mark.parametrize("backend", ["ort", "ortgenai", "torch"])
def test_documented_providers_can_be_named(backend):
    (row,) = re.findall(rf"^\| `{backend}` \|.*\| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    found = re.findall(r"`([a-z0-9_.:]+)`", row)
    assert {"cpu", "cuda"} <= set(found)
    for name in found:
        assert NAME.fullmatch(name), name
