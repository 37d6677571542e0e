"""Which code figures depend on."""

import pytest

from benchmarks.code import (
    COMPARING,
    SHOWING,
    engine_digest,
    measuring_digest,
    sides_digest,
)
from benchmarks.peers.processes import ROOT

ENGINE = ("quantgate/plan.py", "quantgate/backends/ort.py", "quantgate/new/part.py")
SIDES = ("benchmarks/generation.py", "benchmarks/peers/report.py")
BENCHMARKS = (*SIDES, "benchmarks/peers/ratios.py")
SHOWN = ("quantgate/report/charts/labels.py", "benchmarks/performance/page.py", "docs/conf.py")


@pytest.fixture
def checkout(tmp_path):
    for name in (*ENGINE, *BENCHMARKS, *SHOWN):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("digest", "known"),
    [
        (engine_digest, ENGINE),
        (sides_digest, SIDES),
        (measuring_digest, (*ENGINE, *BENCHMARKS)),
    ],
)
@pytest.mark.parametrize("name", [*ENGINE, *BENCHMARKS, *SHOWN])
def test_a_digest_knows_the_code_that_measures(checkout, digest, known, name):
    before = digest(checkout)
    (checkout / name).write_text("2", "utf-8")
    assert (digest(checkout) != before) == (name in known)


def test_what_is_left_out_by_name_is_there():
    assert all((ROOT / name / "__init__.py").exists() for name in SHOWING)
    assert all((ROOT / name).is_file() for name in COMPARING)
