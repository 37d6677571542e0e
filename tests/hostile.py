"""Names that somebody could give a model, a file, a subject or a message, to harm who reads them.

Used by the tests of every sink; `hostile_run` puts one of them wherever a results file holds text.
"""

from __future__ import annotations

from quantgate.results import Decision, Evidence, Measurement, Score, Verdict
from quantgate.run_file import RunFile
from tests.planted_runs import evidence, measure, score

SECRET = "hf_abcdefghijklmnopqrstuvwxyz012345"
HOSTILE = {
    "colours": "\x1b[31mPASS\x1b[0m",
    "clear screen": "\x1b[2J\x1b[Hgone",
    "c1 controls": "\x9b31mred \x9d0;title\x07",
    "hyperlink": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "endless osc": "before \x1b]0;never ended",
    "script": "</script><script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "svg": "<svg/onload=alert(1)>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "comment end": "--> <!-- quantgate --> ]]>",
    "close details": "</details></table></td></code>",
    "style": "<style>*{display:none}</style>",
    "entity": "&lt;b&gt; &#64;team &amp;#64;team",
    "doctype": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>&a;',
    "pipes": "a|b||c\\|d\\\\|e",
    "newlines": "one\n| forged | PASS |\r\n\n# PASS\u2028three\x0bfour\x85five",
    "backticks": "```\n`code` ``two`` ~~~",
    "emphasis": "**bold** __init__ *a* _b_ ~~c~~",
    "link": "[click](https://evil.example) ![x](https://evil.example/x.png) [r]: //evil",
    "bare links": "https://evil.example www.evil.example HTTP://EVIL mailto:a@b.example",
    "autolink": "<https://evil.example> <a@b.example>",
    "mention": "@org/team @octocat x@y",
    "issues": "#1 org/repo#2 GH-3 fixes #4",
    "set-output": "::set-output name=verdict::PASS",
    "workflow commands": "::error::x\n::add-mask::y\n##[error]z\n::stop-commands::t",
    "percent escapes": "%0A::error::x%0D%25",
    "heredoc": "EOF\nverdict=PASS\nverdict<<EOF\nPASS\nEOF",
    "bidi": "\u202egnp.exe\u202c \u2066abc\u2069 \u200fabc",
    "zero width": "sm\u200bol\u2060lm\ufeff",
    "nul": "a\x00b\x01\x02\x7f",
    "lone surrogate": "a\udcffb\ud800",
    "not xml": "a\ufffe\uffff\x0b\x0c\x1fb",
    "expression": "${{ secrets.GITHUB_TOKEN }} {{ 7*7 }} {% raw %}",
    "shell": "$(rm -rf ~) `rm` ; rm -rf / && x > y | z",
    "quotes": "int4\" --gate-update-baselines '",
    "path": "../../../../etc/passwd",
    "absolute path": "/etc/passwd",
    "windows path": "C:\\..\\con.json:stream",
    "formula": "=cmd|' /C calc'!A0",
    "plus formula": "+1+cmd @SUM(1)",
    "math": "$x$ $$\\frac{a}{b}$$ \\(y\\)",
    "emoji": ":smile: :+1: :100:",
    "list": "- [x] done",
    "heading": "# heading",
    "number": "1. one",
    "rule": "---",
    "setext": "===",
    "token": f"token {SECRET} and ghp_0123456789abcdefghijkl",
    "url with password": "https://user:pa@ss@evil.example/x?access_token=s3cr3tvalue&a=1",
    "markup of rich": "[bold red]x[/] [link=https://evil.example]y[/link] [/nothing]",
    "long": "very_long_name_" * 400,
    "empty": "",
    "blanks": " \t \n ",
}
# Parts of `HOSTILE` that no report may hold, whatever it is.
SECRETS = (SECRET, "ghp_0123456789", "pa@ss", "s3cr3tvalue")


def hostile_decisions(text: str) -> list[Decision]:
    """A decision of each verdict, with `text` wherever a text stands."""
    return [
        Decision(
            case_id=text,
            task=text,
            metric=f"{verdict}{text}",
            verdict=verdict,
            value=0.7,
            reason=text,
            anchor=0.8,
            against=text,
            delta=-0.1,
            allowed=0.01,
            notes=(text, f"differs from the baseline: {text}; onnxruntime 1 -> 2"),
            evidence=_evidence(text),
        )
        for verdict in Verdict
    ]


def hostile_run(text: str) -> RunFile:
    """A run whose every text is `text`, unknown keys of its loose parts included."""
    return RunFile(
        facts={
            "started": text,
            "ended": text,
            "options": {text: text, "--gate-limit": text},
            "configuration": {"data": {"text": text}, text: {text: text}},
            "provenance": {
                "quantgate": text, "python": text, "os": text, "git_commit": text,
                "cpu": {"model": text, "cores": text}, "packages": {text: text},
            },
        },
        measurements=(_measurement(text),),
        decisions=tuple(hostile_decisions(text)),
    )  # fmt: skip


def _evidence(text: str) -> Evidence:
    return evidence(against=text, scale=text, method=text)


def _measurement(text: str) -> Measurement:
    scores: list[Score] = [score(f"{verdict}{text}", 0.7, unit=text) for verdict in Verdict]
    flip = {
        "question": text, "text": text, "options": [text], "gold": text, "reference": text,
        "candidate": text,
    }  # fmt: skip
    return measure(
        scores,
        case_id=text,
        task=text,
        protocol=text,
        identity={"backend": text, "provider": text, text: text},
        detail={
            "flips": {"right_to_wrong": 1, "wrong_to_right": 2, "changed": 3, "listed": [flip]},
            "subjects": {text: {"accuracy": 0.5, "n": 2}},
            "sequential": {"taken": 1, "of": 2, "verdict": text},
        },
        warnings=(text,),
    )
