"""The summary and the comment: what a reader who has never seen the project must find."""

import re
from dataclasses import replace

import pytest

from quantgate.errors import UsageFault
from quantgate.report.commands import reproduce_command
from quantgate.report.markdown import COMMENT_MARK, render_comment, render_summary
from quantgate.report.markdown_tables import COLUMNS
from quantgate.results import Tolerance, Verdict
from tests.planted_runs import CASE, FACTS, FAILING, PERPLEXITY, decide, evidence, measure, run_of
from tests.planted_runs import score as make_score


def rows(markdown, title):
    """Cells of the table under a title, without markup."""
    part = markdown.split(title, 1)[1]
    lines = part[part.index("\n|") + 1 :].split("\n\n")[0].splitlines()
    clean = [re.sub(r"</?code>|\\|&#8203;", "", line) for line in lines]
    return [line.strip("|").split("|") for line in (clean[0], *clean[2:])]


def test_the_verdict_stands_first_with_what_it_is_about():
    lines = render_summary(FAILING).splitlines()
    assert lines[0] == "## REGRESSION: MMLU and perplexity of tiny-int4-ort-cpu"
    assert lines[2] == (
        "<code>tiny-int4-ort-cpu</code> (ONNX Runtime, CPU) got worse by more than is allowed. "
        "Whether its package is the baseline's isn't known; the environment differs in onnxruntime "
        "1.30.0 -&gt; 1.31.1, threads 2 -&gt; 4. MMLU accuracy 81.34 % -&gt; 79.00 % (-2.34 "
        "points, allowed -1.00 points); perplexity 14.370 -&gt; 14.820 (+3.13 %, allowed "
        "+1.50 %). All of it is beyond noise."
    )
    assert lines[4] == (
        "Of 7 figures, 2 are worse than allowed, 1 is invalid, 1 is inconclusive, "
        "1 has no baseline and 2 are within tolerance (1 at risk)."
    )


def test_what_got_worse_by_how_much_and_whether_it_is_noise():
    head, accuracy, *others = rows(render_summary(FAILING), "### What got worse")
    assert tuple(head) == COLUMNS
    assert accuracy == [
        CASE, "mmlu accuracy", "baseline 81.34 %", "79.00 %", "-2.34 points", "-1.00 points", "no",
    ]  # fmt: skip
    assert others == [[
        CASE, "perplexity strided", "baseline 14.370", "14.820", "+0.450 (+3.13 %)",
        "+0.216 (+1.50 %)", "no",
    ]]  # fmt: skip


def test_statistics_stand_folded_behind_with_how_to_read_them():
    markdown = render_summary(FAILING)
    _, accuracy, perplexity, unclear = rows(markdown, "Statistics of these changes: 3")
    assert accuracy == [
        CASE, "mmlu accuracy", "points", "-2.340", "-3.910..-0.770", "-1.00", "-1.49", "0.0054",
        "exact McNemar, 812 questions",
    ]  # fmt: skip
    assert perplexity == [
        CASE, "perplexity strided", "nats/token", "+0.0308", "+0.0226..+0.0390", "+0.0149",
        "+0.0103", "1.2e-09", "Student's t, 64 windows",
    ]  # fmt: skip
    assert unclear[1] == "mmlu subject.anatomy"
    assert markdown.count("the probability of so large a change if nothing had changed") == 1
    assert "`docs/statistics.md`" in markdown


def test_a_tolerance_finer_than_the_run_is_explained():
    told = "Where the smallest detectable change is larger than what is allowed"
    fine, coarse = (
        run_of([decide(Verdict.REGRESSION, evidence=evidence(detectable=d))]) for d in (0.02, 0.01)
    )
    assert told in render_summary(fine)
    assert told not in render_summary(coarse)


def test_suites_stand_in_their_order_whatever_exceeds_more():
    mild = decide(Verdict.REGRESSION, delta=-0.011)
    harsh = decide(Verdict.REGRESSION, "kl_mean", task="kl_divergence", delta=5.0)
    other = decide(Verdict.REGRESSION, "peak_saving", task="memory", delta=-9.0)
    markdown = render_summary(run_of([other, harsh, PERPLEXITY, mild]))
    found = rows(markdown, "### What got worse")
    assert [row[1].split()[0] for row in found[1:]] == [
        "mmlu", "perplexity", "kl_divergence", "memory",
    ]  # fmt: skip


