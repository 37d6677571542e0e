"""The side file: small, the same bytes for the same items, and refused when anything is off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from quantgate import storage
from quantgate.baselines import items as baseline_items
from quantgate.baselines.items import describe, pack, unpack
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.items import ChoiceItems, WindowItems, items_of
from tests.storing import CASE, answers, divergences, limits, measure, update, windows


def full_mmlu():
    """As many questions and subjects as MMLU's test split has."""
    each, rest = divmod(14042, 57)
    names = [f"a_subject_with_a_long_name_{i}" for i in range(57)]
    return answers({name: each + (i < rest) for i, name in enumerate(names)})


def everything():
    """A measurement of each kind, small."""
    return [
        measure(detail=answers({"law": 5, "anatomy": 3})),
        measure(task="perplexity.strided", detail=windows(4)),
        measure(task="kl_divergence", detail=divergences(3)),
    ]


def same(left, right) -> bool:
    """Equality array by array, types included."""
    if isinstance(left, ChoiceItems):
        pairs = [(left.chosen, right.chosen), (left.gold, right.gold)]
        assert left.subjects == right.subjects
    else:
        assert isinstance(right, WindowItems)
        assert (left.counts.keys(), left.sums.keys()) == (right.counts.keys(), right.sums.keys())
        pairs = [(left.begins, right.begins)]
        pairs += [(left.counts[key], right.counts[key]) for key in left.counts]
        pairs += [(left.sums[key], right.sums[key]) for key in left.sums]
    return all(a.dtype == b.dtype and a.tolist() == b.tolist() for a, b in pairs)


def side(store):
    return store.root / "tiny" / "int4-ort-cpu.items.safetensors"


def refused(act: Callable[[], object]) -> UsageFault:
    with pytest.raises(UsageFault) as caught:
        act()
    assert caught.value.code == "baseline-items"
    return caught.value


def test_full_mmlu_is_small(store):
    update(store, measure(detail=full_mmlu()))
    assert side(store).stat().st_size < 200_000
    assert len(store.items(CASE, "mmlu").gold) == 14042


def test_every_suite_at_full_size_is_small(store):
    """The test split of WikiText-2 is some 650 strides of 512 tokens."""
    update(
        store,
        measure(detail=full_mmlu()),
        measure(task="perplexity.strided", detail=windows(650)),
        measure(task="perplexity.genai_chunked", detail=windows(650)),
        measure(task="kl_divergence", detail=divergences(330)),
    )
    assert side(store).stat().st_size < 200_000


def test_items_come_back_as_they_were(store):
    update(store, *everything())
    for measurement in everything():
        assert same(store.items(CASE, measurement.task), items_of(measurement))
    assert store.check(CASE) == []


def test_file_reads_without_us(store):
    """The format is as documented: letters as bytes, run lengths, sums of nats."""
    found = answers({"law": 5, "anatomy": 3})["answers"]
    update(store, *everything())
    data = side(store).read_bytes()
    tensors = load(data)
    numbers = {"A": 0, "B": 1, "C": 2, "D": 3, "-": -1, ".": -2}
    for key in ("chosen", "gold"):
        letters = found["anatomy"][key] + found["law"][key]
        assert tensors[f"mmlu/{key}"].tolist() == [numbers[letter] for letter in letters]
        assert tensors[f"mmlu/{key}"].dtype == np.int8
    nats = [each["nll_nats"] for each in windows(4)["windows"]]
    assert tensors["perplexity.strided/sums/perplexity"].tolist() == nats
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    runs = json.loads(header["__metadata__"]["quantgate"])["subjects"]["mmlu"]
    assert runs == [["anatomy", 3], ["law", 5]]


def test_bytes_depend_on_the_items_alone(store):
    update(store, *everything())
    first = side(store).read_bytes()
    parts = {each.task: items_of(each) for each in everything()}
    for _ in range(20):
        assert pack(dict(reversed(parts.items()))) == first
    for measurement in reversed(everything()):
        update(store, measurement, reason="in another order")
    assert side(store).read_bytes() == first


