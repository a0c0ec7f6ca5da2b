"""Zones as files: JSON of ours, and the label images of the AI City Challenge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import bad_file
from engine.tracks.cameras import Camera, Zone
from engine.tracks.formats.text import write_text
from engine.tracks.zone_shapes import area, clipped, shape_problem

FORMAT, VERSION = "triptych-zones", 1
IMAGE_SUFFIXES = frozenset({".png", ".bmp"})
LIT = 50
"""From which a channel of a label image is on: outlines are smoothed."""
COLOURS = {(1, 1, 1): "white", (1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue"}
LEAST_PART = 0.002
"""Of the picture; smaller spots of a label image are nothing."""
CORNER = 0.004
"""Of the picture's diagonal, by which an outline may be off the label image's."""


@dataclass(frozen=True)
class ZoneFile:
    """What a file says.

    Attributes
    ----------
    zones
        By the name of a camera; that is empty in a file about one camera, whichever that is.
    sizes
        Width and height of the pictures they are about, by the same names; 0 where unknown.
    """

    zones: dict[str, tuple[Zone, ...]]
    sizes: dict[str, tuple[int, int]]


def write_zones(cameras: Sequence[Camera], path: Path) -> None:
    """Write the zones of cameras as JSON; the file is whole, or not there."""
    data = {
        "format": FORMAT,
        "version": VERSION,
        "cameras": [
            {"name": told["name"], "width": told["width"], "height": told["height"],
             "zones": told["zones"]}
            for told in (camera.to_json() for camera in cameras)
        ],
    }  # fmt: skip
    write_text(path, [json.dumps(data, indent=1)])


def read_zones(path: Path) -> ZoneFile:
    """Read zones of JSON, or of a label image (:func:`zones_of_labels`).

    Raises
    ------
    EngineError
        ``bad_file`` for anything else.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        image = _image(path)
        height, width = image.shape[:2]
        return ZoneFile({"": zones_of_labels(image)}, {"": (width, height)})
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT or int(data["version"]) > VERSION:
            raise ValueError(f"format {data['format']}, version {data['version']}")
        cameras = [Camera.from_json(entry) for entry in data["cameras"]]
    except OSError as error:
        raise bad_file(f"{path} cannot be read: {error.strerror}. Nothing was changed.") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise bad_file(
            f"{path.name} holds no zones that can be read; nothing was changed.",
            "Zones are JSON that this page has written, or an AI City label image (PNG).",
            str(error),
        ) from error
    return ZoneFile(
        {camera.name: camera.zones for camera in cameras},
        {camera.name: (camera.width, camera.height) for camera in cameras},
    )


def _image(path: Path) -> NDArray[np.uint8]:
    import cv2

    try:
        raw = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise bad_file(f"{path} cannot be read: {error.strerror}. Nothing was changed.") from error
    image = cv2.imdecode(raw, cv2.IMREAD_COLOR) if len(raw) else None
    if image is None:
        raise bad_file(f"{path.name} is no picture that can be read; nothing was changed.")
    return np.asarray(image[:, :, ::-1], np.uint8)


def zones_of_labels(image: NDArray[np.uint8]) -> tuple[Zone, ...]:
    """Outlines of the areas of one colour; named by it, numbered from the largest where it has several.

    Parameters
    ----------
    image
        uint8 ``(H, W, 3)`` red, green, blue; black is no zone.

    Raises
    ------
    EngineError
        ``bad_file`` without any area.
    """
    import cv2

    height, width = image.shape[:2]
    on = image > LIT
    zones: list[Zone] = []
    for colour, name in COLOURS.items():
        mask = np.all(on == np.array(colour, bool), axis=2).astype(np.uint8)
        # Smoothed outlines leave thin lines of other colours.
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(np.uint8)
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        parts = []
        for contour in found:
            off = CORNER * float(np.hypot(width, height))
            corners = cv2.approxPolyDP(contour, off, True).reshape(-1, 2).astype(np.float64)
            polygon = clipped([(x, y) for x, y in corners.tolist()], width, height)
            large = len(polygon) >= 3 and area(polygon) >= LEAST_PART * width * height
            if large and not shape_problem(polygon, width, height):
                parts.append(polygon)
        parts.sort(key=area, reverse=True)
        zones += [
            Zone(name if not number else f"{name} {number + 1}", polygon)
            for number, polygon in enumerate(parts)
        ]
    if not zones:
        raise bad_file(
            "The picture has no zones: areas of plain white, red, green or blue; nothing was changed.",
            "Label images of the AI City Challenge have them, black between.",
        )
    return tuple(zones)


def fitted_zones(
    file: ZoneFile, cameras: Sequence[Camera], at: int, size: tuple[float, float]
) -> tuple[dict[int, tuple[Zone, ...]], list[str]]:
    """What of a file belongs to which camera, to the size of its pictures.

    A file about one camera is about the one that is shown, whatever it is called.

    Parameters
    ----------
    file
        See :class:`ZoneFile`.
    cameras
        Of the scene.
    at
        The one that is shown.
    size
        Of its pictures, where it does not say that.

    Returns
    -------
    Zones by the position of their camera, and notes on what was left out or changed.

    Raises
    ------
    EngineError
        ``bad_file`` where nothing of it fits.
    """
    names = {camera.name: position for position, camera in enumerate(cameras)}
    if len(file.zones) == 1 and next(iter(file.zones)) not in names:
        targets = {next(iter(file.zones)): at}
    else:
        targets = {name: names[name] for name in file.zones if name in names}
    notes = [f"The scene has no camera {name}." for name in file.zones if name not in targets]
    found: dict[int, tuple[Zone, ...]] = {}
    for name, position in targets.items():
        camera, (width, height) = cameras[position], file.sizes[name]
        wide = camera.width or (size[0] if position == at else width) or width
        high = camera.height or (size[1] if position == at else height) or height
        across, down = (wide / width, high / height) if width and height else (1.0, 1.0)
        kept = []
        for zone in file.zones[name] if name else _along_the_road(file.zones[name], cameras, at):
            corners = [(x * across, y * down) for x, y in zone.polygon]
            polygon = clipped(corners, wide, high) if wide and high else tuple(corners)
            problem = shape_problem(polygon, wide, high) if wide and high else ""
            if problem:
                notes.append(f"{camera.name}: zone {zone.name!r} was left out. {problem}")
                continue
            if wide and high and not all(0 <= x <= wide and 0 <= y <= high for x, y in corners):
                notes.append(f"{camera.name}: zone {zone.name!r} was cut at the picture's border.")
            kept.append(Zone(zone.name, polygon, *_leads(zone, camera, names), zone.ignored))
        found[position] = tuple(kept)
    if not any(found.values()):
        raise bad_file(
            "None of the file's zones is of a camera of this scene; nothing was changed.",
            "\n".join(notes),
        )
    return found, notes


def _along_the_road(zones: Sequence[Zone], cameras: Sequence[Camera], at: int) -> list[Zone]:
    """What the colours of a label image mean: green leads to the next camera, blue to the previous."""
    names = {"green": at + 1, "blue": at - 1}
    found = []
    for zone in zones:
        to = names.get(zone.name.split()[0], -1)
        found.append(replace(zone, leads_to=cameras[to].name) if 0 <= to < len(cameras) else zone)
    return found


def _leads(zone: Zone, camera: Camera, names: dict[str, Any]) -> tuple[str, str]:
    """Where a zone leads, as far as this scene has that."""
    there = zone.leads_to in names and zone.leads_to != camera.name
    return (zone.leads_to, zone.leads_into) if there else ("", "")