def test_the_worst_stands_first_and_subjects_behind_whole_suites():
    subject = decide(Verdict.REGRESSION, "subject.anatomy", delta=-0.5)
    mild, harsh = (
        decide(Verdict.REGRESSION, name, delta=d) for name, d in (("x", -0.02), ("y", -0.03))
    )
    found = rows(render_summary(run_of([subject, mild, harsh])), "### What got worse")
    assert [row[1] for row in found[1:]] == ["mmlu y", "mmlu x", "mmlu subject.anatomy"]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (evidence(p_value=0.3), "may be"),
        (evidence(p_value=0.04), "no"),
        (evidence(delta=0.0, p_value=1.0), "nothing changed"),
        (None, "unknown: no items to pair; standard error 1.40 points"),
    ],
)
def test_noise_in_words(found, told):
    decision = decide(Verdict.REGRESSION, evidence=found)
    run = run_of([decision], [measure([make_score("accuracy", 0.79, stderr=0.014)])])
    assert rows(render_summary(run), "### What got worse")[1][-1] == told


def test_what_changed_in_the_environment():
    markdown = render_summary(FAILING)
    part = markdown.split("### What changed around the figures")[1].split("###")[0]
    assert "- onnxruntime 1.30.0 -&gt; 1.31.1 (1 figure)\n" in part
    assert "- threads 2 -&gt; 4 (1 figure)\n" in part
    calm = render_summary(run_of([decide(Verdict.PASS)]))
    assert "nothing of versions, processor, threads and execution provider differs" in calm
    unknown = render_summary(run_of([decide(Verdict.PASS, against="reference")]))
    assert "No figure was held against a stored baseline" in unknown


def test_the_commands_that_reproduce_and_accept():
    markdown = render_summary(FAILING)
    blocks = re.findall(r"```sh\n(.*?)```", markdown, flags=re.DOTALL)
    given = '-k "[tiny-int4-ort-cpu]" --gate-limit=5'
    update = '--gate-update-baselines --gate-reason "..."'
    assert blocks == [
        f'quantgate run -m "mmlu or perplexity or kl_divergence" {given}\n',
        f'quantgate run -m "mmlu or perplexity" {given} {update}\n',
        f"quantgate run -m mmlu {given.replace('int4', 'fp32')} {update}\n",
    ]
    accepting = markdown.split("Only if the change is meant")[1].split("```")[0]
    assert "rewrites <code>baselines/tiny/int4-ort-cpu.json</code>" in accepting
    assert "commit both" in accepting
    assert "won't be enough" not in accepting


def test_accepting_is_not_enough_where_the_reference_is_too_far():
    reason = "it is 0.12 worse than the reference 0.8, which exceeds the allowed 0.03"
    decision = decide(Verdict.REGRESSION, reason=reason, reference=0.8)
    markdown = render_summary(run_of([decision]))
    assert "It won't be enough: MMLU would still be worse than the reference" in markdown
    within = replace(decision, reason=reason.replace("exceeds", "is within"))
    assert "won't be enough" not in render_summary(run_of([within]))


def test_a_limit_against_the_reference_is_not_mended_by_an_update():
    markdown = render_summary(run_of([decide(Verdict.REGRESSION, against="reference")]))
    assert "--gate-update-baselines" not in markdown
    assert "quantize with less loss" in markdown


@pytest.mark.parametrize(
    "case", ["a-b-c", "a-b-c-d-e", "a-b-c-$(rm)", 'a-b-c-d" -p evil', "-a-b-c"]
)
def test_fault_70_no_command_for_a_name_that_is_no_case(case):
    assert reproduce_command(FAILING, replace(PERPLEXITY, case_id=case)) is None
    assert reproduce_command(FAILING, replace(PERPLEXITY, task="mmlu; rm")) is None


@pytest.mark.parametrize("value", ["5; rm -rf /", "$(x)", [1], {"a": 1}, "../x", -1, None])
def test_fault_70_options_in_commands_are_plain(value):
    run = run_of([], facts={"options": {"--gate-limit": value, "--gate-sequential": True}})
    told = reproduce_command(run, PERPLEXITY)
    assert told.endswith('-k "[tiny-int4-ort-cpu]" --gate-sequential')


def test_what_could_not_be_measured_has_its_reason():
    markdown = render_summary(FAILING)
    (row,) = rows(markdown, "### What could not be measured")[1:]
    assert row == [CASE, "kl_divergence kl_mean", "model-died: the model ended &#124; code 9"]
    (unclear,) = rows(markdown, "### What this run can't tell")[1:]
    assert unclear[-1] == "below what is seen"
    assert "measure on more items" in markdown


def test_what_is_well_is_folded_behind():
    markdown = render_summary(FAILING)
    folded = markdown.split("<details>")
    assert "at risk" not in "".join(folded[1:3])
    passes = rows(markdown, "What is within tolerance: 2")
    assert [row[-1] for row in passes[1:]] == ["PASS (at risk)", "PASS"]
    assert markdown.count("<details>") == markdown.count("</details>") == 7
    assert "- calm (2 times)\n- slow disk\n" in markdown
    _, own, reference, other = rows(markdown, "Answers that changed")
    assert own == [CASE, "baseline", "812", "31", "12", "-"]
    assert reference == [CASE, "reference", "812", "31", "12", "14"]
    assert other[0] == "tiny-int8-ort-cpu"


