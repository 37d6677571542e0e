"""The manifest: what it accepts, on which line it complains, and the cases it spans."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.baselines.schema import ToleranceEntry
from quantgate.cases import BuildRecipe, Package
from quantgate.errors import UsageFault
from quantgate.manifest.lines import locate
from quantgate.manifest.manifest import (
    Manifest,
    Overrides,
    apply_overrides,
    describe,
    load_manifest,
)
from quantgate.results import Limits, Tolerance
from quantgate.suites import require_known_metrics, task_names

ROOT = Path(__file__).parents[1]

FULL = """\
schema_version = 1

[data]
mmlu = "data/mmlu"  # a comment = [with] "everything"
mmlu_sha256 = "{pin}"

[policy.mmlu]
accuracy.baseline = {{ absolute = 0.01 }}
accuracy.reference = {{ absolute = 0.03 }}

[[models]]
name = "tiny"

[models.reference]
name = "fp16"
precision = "fp16"
path = "models/fp16"
providers = ["cpu", "cuda"]

[[models.variants]]
name = "int4"
precision = "int4"
build = {{ source = "hf", precision = "int4", extra_options = {{ sym = true, block_size = 32 }} }}
providers = ["cuda", "dml"]

[models.variants.policy]
mmlu.accuracy.reference = {{ relative = 0.05 }}

[[models.variants]]
name = "int8"
precision = "int8"
path = "models/int8"

