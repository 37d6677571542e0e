"""The tools of the gate's own trials do what they say."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quantgate.packages.package import open_package
from tests.damage import damage_package, main, re_export
from tests.straightforward import PlainModel

IDS = [5, 9, 200, 31, 77, 104, 8]


def tensors(folder) -> dict[str, np.ndarray]:
    model = onnx.load(str(folder / "model.onnx"))
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def test_damage_scales_exactly_the_blocks_asked_for(built, tmp_path):
    hit = damage_package(built["int4"], tmp_path / "bad", blocks=7, factor=4.0, seed=1)
    before, after = tensors(built["int4"]), tensors(tmp_path / "bad")
    assert before.keys() == after.keys()
    changed = {n: before[n] != after[n] for n in before if not np.array_equal(before[n], after[n])}
    assert len(changed) == hit
    assert sum(int(mask.sum()) for mask in changed.values()) == 7
    for name, mask in changed.items():
        np.testing.assert_allclose(after[name][mask], 4.0 * before[name][mask], rtol=1e-3)


def test_damaged_package_runs_and_yields_other_logits(built, tmp_path):
    damage_package(built["int4"], tmp_path / "bad", blocks=40, factor=4.0, seed=1)
    open_package(tmp_path / "bad")
    before = PlainModel(built["int4"]).logits(IDS)
    after = PlainModel(tmp_path / "bad").logits(IDS)
    assert np.isfinite(after).all()
    assert np.abs(after - before).max() > 0.1


def test_damage_is_the_same_for_the_same_seed(built, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        damage_package(built["int4"], tmp_path / name, blocks=5, factor=2.0, seed=seed)
    digests = [open_package(tmp_path / name).digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_more_blocks_than_there_are_is_refused(built, tmp_path):
    with pytest.raises(ValueError, match="fewer than"):
        damage_package(built["int4"], tmp_path / "bad", blocks=10**6, factor=2.0, seed=0)
    with pytest.raises(ValueError, match="fewer than 1"):
        damage_package(built["fp32"], tmp_path / "bad", blocks=1, factor=2.0, seed=0)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4", "fp16"])
def test_re_export_changes_bytes_and_no_number(built, tmp_path, precision):
    source, target = built[precision], tmp_path / "again"
    re_export(source, target)
    assert open_package(target).digest != open_package(source).digest
    assert not (target / "model.onnx.data").exists()
    before, after = tensors(source), tensors(target)
    assert before.keys() == after.keys()
    assert list(before) != list(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.array_equal(PlainModel(source).logits(IDS), PlainModel(target).logits(IDS))


def test_existing_target_is_let_alone(built, tmp_path):
    with pytest.raises(ValueError, match="is there already"):
        re_export(built["int4"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_command_line_does_both(built, tmp_path, capsys):
    main([str(built["int4"]), str(tmp_path / "bad"), "--blocks", "3", "--factor", "8"])
    main([str(built["int4"]), str(tmp_path / "again"), "--re-export"])
    told = capsys.readouterr().out
    assert "3 blocks in" in told
    assert "in another layout" in told
    assert open_package(tmp_path / "bad").digest != open_package(tmp_path / "again").digest
