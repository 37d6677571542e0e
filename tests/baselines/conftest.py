"""A store of one's own, and a baseline to be damaged."""

from __future__ import annotations

import json

import pytest

from quantgate import provenance
from quantgate.baselines.store import BaselineStore
from tests.storing import CASE, measure, update


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    """Let updates work wherever these tests run."""
    for name in provenance._CI_MARKS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path) -> BaselineStore:
    return BaselineStore(tmp_path / "baselines")


@pytest.fixture
def document(store):
    """The JSON of a stored baseline, to be damaged."""
    update(store, measure())
    return json.loads(store.path(CASE).read_bytes())