[[models]]
name = "alone"
variants = [{{ name = "int4", precision = "int4", path = "/absolute/int4" }}]
""".format(pin="0" * 64)


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        file = tmp_path / "quantgate.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture
def manifest(write) -> Manifest:
    return load_manifest(write(FULL))


def fault(file: Path) -> UsageFault:
    with pytest.raises(UsageFault) as caught:
        load_manifest(file)
    return caught.value


def edited(old: str, new: str) -> tuple[str, int]:
    """FULL with one line changed, and the number of that line."""
    assert FULL.count(old) == 1
    return FULL.replace(old, new), FULL[: FULL.index(old)].count("\n") + 1


# --- reading ------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_protocols(write):
    manifest = load_manifest(write("schema_version = 1\n"))
    assert manifest.data.mmlu == manifest.data.text == "embedded"
    assert manifest.runtime.threads == 0
    mmlu, perplexity = manifest.tasks.mmlu, manifest.tasks.perplexity
    assert (mmlu.template, mmlu.shots, mmlu.overflow) == ("hendrycks", 5, "error")
    assert mmlu.decision == "loglikelihood"
    assert (mmlu.subjects, mmlu.limit, mmlu.degenerate) == ((), None, "fail")
    assert perplexity.protocols == ("strided", "genai_chunked")
    assert (perplexity.window, perplexity.stride, perplexity.max_tokens) == (1024, 512, None)
    assert perplexity.max_documents is None
    assert manifest.data.text_format == "paragraphs"
    assert manifest.tasks.kl_divergence.window == 1024
    assert manifest.cases() == ()


def test_manifest_of_the_repository_spans_its_variants():
    manifest = load_manifest(ROOT / "quantgate.toml")
    cases = {case.id: case for case in manifest.cases()}
    reference = cases["embedded-fp32-ort-cpu"]
    assert next(iter(cases)) == reference.id
    assert reference.is_reference
    for precision in ("fp16", "int8", "int4"):
        case = cases[f"embedded-{precision}-ort-cpu"]
        assert case.reference == reference
        assert case.package == Package(recipe=BuildRecipe(None, precision))
        for suite, metric in (
            ("mmlu", "accuracy"),
            ("perplexity", "perplexity"),
            ("kl_divergence", "kl_mean"),
        ):
            limits = manifest.limits(case, suite, metric)
            assert limits.baseline is not None
            assert limits.reference is not None


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ('mmlu = "data/mmlu"', 'mmul = "x"', "manifest-unknown-key", "data.mmul"),
        ('mmlu = "data/mmlu"', "mmlu = 3", "manifest-value", "data.mmlu"),
        ("0" * 64, "0" * 63 + "g", "manifest-value", "mmlu_sha256"),
        ("{ absolute = 0.01 }", "{ absolute = -0.01 }", "manifest-value", "absolute"),
        ("{ absolute = 0.01 }", "{ absolute = 1e9 }", "manifest-value", "absolute"),
        ("{ absolute = 0.01 }", "{ absolute = nan }", "manifest-value", "absolute"),
        ("{ absolute = 0.01 }", "{ relative = inf }", "manifest-value", "relative"),
        ("{ absolute = 0.01 }", "{ absolute = 1, relative = 1 }", "tolerance-kind", "exactly one"),
        ("{ absolute = 0.01 }", "{}", "tolerance-kind", "exactly one"),
        ("{ absolute = 0.01 }", "{ absolut = 1 }", "manifest-unknown-key", "did you mean"),
        ("{ absolute = 0.01 }", '"mlperf9"', "tolerance-preset", "mlperf99, mlperf999"),
        ("{ absolute = 0.01 }", "{ ratio_to_reference = 0 }", "manifest-value", "greater than 0"),
        ("{ absolute = 0.01 }", "{ ratio_to_reference = 1.01 }", "manifest-value", "equal to 1"),
        ("{ absolute = 0.01 }", "{ significant_drop = 1e4 }", "manifest-value", "1000"),
        ("{ absolute = 0.01 }", "{ three_state = [0.1, 0.1] }", "tolerance-order", "below"),
        ("{ absolute = 0.01 }", "{ three_state = [0.1, 11] }", "tolerance-order", "at most 10"),
        ("{ absolute = 0.01 }", "{ three_state = [-0.1, 0.1] }", "manifest-value", "equal to 0"),
        ("{ absolute = 0.01 }", "{ three_state = 0.1 }", "manifest-value", "three_state"),
        ('["cpu", "cuda"]', "[]", "manifest-value", "providers"),
        ('["cpu", "cuda"]', '["cpu", "cpu"]', "manifest-duplicate", "providers"),
        ('["cpu", "cuda"]', '["CPU"]', "manifest-value", "providers"),
        ('["cuda", "dml"]', '["cuda"]\nbackends = ["llamacpp"]', "manifest-value", "backends"),
        ('"models/int8"', '"models/int8"\npth = 1', "manifest-unknown-key", "variants.1.pth"),
        ('name = "tiny"', 'name = ".."', "manifest-value", "models.0.name"),
        ('name = "tiny"', 'name = "a-b"', "manifest-value", "models.0.name"),
        ('"models/int8"', '"models/int8"\nbuild = 1', "manifest-value", "build"),
        ("schema_version = 1", "schema_version = 2", "manifest-value", "schema_version"),
        ("schema_version = 1", "", "manifest-missing-key", "schema_version"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(write, old, new, code, words):
    text, line = edited(old, new)
    line += new.count("\n")
    file = write(text)
    error = fault(file)
    assert error.code == code
    assert words in str(error)
    assert str(file) in str(error)
    assert f"line {line} of" in error.fix


@pytest.mark.parametrize(
    ("words", "tolerance"),
    [
        ("{ absolute = 1 }", Tolerance(kind="absolute", value=1.0)),
        ("{ relative = 0.05 }", Tolerance(kind="relative", value=0.05)),
        ("{ ratio_to_reference = 0.9 }", Tolerance(kind="ratio_to_reference", value=0.9)),
        ("{ significant_drop = 0.01 }", Tolerance(kind="significant_drop", value=0.01)),
        ("{ three_state = [0, 0.1] }", Tolerance(kind="three_state", value=0.0, at_risk=0.1)),
        ('"mlperf99"', Tolerance(kind="ratio_to_reference", value=0.99)),
        ('"mlperf999"', Tolerance(kind="ratio_to_reference", value=0.999)),
        ('"relative_5_10"', Tolerance(kind="three_state", value=0.05, at_risk=0.1)),
    ],
)
def test_every_kind_of_tolerance_may_be_named(write, words, tolerance):
    text = f"schema_version = 1\n[policy.mmlu]\naccuracy.baseline = {words}\n"
    policy = load_manifest(write(text)).policy.metrics("mmlu")["accuracy"]
    assert policy.baseline.tolerance() == tolerance
    # What a manifest allows must be readable from the baseline it is stored in.
    assert ToleranceEntry.model_validate(asdict(tolerance)).tolerance() == tolerance


@pytest.mark.parametrize(
    ("suite", "metric", "known"),
    [
        ("mmlu", "accuracy_macro", "accuracy, subject, category"),
        ("kl_divergence", "kl_p99", "kl_mean"),
        ("agreement", "max_difference", "none of this suite"),
    ],
)
def test_significant_drop_needs_a_metric_with_items(write, suite, metric, known):
    text = (
        "schema_version = 1\n[policy.mmlu]\nsubject.reference = { significant_drop = 0.1 }\n"
        f"[policy.{suite}.{metric}]\nreference = {{ significant_drop = 0.01 }}\n"
    )
    error = fault(write(text))
    assert error.code == "tolerance-items"
    assert f"policy.{suite}.{metric}.reference" in str(error)
    assert known in str(error)
    assert "line 5 of" in error.fix


@pytest.mark.parametrize("template", ["hendrycks", "lm_eval", "mmlu_pro"])
@pytest.mark.parametrize("decision", ["loglikelihood", "greedy"])
@pytest.mark.parametrize("overflow", ["error", "drop_shots", "exclude"])
def test_every_mmlu_protocol_may_be_named(write, template, decision, overflow):
    lines = [f'template = "{template}"', f'decision = "{decision}"', f'overflow = "{overflow}"']
    for shots in (0, 5):
        text = ["schema_version = 1", "[tasks.mmlu]", *lines, f"shots = {shots}"]
        mmlu = load_manifest(write("\n".join(text) + "\n")).tasks.mmlu
        assert (mmlu.template, mmlu.decision, mmlu.overflow) == (template, decision, overflow)
        assert mmlu.shots == shots


@pytest.mark.parametrize(
    "line",
    [
        'template = "helm"',
        'decision = "sample"',
        'overflow = "truncate"',
        "shots = 6",
        "shots = -1",
    ],
)
def test_mmlu_protocols_that_there_are_not(write, line):
    error = fault(write(f"schema_version = 1\n[tasks.mmlu]\n{line}\n"))
    assert error.code == "manifest-value"
    assert f"tasks.mmlu.{line.partition(' ')[0]}" in str(error)
    assert "line 3 of" in error.fix


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('name = "alone"', 'name = "tiny"', "models"),
        ('name = "int8"', 'name = "int4"', "models.0.variants"),
        ('name = "int8"', 'name = "fp16"', "models.0.variants"),
    ],
)
def test_names_are_given_once(write, old, new, where):
    error = fault(write(FULL.replace(old, new)))
    assert error.code == "manifest-duplicate"
    assert f"`{where}`" in error.need


def test_all_findings_are_told_and_the_first_leads(write):
    error = fault(
        write("schema_version = 1\n[runtime]\nthreads = -1\n[data]\nmmul = 1\ntext = 2\n")
    )
    assert "runtime.threads" in error.need
    assert "line 5, `data.mmul`" in error.found
    assert "line 6, `data.text`" in error.found


@pytest.mark.parametrize(
    ("text", "line"), [("schema_version = 1\n[data\n", 2), ("schema_version = 1\nx = '''\n", 3)]
)
def test_broken_toml_is_told_with_its_line(write, text, line):
    error = fault(write(text))
    assert error.code == "manifest-toml"
    assert f"line {line} of" in error.fix


def test_missing_manifest_is_named(tmp_path):
    error = fault(tmp_path / "nothing.toml")
    assert error.code == "manifest-unreadable"
    assert "nothing.toml" in error.found


def test_manifest_in_another_encoding_is_refused(tmp_path):
    file = tmp_path / "quantgate.toml"
    file.write_bytes(b'schema_version = 1\n[data]\ntext = "caf\xe9.txt"\n')
    error = fault(file)
    assert error.code == "manifest-unreadable"
    assert "line 3" in error.found


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("window = 256\nstride = 257\n", 4),
        ("window = 256\nstride = 256\n", 4),  # nothing would predict a window's first token
        ("stride = 0\n", 3),
        ("stride = -1\n", 3),
        ("window = 256\n", 2),  # less than the default stride
    ],
)
def test_fault_34_stride_leaves_gaps(write, keys, line):
    error = fault(write(f"schema_version = 1\n[tasks.perplexity]\n{keys}"))
    assert error.code == "window-stride"
    assert "tasks.perplexity.stride" in error.need
    assert f"line {line} of" in error.fix


def test_fault_33_cut_text_is_shorter_than_a_window(write):
    error = fault(write("schema_version = 1\n[tasks.perplexity]\nmax_tokens = 1023\n"))
    assert error.code == "text-too-short"


def test_all_four_protocols_of_perplexity_may_be_named(write):
    named = '["rolling", "disjoint", "genai_chunked", "strided"]'
    file = write(
        f'schema_version = 1\n[data]\ntext_format = "wikitext"\n'
        f"[tasks.perplexity]\nprotocols = {named}\nmax_documents = 3\n"
    )
    manifest = load_manifest(file)
    protocols = manifest.tasks.perplexity.protocols
    assert protocols == ("rolling", "disjoint", "genai_chunked", "strided")
    assert manifest.tasks.perplexity.max_documents == 3
    assert manifest.data.text_format == "wikitext"
    assert task_names(manifest, "perplexity") == tuple(f"perplexity.{name}" for name in protocols)


@pytest.mark.parametrize(
    ("table", "line", "code"),
    [
        ("tasks.perplexity", 'protocols = ["rolled"]', "manifest-value"),
        ("tasks.perplexity", "protocols = []", "manifest-value"),
        ("tasks.perplexity", 'protocols = ["rolling", "rolling"]', "manifest-duplicate"),
        ("tasks.perplexity", "max_documents = 0", "manifest-value"),
        ("tasks.perplexity", "window = 1", "manifest-value"),
        ("data", 'text_format = "markdown"', "manifest-value"),
    ],
)
def test_perplexity_settings_that_mean_nothing_are_refused(write, table, line, code):
    error = fault(write(f"schema_version = 1\n[{table}]\n{line}\n"))
    assert error.code == code
    assert f"{table}.{line.partition(' ')[0]}" in error.need


def test_rolling_metrics_may_be_limited(write):
    file = write(
        "schema_version = 1\n[policy.perplexity]\n"
        "word_perplexity.baseline = { relative = 0.01 }\n"
        "byte_perplexity.reference = { relative = 0.01 }\n"
        "bits_per_byte.reference = { absolute = 0.01 }\n"
    )
    require_known_metrics(load_manifest(file))


def test_misspelt_rolling_metric_is_refused(write):
    file = write(
        "schema_version = 1\n[policy.perplexity]\nword_ppl.baseline = { relative = 0.01 }\n"
    )
    with pytest.raises(UsageFault, match="word_perplexity") as caught:
        require_known_metrics(load_manifest(file))
    assert caught.value.code == "policy-metric"


@pytest.mark.parametrize("stride", [1, 1023])
def test_stride_may_be_anything_below_the_window(write, stride):
    file = write(f"schema_version = 1\ntasks.perplexity.stride = {stride}\n")
    assert load_manifest(file).tasks.perplexity.stride == stride


def test_fault_75_non_ascii_paths_under_an_ascii_locale(tmp_path):
    folder = tmp_path / "ein Ordner größer"
    folder.mkdir()
    file = folder / "quantgate.toml"
    file.write_text('schema_version = 1\n[data]\ntext = "Prüftext ü.txt"\n', encoding="utf-8")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from quantgate.manifest.manifest import load_manifest\n"
        "m = load_manifest(Path(sys.argv[1]))\n"
        "sys.stdout.buffer.write(str(m.base / m.data.text).encode('utf-8', 'surrogateescape'))\n"
    )
    run = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", script, str(file)],
        env={"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert run.stdout.decode("utf-8").endswith("Prüftext ü.txt")


# --- lines --------------------------------------------------------------------------------------

TRICKY = '''\
# [comment]
title = "a # no comment, [no] table" # but this is
"quoted.key" = 1
long = """
[not.a.table]
key = 1 \\"""
ends with a quote""""
raw = \'\'\'
x = 1\'\'\'
array = [
  1, # ]
  { a = 1 },
]
a . b.c = 1
[t."x y"]
k = 1
[[list]]
k = 1
[[list.inner]]
k = 1
[[list.inner]]
[list.inner.sub]
k = 1
[[list]]
[list.sub]
k = "}"
last = 1'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("quoted.key",), 3),
        (("long",), 4),
        (("raw",), 8),
        (("array",), 10),
        (("array", 1, "a"), 10),
        (("a", "b", "c"), 14),
        (("t", "x y", "k"), 16),
        (("list", 0), 17),
        (("list", 0, "k"), 18),
        (("list", 0, "inner", 0, "k"), 20),
        (("list", 0, "inner", 1), 21),
        (("list", 0, "inner", 1, "sub", "k"), 23),
        (("list", 1), 24),
        (("list", 1, "sub", "k"), 26),
        (("list", 1, "sub", "last"), 27),
        (("list", 1, "sub", "absent"), 25),
        (("absent",), 1),
    ],
)
def test_keys_are_found_on_their_lines(path, line):
    assert locate(TRICKY, path) == line


