"""Times for all questions, ratios and shares of a whole run, from records with known figures."""

import numpy as np
import pytest

from benchmarks.peers.comparison import Compared
from benchmarks.peers.whole_page import NOT_FREE, WholeRun
from tests.whole_records import FACTOR, SHARE, ours, record


def whole(size: str = "135m", precision: str = "fp32", **records: dict) -> WholeRun:
    runs = {name.replace("__", " ").replace("_", "-"): [each] for name, each in records.items()}
    measured = {name: each for name, each in runs.items() if "failed" not in each[0]}
    return WholeRun(size, Compared(precision, runs, measured), SHARE)


@pytest.fixture
def run() -> WholeRun:
    return whole(
        quantgate_ort=ours(10.0, body=8.0),
        quantgate_torch=ours(20.0),
        full_forward_ort=record(60.0),
        lm_eval_hf__b1=record(90.0),
        lm_eval_ort__b1=record(80.0),
        olive_ort__b1=record(45.0),
        olive_ort__b8=record(50.0, busy=1.5),
        olive_ortgenai__b1=record(30.0),
    )


def test_only_the_peers_times_are_scaled(run):
    times = {name: each["all_seconds"] for name, (each,) in run.compared.records.items()}
    assert times["quantgate-ort"] == 10.0
    assert times["full-forward-ort"] == pytest.approx(60.0 * FACTOR)
    assert times["olive-ort b1"] == pytest.approx(45.0 * FACTOR)
    assert times["olive-ort b8"] == pytest.approx(50.0 * 5 * 300 / (3 * 300))


def test_both_factors_are_told(run):
    table, _ = run.tables()
    assert f"times {FACTOR:.4f} and {5 / 3:.4f} in batches of 8, the ratio" in table.note
    assert f"that of questions would be {5 / 3:.4f}" in table.note
    assert "all 5 questions of 2 subjects (660 prompt tokens)" in table.note
    assert run.results()["scale"]["by_tokens"] == pytest.approx({"1": FACTOR, "8": 5 / 3})


def test_each_side_is_held_against_the_fastest(run):
    ratios = {(row["quantgate"], row["wanted"]): row for row in run.ratios}
    same, fastest, forward = (ratios["quantgate-ort", wanted] for wanted in (6.0, 4.5, 7.0))
    assert (same["best of"], fastest["best of"]) == ("olive-ort b1", "olive-ortgenai b1")
    assert same["ratio"] == pytest.approx(4.5 * FACTOR)
    assert same["reached"]
    assert fastest["ratio"] == pytest.approx(3.0 * FACTOR)
    assert not fastest["reached"]
    assert forward["ratio"] == pytest.approx(6.0 * FACTOR)
    assert ratios["quantgate-torch", 6.0]["best of"] == "lm-eval-hf b1"
    assert ratios["quantgate-torch", 6.0]["ratio"] == pytest.approx(4.5 * FACTOR)
    assert ("quantgate-ortgenai", 6.0) not in ratios


def test_shares_of_time_and_machine_are_aimed_at_for_the_large_model(run):
    shares = {t.what: t for t in run.targets() if "share" in t.what}
    prefix = "MMLU, 135m fp32: quantgate"
    inside = shares[f"{prefix}-ort, share of the time inside the runtime"]
    assert inside.ratio == pytest.approx((8.0 + 0.5) / 10.0)
    assert not inside.reached
    body = shares[f"{prefix}-ort, the body's share of the best matrix products"]
    assert body.ratio == pytest.approx(600e9 / 8.0 / 100e9)
    assert body.reached
    assert len(shares) == 3  # torch tells no body of its own


@pytest.mark.parametrize(("size", "precision", "count"), [("3m", "fp32", 0), ("135m", "int4", 1)])
def test_shares_are_aimed_at_nowhere_else(size, precision, count):
    run = whole(size, precision, quantgate_ort=ours(10.0, body=8.0))
    assert len([t for t in run.targets() if "share" in t.what]) == count


def test_where_time_goes_is_told(run):
    _, table = run.tables()
    ort, torch = table.rows
    assert ort["side"] == "quantgate-ort"
    assert ort["overhead"] == pytest.approx(0.15)
    assert ort["useful GFLOP/s"] == pytest.approx(70.0)
    assert ort["of the best"] == pytest.approx(0.7)
    assert ort["body, of the best"] == pytest.approx(0.75)
    assert torch["body, of the best"] is None


