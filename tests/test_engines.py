"""Which engines run a variant's weights, and which of them is held to be right."""

import pytest

from quantgate.engines import engines
from quantgate.manifest.manifest import Manifest, load_manifest

HEAD = "schema_version = 1\n"
MODEL = '[[models]]\nname = "tiny"\n'
BUILT = 'build = {{ source = "hf", precision = "{0}" }}\n'


def variant(name: str, *, built: bool = True, backends: str = "", more: str = "") -> str:
    origin = BUILT.format(name) if built else f'path = "models/{name}"\n'
    chosen = f"backends = {backends}\n" if backends else ""
    return f'[[models.variants]]\nname = "{name}"\nprecision = "{name}"\n{origin}{chosen}{more}'


@pytest.fixture
def read(tmp_path):
    def read(text: str) -> Manifest:
        file = tmp_path / "quantgate.toml"
        file.write_text(HEAD + text, "utf-8")
        return load_manifest(file)

    return read


def spread(manifest: Manifest) -> list[tuple[str, str]]:
    return [(engine.case.id, engine.anchor.id) for engine in engines(manifest)]


def test_torch_is_the_anchor_of_a_type_that_it_computes_in(read):
    anchor = "tiny-fp32-torch-cpu"
    assert spread(read(MODEL + variant("fp32"))) == [
        (anchor, anchor),
        ("tiny-fp32-ort-cpu", anchor),
        ("tiny-fp32-ortgenai-cpu", anchor),
    ]


def test_quantized_weights_exist_in_the_package_alone(read):
    anchor = "tiny-int4-ort-cpu"
    assert spread(read(MODEL + variant("int4"))) == [
        (anchor, anchor),
        ("tiny-int4-ortgenai-cpu", anchor),
    ]


def test_package_without_a_source_is_not_run_by_torch(read):
    found = spread(read(MODEL + variant("fp32", built=False)))
    assert [case for case, _ in found] == ["tiny-fp32-ort-cpu", "tiny-fp32-ortgenai-cpu"]


def test_folder_of_torch_has_no_other_engine(read):
    assert spread(read(MODEL + variant("fp32", built=False, backends='["torch"]'))) == []


def test_engines_that_are_cases_already_are_those_cases_once(read):
    manifest = read(MODEL + variant("int4", backends='["ortgenai", "ort"]'))
    found = engines(manifest)
    assert [engine.case.id for engine in found] == ["tiny-int4-ort-cpu", "tiny-int4-ortgenai-cpu"]
    assert {engine.case for engine in found} == set(manifest.cases())


def test_known_case_keeps_its_reference_and_an_added_one_has_none(read):
    reference = '[models.reference]\nname = "fp16"\nprecision = "fp16"\npath = "models/fp16"\n'
    found = {e.case.id: e.case for e in engines(read(MODEL + reference + variant("int4")))}
    assert found["tiny-int4-ort-cpu"].reference.id == "tiny-fp16-ort-cpu"
    assert found["tiny-int4-ortgenai-cpu"].reference is None
    assert found["tiny-fp16-ort-cpu"].is_reference
    assert not found["tiny-fp16-ortgenai-cpu"].is_reference


def test_first_backend_of_the_manifest_leads_where_torch_cannot(read):
    text = '[tasks.agreement]\nbackends = ["ortgenai", "ort"]\n' + MODEL + variant("fp32")
    anchor = "tiny-fp32-ortgenai-cpu"
    assert spread(read(text)) == [(anchor, anchor), ("tiny-fp32-ort-cpu", anchor)]


@pytest.mark.parametrize("backends", ["[]", '["ort"]'])
def test_one_engine_is_nothing_to_compare(read, backends):
    text = f"[tasks.agreement]\nbackends = {backends}\n" + MODEL + variant("fp32")
    assert spread(read(text)) == []


def test_added_engine_has_the_options_that_its_backend_was_given(read):
    more = "[models.variants.options.torch]\npacking = false\n"
    text = "[runtime.options.torch]\ndevice_map = 'auto'\n[runtime.options.ort]\npacking = false\n"
    found = {
        e.case.backend: e.case for e in engines(read(text + MODEL + variant("fp32", more=more)))
    }
    assert found["torch"].options == {"device_map": "auto", "packing": False}
    assert found["ort"].options == {"packing": False}
    assert found["ortgenai"].options == {}


def test_each_provider_has_engines_of_its_own(read):
    text = MODEL + variant("int4", more='providers = ["cpu", "cuda"]\n')
    assert spread(read(text)) == [
        ("tiny-int4-ort-cpu", "tiny-int4-ort-cpu"),
        ("tiny-int4-ortgenai-cpu", "tiny-int4-ort-cpu"),
        ("tiny-int4-ort-cuda", "tiny-int4-ort-cuda"),
        ("tiny-int4-ortgenai-cuda", "tiny-int4-ort-cuda"),
    ]
