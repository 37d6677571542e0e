"""What nobody claims is told and never deleted."""

from __future__ import annotations

from quantgate import storage
from tests.storing import CASE, answers, measure, update


def test_fault_46_unused_files_and_entries_are_named(store):
    update(store, measure(), measure(task="forgotten"))
    gone = store.root / "gone" / "int4-ort-cpu.json"
    storage.write_atomically(gone, b"{}")
    storage.write_atomically(store.root / "tiny" / ".int4.json.1-a.tmp", b"half")
    assert store.unused([CASE], ["mmlu"]) == [
        "gone/int4-ort-cpu.json: no case of the manifest has this baseline",
        "tiny/int4-ort-cpu.json: no suite measures its entry 'forgotten'",
    ]
    assert gone.exists()


def test_fault_46_no_folder_has_nothing_unused(store):
    assert store.unused([CASE], ["mmlu"]) == []


def test_fault_46_side_files_that_nobody_reads_are_named(store):
    update(store, measure(detail=answers({"law": 4})))
    kept = store.items_path(CASE)
    orphan = kept.with_name("int2-ort-cpu.items.safetensors")
    orphan.write_bytes(kept.read_bytes())
    kept.with_name(".int4-ort-cpu.items.safetensors.7.tmp").write_bytes(b"half")
    told = "tiny/int2-ort-cpu.items.safetensors: no case of the manifest has these items"
    assert store.unused([CASE], ["mmlu"]) == [told]
    store.path(CASE).unlink()
    first, second = store.unused([CASE], ["mmlu"])
    assert first == told
    assert second.startswith("tiny/int4-ort-cpu.items.safetensors: the baseline that it belongs to")
    assert "int4-ort-cpu.json" in second
    assert kept.exists()
    assert orphan.exists()
