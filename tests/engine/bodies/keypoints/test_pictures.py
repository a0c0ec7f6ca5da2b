"""Photos for detectors: upright, bounded, and refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.bodies.keypoints import pictures
from engine.bodies.keypoints.pictures import WORKING_SIDE, as_picture, read_picture
from engine.errors import EngineError

CORNER = np.zeros((20, 30, 3), np.uint8)
CORNER[:5, :5] = 255


def saved(path: Path, orientation: int = 1) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(CORNER).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [(1, (30, 20), (0, 0)), (3, (30, 20), (19, 29)), (6, (20, 30), (0, 19)), (8, (20, 30), (29, 0))],
)
def test_the_orientation_of_the_camera_is_applied(
    tmp_path: Path, orientation: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    picture = read_picture(saved(tmp_path / "a.png", orientation))
    assert (picture.width, picture.height) == size
    assert picture.pixels.shape == (size[1], size[0], 3)
    assert picture.pixels[corner].tolist() == [255, 255, 255]
    assert picture.pixels.reshape(-1, 3).any(1).sum() == 25


def test_large_photos_are_scaled_down_and_keep_their_size(tmp_path: Path) -> None:
    Image.new("RGB", (8192, 6144), "teal").save(tmp_path / "fifty.jpg")
    picture = read_picture(tmp_path / "fifty.jpg")
    assert (picture.width, picture.height) == (8192, 6144)
    assert max(picture.pixels.shape) == WORKING_SIDE
    assert picture.scale.tolist() == [2, 2]
    frame = as_picture(np.zeros((10, 2 * WORKING_SIDE, 3), np.uint8))
    assert frame.pixels.shape == (5, WORKING_SIDE, 3)
    assert (frame.width, frame.height) == (2 * WORKING_SIDE, 10)


def test_transparent_and_deep_pictures_become_rgb(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png").pixels == 128).all()
    Image.fromarray(np.full((4, 4), 257 * 200, np.uint16)).save(tmp_path / "deep.png")
    assert (read_picture(tmp_path / "deep.png").pixels == 200).all()
    Image.new("1", (4, 4), 1).save(tmp_path / "bits.png")
    assert (read_picture(tmp_path / "bits.png").pixels == 255).all()


def test_what_cannot_be_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="not there"):
        read_picture(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(EngineError, match="not an image"):
        read_picture(tmp_path / "text.png")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for suffix in ("jpg", "png"):
        whole = tmp_path / f"whole.{suffix}"
        Image.fromarray(noise).save(whole)
        (tmp_path / f"cut.{suffix}").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with pytest.raises(EngineError, match="damaged or cut off"):
            read_picture(tmp_path / f"cut.{suffix}")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(EngineError, match="animated"):
        read_picture(tmp_path / "two.gif")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 599)
    with pytest.raises(EngineError, match="megapixels"):
        read_picture(saved(tmp_path / "large.png"))
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(EngineError, match="cannot be looked at"):
            as_picture(wrong)  # type: ignore[arg-type]