@given(
    comment=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])),
    blank=st.integers(0, 9),
)
def test_comments_and_blank_lines_only_move_keys(comment, blank):
    text = "\n" * blank + f"# {comment}\n[t]\nk = 1 # {comment}\n"
    assert locate(text, ("t", "k")) == blank + 3


# --- cases and limits ---------------------------------------------------------------------------


def test_cases_span_variants_backends_and_providers(manifest):
    assert [case.id for case in manifest.cases()] == [
        "tiny-fp16-ort-cpu",
        "tiny-fp16-ort-cuda",
        "tiny-int4-ort-cuda",
        "tiny-int4-ort-dml",
        "tiny-int8-ort-cpu",
        "alone-int4-ort-cpu",
    ]


def test_reference_is_the_one_on_the_same_provider_or_the_first(manifest):
    references = {c.id: c.reference.id if c.reference else None for c in manifest.cases()}
    assert references["tiny-int4-ort-cuda"] == "tiny-fp16-ort-cuda"
    assert references["tiny-int4-ort-dml"] == "tiny-fp16-ort-cpu"
    assert references["tiny-fp16-ort-cuda"] is None
    assert references["alone-int4-ort-cpu"] is None


def test_paths_start_from_the_manifests_folder(manifest, tmp_path):
    packages = {case.id: case.package for case in manifest.cases()}
    assert packages["tiny-int8-ort-cpu"].path == tmp_path / "models/int8"
    assert packages["alone-int4-ort-cpu"].path == Path("/absolute/int4")
    assert packages["tiny-int4-ort-cuda"].recipe == BuildRecipe(
        source=tmp_path / "hf",
        precision="int4",
        extra_options=(("block_size", "32"), ("sym", "true")),
    )


