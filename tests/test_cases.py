"""The names that a case owns, and where packages may come from."""

from dataclasses import replace
from pathlib import Path

import pytest

from quantgate.cases import BuildRecipe, Case, Package

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = f"hub:org/name@{COMMIT}"
CASE = Case(
    model="tiny",
    variant="int4",
    precision="int4",
    backend="ort",
    provider="cpu",
    package=Package(path=Path("model")),
)


def test_package_has_one_origin():
    recipe = BuildRecipe(None, "int4")
    for origin in ({"path": Path("a")}, {"recipe": recipe}, {"hub": HUB}):
        Package(**origin)
    for origins in ({}, {"path": Path("a"), "hub": HUB}, {"recipe": recipe, "hub": HUB}):
        with pytest.raises(ValueError, match="exactly one"):
            Package(**origins)


def test_package_says_where_it_comes_from():
    assert str(Package(hub=HUB)) == HUB
    assert str(Package(path=Path("models/int4"))) == str(Path("models/int4"))
    assert str(Package(recipe=BuildRecipe(Path("hf"), "int8"))) == "int8 built from hf"


def test_options_are_the_json_objects():
    assert CASE.options == {}
    given = replace(CASE, options_json='{"accuracy_level": 0, "session_options": {"a": "b"}}')
    assert given.options == {"accuracy_level": 0, "session_options": {"a": "b"}}


def test_repetitions_have_results_of_their_own_and_the_names_of_their_case():
    again = replace(CASE, repeat=2)
    assert CASE.session_key == CASE.id
    assert again.session_key not in {CASE.session_key, replace(CASE, repeat=1).session_key}
    assert (again.id, again.baseline_path) == (CASE.id, CASE.baseline_path)


def test_group_holds_the_engines_of_the_same_weights():
    alike = [replace(CASE, backend="torch"), replace(CASE, provider="cuda")]
    assert {case.group for case in alike} == {CASE.group}
    others = [replace(CASE, variant="int8"), replace(CASE, model="small")]
    assert CASE.group not in {case.group for case in others}


@pytest.mark.parametrize("part", ["model", "variant", "backend", "provider"])
def test_parts_are_slugs(part):
    with pytest.raises(ValueError, match="no slug"):
        replace(CASE, **{part: "a-b"})