def test_few_passes_are_not_folded_when_all_is_well():
    markdown = render_summary(run_of([decide(Verdict.PASS)]))
    assert markdown.startswith("## PASS: of 1 figure, 1 is within tolerance\n")
    assert "### What is within tolerance" in markdown


def test_a_run_without_decisions_says_so():
    assert render_summary(run_of([])).startswith("## NOTHING WAS DECIDED")


def test_caveats_stand_before_the_figures():
    facts = {
        **FACTS, "configuration": {"complete": False}, "options": {"--gate-update-baselines": True}
    }  # fmt: skip
    lines = render_summary(run_of([decide(Verdict.PASS)], facts=facts)).splitlines()
    assert lines[2] == "**The run was interrupted: not everything was measured.**"
    assert lines[4].startswith("**This run stored baselines")


def test_a_ratio_is_told_as_a_share_of_the_anchor():
    decision = replace(
        PERPLEXITY, tolerance=Tolerance(kind="three_state", value=0.05, at_risk=0.1), evidence=None
    )
    run = run_of([decision], FAILING.measurements)
    row = rows(render_summary(run), "### What got worse")[1]
    assert row[4] == "+0.450 (+3.13 %)"
    assert row[-1] == "unknown: no items to pair"
    assert row[5] == "+0.216 (+1.50 %)<br>at risk above 5.00 %"


def test_the_comment_is_found_again_and_links_the_report():
    url = "https://github.com/o/r/actions/runs/1#artifacts"
    comment = render_comment(FAILING, report_url=url)
    assert comment.startswith(f"{COMMENT_MARK}\n")
    assert comment.count(COMMENT_MARK) == 1
    assert (
        f"[The whole report](<{url}>) has the subjects, the questions whose answers changed (at "
        "most 200 of a case, lost ones first) and the perplexity along the text.\n" in comment
    )
    assert "](" not in render_comment(FAILING)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x/)[a](b", "https://u:p@x/", "x" * 9]
)
def test_fault_70_other_addresses_are_refused(url):
    with pytest.raises(UsageFault, match="report-url"):
        render_comment(FAILING, report_url=url)


def many(count, name):
    kinds = [*[Verdict.REGRESSION] * 5, *Verdict]
    decisions = [
        decide(
            kinds[i % len(kinds)], f"subject.s{i}", case_id=f"{name}{i}-int4-ort-cpu",
            delta=-0.02 - i * 1e-6, notes=(f"note {i} {name}", f"differs from the baseline: x {i}"),
        )
        for i in range(count)
    ]  # fmt: skip
    return run_of(decisions)


@pytest.mark.parametrize("name", ["m", "größe_@#1|" * 20], ids=["short", "long"])
@pytest.mark.parametrize(
    ("render", "limit"), [(render_summary, 1_048_576), (render_comment, 65_536)]
)
def test_fault_71_ten_thousand_decisions_stay_under_the_limit(name, render, limit):
    run = many(10_000, name)
    markdown = render(run)
    assert limit * 0.5 < len(markdown.encode("utf-8")) < limit
    assert "Of 10,000 figures, 6,000 are worse than allowed" in markdown
    assert "5,995 more cases are in the table." in markdown
    left = re.search(r"([\d,]+) of 6,000 rows are left out here; all are in", markdown)
    worse = rows(markdown, "### What got worse")[1:]
    assert len(worse) + int(left[1].replace(",", "")) == 6_000
    ranks = [int(re.search(r"subject\.s(\d+)", row[1])[1]) for row in worse]
    assert ranks == sorted(ranks, reverse=True), "the largest drops stand first"
    assert ranks[0] == 9_996
    assert all(len(row) == len(COLUMNS) for row in worse)
    assert markdown.count("<details>") == markdown.count("</details>")
    assert markdown.count("```") % 2 == 0
    assert "### What changed around the figures" in markdown
    assert ("--gate-update-baselines" in markdown) == (name == "m")


def test_fault_71_one_endless_name_displaces_no_other_row():
    run = run_of([
        decide(Verdict.REGRESSION, "a", delta=-0.5, reason="x" * 70_000, case_id="y" * 70_000),
        decide(Verdict.REGRESSION, "b"),
    ])  # fmt: skip
    comment = render_comment(run)
    assert [row[1] for row in rows(comment, "### What got worse")[1:]] == ["mmlu b"]
    assert "1 of 2 row" in comment


def test_fault_73_secrets_do_not_appear():
    facts = {
        **FACTS,
        "options": {"--gate-reason": "hf_abcdefghijklmnopqrst", "u": "https://a:b@c/d"},
    }
    markdown = render_summary(run_of([decide(Verdict.PASS)], facts=facts))
    assert "hf_abc" not in markdown
    assert "a:b@" not in markdown
