"""Greedy answers, against a plain generation loop; and the two decisions side by side."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tokenizers import Tokenizer

from quantgate.corpora import Corpora
from quantgate.errors import UsageFault
from quantgate.manifest.manifest import load_manifest
from quantgate.measure import Measurer
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.results import Measurement
from quantgate.suites import require_known_metrics
from quantgate.tasks.mmlu import MmluSamples
from quantgate.tasks.mmlu_scores import mmlu_detail, mmlu_scores
from tests.running import case_of, evaluator_in, mmlu_task
from tests.straightforward import (
    PlainModel,
    greedy_text,
    letter_loglikelihoods,
    mmlu_prompt,
    pro_prompt,
    read_rows,
)
from tests.tiny_corpora import SUBJECTS, write_mmlu
from tests.tiny_models import SPECIALS, Tiny, save_model, write_package
from tests.tiny_pro import pro_records, write_pro

BLANKS = {"Ġ": 7.0, "Ċ": 6.0}
LETTERS = dict.fromkeys("ABCD", 6.0)
SPACED = {f"Ġ{letter}": 6.0 for letter in "ABCD"}


def favouring(folder: Path, tokens: dict[str, float], *, context: int = 1024) -> Path:
    """A package that tends to write some tokens: their logits are raised by so much."""
    package = write_package(folder, Tiny(head="bias", context=context))
    tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
    model = onnx.load(package / "model.onnx")
    (bias,) = (each for each in model.graph.initializer if each.name == "head.bias")
    raised = numpy_helper.to_array(bias).copy()
    for token, amount in tokens.items():
        raised[tokenizer.token_to_id(token)] += amount
    bias.CopyFrom(numpy_helper.from_array(raised, "head.bias"))
    (package / "model.onnx.data").unlink()
    save_model(model, package / "model.onnx")
    return package


class Naive:
    """The same questions, one at a time."""

    def __init__(self, package: Path, mmlu: Path) -> None:
        self.model = PlainModel(package)
        self.tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
        rows = [(s, row) for s in SUBJECTS for row in read_rows(mmlu, "test", s)]
        self.prompts = [mmlu_prompt(s, read_rows(mmlu, "dev", s)[:1], row) for s, row in rows]
        self.gold = "".join(row[5] for _, row in rows)
        self.texts = self.written(2)
        self.letters = [text.strip()[:1] or "-" for text in self.texts]
        self.letters = [letter if letter in "ABCD" else "-" for letter in self.letters]

    def written(self, steps: int) -> list[str]:
        return [
            greedy_text(self.model, self.tokenizer, text, eos=SPECIALS[1], steps=steps)
            for text in self.prompts
        ]

    @property
    def right(self) -> list[bool]:
        """As ModelOpt's script has it."""
        return [t.strip().startswith(g) for t, g in zip(self.texts, self.gold, strict=True)]

    @property
    def likeliest(self) -> list[bool]:
        """Whether the letter with the highest log-likelihood is right."""
        rows = [letter_loglikelihoods(self.model, self.tokenizer, text) for text in self.prompts]
        return ["ABCD"[row.argmax()] == g for row, g in zip(rows, self.gold, strict=True)]


@pytest.fixture(scope="module")
def mmlu(tmp_path_factory):
    return write_mmlu(tmp_path_factory.mktemp("mmlu"), questions=8)


@pytest.fixture(scope="module")
def wordy(tmp_path_factory):
    """Writes letters, blanks with or without a letter behind, ends of text and other things."""
    raised = {**BLANKS, **LETTERS, **SPACED, SPECIALS[1]: 2.5, "Ġthe": 5.0}
    return favouring(tmp_path_factory.mktemp("wordy"), raised)


@pytest.fixture(scope="module")
def naive(wordy, mmlu) -> Naive:
    return Naive(wordy, mmlu)


def samples_of(package: Path, mmlu: Path, folder: Path, **options) -> MmluSamples:
    task = mmlu_task(mmlu, **{"shots": 1, "decision": "greedy", **options})
    return evaluator_in(folder).run(case_of(package), task).samples


