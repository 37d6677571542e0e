"""Child processes that know the misbehaving backends."""

import pytest

from tests.execution.misbehaving import plant


@pytest.fixture
def planted(tmp_path, monkeypatch) -> None:
    """Children of this test can open the backends `planted` and `wide`."""
    monkeypatch.setenv("PYTHONPATH", plant(tmp_path / "planted"))
