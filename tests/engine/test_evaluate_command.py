"""``triptych evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli import main

TRUTH = "".join(
    f"{frame},{track},{100 * track},5,20,40,1\n" for frame in range(1, 11) for track in (1, 2)
)


def files(tmp_path: Path) -> list[str]:
    (tmp_path / "truth.txt").write_text(TRUTH)
    swapped = TRUTH.splitlines(keepends=True)
    swapped[10:] = [
        line.replace(",1,1", ",9,1", 1) if ",1,1" in line[:6] else line for line in swapped[10:]
    ]
    (tmp_path / "result.txt").write_text("".join(swapped))
    return ["evaluate", str(tmp_path / "truth.txt"), str(tmp_path / "result.txt")]


def test_figures_and_errors_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files(tmp_path), "--errors", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["IDSW"], found["DetA"], found["IDF1"]) == (1, 1, 0.75)
    assert found["errors"] == [
        {
            "kind": "switch", "camera": "truth", "frame": 5, "box": [100, 5, 20, 40], "true_id": 1,
            "predicted_id": 9, "earlier_id": 1, "earlier_frame": 4,
        }
    ]  # fmt: skip
    assert found["reports"]["result"]["kept"] == 20


def test_a_line_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files(tmp_path), "--errors", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "IDF1 0.75" in lines[0]
    assert lines[1].startswith("kind switch camera truth frame 5")


def test_a_broken_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = files(tmp_path)
    Path(words[2]).write_text(TRUTH + "1,2\n")
    assert main(words) == 2
    assert "result.txt, line 21" in capsys.readouterr().err