def test_digest_and_number_stand_in_the_baseline(store):
    update(store, *everything())
    stored = store.read(CASE).tasks
    assert {task: entry.items.n for task, entry in stored.items()} == {
        "mmlu": 8,
        "perplexity.strided": 4,
        "kl_divergence": 3,
    }
    other = measure(detail=answers({"law": 5, "anatomy": 3}, seed=1))
    assert describe(items_of(other)) != stored["mmlu"].items
    renamed = measure(detail=answers({"lore": 5, "anatomy": 3}))
    assert describe(items_of(renamed)).sha256 != stored["mmlu"].items.sha256


def test_fault_49_update_of_one_task_keeps_the_others_items(store):
    update(store, *everything())
    before = store.read(CASE).tasks
    other = measure(0.5, detail=answers({"law": 5, "anatomy": 3}, seed=7))
    update(store, other, reason="only one")
    assert same(store.items(CASE, "mmlu"), items_of(other))
    for measurement in everything()[1:]:
        assert same(store.items(CASE, measurement.task), items_of(measurement))
        assert store.read(CASE).tasks[measurement.task] == before[measurement.task]


def test_a_task_without_items_has_none(store):
    update(store, measure(task="agreement"))
    assert not side(store).exists()
    assert b'"items": null' not in store.path(CASE).read_bytes()
    assert store.items(CASE, "agreement") is None
    assert store.items(CASE, "mmlu") is None


def test_side_file_goes_with_the_last_items(store):
    update(store, measure(detail=answers({"law": 5})))
    assert side(store).exists()
    update(store, measure(), reason="without detail")
    assert not side(store).exists()


def test_missing_side_file_means_no_pairing_and_is_told(store):
    update(store, *everything())
    side(store).unlink()
    assert store.items(CASE, "mmlu") is None
    assert store.check(CASE) == ["kl_divergence", "mmlu", "perplexity.strided"]
    update(store, everything()[0], reason="again")
    assert store.items(CASE, "mmlu") is not None
    assert store.check(CASE) == ["kl_divergence", "perplexity.strided"]


def test_fault_44_truncated_items(store):
    update(store, *everything())
    whole = side(store).read_bytes()
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        side(store).write_bytes(whole[:length])
        assert str(side(store)) in refused(lambda: store.items(CASE, "mmlu")).need
    side(store).write_bytes(whole + b"\0")
    refused(lambda: store.check(CASE))


def test_fault_44_any_damaged_byte_is_found_or_changes_nothing(store):
    update(store, *everything())
    whole = side(store).read_bytes()
    entries = store.read(CASE).tasks
    found = 0
    for place in range(len(whole)):
        data = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        try:
            parts = unpack(data, "here")
        except UsageFault:
            found += 1
            continue
        changed = [task for task in parts if describe(parts[task]) != entries[task].items]
        lost = entries.keys() - parts.keys()
        found += bool(changed or lost)
    assert found > 0.9 * len(whole)  # the rest is padding


def test_fault_44_items_of_another_run_are_refused(store):
    update(store, *everything())
    first = side(store).read_bytes()
    update(store, measure(0.4, detail=answers({"law": 5, "anatomy": 3}, seed=3)))
    side(store).write_bytes(first)
    fault = refused(lambda: store.items(CASE, "mmlu"))
    assert "8 items" in fault.need
    assert "git" in fault.fix
    assert same(store.items(CASE, "kl_divergence"), items_of(everything()[2]))
    refused(lambda: store.check(CASE))


def test_fault_44_update_does_not_hide_damaged_items_of_other_tasks(store):
    update(store, *everything())
    side(store).write_bytes(b"damaged")
    before = store.path(CASE).read_bytes()
    refused(lambda: update(store, everything()[0]))
    assert (store.path(CASE).read_bytes(), side(store).read_bytes()) == (before, b"damaged")
    update(store, *everything(), reason="all of it")
    assert store.check(CASE) == []


def test_fault_44_pointer_of_git_lfs_is_explained(store):
    update(store, *everything())
    side(store).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    fault = refused(lambda: store.items(CASE, "mmlu"))
    assert ".gitattributes" in fault.fix


def test_fault_44_too_large_items(store, monkeypatch):
    update(store, *everything())
    monkeypatch.setattr(baseline_items, "LARGEST_BYTES", 500)
    refused(lambda: store.items(CASE, "mmlu"))
    with pytest.raises(InvalidMeasurement, match="at most 500 bytes"):
        update(store, *everything())


def other_type(tensors):
    tensors["mmlu/gold"] = tensors["mmlu/gold"].astype(np.int16)


