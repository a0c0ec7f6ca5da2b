"""From labelled pictures to a model that Tracks takes, measured on what it was never taught."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from engine.adapt.backbone import prepared
from engine.adapt.backbone_data import altered
from engine.adapt.data import read_dataset
from engine.adapt.measuring import interval
from engine.cli import main
from engine.errors import EngineError
from engine.headless import Outcome, run_to_folder
from engine.job import JobSpec
from engine.tracks.appearance.catalogue import load_appearance
from tests.engine.adapt.test_backbone import vehicle

CAMERAS = ("north", "south")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen vehicles in two cameras, three pictures each."""
    folder = tmp_path_factory.mktemp("crops")
    for name in range(14):
        for at, camera in enumerate(CAMERAS):
            rng = np.random.default_rng([name, at])
            place = folder / f"car {name:02d}" / camera
            place.mkdir(parents=True)
            for shot in range(3):
                seen = vehicle(7_000_000 + name, name % 5, (60 + 8 * shot, 42 + 5 * shot))
                small = np.asarray(Image.fromarray(seen).resize((64, 64)))
                Image.fromarray(altered(small, rng)).save(place / f"{shot}.png")
    return folder


def learn(data: Path, out: Path, **params: Any) -> Outcome:
    spec = JobSpec("adapt.train", params, {"data": data}, seed=3, device="cpu")
    return run_to_folder(spec, out, lambda *_args: None, lambda: False)


def test_vehicles_are_found_again_in_the_other_camera(crops: Path, tmp_path: Path) -> None:
    outcome = learn(crops, tmp_path)
    assert outcome.error is None
    metrics = outcome.metrics
    assert (metrics["pictures"], metrics["classes"]) == (84, 14)
    assert sum(metrics["splits"].values()) == 84
    after = metrics["after"]
    assert after["rank1"] > 0.6
    assert [pair["rank1"] for pair in after["pairs"]] == sorted(p["rank1"] for p in after["pairs"])
    assert metrics["before"]["rank1"] > 0.5
    assert metrics["onnx_difference"] < 1e-4
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["after"] == after
    assert card["data"]["pictures"] == 84
    dataset = read_dataset(tmp_path / "dataset.json")
    tested = {item.label for item in dataset.of("test")}
    assert tested
    assert not tested & {item.label for item in dataset.of("train")}, (
        "never taught whom it is asked for"
    )

    # Tracks takes the file as it is.
    appearance = load_appearance(str(tmp_path / "appearance.onnx"))
    pictures = [np.asarray(Image.open(path)) for path in sorted(crops.rglob("*.png"))[:4]]
    session = onnxruntime.InferenceSession(tmp_path / "appearance.onnx")
    (found,) = session.run(None, {"image": prepared(np.stack(pictures)).numpy()})
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    assert appearance.describe(pictures) == pytest.approx(unit, abs=2e-3)


def test_the_same_seed_gives_the_same_model(crops: Path, tmp_path: Path) -> None:
    files = []
    for turn in ("a", "b"):
        assert learn(crops, tmp_path / turn, goal="classes").error is None
        files.append((tmp_path / turn / "card.json").read_bytes())
    assert files[0] == files[1]
    card = json.loads(files[0])
    assert card["after"]["accuracy"] > 0.6
    low, high = card["after"]["interval"]
    assert low < card["after"]["accuracy"] <= high
    assert np.sum(card["after"]["confusion"]) == card["data"]["splits"]["test"]
    assert {row["name"] for row in card["after"]["domains"]} <= set(CAMERAS)


def test_cameras_are_weighted_on_request(crops: Path, tmp_path: Path) -> None:
    outcome = learn(crops, tmp_path, goal="classes", domains="robust")
    assert outcome.error is None
    weights = outcome.metrics["settings"]["domains"]
    assert set(weights) == set(CAMERAS)
    assert sum(row["weight"] for row in weights.values()) == pytest.approx(1)


def test_what_is_wrong_with_pictures_is_said_and_the_rest_is_used(crops: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "domain"])
        for path in sorted(crops.rglob("*.png")):
            writer.writerow([path, path.parts[-3], path.parts[-2]])
        writer.writerow([tmp_path / "broken.png", "car 01", "north"])
        writer.writerow([tmp_path / "gone.png", "car 01", "north"])
    outcome = learn(table, tmp_path / "out", goal="classes")
    assert outcome.error is None
    assert outcome.metrics["pictures"] == 84
    told = " ".join(outcome.metrics["problems"])
    assert "broken.png: the file is no picture" in told
    assert "gone.png: the file cannot be read" in told


@pytest.mark.parametrize(
    ("labels", "words"), [(["a"] * 8, "only the class 'a'"), ([], "No labelled picture")]
)
def test_nothing_to_tell_apart(tmp_path: Path, labels: list[str], words: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for at, label in enumerate(labels):
        (data / label).mkdir(exist_ok=True)
        shade = np.full((20, 20, 3), 10 * at, np.uint8)
        Image.fromarray(shade).save(data / label / f"{at}.png")
    outcome = learn(data, tmp_path / "out")
    assert isinstance(outcome.error, EngineError)
    assert words in outcome.error.message


def test_the_command(crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["adapt", "train", str(crops), "--goal", "classes", "--no-metric"]
    assert main([*arguments, "--out", str(tmp_path / "a"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"] == {"metric": "none"}
    assert told["before"] == told["after"]
    assert main([*arguments, "--out", str(tmp_path / "b")]) == 0
    assert "others are told right" in capsys.readouterr().err


def test_intervals() -> None:
    assert interval(0, 0) == (0, 1)
    low, high = interval(90, 100)
    assert (low, high) == pytest.approx((0.8256, 0.9448), abs=1e-3)
