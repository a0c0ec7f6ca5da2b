"""Settings travel inside the PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import EngineError, ErrorCode
from engine.images.metadata import read_manifest, write_png

MANIFEST = {"spec": {"kind": "images.generate", "seed": 7}, "prompt": "grüner Frosch 蛙"}


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)


def test_round_trip_keeps_pixels_and_manifest(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(write_png(picture, MANIFEST))
    assert read_manifest(path) == MANIFEST
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_equal_arguments_give_equal_bytes(picture: np.ndarray) -> None:
    assert write_png(picture, MANIFEST) == write_png(picture, dict(reversed(MANIFEST.items())))


def plain_png(path: Path) -> None:
    Image.new("RGB", (4, 4)).save(path)


def text_file(path: Path) -> None:
    path.write_text("not a picture")


def truncated(path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path.write_bytes(write_png(noise, MANIFEST)[:4000])


def damaged_settings(path: Path) -> None:
    from PIL import PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_itxt("triptych", "{broken")
    Image.new("RGB", (4, 4)).save(path, pnginfo=text)


def foreign_settings(path: Path) -> None:
    path.write_bytes(write_png(np.zeros((2, 2, 3), np.uint8), {"other": 1}))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (plain_png, "carries no Triptych settings"),
        (text_file, "cannot be read as a picture"),
        (truncated, "cannot be read as a picture"),
        (damaged_settings, "are damaged"),
        (foreign_settings, "not those of a Triptych result"),
        (lambda path: None, "no longer there"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, write, says: str) -> None:
    path = tmp_path / "file.png"
    write(path)
    with pytest.raises(EngineError, match=says) as caught:
        read_manifest(path)
    assert caught.value.code is ErrorCode.BAD_FILE