def test_greedy_answers_equal_those_of_a_generation_loop(wordy, mmlu, naive, tmp_path):
    task = mmlu_task(mmlu, shots=1, decision="greedy")
    run = evaluator_in(tmp_path).run(case_of(wordy), task)
    decisions = run.samples.decisions(run.items.items, "greedy")
    chosen = ["-" if number < 0 else "ABCD"[number] for number in decisions.chosen]
    assert chosen == naive.letters
    assert decisions.correct.tolist() == naive.right
    assert decisions.unreadable == naive.letters.count("-")
    # The model does all that a model may do, or this shows little.
    blank_first = [text[:1].isspace() and text.strip()[:1] in {*"ABCD"} for text in naive.texts]
    assert sum(blank_first) >= 3
    assert sum(text == "" for text in naive.texts) >= 1, "ended at once"
    assert sum(text[:1] in {*"ABCD"} for text in naive.texts) >= 3
    assert naive.letters.count("-") >= 3
    assert 0 < sum(naive.right) < len(naive.right)


def test_blank_first_token_takes_a_second_round_of_those_questions_only(
    wordy, mmlu, naive, monkeypatch, tmp_path
):
    asked = []
    task = mmlu_task(mmlu, shots=1, decision="greedy")
    score = task.score

    def counting(items, ask, tokenizer):
        def listening(requests, name=None):
            asked.append(list(requests))
            return ask(requests, name)

        return score(items, listening, tokenizer)

    monkeypatch.setattr(task, "score", counting)
    run = evaluator_in(tmp_path).run(case_of(wordy), task)
    tokenizer = load_tokenizer(wordy)
    first, second = asked
    assert len(first) == 4 * len(run.items.items)
    contexts = [item.context for item in run.items.items]
    numbers = [contexts.index(request.context[:-1]) for request in second]
    assert numbers == [n for n, text in enumerate(naive.written(1)) if text.isspace()]
    assert len(numbers) >= 3
    assert all(tokenizer.decode([request.context[-1]]).isspace() for request in second)


def test_newline_before_the_letter_is_no_part_of_the_answer(mmlu, tmp_path):
    package = favouring(tmp_path / "package", {"Ċ": 7.0, **LETTERS})
    samples = samples_of(package, mmlu, tmp_path)
    naive = Naive(package, mmlu)
    assert samples.texts is not None
    # What comes behind a letter isn't asked for.
    assert all(full.startswith(text) for full, text in zip(naive.texts, samples.texts, strict=True))
    assert [text.strip()[0] for text in samples.texts] == [t.strip()[0] for t in naive.texts]
    assert sum(text[0] == "\n" and text[1] in "ABCD" for text in naive.texts) >= 3


def test_text_that_stays_blank_is_unreadable_and_degenerate(mmlu, tmp_path):
    package = favouring(tmp_path / "package", {"Ġ": 60.0})
    task = mmlu_task(mmlu, shots=1, decision="greedy")
    run = evaluator_in(tmp_path).run(case_of(package), task)
    assert run.samples.texts == ("  ",) * 24
    detail = mmlu_detail(run.samples, run.items, "greedy", None)
    assert detail["unreadable"] == 24
    assert detail["chosen"] == {"-": 24}
    assert detail["degenerate"] == "100.0% of the answers begin with no letter"
    assert mmlu_scores(run.samples, run.items, "greedy", None)[0].value == 0.0


def test_end_of_text_is_a_wrong_answer_of_one_round(mmlu, tmp_path):
    package = favouring(tmp_path / "package", {SPECIALS[1]: 60.0})
    task = mmlu_task(mmlu, shots=1, decision="greedy")
    run = evaluator_in(tmp_path).run(case_of(package), task)
    decisions = run.samples.decisions(run.items.items, "greedy")
    assert decisions.unreadable == 24
    # Nothing was asked for after the end: the same plan as without greedy answers.
    other = evaluator_in(tmp_path / "other").run(case_of(package), mmlu_task(mmlu, shots=1))
    assert run.plan == other.plan
    assert other.samples.texts == run.samples.texts


