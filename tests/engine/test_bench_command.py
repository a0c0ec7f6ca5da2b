"""``triptych bench dynamic``: what it measures, and what it refuses."""

from __future__ import annotations

import json

import pytest
import torch

from engine import cli
from engine.images.dynamic_bench import compare, shares_for

QUICK = ("--sizes", "S", "--repeats", "1", "--device", "cpu")


def test_rows_compare_static_and_dynamic(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "--sizes",
        "S",
        "--batch",
        "1",
        "2",
        "--threads",
        "1",
        "--repeats",
        "1",
        "--device",
        "cpu",
        "--json",
    ]
    before = torch.get_num_threads()
    assert cli.main(["bench", "dynamic", *flags]) == 0
    assert torch.get_num_threads() == before
    found = json.loads(capsys.readouterr().out)
    assert (found["device"], found["ratio"]) == ("cpu", 0.5)
    assert [row["batch"] for row in found["rows"]] == [1, 2]
    for row in found["rows"]:
        assert row["mac_ratio"] == pytest.approx(0.5, abs=0.06)
        assert row["speedup"] == pytest.approx(row["static_seconds"] / row["dynamic_seconds"], rel=0.01)
        assert row["repeats"] >= 1


def test_without_json_it_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(
            ["bench", "dynamic", "--sizes", "S", "--batch", "1", "--repeats", "1", "--device", "cpu"]
        )
        == 0
    )
    said = capsys.readouterr()
    head, row = said.out.splitlines()
    assert head.split()[:2] == ["size", "blocks"]
    assert row.split()[0] == "S"
    assert "DiT-S" in said.err


def test_everything_open_is_everything_computed() -> None:
    (row,) = compare(["S"], [8], [1], 1.0, 1, depth=1, side=8)
    assert row.mac_ratio == 1
    assert row.counted == pytest.approx(1, abs=0.03)  # the routers' own


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--sizes M", "no size M"),
        ("--ratio 0.1", "cannot be measured"),
        ("--ratio 1.5", "cannot be measured"),
        ("--batch 0", "--batch must be"),
        ("--threads 0", "--threads must be"),
        ("--repeats 0", "--repeats must be"),
        ("--batch many", "not a whole number"),
    ],
)
def test_what_is_refused(capsys: pytest.CaptureFixture[str], flags: str, said: str) -> None:
    assert cli.main(["bench", "dynamic", "--device", "cpu", *flags.split()]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.7, 0.9])
def test_shares_make_the_ratio(ratio: float) -> None:
    heads, groups, tokens = shares_for(ratio)
    # Attention is 36 % of a block of width 384 with 64 tokens and less of wider ones.
    assert heads / 3 + groups * tokens * 2 / 3 == pytest.approx(ratio, abs=0.05)
