"""What somebody says about cameras: their zones, where these lead, how long that takes, their clocks.

Each function looks at the cameras of a scene and returns those that change, by position, as
:meth:`engine.tracks.scene.Scene.set_cameras` takes them; names in other cameras follow. What does not
fit is refused with a reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from engine.errors import invalid_input
from engine.tracks.cameras import Camera, Window, Zone

Changed = dict[int, Camera]


def with_zone(cameras: Sequence[Camera], at: int, number: int, zone: Zone) -> Changed:
    """Another zone instead of one of a camera; ways into it follow its name."""
    old = cameras[at].zones[number]
    zones = list(cameras[at].zones)
    zones[number] = zone
    changed = {at: cameras[at].with_zones(tuple(zones))}
    if zone.name != old.name:
        _arrivals(cameras, changed, at, old.name, zone.name)
    return changed


def without_zone(cameras: Sequence[Camera], at: int, number: int) -> Changed:
    """A camera without one of its zones; ways that led into it lead to the camera still."""
    camera = cameras[at]
    zones = camera.zones[:number] + camera.zones[number + 1 :]
    changed = {at: camera.with_zones(zones)}
    _arrivals(cameras, changed, at, camera.zones[number].name, "")
    return changed


def _arrivals(cameras: Sequence[Camera], changed: Changed, at: int, before: str, after: str) -> None:
    """Let ways into a zone of a camera lead into another."""
    for other in range(len(cameras)):
        camera = changed.get(other, cameras[other])
        zones = tuple(
            replace(zone, leads_into=after)
            if zone.leads_to == cameras[at].name and zone.leads_into == before
            else zone
            for zone in camera.zones
        )
        if zones != camera.zones:
            changed[other] = camera.with_zones(zones)


def free_zone_name(camera: Camera, wanted: str = "") -> str:
    """A name for another zone of a camera: the wanted one, with a number where it is taken."""
    taken = {zone.name for zone in camera.zones}
    if wanted and wanted not in taken:
        return wanted
    stem, start = (wanted, 2) if wanted else ("Zone", len(taken) + 1)
    names = (f"{stem} {number}" for number in range(start, start + len(taken) + 2))
    return next(name for name in names if name not in taken)


def copied_zones(cameras: Sequence[Camera], source: int, target: int) -> Changed:
    """The zones of a camera for another one, instead of its own; to its picture's size.

    They lead nowhere, since they are somewhere else.
    """
    if source == target:
        raise invalid_input("The zones are this camera's own; nothing was changed.")
    one, other = cameras[source], cameras[target]
    known = all((one.width, one.height, other.width, other.height))
    across, down = (other.width / one.width, other.height / one.height) if known else (1.0, 1.0)
    zones = tuple(
        Zone(
            zone.name,
            tuple((x * across, y * down) for x, y in zone.polygon),
            ignored=zone.ignored,
        )
        for zone in one.zones
    )
    changed = {target: other.with_zones(zones)}
    kept = {zone.name for zone in zones}
    for old in other.zones:
        if old.name not in kept:
            _arrivals(cameras, changed, target, old.name, "")
    return changed


# --- ways -----------------------------------------------------------------------------------------


def with_way(
    cameras: Sequence[Camera], start: tuple[int, int | None], end: tuple[int, int | None]
) -> Changed:
    """A way from a zone of a camera to a zone of another one (``None``: to the camera as a whole).

    Raises
    ------
    EngineError
        ``invalid_input`` within one camera, from an ignored zone, or where it is there already.
    """
    (one, leaves), (other, arrives) = start, end
    if one == other:
        raise invalid_input("A way leads to another camera; nothing was changed.")
    name = cameras[other].name
    into = "" if arrives is None else cameras[other].zones[arrives].name
    if leaves is None:
        if name in cameras[one].neighbours:
            raise invalid_input(f"{cameras[one].name} leads to {name} already; nothing was changed.")
        return {one: replace(cameras[one], neighbours=(*cameras[one].neighbours, name))}
    zone = cameras[one].zones[leaves]
    if zone.ignored or (arrives is not None and cameras[other].zones[arrives].ignored):
        raise invalid_input(
            "What is in a zone that is ignored neither comes nor goes; nothing was changed.",
            "Make it an arm first.",
        )
    if (zone.leads_to, zone.leads_into) == (name, into):
        raise invalid_input(f"{zone.name} leads there already; nothing was changed.")
    before = zone.leads_to
    changed = with_zone(cameras, one, leaves, replace(zone, leads_to=name, leads_into=into))
    return _forget_windows(changed, one, before)


def without_way(cameras: Sequence[Camera], one: int, other: int, zone: int | None = None) -> Changed:
    """No way from a camera to another any more: by a zone, or by none of them."""
    camera, name = cameras[one], cameras[other].name
    zones = tuple(
        replace(own, leads_to="", leads_into="")
        if own.leads_to == name and zone in (None, number)
        else own
        for number, own in enumerate(camera.zones)
    )
    left = any(own.leads_to == name for own in zones)
    neighbours = camera.neighbours if left else tuple(n for n in camera.neighbours if n != name)
    changed = {one: replace(camera, zones=zones, neighbours=neighbours)}
    if changed[one] == camera:
        raise invalid_input(f"{camera.name} does not lead to {name}; nothing was changed.")
    return _forget_windows(changed, one, name)


def _forget_windows(changed: Changed, at: int, name: str) -> Changed:
    """A window of a way that is gone is no window."""
    camera = changed[at]
    ways = {zone.leads_to for zone in camera.zones} | set(camera.neighbours)
    if name and name not in ways:
        left = tuple(window for window in camera.windows if window.to != name)
        changed[at] = replace(camera, windows=left)
    return changed


def with_window(
    cameras: Sequence[Camera], one: int, other: int, window: tuple[float, float] | None
) -> Changed:
    """How long the way from a camera to another takes, seconds; ``None``: that is learnt."""
    camera, name = cameras[one], cameras[other].name
    kept = tuple(own for own in camera.windows if own.to != name)
    if window is not None:
        low, high = window
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise invalid_input(
                f"A way cannot take {low:g} to {high:g} seconds; nothing was changed.",
                "The longest time has to be longer than the shortest.",
            )
        kept = (*kept, Window(name, float(low), float(high)))
    return {one: replace(camera, windows=kept)}


def with_overlap(cameras: Sequence[Camera], one: int, other: int, on: bool) -> Changed:
    """Whether two cameras see a part of what the other sees."""
    if one == other:
        raise invalid_input("A camera sees what it sees; nothing was changed.")
    changed: Changed = {}
    for at, to in ((one, other), (other, one)):
        kept = tuple(name for name in cameras[at].overlaps if name != cameras[to].name)
        after = (*kept, cameras[to].name) if on else kept
        if after != cameras[at].overlaps:
            changed[at] = replace(cameras[at], overlaps=after)
    return changed


def with_offset(cameras: Sequence[Camera], at: int, seconds: float) -> Changed:
    """When a camera's frame 0 was taken, seconds after the scene's beginning."""
    if not math.isfinite(seconds):
        raise invalid_input("A clock needs a number of seconds; nothing was changed.")
    return {at: replace(cameras[at], offset=float(seconds))}


def with_place(cameras: Sequence[Camera], at: int, x: float, y: float) -> Changed:
    """Where a camera is drawn among the others."""
    return {at: replace(cameras[at], place=(float(x), float(y)))}
