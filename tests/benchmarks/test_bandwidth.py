"""Bandwidth is counted as STREAM counts it, on arrays that no cache holds."""

import pytest
import torch

from benchmarks import bandwidth
from benchmarks.bandwidth import SCALAR, array_bytes, kernels, last_level_caches, rates

MIB = 2**20


def write_cpu(folder, number, caches):
    """A processor as the kernel describes it: level, size and sharers of each cache."""
    for index, (level, size, shared) in enumerate(caches):
        cache = folder / f"cpu{number}" / "cache" / f"index{index}"
        cache.mkdir(parents=True)
        for name, text in {"level": level, "size": size, "shared_cpu_list": shared}.items():
            (cache / name).write_text(f"{text}\n")


def test_last_level_caches_are_counted_once_each(tmp_path):
    for number in range(4):
        first = number // 2 * 2
        shared = f"{first}-{first + 1}"
        write_cpu(tmp_path, number, [(1, "48K", number), (2, "1M", number), (3, "32M", shared)])
    (tmp_path / "cpufreq").mkdir()
    assert last_level_caches(tmp_path) == 64 * MIB


def test_a_system_that_tells_nothing_has_no_known_cache(tmp_path):
    (tmp_path / "cpu0").mkdir()
    assert last_level_caches(tmp_path) == 0


@pytest.mark.parametrize(
    ("caches", "expected"), [(0, 256 * MIB), (100 * MIB, 400 * MIB), (4096 * MIB, 1024 * MIB)]
)
def test_arrays_are_four_times_the_caches_within_reason(caches, expected):
    assert array_bytes(caches) == expected


def test_kernels_compute_what_they_count():
    (moved, triad), (read, total) = kernels(1000).values()
    assert torch.equal(triad(), torch.full((1000,), 1.0 + SCALAR * 2.0))
    assert moved == 3 * 4 * 1000
    assert float(total()) == 1000.0
    assert read == 4 * 1000


def test_rates_are_bytes_over_the_shortest_time(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(bandwidth, "_best", lambda run: 0.5)
    monkeypatch.setattr(bandwidth, "ort_rate", lambda shape, threads: shape[1] * shape[2] * 1e-9)
    try:
        found = rates(1, 4_000_000)
    finally:
        torch.set_num_threads(before)
    assert found["triad"] == pytest.approx(12e6 / 0.5 / 1e9)
    assert found["sum"] == pytest.approx(4e6 / 0.5 / 1e9)
    # A matrix of 10^6 numbers, at 10^6 operations a second: half a pass a second.
    assert found["product"] == pytest.approx(1e6 * 4 / 2 / 1e9)


def test_the_first_run_is_left_out(monkeypatch):
    clock = iter([value for run in range(bandwidth.RUNS) for value in (0.0, run + 0.0)])
    monkeypatch.setattr(bandwidth.time, "perf_counter", lambda: next(clock))
    assert bandwidth._best(lambda: None) == 1.0
