"""Which changed answers a run lists: of more than fit the lost ones first, then the won ones."""

import numpy as np
import pytest

from quantgate.corpus.questions import Question
from quantgate.tasks.mmlu import MmluSamples
from quantgate.tasks.mmlu_items import LOGLIKELIHOOD, MmluItem, MmluItems
from quantgate.tasks.mmlu_scores import FLIPS_LISTED, mmlu_detail

# What the reference and the candidate choose where the first option is right.
KINDS = {"same": (0, 0), "lost": (0, 1), "won": (1, 0), "moved": (1, 2)}


def samples(chosen):
    return MmluSamples(np.where(np.arange(4) == np.array(chosen)[:, None], -1.0, -2.0), None)


def flips(kinds):
    """A question of each kind, in this order."""
    items = tuple(
        MmluItem(Question("law", row, "Which?", ("a", "b", "c", "d"), 0), (1,), ((2,),) * 4, 0, 1)
        for row in range(len(kinds))
    )
    before, now = (samples([KINDS[kind][side] for kind in kinds]) for side in (0, 1))
    return mmlu_detail(now, MmluItems(items, ()), LOGLIKELIHOOD, before)["flips"]


def listed(kinds):
    """Places of the questions that are listed."""
    found = [int(each["question"].removeprefix("law/")) for each in flips(kinds)["listed"]]
    assert found == sorted(found), "they stay in the questions' order"
    return found


def test_what_fits_is_all_listed():
    kinds = ["same", "won", "moved", "lost"] * 60
    assert listed(kinds) == [place for place, kind in enumerate(kinds) if kind != "same"][:180]


def test_lost_answers_of_late_subjects_are_listed():
    kinds = ["moved"] * 150 + ["won"] * 150 + ["same"] + ["lost"] * 100
    assert listed(kinds) == [*range(150, 250), *range(301, 401)]
    told = flips(kinds)
    assert [told[name] for name in ("right_to_wrong", "wrong_to_right", "changed")] == [
        100, 150, 400,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["lost", "won", "moved"])
def test_of_one_kind_the_first_are_listed(kind):
    assert listed([kind] * 300) == list(range(FLIPS_LISTED))
