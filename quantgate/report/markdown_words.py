"""The words of a report that a newcomer can't know, a line each: those that occur in it."""

from __future__ import annotations

from typing import Final

from quantgate.report.commands import is_case
from quantgate.report.fitting import Section
from quantgate.report.names import RUNTIMES
from quantgate.run_file import RunFile

# In this order; `_occurring` says which of them a run's report has.
_WORDS: Final = {
    "case": "`<model>-<variant>-<runtime>-<device>`: one package of a model on one runtime and "
    "device.",
    "baseline": "what an accepted earlier run stored, in a file that is committed and reviewed.",
    "reference": "the model that candidates were made from, or whatever the manifest holds them "
    "against; measured like them.",
    "strided": "a perplexity of overlapping windows: every token of the text but the first is "
    "scored once, by what stands before it in its window. Its parameters are the windows' length "
    "and stride in tokens.",
    "genai_chunked": "the perplexity over those of the same tokens that the last chunk of each "
    "window holds, which is all that a runtime yields that reads a text in chunks. It has nothing "
    "to do with `ortgenai`.",
    "kl_divergence": "how far the candidate's probabilities of the next token are from the "
    "reference's, by Kullback and Leibler; `kl_mean` is the mean over a text, in nats, and 0 where "
    "they are equal.",
    "nats": "units of natural logarithms: 0.01 nats a token are 1 % of perplexity.",
    "agreement": "how far runtimes are apart on the same package; `max_difference` is the largest "
    "difference of one token's log-probability, in nats, from the first runtime's. That one's own "
    "is 0.",
    "generation": "greedy answers; `matched_share` is the part of each before the first token that "
    "isn't the reference's.",
    **{name: f"the runtime {words}." for name, words in RUNTIMES.items()},
    "manifest": "`quantgate.toml`, which names models, data and limits. In the commands `-m` names "
    "suites and `-k` a case.",
}
_NATS: Final = frozenset({"perplexity", "kl_divergence", "agreement"})


def words(run: RunFile) -> list[Section]:
    """The list, folded; none where nothing was decided."""
    if not run.decisions:
        return []
    found = _occurring(run)
    return [
        Section(
            head="<details><summary>Words</summary>\n\n",
            rows=[f"- `{word}`: {told}" for word, told in _WORDS.items() if word in found],
            tail="\n</details>\n",
        )
    ]


def _occurring(run: RunFile) -> set[str]:
    found = {"case", "manifest"}
    for decision in run.decisions:
        suite, _, protocol = decision.task.partition(".")
        found |= {suite, protocol, decision.against}
        if suite in _NATS:
            found.add("nats")
        if is_case(decision.case_id):
            found.add(decision.case_id.split("-")[2])
    if any("flips" in each.detail for each in run.measurements):
        found.add("reference")
    return found