def shorter(tensors):
    tensors["mmlu/chosen"] = tensors["mmlu/chosen"][:-1]


def not_finite(tensors):
    tensors["perplexity.strided/sums/perplexity"][0] = np.nan


def negative(tensors):
    tensors["perplexity.strided/counts/perplexity"][0] = -1


def option_27(tensors):
    tensors["mmlu/gold"][0] = 27


def below_unasked(tensors):
    tensors["mmlu/chosen"][0] = -3


def uncounted(tensors):
    del tensors["kl_divergence/counts/kl_mean"]


def unclaimed(tensors):
    tensors["mmlu.greedy/gold"] = tensors["mmlu/gold"]


def two_dimensions(tensors):
    tensors["mmlu/gold"] = tensors["mmlu/gold"].reshape(2, 4)


@pytest.mark.parametrize(
    "damage",
    [
        other_type, shorter, not_finite, negative, option_27, below_unasked, uncounted, unclaimed,
        two_dimensions,
    ],
)  # fmt: skip
def test_fault_44_arrays_that_are_no_items(store, damage):
    update(store, *everything())
    data = side(store).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors = {name: array.copy() for name, array in load(data).items()}
    assert unpack(save(tensors, metadata=header["__metadata__"]), "here")
    damage(tensors)
    refused(lambda: unpack(save(tensors, metadata=header["__metadata__"]), "here"))


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"quantgate": "{"},
        {"quantgate": "[]"},
        {"quantgate": "[" * 100_000},
        {"quantgate": '{"subjects": {"mmlu": [["law", 9]]}}'},
        {"quantgate": '{"subjects": {"mmlu": [["law", 7]]}}'},
        {"quantgate": '{"subjects": {"mmlu": [["law", -1], ["lore", 9]]}}'},
        {"quantgate": '{"subjects": {"mmlu": [["law", 1000000000000]]}}'},
        {"quantgate": '{"subjects": {"mmlu": [[5, 8]]}}'},
        {"quantgate": '{"subjects": {"mmlu": [["law"]]}}'},
        {"quantgate": '{"subjects": {"other": []}}'},
    ],
)
def test_fault_44_metadata_that_are_no_subjects(metadata):
    tensors = {"mmlu/chosen": np.zeros(8, np.int8), "mmlu/gold": np.ones(8, np.int8)}
    good = {"quantgate": '{"subjects": {"mmlu": [["law", 8]]}}'}
    assert unpack(save(tensors, metadata=good), "here")["mmlu"].subjects == ("law",) * 8
    refused(lambda: unpack(save(tensors, metadata=metadata), "here"))


def test_incomplete_detail_is_not_stored(store):
    update(store, measure(0.8))
    detail = answers({"law": 5})
    detail["answers"]["law"]["chosen"] = "AB"
    with pytest.raises(InvalidMeasurement, match="2 answers to 5 questions"):
        update(store, measure(0.9, detail=detail))
    nowhere = windows(3)
    nowhere["windows"][1]["nll_nats"] = float("inf")
    with pytest.raises(InvalidMeasurement, match="not finite"):
        update(store, measure(0.9, detail=nowhere))
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


@pytest.mark.parametrize("writes", [1, 2])
def test_fault_55_full_disk_keeps_both_files(store, monkeypatch, writes):
    update(store, *everything())
    before = store.path(CASE).read_bytes(), side(store).read_bytes()
    sync, calls = storage.os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) >= 2 * writes - 1:  # each file syncs itself and its folder
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", full)
        with pytest.raises(InvalidMeasurement):
            update(store, measure(0.1, detail=answers({"law": 5}, seed=9)))
    assert (store.path(CASE).read_bytes(), side(store).read_bytes()) == before
    assert sorted(path.name for path in side(store).parent.iterdir()) == [
        "int4-ort-cpu.items.safetensors",
        "int4-ort-cpu.json",
    ]


def test_variant_with_a_full_stop_has_its_own_side_file(store):
    case = replace(CASE, variant="int4.b32")
    store.update(
        case, [measure(case_id=case.id, detail=answers({"law": 4}))], limits,
        reason="why", provenance={},
    )  # fmt: skip
    assert store.items_path(case).name == "int4.b32-ort-cpu.items.safetensors"
    assert store.items_path(case).exists()
