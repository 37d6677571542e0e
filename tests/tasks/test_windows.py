"""The token ledger: which window scores which token, each exactly once."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.tasks.windows import (
    DISJOINT,
    GENAI_CHUNKED,
    STRIDED,
    make_windows,
    require_scored,
    scored_mask,
    whole_labels,
    window_labels,
)

ALL = (STRIDED, GENAI_CHUNKED, DISJOINT)


@st.composite
def ledgers(draw):
    window = draw(st.integers(2, 40))
    stride = draw(st.integers(1, window - 1))
    kl_window = draw(st.integers(1, 40))
    count = draw(st.integers(max(window, kl_window), 200))
    return count, window, stride, kl_window


def windows_of(ledger, protocols=ALL):
    count, window, stride, kl_window = ledger
    return make_windows(
        count, window=window, stride=stride, kl_window=kl_window, protocols=protocols
    )


def spans_by_the_protocol(count: int, window: int, stride: int) -> list[tuple[int, int]]:
    """[b, min(b + window, N)) for b = 0, stride, ... until the end is reached."""
    spans = []
    begin = 0
    while True:
        spans.append((begin, min(begin + window, count)))
        if spans[-1][1] == count:
            return spans
        begin += stride


@given(ledgers())
def test_every_id_but_the_first_is_a_target_once(ledger):
    targets = [t for w in windows_of(ledger) for t in w.targets]
    assert sorted(targets) == list(range(1, ledger[0]))


@given(ledgers())
def test_strided_windows_are_the_protocols(ledger):
    count, window, stride, _ = ledger
    found = [(w.begin, w.end) for w in windows_of(ledger) if w.targets]
    expected = spans_by_the_protocol(count, window, stride)
    # A last window that adds no id of its own can't arise: the one before it would have ended.
    assert found == expected


@given(ledgers())
def test_targets_are_what_the_window_before_did_not_reach(ledger):
    reached = 1
    for window in windows_of(ledger):
        if window.targets:
            assert window.targets == range(reached, window.end)
            reached = window.end


@given(ledgers())
def test_targets_are_predicted_inside_their_window(ledger):
    for window in windows_of(ledger):
        assert all(window.begin < t < window.end for t in window.targets)
        assert all(0 <= p < window.end - window.begin for p in window.scored)
        predicted = {window.begin + p + 1 for p in window.scored}
        assert set(window.targets) <= predicted


@given(ledgers())
def test_divergence_windows_cover_every_position_once(ledger):
    count, _, _, kl_window = ledger
    whole = [w for w in windows_of(ledger) if w.whole]
    assert sorted(p for w in whole for p in range(w.begin, w.end)) == list(range(count))
    assert len(whole) == math.ceil(count / kl_window)
    assert all(list(w.scored) == list(range(w.end - w.begin)) for w in whole)


@given(ledgers())
def test_chunk_targets_are_predicted_by_the_last_prefill_chunk(ledger):
    _, _, stride, _ = ledger
    for window in windows_of(ledger):
        size = window.end - window.begin
        chunks = [range(i, min(i + stride, size)) for i in range(0, size, stride)]
        inside = {window.begin + p + 1 for p in chunks[-1] if p + 1 < size}
        assert set(window.chunk_targets) == inside & set(window.targets)


@given(ledgers())
def test_disjoint_windows_score_all_but_their_first_id(ledger):
    count, length, _, _ = ledger
    windows = [w for w in windows_of(ledger) if w.disjoint]
    begins = range(0, count, length)
    spans = [(begin, min(begin + length, count)) for begin in begins if begin + 1 < count]
    assert [(w.begin, w.end) for w in windows] == spans
    targets = [t for w in windows for t in w.disjoint]
    assert targets == [t for t in range(count) if t % length]
    assert len(targets) == count - len(begins)
    assert all({w.begin + p + 1 for p in w.scored} >= {*w.disjoint} for w in windows)


@given(ledgers(), st.sets(st.sampled_from(ALL)))
def test_what_no_protocol_names_is_not_computed(ledger, protocols):
    everything = {(w.begin, w.end): w for w in windows_of(ledger)}
    found = windows_of(ledger, protocols)
    for window in found:
        known = everything[window.begin, window.end]
        assert window.whole == known.whole
        assert window.disjoint == (known.disjoint if DISJOINT in protocols else range(0))
        strided = bool({STRIDED, GENAI_CHUNKED} & protocols)
        assert window.targets == (known.targets if strided else range(0))
        assert window.whole or window.disjoint or window.targets
        assert len(window.scored) > 0
    assert sum(w.whole for w in found) == sum(w.whole for w in everything.values())


@given(ledgers())
def test_labels_and_masks_agree_with_the_windows(ledger):
    windows, count = windows_of(ledger), ledger[0]
    wholes = whole_labels(windows, count)
    for protocol in ALL:
        labels = window_labels(windows, count, protocol)
        mask = scored_mask(windows, count, protocol)
        for number, window in enumerate(windows):
            assert all(labels[t] == number and mask[t] for t in window.scores(protocol))
        assert mask.sum() == sum(len(w.scores(protocol)) for w in windows)
    for number, window in enumerate(windows):
        assert not window.whole or all(wholes[p] == number for p in range(window.begin, window.end))


def test_fault_35_published_protocol_1024_512():
    windows = make_windows(10 * 512, window=1024, stride=512, kl_window=1024)
    strided = [w for w in windows if w.targets]
    assert [len(w.targets) for w in strided] == [1023] + [512] * 8
    assert [len(w.chunk_targets) for w in strided] == [511] * 9
    assert strided[0].chunk_targets == range(513, 1024)
    assert strided[1].chunk_targets == range(1025, 1536)
    never = set(range(10 * 512)) - {t for w in strided for t in w.chunk_targets}
    assert never == {*range(513), *(1024 + 512 * k for k in range(8))}


def test_fault_35_last_partial_window():
    windows = make_windows(1024 + 300, window=1024, stride=512, kl_window=1024)
    strided = [w for w in windows if w.targets]
    assert [(w.begin, w.end, len(w.targets)) for w in strided] == [
        (0, 1024, 1023),
        (512, 1324, 300),
    ]
    # Its last chunk begins at window position 512, where the first window ended.
    assert strided[1].chunk_targets == range(1025, 1324)


def test_fault_35_disjoint_window_of_one_id():
    windows = make_windows(1025, window=1024, stride=512, kl_window=1024)
    assert [(w.begin, w.end) for w in windows if w.whole] == [(0, 1024), (1024, 1025)]


def test_shared_windows_are_computed_once():
    windows = make_windows(2048, window=1024, stride=512, kl_window=1024, protocols=ALL)
    assert [(w.begin, w.end) for w in windows] == [(0, 1024), (512, 1536), (1024, 2048)]
    assert [w.whole for w in windows] == [True, False, True]
    assert [bool(w.disjoint) for w in windows] == [True, False, True]


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize(("window", "kl_window"), [(10, 5), (5, 10)])
def test_fault_33_text_shorter_than_a_window(count, window, kl_window):
    with pytest.raises(InvalidMeasurement, match=f"{count} tokens of text") as caught:
        make_windows(count, window=window, stride=2, kl_window=kl_window)
    assert caught.value.code == "text-short"


@pytest.mark.parametrize("stride", [0, -1, 10, 11])
def test_fault_34_stride_that_leaves_a_gap_or_stands_still(stride):
    with pytest.raises(UsageFault) as caught:
        make_windows(100, window=10, stride=stride, kl_window=10)
    assert caught.value.code == "window-stride"


@pytest.mark.parametrize("kl_window", [0, -1])
def test_fault_34_disjoint_windows_without_width(kl_window):
    with pytest.raises(UsageFault, match="divergence windows"):
        make_windows(100, window=10, stride=5, kl_window=kl_window)


@pytest.mark.parametrize(
    ("count", "window", "stride", "protocol", "scored"),
    [(9, 3, 2, GENAI_CHUNKED, 0), (3, 3, 1, GENAI_CHUNKED, 0), (2, 2, 1, DISJOINT, 1)],
)
def test_fault_33_protocol_that_scores_nothing(count, window, stride, protocol, scored):
    windows = make_windows(count, window=window, stride=stride, kl_window=2, protocols=ALL)
    require_scored(windows, [])
    with pytest.raises(InvalidMeasurement, match=protocol) as caught:
        require_scored(windows, [protocol])
    assert (caught.value.code, caught.value.found) == ("nothing-scored", str(scored))


def test_protocol_that_nobody_knows_is_no_empty_one():
    windows = make_windows(20, window=10, stride=5, kl_window=10)
    with pytest.raises(KeyError):
        scored_mask(windows, 20, "rolled")


def test_window_of_exactly_the_text_is_enough():
    (window,) = make_windows(10, window=10, stride=5, kl_window=10)
    assert (window.targets, window.whole) == (range(1, 10), True)