def test_policy_of_a_variant_overrules_key_by_key(manifest):
    cases = {case.id: case for case in manifest.cases()}
    own, general = cases["tiny-int4-ort-dml"], cases["tiny-int8-ort-cpu"]
    baseline = Tolerance(kind="absolute", value=0.01)
    assert manifest.limits(own, "mmlu", "accuracy") == Limits(
        baseline=baseline, reference=Tolerance(kind="relative", value=0.05)
    )
    assert manifest.limits(general, "mmlu", "accuracy") == Limits(
        baseline=baseline, reference=Tolerance(kind="absolute", value=0.03)
    )
    assert manifest.limits(own, "perplexity.strided", "perplexity") == Limits()
    assert manifest.policy_metrics("mmlu") == {"accuracy"}
    with pytest.raises(KeyError, match="no suite"):
        manifest.limits(own, "latency", "ttft")


def test_case_without_reference_has_no_limit_against_it(manifest):
    case = manifest.cases()[-1]
    assert manifest.limits(case, "mmlu", "accuracy").reference is None


RATIOS = """\
[policy.memory.peak_saving]
baseline = { relative = 0.1 }
reference = { ratio_to_reference = 0.8 }

[policy.speed.prefill_speedup]
baseline = { relative = 0.1 }
reference = { ratio_to_reference = 0.8 }

[[models]]
name = "tiny"
"""


