"""Ids that end a text, from the files that the runtimes take them from."""

import json

import pytest

from quantgate.errors import UsageFault
from quantgate.packages.ends import end_ids


def hugging_face(folder, **files):
    """A folder of these JSON files."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return folder


def packaged(folder, value):
    path = folder / "genai_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["model"]["eos_token_id"] = value
    path.write_text(json.dumps(config), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("value", "expected"), [(5, (5,)), ([9, 3, 9], (3, 9)), ([], ()), (None, ())]
)
def test_one_several_or_none(own_package, tmp_path, value, expected):
    assert end_ids(packaged(own_package, value)) == expected
    folder = hugging_face(tmp_path, config={"eos_token_id": value})
    assert end_ids(folder) == expected


def test_a_package_names_its_own(own_package):
    """A configuration that lies beside it is not what its runtime reads."""
    hugging_face(packaged(own_package, [3, 4]), generation_config={"eos_token_id": 7})
    assert end_ids(own_package) == (3, 4)


def test_what_generation_is_configured_with_comes_before_the_model(tmp_path):
    assert end_ids(tmp_path) == ()
    hugging_face(tmp_path, config={"eos_token_id": 1})
    assert end_ids(tmp_path) == (1,)
    hugging_face(tmp_path, generation_config={"do_sample": False})
    assert end_ids(tmp_path) == (1,), "it names none"
    hugging_face(tmp_path, generation_config={"eos_token_id": [2, 1]})
    assert end_ids(tmp_path) == (1, 2)


@pytest.mark.parametrize("value", [-1, [1, -1], 1.0, "1", True, {"a": 1}, [[1]]])
@pytest.mark.parametrize("name", ["generation_config", "config"])
def test_fault_30_what_is_no_id_is_refused(tmp_path, name, value):
    hugging_face(tmp_path, **{name: {"eos_token_id": value}})
    with pytest.raises(UsageFault, match=f"{name}.json") as caught:
        end_ids(tmp_path)
    assert caught.value.code == "token-id-range"


def test_fault_30_an_id_beyond_a_packages_vocabulary_is_refused(own_package):
    with pytest.raises(UsageFault) as caught:
        end_ids(packaged(own_package, [1, 10**6]))
    assert caught.value.code == "token-id-range"
