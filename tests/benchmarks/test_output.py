"""What a benchmark prints, keeps and has for the page comes from one and the same rows."""

import json
import math
from argparse import Namespace

import numpy as np
import pytest

from benchmarks import generation
from benchmarks.output import (
    Curve,
    PageTable,
    PageTarget,
    page,
    print_page,
    print_table,
    shown,
    write_json,
)
from benchmarks.peers import perplexity
from benchmarks.peers.comparison import Compared
from benchmarks.peers.ratios import Target, page_targets, ratio_rows


def test_a_page_survives_its_file(tmp_path):
    content = page(
        [PageTable("t", [{"side": "a", "s": np.float32(0.5), "ok": np.bool_(True)}], "n")],
        [Curve("c", "x", "y", {"a": [(1, 2.0), (2, np.float64(3.0))]}, log_x=True)],
        [PageTarget("w", 6.5, 6.0, ours="quantgate-ort", peer="olive-ort b1")],
    )
    write_json(tmp_path / "f.json", "name", {"options": {}, "results": {}, "page": content})
    kept = json.loads((tmp_path / "f.json").read_text("utf-8"))
    assert kept["page"]["tables"] == [
        {"title": "t", "note": "n", "rows": [{"side": "a", "s": 0.5, "ok": True}]}
    ]
    assert kept["page"]["curves"][0]["series"] == {"a": [[1, 2.0], [2, 3.0]]}
    assert kept["page"]["curves"][0]["log_x"] is True
    assert kept["page"]["curves"][0]["log_y"] is False
    assert kept["page"]["targets"] == [
        {
            "what": "w",
            "ratio": 6.5,
            "wanted": 6.0,
            "reached": True,
            "ours": "quantgate-ort",
            "peer": "olive-ort b1",
        }
    ]
    assert kept["machine"]["memory_mib"] > 0
    assert kept["benchmark"] == "name"


@pytest.mark.parametrize(
    ("ratio", "reached"), [(0.95, True), (0.9499, False), (math.nan, False), (math.inf, True)]
)
def test_a_target_is_reached_at_what_is_wanted(ratio, reached):
    assert PageTarget("w", ratio, 0.95).reached is reached


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (999.9, "999.9"),
        (123456.7, "123457"),
        (12, "12"),
        (True, "yes"),
        (False, "no"),
        (None, "-"),
        ("olive", "olive"),
        (math.nan, "nan"),
    ],
)
def test_a_cell_shows_four_digits(value, text):
    assert shown(value) == text


def test_rows_may_have_different_columns(capsys):
    print_table([{"side": "a", "s": 1.0}, {"side": "bb", "MiB": 2.5}])
    assert capsys.readouterr().out == "side  s  MiB\na     1    -\nbb    -  2.5\n"


def test_the_terminal_shows_what_the_page_has(capsys):
    targets = [PageTarget("a against b", 2.0, 3.0)]
    print_page(page([PageTable("Title", [{"side": "a", "s": 1.5}], "Note.")], targets=targets))
    told = capsys.readouterr().out
    assert "\nTitle\nside    s\na     1.5\nNote.\n" in told
    assert told.endswith(
        "what         ratio  wanted  reached\na against b      2       3       no\n"
    )


def test_ratios_to_the_cheapest_peer_become_targets():
    def seconds(records):
        return records[0]["seconds"]

    records = {
        "quantgate-ort": [{"seconds": 2.0}],
        "olive-ort b1": [{"seconds": 14.0}],
        "olive-ort b8": [{"seconds": 11.0}],
    }
    rows = ratio_rows([Target("quantgate-ort", ("olive-ort",), 6.0, "time", seconds)], records)
    assert page_targets(rows, "fp32") == [
        PageTarget(
            "fp32: quantgate-ort against olive-ort b8, time",
            5.5,
            6.0,
            ours="quantgate-ort",
            peer="olive-ort b8",
        )
    ]