@pytest.mark.parametrize(
    ("suite", "metric"), [("memory", "peak_saving"), ("speed", "prefill_speedup")]
)
def test_a_ratio_to_itself_is_never_stored_and_gated_of_references_alone(write, suite, metric):
    """Without a reference it is 1 whatever the model, which no limit can tell from a good one."""
    manifest = load_manifest(write(FULL.replace('[[models]]\nname = "tiny"\n', RATIOS)))
    cases = {case.id: case for case in manifest.cases()}
    baseline = Tolerance(kind="relative", value=0.1)
    reference = Tolerance(kind="ratio_to_reference", value=0.8)
    held = manifest.limits(cases["tiny-int8-ort-cpu"], suite, metric)
    assert held == Limits(baseline=baseline, reference=reference)
    own = manifest.limits(cases["tiny-fp16-ort-cpu"], suite, metric)
    assert own == Limits(reference=reference)
    assert manifest.limits(cases["alone-int4-ort-cpu"], suite, metric) == Limits()


# --- overrides ----------------------------------------------------------------------------------


def test_no_overrides_change_nothing(manifest):
    assert apply_overrides(manifest, Overrides()) == manifest


def test_named_models_replace_those_of_the_manifest(manifest, tmp_path):
    models = (("rtn", tmp_path / "rtn"), ("awq", tmp_path / "awq"))
    changed = apply_overrides(
        manifest, Overrides(models=models, reference=tmp_path / "Llama-3 FP16")
    )
    cases = changed.cases()
    assert [case.id for case in cases] == [
        "llama_3_fp16-reference-ort-cpu",
        "llama_3_fp16-rtn-ort-cpu",
        "llama_3_fp16-awq-ort-cpu",
    ]
    assert [case.is_reference for case in cases] == [True, False, False]
    assert cases[1].reference == cases[0]
    assert cases[2].package.path == tmp_path / "awq"
    assert {case.precision for case in cases} == {"auto"}
    assert changed.limits(cases[1], "mmlu", "accuracy").reference == Tolerance(
        kind="absolute", value=0.03
    )


