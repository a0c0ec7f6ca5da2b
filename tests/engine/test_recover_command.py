"""``triptych recover`` on the pictures that ship."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.bodies.record import read_recoveries
from engine.cli import main

SAMPLES = Path(__file__).parents[2] / "resources" / "samples" / "bodies"


def test_a_photo_and_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recover", str(SAMPLES / "two.jpg"), "--method", "ik", "--height", "172"]
    assert main([*words, "--export", "glb,obj", "--out", str(tmp_path), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["pictures"]
    assert told["people"] == len(told["bodies"]) == 2
    assert told["bodies"][0]["height_m"] == pytest.approx(1.72, abs=0.005)
    assert told["bodies"][0]["girths_m"]["waist"] > 0.5
    assert len(told["bodies"][0]["joints_m"]) == 29
    names = [Path(file).name for file in told["files"]]
    assert names == [
        "two.npz",
        "two-body-p1.glb",
        "two-body-p2.glb",
        "two-body-p1.obj",
        "two-body-p2.obj",
    ]
    assert len(read_recoveries(tmp_path / "two.npz")[0].people) == 2


def test_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"no picture")
    (folder / "b.jpg").write_bytes((SAMPLES / "one.jpg").read_bytes())
    assert main(["recover", str(folder), "--method", "ik", "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr()
    assert "a.jpg" in said.err
    assert "b.npz" in said.out
    assert "b.jpg: 1 recovered" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [(["EMPTY"], "no photo or video"), (["x.jpg", "--export", "fbx"], "not written as fbx")],
)
def test_refusals(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path) if word == "EMPTY" else word for word in words]
    assert main(["recover", *given]) == 2
    assert said in capsys.readouterr().err
