"""The report's part on the divergence: no bin that holds a position is lost or shown as empty."""

from dataclasses import replace

from quantgate.report.sections.divergence import divergence
from quantgate.report.sections.parts import Numbering
from quantgate.report.sections.sides import Sides
from quantgate.results import Measurement
from tests.report import planted_run
from tests.report.planted_costs import FP32, INT4, INT8, measurement, run_of

POSITIONS = 64_000


def measured(case: str, counts: dict[int, int]) -> Measurement:
    """A divergence with so many positions in these bins, and all the others in one."""
    planted = planted_run.divergence(case)
    told = planted.detail["distribution"]
    bins = [0] * len(told["histogram"]["counts"])
    bins[20] = POSITIONS - sum(counts.values())
    for place, count in counts.items():
        bins[place] = count
    histogram = {**told["histogram"], "counts": bins, "below": 0}
    detail = {**planted.detail, "distribution": {**told, "histogram": histogram}}
    return replace(planted, detail=detail)


def rows(*measurements: Measurement) -> list[tuple[str, ...]]:
    """The histogram's."""
    reference = measurement(FP32, "kl_divergence", kl_mean=0.0)
    found = divergence(Sides(run_of(reference, *measurements)), Numbering())
    assert found is not None
    listed = found.plots[0].table
    assert listed is not None
    return list(listed.rows)


def test_few_positions_of_many_are_a_row_and_no_zero():
    assert rows(measured(INT4, {40: 3, 41: 1})) == [
        ("0.0001 to 0.00016 nats", "99.99 %"),
        ("1 to 1.6 nats", "0.00469 %"),
        ("1.6 to 2.5 nats", "0.00156 %"),
    ]


def test_a_bin_that_is_empty_for_one_candidate_alone_is_its_zero():
    assert rows(measured(INT4, {40: 3}), measured(INT8, {})) == [
        ("0.0001 to 0.00016 nats", "99.995 %", "100.00 %"),
        ("1 to 1.6 nats", "0.00469 %", "0.00 %"),
    ]


def test_one_top_token_that_differs_is_seen():
    scores = tuple(
        replace(score, value=1 - 1 / POSITIONS) if score.metric == "top1_agreement" else score
        for score in measured(INT4, {}).scores
    )
    found = divergence(Sides(run_of(replace(measured(INT4, {}), scores=scores))), Numbering())
    assert found is not None
    told = dict(zip(found.table.headings, found.table.rows[0], strict=True))
    assert told["same top token"] == "99.998 %"