def test_cases_that_the_command_line_leaves_out_are_known_all_the_same(manifest, tmp_path):
    """Their baselines are in use, by other runs."""
    written = {case.id for case in manifest.cases()}
    for overrides in (
        Overrides(models=(("rtn", tmp_path),)),
        Overrides(backends=("torch",)),
        Overrides(providers=("cuda",)),
    ):
        changed = apply_overrides(manifest, overrides)
        own = {case.id for case in changed.cases()}
        assert not written <= own
        assert {case.id for case in changed.known_cases()} == written | own


def test_named_models_without_reference_have_none(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (case,) = apply_overrides(manifest, Overrides(models=(("q4", Path("x y")),))).cases()
    assert case.id == "adhoc-q4-ort-cpu"
    assert case.reference is None
    assert case.package.path == tmp_path / "x y"


def test_reference_alone_needs_a_single_model(write, manifest, tmp_path):
    with pytest.raises(UsageFault, match="reference-ambiguous"):
        apply_overrides(manifest, Overrides(reference=tmp_path))
    single = load_manifest(write(FULL[: FULL.rindex("[[models]]")]))
    cases = apply_overrides(single, Overrides(reference=tmp_path / "other")).cases()
    assert cases[0].id == "tiny-reference-ort-cpu"
    assert cases[0].package.path == tmp_path / "other"
    assert {case.reference for case in cases[1:]} == {cases[0]}


def test_a_reference_in_the_working_folders_parent_names_no_folder_outside(manifest, tmp_path):
    overrides = Overrides(models=(("q4", tmp_path),), reference=tmp_path / "..")
    assert apply_overrides(manifest, overrides).models[0].name == "adhoc"


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["Q4"], "name-slug"),
        ([".."], "name-slug"),
        (["a-b"], "name-slug"),
        (["q4", "q4"], "name-duplicate"),
        (["reference"], "name-duplicate"),
    ],
)
def test_names_of_models_are_checked(manifest, tmp_path, names, code):
    models = tuple((name, tmp_path) for name in names)
    with pytest.raises(UsageFault) as caught:
        apply_overrides(manifest, Overrides(models=models, reference=tmp_path))
    assert caught.value.code == code