def test_greedy_needs_no_second_round_where_the_first_token_tells(mmlu, tmp_path):
    package = favouring(tmp_path / "package", {**LETTERS, **SPACED, "Ġthe": 6.0})
    runs = [
        evaluator_in(tmp_path / decision).run(
            case_of(package), mmlu_task(mmlu, shots=1, decision=decision)
        )
        for decision in ("loglikelihood", "greedy")
    ]
    assert runs[0].plan == runs[1].plan
    assert runs[0].samples.texts == runs[1].samples.texts
    found = runs[0].samples.decisions(runs[0].items.items, "greedy").chosen
    letters = Naive(package, mmlu).letters
    assert ["-" if number < 0 else "ABCD"[number] for number in found] == letters
    assert len({*letters}) > 2


def test_ten_letters_are_read_and_only_a_questions_own_count(tmp_path):
    """`H` is an answer where there are eight options, and unreadable where there are five."""
    pro = write_pro(tmp_path / "pro", tests=pro_records("test", 16))
    raised = dict.fromkeys("ABCDEFGHIJ", 6.0) | {"Ġ": 5.0}
    package = favouring(tmp_path / "package", raised)
    task = mmlu_task(pro, template="mmlu_pro", shots=1, decision="greedy")
    run = evaluator_in(tmp_path).run(case_of(package), task)
    decisions = run.samples.decisions(run.items.items, "greedy")
    model, tokenizer = PlainModel(package), Tokenizer.from_file(str(package / "tokenizer.json"))
    records = {record["question_id"]: record for record in pro_records("test", 16)}
    strangers = 0
    for item, chosen, right in zip(
        run.items.items, decisions.chosen, decisions.correct, strict=True
    ):
        record = records[item.question.row]
        text = pro_prompt(pro_records("validation", 1), record)
        written = greedy_text(model, tokenizer, text, eos=SPECIALS[1]).strip()
        own = "ABCDEFGHIJ"[: len(record["options"])]
        assert chosen == (own.find(written[0]) if written else -1)
        assert right == written.startswith(record["answer"])
        strangers += bool(written) and written[0] in "ABCDEFGHIJ" and written[0] not in own
    assert strangers
    detail = mmlu_detail(run.samples, run.items, "greedy", None)
    assert detail["chosen"] == dict(
        sorted(Counter("-" if c < 0 else "ABCDEFGHIJ"[c] for c in decisions.chosen).items())
    )


def test_fault_31_second_token_counts_against_the_context(wordy, mmlu):
    tokenizer = load_tokenizer(wordy)
    plain = mmlu_task(mmlu, shots=1).encode(tokenizer, 10_000)
    longest = max(len(item.context) for item in plain.items)
    assert len(mmlu_task(mmlu, shots=1).encode(tokenizer, longest).items) == 24
    greedy = mmlu_task(mmlu, shots=1, decision="greedy", overflow="exclude")
    assert greedy.encode(tokenizer, longest).excluded
    assert not greedy.encode(tokenizer, longest + 1).excluded


# --- measurements -------------------------------------------------------------------------------


def measured(
    folder: Path, decision: str, mmlu: Path, packages: list[Path], policy: str = ""
) -> list[Measurement]:
    lines = ["schema_version = 1", "[data]", f'mmlu = "{mmlu.as_posix()}"', "[tasks.mmlu]"]
    lines += [f'decision = "{decision}"', "shots = 1", policy, "[[models]]", 'name = "tiny"']
    lines += ["[models.reference]", 'name = "fp32"', 'precision = "fp32"']
    lines += [f'path = "{packages[0].as_posix()}"']
    for package in packages[1:]:
        lines += ["[[models.variants]]", 'name = "int4"', 'precision = "int4"']
        lines += [f'path = "{package.as_posix()}"']
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quantgate.toml").write_text("\n".join(lines) + "\n", "utf-8")
    manifest = load_manifest(folder / "quantgate.toml")
    require_known_metrics(manifest)
    measurer = Measurer(manifest, Corpora(manifest), evaluator_in(folder / "cache"))
    return [measurer.measure(case, "mmlu") for case in manifest.cases()]