def test_generation_tells_medians_and_the_ratio_of_rounds():
    result = {
        "package": "d",
        "tokens_per_s": {generation.OURS: [90.0, 100.0, 80.0], generation.GENAI: [100.0] * 3},
        "first_token_s": {generation.OURS: [0.2, 0.1, 0.3], generation.GENAI: [0.4] * 3},
        "round_ratios": [0.9, 1.0, 0.8],
        "same_ids": 200,
        "ids": 256,
    }
    told = {"prompt": 128, "new": 256, "threads": 2, "rounds": 3}
    content = generation.page_content({"somewhere/135m-int4": result}, told)
    (table,), (target,) = content["tables"], content["targets"]
    assert table["title"] == "135m-int4"
    assert table["rows"][1] == {
        "side": "quantgate-ort",
        "first token ms": 200.0,
        "tokens/s": 90.0,
        "lowest": 80.0,
        "highest": 100.0,
    }
    assert "128 tokens appended, 256 generated, 2 threads" in table["note"]
    assert "the first 200 of 256 ids are the same" in table["note"]
    assert "ratio 0.900, between 0.800 and 1.000 with 95 % confidence" in table["note"]
    assert (target["ratio"], target["wanted"], target["reached"]) == (0.9, 0.95, False)
    assert (target["ours"], target["peer"]) == ("quantgate-ort", "onnxruntime-genai")


def test_perplexity_names_a_side_that_failed():
    found = {
        "table": [{"side": "quantgate-ort", "s": 1.0}],
        "ratios": [],
        "failed": ["loop-ort"],
        "differences": {"strided": 2e-7, "rolling": 0.0},
    }
    options = Namespace(tokens=8192, window=1024, stride=512, threads=2, rounds=3)
    content = perplexity._page({"fp32": found}, options)
    (table,) = content["tables"]
    assert table["title"] == "fp32, 8192 tokens"
    assert table["rows"] == found["table"]
    assert "perplexities: strided 2e-07, rolling 0; lm-eval's ONNX" in table["note"]
    assert table["note"].endswith(" Failed: loop-ort.")
    assert content["targets"] == []


def test_perplexities_agree_within_a_protocol_but_where_a_peer_leaves_tokens_out():
    found = {
        "quantgate-ort": ("strided", 8.0),
        "loop-ort": ("strided", 8.4),
        "quantgate-ort rolling": ("rolling", 10.0),
        "lm-eval-hf": ("rolling", 10.1),
        "lm-eval-ort": ("rolling", 9.0),
    }
    records = {
        name: [{"protocol": protocol, "perplexity": value}]
        for name, (protocol, value) in found.items()
    }
    compared = Compared("fp32", records, records)
    assert perplexity._difference(compared, "strided") == pytest.approx(0.05)
    assert perplexity._difference(compared, "rolling") == pytest.approx(0.01)


@pytest.mark.parametrize("values", [(math.nan, 8.0), (8.0, math.nan)])
def test_a_perplexity_that_is_no_number_never_agrees(values):
    records = {
        f"loop-{number}": [{"protocol": "rolling", "perplexity": value}]
        for number, value in enumerate(values)
    }
    found = perplexity._difference(Compared("fp32", records, records), "rolling")
    assert math.isnan(found)
    assert not perplexity.agree({"strided": 0.0, "rolling": found})
    assert not perplexity.agree({"strided": found, "rolling": 0.0})
    assert perplexity.agree({"strided": 0.0, "rolling": 0.0})


def test_rolling_is_measured_against_lm_eval_by_quantgates_rolling_side():
    records = {
        "quantgate-ort": [{"seconds": 2.0}],
        "quantgate-ort rolling": [{"seconds": 1.0}],
        "lm-eval-ort": [{"seconds": 1.5}],
    }
    (row,) = ratio_rows(perplexity.TARGETS, records)
    assert (row["quantgate"], row["best of"], row["ratio"]) == (
        "quantgate-ort rolling",
        "lm-eval-ort",
        1.5,
    )