def test_sides_without_their_cores_are_flagged(run):
    table, _ = run.tables()
    flags = {row["side"]: row["cores"] for row in table.rows}
    assert flags["olive-ort b8"] == NOT_FREE
    assert flags["olive-ort b1"] is None


def test_every_record_says_when_it_was_made(run):
    table, _ = run.tables()
    assert {row["measured"] for row in table.rows} == {"2026-01-02 03:04 UTC"}


def test_accuracy_is_that_of_the_questions_answered(run):
    table, _ = run.tables()
    found = {row["side"]: row["accuracy"] for row in table.rows}
    assert found["quantgate-ort"] == 4 / 5
    assert found["olive-ort b1"] == 2 / 3


def test_differences_are_those_of_the_questions_in_common():
    run = whole(
        quantgate_ort=ours(10.0, body=8.0),
        quantgate_torch=ours(20.0, shift=0.25),
        olive_ort__b1=record(45.0, shift=-0.5),
    )
    found = run.compared.records.items()
    apart = {name: each["in_common"].difference for name, (each,) in found}
    assert apart == {"quantgate-ort": 0.0, "quantgate-torch": 0.25, "olive-ort b1": 0.5}
    assert run.max_delta == 0.5


def test_a_difference_outside_the_part_counts_between_sides_that_answer_all():
    other = ours(20.0)
    other["subjects"]["anatomy"]["loglikelihoods"][1][2] -= 0.125  # not in the part
    run = whole(quantgate_ort=ours(10.0, body=8.0), quantgate_torch=other)
    assert run.max_delta == 0.125
    run = whole(olive_ort__b1=record(45.0), quantgate_torch=other)
    assert run.max_delta == 0.0


def test_a_figure_that_is_no_number_is_no_agreement():
    broken = record(45.0)
    broken["subjects"]["anatomy"]["loglikelihoods"][0][0] = float("nan")
    run = whole(quantgate_ort=ours(10.0, body=8.0), olive_ort__b1=broken)
    assert np.isnan(run.max_delta)


def test_questions_that_a_side_reads_as_other_ids_are_counted_and_left_out():
    other = record(45.0, shift=0.25)
    other["subjects"]["anatomy"]["loglikelihoods"][1][0] = float("nan")
    other["subjects"]["anatomy"]["read"][1] = "other"
    run = whole(quantgate_ort=ours(10.0, body=8.0), olive_ortgenai__b1=other)
    assert run.max_delta == 0.25
    assert run.most_read_otherwise == 1 / 3
    table, _ = run.tables()
    assert {row["side"]: row["other ids"] for row in table.rows} == {
        "quantgate-ort": 0,
        "olive-ortgenai b1": 1,
    }
    (kept,) = run.results()["records"]["olive-ortgenai b1"]
    assert (kept["difference"], kept["asked"], kept["read_otherwise"]) == (0.25, 3, 1)


def test_where_all_is_read_otherwise_nothing_agrees():
    other = record(45.0)
    for subject in other["subjects"].values():
        subject["read"] = ["other"] * len(subject["read"])
    run = whole(quantgate_ort=ours(10.0, body=8.0), olive_ortgenai__b1=other)
    assert np.isnan(run.max_delta)


def test_other_questions_are_refused():
    other = record(45.0)
    other["subjects"]["anatomy"]["gold"][1] = "B"
    run = whole(quantgate_ort=ours(10.0, body=8.0), olive_ort__b1=other)
    with pytest.raises(SystemExit, match="olive-ort b1 answered other questions"):
        run.tables()


def test_without_a_side_of_ours_nothing_scales():
    with pytest.raises(SystemExit, match="how to scale"):
        whole(olive_ort__b1=record(45.0)).tables()


def test_results_keep_failures_and_no_single_questions():
    run = whole(
        quantgate_ort=ours(10.0, body=8.0), olive_ort__b1={"failed": "exit code 1: no memory"}
    )
    found = run.results()
    assert found["failed"] == {"olive-ort b1": "exit code 1: no memory"}
    assert run.tables()[0].note.endswith(" Failed: olive-ort b1.")
    (kept,) = found["records"]["quantgate-ort"]
    assert "subjects" not in kept
    assert kept["all_seconds"] == 10.0


def test_a_target_one_of_whose_peers_failed_is_not_judged():
    run = whole(
        quantgate_ort=ours(10.0, body=8.0),
        full_forward_ort=record(60.0),
        lm_eval_ort__b1=record(400.0),
        olive_ort__b1={"failed": "exit code 1: no memory"},
    )
    assert [row["best of"] for row in run.ratios] == ["full-forward-ort"]
