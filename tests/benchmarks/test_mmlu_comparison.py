"""Log-likelihoods beside the peers': what is no number never counts as equal."""

import math

import pytest

from benchmarks.peers import mmlu
from benchmarks.peers.comparison import Compared


def record(value):
    subject = {
        "loglikelihoods": [[-1.0, -2.0, -3.0, value]],
        "chosen": ["A"],
        "gold": ["A"],
        "read": ["0123"],
    }
    memory = {"peak_mib": 1.0, "beyond_mib": 1.0}
    facts = {"seconds": 1.0, "count": 1, "memory": memory, "threads": {"busy": 1.0}}
    return [{"side": "olive-ort", **facts, "subjects": {"anatomy": subject}}]


@pytest.mark.parametrize(("ours", "theirs"), [(-4.0, math.nan), (math.nan, -4.0)])
def test_a_log_likelihood_that_is_no_number_is_no_small_difference(ours, theirs):
    records = {"quantgate-ort": record(ours), "olive-ort b1": record(theirs)}
    found = mmlu._told(Compared("fp32", records, records), rounds=1)
    assert not found["max_delta"] < mmlu.MAX_DELTA


def test_a_question_that_is_read_as_other_ids_is_counted_and_left_out():
    records = {"quantgate-ort": record(-4.0), "olive-ortgenai b1": record(-4.5)}
    records["olive-ortgenai b1"][0]["subjects"]["anatomy"]["read"] = ["4567"]
    found = mmlu._told(Compared("fp32", records, records), rounds=1)
    assert [row["other ids"] for row in found["table"]] == [0, 1]
    assert math.isnan(found["max_delta"])  # no question is left


def test_the_largest_difference_counts():
    records = {"quantgate-ort": record(-4.0), "olive-ort b1": record(-4.5)}
    found = mmlu._told(Compared("fp32", records, records), rounds=1)
    assert found["max_delta"] == pytest.approx(0.5)
