"""Which code answers depend on: what is kept of a reference is asked again after a change of it."""

import pytest

from quantgate import generations, own_code, rounds
from tests.running import case_of, evaluator_in, mmlu_task


def test_what_judges_and_shows_does_not_count(tmp_path):
    names = ("plan.py", "backends/ort.py", "new/part.py", "gate/checks.py", "report/html.py")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {path.relative_to(tmp_path).as_posix() for path in own_code.modules(tmp_path)}
    assert found == set(names[:3])


def test_folders_left_out_by_name_are_there():
    folder = own_code.Path(own_code.__file__).parent
    assert all((folder / name / "__init__.py").exists() for name in own_code.SHOWING)


def test_a_references_answers_are_kept_for_the_code_that_gave_them(
    tiny_folder, mmlu_folder, tmp_path, monkeypatch
):
    def kept():
        found = evaluator_in(tmp_path).run(case_of(tiny_folder), mmlu_task(mmlu_folder))
        return found.cost["kept"]

    assert [kept(), kept()] == [0.0, 1.0]
    monkeypatch.setattr(rounds, "answering_digest", lambda: "mended")
    assert [kept(), kept()] == [0.0, 1.0]


@pytest.mark.parametrize("module", [rounds, generations])
def test_all_that_is_kept_names_the_code(module):
    assert module.answering_digest is own_code.answering_digest