def test_both_decisions_stand_side_by_side(wordy, mmlu, naive, tmp_path):
    (found,) = measured(tmp_path, "greedy", mmlu, [wordy])
    assert [score.metric for score in found.scores][:3] == [
        "accuracy",
        "accuracy_macro",
        "accuracy_loglikelihood",
    ]
    assert found.score("accuracy").value == pytest.approx(np.mean(naive.right), abs=1e-12)
    likeliest = np.mean(naive.likeliest)
    assert found.score("accuracy_loglikelihood").value == pytest.approx(likeliest, abs=1e-12)
    assert found.comparability.protocol == "hendrycks 1-shot greedy, overflow error"
    assert found.detail["unreadable"] == naive.letters.count("-")
    assert found.detail["chosen"] == dict(sorted(Counter(naive.letters).items()))
    written = "".join(answers["chosen"] for answers in found.detail["answers"].values())
    assert written == "".join(naive.letters)


def test_greedy_stands_beside_loglikelihood_where_one_pass_has_both(mmlu, tmp_path):
    package = favouring(tmp_path / "package", {**LETTERS, **SPACED})
    (found,) = measured(tmp_path, "loglikelihood", mmlu, [package])
    assert found.score("accuracy_greedy").value == np.mean(Naive(package, mmlu).right)
    assert found.comparability.protocol == "hendrycks 1-shot loglikelihood, overflow error"


def test_greedy_is_left_out_where_one_pass_has_not_all_of_it(wordy, mmlu, tmp_path):
    (found,) = measured(tmp_path, "loglikelihood", mmlu, [wordy])
    assert "accuracy_greedy" not in {score.metric for score in found.scores}
    assert found.detail["unreadable"] == 0


def test_flips_to_and_from_unreadable_answers_are_told(wordy, mmlu, naive, tmp_path):
    other = favouring(tmp_path / "other", {**LETTERS, "Ġthe": 4.0})
    reference, candidate = measured(tmp_path, "greedy", mmlu, [wordy, other])
    after = Naive(other, mmlu)
    told = candidate.detail["flips"]
    pairs = [(a, b) for a, b in zip(naive.letters, after.letters, strict=True) if a != b]
    assert [(each["reference"], each["candidate"]) for each in told["listed"]] == pairs
    assert {a for a, _ in pairs} & {"-"}
    assert told["changed"] == len(pairs)
    lost = sum(a and not b for a, b in zip(naive.right, after.right, strict=True))
    assert told["right_to_wrong"] == lost
    delta = np.mean(after.right) - np.mean(naive.right)
    assert candidate.score("accuracy").paired_delta == pytest.approx(delta, abs=1e-12)
    assert candidate.score("accuracy_loglikelihood").paired_delta is not None
    assert reference.score("accuracy").paired_delta is None


@pytest.mark.parametrize("metric", ["accuracy_greedy", "accuracy_loglikelihood"])
def test_gate_is_by_the_decision_asked_for_alone(wordy, mmlu, tmp_path, metric):
    """The other decision's figure may be missing, so a policy for it could gate nothing."""
    policy = f"[policy.mmlu.{metric}]\nbaseline = {{ absolute = 0.01 }}"
    with pytest.raises(UsageFault) as caught:
        measured(tmp_path, "greedy", mmlu, [wordy], policy)
    assert caught.value.code == "policy-metric"


def test_greedy_without_its_texts_is_no_zero(wordy, mmlu, tmp_path):
    run = evaluator_in(tmp_path).run(case_of(wordy), mmlu_task(mmlu, shots=1))
    assert run.samples.texts is None
    with pytest.raises(ValueError, match="second tokens"):
        run.samples.decisions(run.items.items, "greedy")
