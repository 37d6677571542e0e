"""`genai_config.json` is untrusted: it is read strictly and may ask for no native code."""

import json

import pytest

from quantgate.errors import GateError, InvalidMeasurement, UsageFault
from quantgate.packages.genai_config import read_genai_config

CONFIG = "genai_config.json"


@pytest.fixture
def change(own_package):
    """Rewrite the configuration of a package by a function of its parsed form."""

    def apply(edit):
        path = own_package / CONFIG
        config = json.loads(path.read_text("utf-8"))
        edit(config)
        path.write_text(json.dumps(config), "utf-8")
        return own_package

    return apply


def code_of(folder, kind: type[GateError] = UsageFault) -> str:
    with pytest.raises(kind) as caught:
        read_genai_config(folder)
    return caught.value.code


def test_facts_are_read(tiny_folder):
    config = read_genai_config(tiny_folder)
    assert (config.context_length, config.vocab_size, config.layers) == (1024, 268, 2)
    assert config.names.past == ("past_key_values.%d.key", "past_key_values.%d.value")
    assert config.eos_ids == (267,)


def test_several_stop_ids_are_kept(change):
    folder = change(lambda c: c["model"].update(eos_token_id=[5, 7]))
    assert read_genai_config(folder).eos_ids == (5, 7)


def test_folder_without_configuration_is_no_package(tmp_path):
    assert code_of(tmp_path) == "not-a-package"
    assert code_of(tmp_path / "gone") == "not-a-package"


def test_fault_30_no_stop_ids_are_none(change):
    folder = change(lambda c: c["model"].update(eos_token_id=None, pad_token_id=None))
    assert read_genai_config(folder).eos_ids == ()


@pytest.mark.parametrize("key", ["eos_token_id", "pad_token_id"])
@pytest.mark.parametrize(
    "value", [-1, 268, 10**30, [5, -1], [5, 268], [[5]], "5", 5.0, True, {"id": 5}], ids=str
)
def test_fault_30_stop_or_pad_id_outside_the_vocabulary(change, key, value):
    folder = change(lambda c: c["model"].update({key: value}))
    with pytest.raises(UsageFault, match=key) as caught:
        read_genai_config(folder)
    assert caught.value.code == "token-id-range"
    assert "0 to 267" in caught.value.need


@pytest.mark.parametrize("value", [0, 267, [0, 267], []], ids=str)
def test_fault_30_ids_within_the_vocabulary_are_read(change, value):
    folder = change(lambda c: c["model"].update(eos_token_id=value, pad_token_id=value))
    expected = tuple(value) if isinstance(value, list) else (value,)
    assert read_genai_config(folder).eos_ids == expected


@pytest.mark.parametrize("name", ["../model.onnx", "/model.onnx", r"..\model.onnx", ""])
def test_fault_06_filename_that_escapes(change, name):
    folder = change(lambda c: c["model"]["decoder"].update(filename=name))
    assert code_of(folder) == "path-escapes"


def test_fault_06_filename_of_a_folder(change):
    folder = change(lambda c: c["model"]["decoder"].update(filename="sub"))
    (folder / "sub").mkdir()
    assert code_of(folder) == "path-is-directory"


def test_fault_06_filename_of_nothing(change):
    folder = change(lambda c: c["model"]["decoder"].update(filename="gone.onnx"))
    assert code_of(folder, InvalidMeasurement) == "file-missing"


@pytest.mark.parametrize("name", [None, 5, ["model.onnx"], True])
def test_fault_06_filename_that_is_no_text(change, name):
    folder = change(lambda c: c["model"]["decoder"].update(filename=name))
    assert code_of(folder) == "config-incomplete"


@pytest.mark.parametrize(
    "key", ["custom_ops_library", "enable_profiling", "ep_library_path", "registration_library"]
)
@pytest.mark.parametrize("deep", [False, True])
def test_fault_07_native_code_and_profiles_are_refused(change, key, deep):
    asked = {key: "evil.so"}
    options = {"provider_options": [{"cuda": asked}]} if deep else asked
    folder = change(lambda c: c["model"]["decoder"].update(session_options=options))
    with pytest.raises(UsageFault, match=key) as caught:
        read_genai_config(folder)
    assert caught.value.code == "unsafe-config"
    assert "evil.so" in caught.value.found


@pytest.mark.parametrize("value", [None, False, ""])
def test_fault_07_what_is_switched_off_is_accepted(change, value):
    options = {"enable_profiling": value}
    folder = change(lambda c: c["model"]["decoder"].update(session_options=options))
    assert read_genai_config(folder).layers == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("not json", "Expecting value"),
        ('{"model": {}, "model": {}}', "twice"),
        ('{"model": NaN}', "NaN"),
        ('{"model": -Infinity}', "Infinity"),
        ("[1, 2]", "a list at the top"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested"),
        ("[" * 100_000, "nested"),
        ("", "Expecting value"),
    ],
    ids=["no_json", "duplicate", "nan", "infinity", "list", "deep", "very_deep", "empty"],
)
def test_fault_08_configuration_that_is_no_strict_json(own_package, text, found):
    (own_package / CONFIG).write_text(text, "utf-8")
    with pytest.raises(UsageFault, match=found) as caught:
        read_genai_config(own_package)
    assert caught.value.code == "json-invalid"
    assert CONFIG in caught.value.need


def test_fault_08_configuration_of_100_megabytes_is_not_read(own_package, monkeypatch):
    with (own_package / CONFIG).open("r+b") as file:
        file.truncate(100 * 2**20)  # sparse: no disk space is taken
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda _: pytest.fail("read"))
    assert code_of(own_package) == "json-invalid"


def test_fault_08_bytes_that_are_no_utf8(own_package):
    (own_package / CONFIG).write_bytes(b'{"model": "\xff"}')
    assert code_of(own_package) == "json-invalid"


def test_fault_75_byte_order_mark_is_accepted(own_package):
    path = own_package / CONFIG
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_genai_config(own_package).layers == 2


def remove(*trail):
    def edit(config):
        for key in trail[:-1]:
            config = config[key]
        del config[trail[-1]]

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        remove("model", "context_length"),
        remove("model", "vocab_size"),
        remove("model", "decoder", "num_hidden_layers"),
        lambda c: c["model"].update(context_length="many"),
        lambda c: c["model"].update(context_length=[1]),
        lambda c: c["model"].update(vocab_size=1e400),
        lambda c: c["model"]["decoder"].update(inputs=5),
        lambda c: c["model"]["decoder"].update(outputs="logits"),
    ],
    ids=["context", "vocabulary", "layers", "text", "list", "infinite", "inputs", "outputs"],
)
def test_configuration_without_its_facts(own_package, edit):
    path = own_package / CONFIG
    config = json.loads(path.read_text("utf-8"))
    edit(config)
    text = json.dumps(config).replace("Infinity", "1e400")
    path.write_text(text, "utf-8")
    assert code_of(own_package) == "config-incomplete"


@pytest.mark.parametrize(
    "model",
    [{}, {"type": "whisper", "encoder": {}}, {"decoder": []}, {"decoder": {}}, [], "x", None],
    ids=str,
)
def test_other_layouts_are_named(own_package, model):
    (own_package / CONFIG).write_text(json.dumps({"model": model}), "utf-8")
    assert code_of(own_package) == "layout-unsupported"