def test_backends_and_providers_replace_the_lists(manifest):
    changed = apply_overrides(manifest, Overrides(backends=("ort", "ort"), providers=("cuda",)))
    assert [case.id for case in changed.cases()] == [
        "tiny-fp16-ort-cuda",
        "tiny-int4-ort-cuda",
        "tiny-int8-ort-cuda",
        "alone-int4-ort-cuda",
    ]
    with pytest.raises(UsageFault, match="backend-unknown"):
        apply_overrides(manifest, Overrides(backends=("llamacpp",)))
    with pytest.raises(UsageFault, match="name-slug"):
        apply_overrides(manifest, Overrides(providers=("CUDAExecutionProvider",)))


def test_other_data_takes_its_pin_with_it(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert manifest.data.mmlu_sha256 is not None
    text_only = apply_overrides(manifest, Overrides(text=Path("t.txt"))).data
    assert text_only.text == str(tmp_path / "t.txt")
    assert text_only.mmlu_sha256 == manifest.data.mmlu_sha256
    changed = apply_overrides(manifest, Overrides(data_dir="embedded", limit=3, threads=2))
    assert (changed.data.mmlu, changed.data.mmlu_sha256) == ("embedded", None)
    assert changed.tasks.mmlu.limit == 3
    assert changed.runtime.threads == 2


@pytest.mark.parametrize(
    "overrides",
    [
        Overrides(limit=0),
        Overrides(threads=-1),
        Overrides(accuracy_level=-1),
        Overrides(accuracy_level=5),
        Overrides(batch_seconds=-0.5),
        Overrides(batch_seconds=float("nan")),
        Overrides(session_seconds=-1),
        Overrides(memory_mib=-1),
    ],
)
def test_numbers_out_of_range_are_refused(manifest, overrides):
    with pytest.raises(UsageFault, match="option-range"):
        apply_overrides(manifest, overrides)


def test_description_names_what_is_in_force(manifest):
    changed = apply_overrides(manifest, Overrides(limit=7))
    text = "\n".join(describe(changed))
    for word in (str(manifest.file), "tiny", "int4", "dml", "data/mmlu", "first 7", "1024/512"):
        assert word in text


def test_bounds_of_the_command_line_are_in_force(manifest):
    bounds = Overrides(threads=3, batch_seconds=1.5, session_seconds=0, memory_mib=512)
    runtime = apply_overrides(manifest, bounds).runtime
    assert (runtime.threads, runtime.batch_seconds) == (3, 1.5)
    assert (runtime.session_seconds, runtime.memory_mib) == (0, 512)
    assert apply_overrides(manifest, Overrides(memory_mib=9)).runtime.batch_seconds == 1800


# --- engines and their options ------------------------------------------------------------------

ENGINES = """\
schema_version = 1

[runtime]
batch_seconds = 60
session_seconds = 3600.5
memory_mib = 4096

[runtime.options.ort]
accuracy_level = 4
session_options = { enable_cpu_mem_arena = "0" }

[tasks.agreement]
backends = ["ortgenai", "ort"]
questions = 3
tokens = 64

[policy.agreement]
max_difference.reference = { absolute = 0.01 }

[[models]]
name = "tiny"

[[models.variants]]
name = "int4"
precision = "int4"
path = "hub:org/name@COMMIT"
backends = ["ort", "ortgenai", "torch"]

[models.variants.options.ort]
accuracy_level = 0
packing = false

[models.variants.options.torch]
dtype = "bfloat16"
""".replace("COMMIT", "0123456789" * 4)


@pytest.fixture
def spread(write) -> Manifest:
    return load_manifest(write(ENGINES))


def test_backends_and_bounds_are_read(spread):
    assert [case.backend for case in spread.cases()] == ["ort", "ortgenai", "torch"]
    runtime, agreement = spread.runtime, spread.tasks.agreement
    assert (runtime.batch_seconds, runtime.session_seconds) == (60, 3600.5)
    assert runtime.memory_mib == 4096
    assert agreement.backends == ("ortgenai", "ort")
    assert (agreement.questions, agreement.tokens) == (3, 64)


def test_options_of_a_variant_stand_before_those_of_the_runtime(spread):
    options = {case.backend: case.options for case in spread.cases()}
    assert options["ort"] == {
        "accuracy_level": 0,
        "packing": False,
        "session_options": {"enable_cpu_mem_arena": "0"},
    }
    assert options["ortgenai"] == {}
    assert options["torch"] == {"dtype": "bfloat16"}


def test_only_what_was_written_down_is_an_option(manifest):
    assert {case.options_json for case in manifest.cases()} == {"{}"}


def test_options_of_the_command_line_are_options_of_every_case_without_its_own(spread, manifest):
    changed = apply_overrides(manifest, Overrides(accuracy_level=0, trust_remote_code=True))
    assert {case.options_json for case in changed.cases()} == {'{"accuracy_level": 0}'}
    torch = apply_overrides(manifest, Overrides(backends=("torch",), trust_remote_code=True))
    assert {case.options_json for case in torch.cases()} == {'{"trust_remote_code": true}'}


def test_hub_location_is_a_package_and_no_path(spread):
    location = "hub:org/name@" + "0123456789" * 4
    assert {case.package for case in spread.cases()} == {Package(hub=location)}


def test_policy_of_agreement_holds_without_a_reference(spread):
    """It is held against another engine, which every case of an agreement has."""
    case = spread.cases()[0]
    assert case.reference is None
    limits = spread.limits(case, "agreement", "max_difference")
    assert limits == Limits(reference=Tolerance(kind="absolute", value=0.01))
    require_known_metrics(spread)


def test_misspelt_metric_of_agreement_is_refused(write):
    with pytest.raises(UsageFault, match="policy-metric") as caught:
        require_known_metrics(load_manifest(write(ENGINES.replace("max_diff", "maxdiff"))))
    assert "max_difference" in caught.value.need


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("batch_seconds = 60", "batch_seconds = -1", "batch_seconds"),
        ("batch_seconds = 60", 'batch_seconds = "60"', "batch_seconds"),
        ("session_seconds = 3600.5", "session_seconds = -1", "session_seconds"),
        ("memory_mib = 4096", "memory_mib = 1.5", "memory_mib"),
        ("accuracy_level = 4", "accuracy_level = 5", "accuracy_level"),
        ('= { enable_cpu_mem_arena = "0" }', "= { enable_cpu_mem_arena = 0 }", "session_options"),
        ("accuracy_level = 4", "acuracy_level = 4", "acuracy_level"),
        ('dtype = "bfloat16"', 'dtype = "int8"', "dtype"),
        ("questions = 3", "questions = 0", "questions"),
        ("tokens = 64", "tokens = 1", "tokens"),
        ('["ortgenai", "ort"]', '["ort", "ort"]', "backends"),
        ('"ortgenai", "torch"]', '"ortgenai", "llamacpp"]', "backends"),
    ],
)
def test_engine_settings_that_mean_nothing_are_refused(write, old, new, key):
    assert ENGINES.count(old) == 1
    found = fault(write(ENGINES.replace(old, new)))
    line = ENGINES[: ENGINES.index(old)].count("\n") + 1
    assert key in found.need
    assert f"line {line}" in found.found
