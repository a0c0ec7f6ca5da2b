"""What can be done on the Tracks page, and the keys that do it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from desktop.services import Services
from desktop.tracks.identity_card import ALTERNATIVES
from desktop.tracks.modes import WALL, WAYS, ZONES
from desktop.tracks.review import define

if TYPE_CHECKING:
    from desktop.tracks.page import TracksPage

WORKSPACE = "tracks"


def define_actions(page: TracksPage, services: Services) -> None:
    """Add the page's rows to the table of actions."""
    actions, move, editing = services.actions, page.stage, page.editing
    show = page.modes.show_side
    for name, title, key, icon, do in (
        ("play", "Play or pause", "Space", "play", move.toggle_play),
        ("back", "Play backwards, faster with each press", "J", "rewind", lambda: move.shuttle(-1)),
        ("stop", "Stop", "K", "stop", lambda: move.play(0.0)),
        ("forth", "Play, faster with each press", "L", "fast-forward", lambda: move.shuttle(1)),
        ("frame_back", "A frame back", ",", "caret-left", lambda: move.step(-1)),
        ("frame_on", "A frame on", ".", "caret-right", lambda: move.step(1)),
        ("ten_back", "Ten frames back", "Shift+,", "caret-double-left", lambda: move.step(-10)),
        ("ten_on", "Ten frames on", "Shift+.", "caret-double-right", lambda: move.step(10)),
        (
            "start",
            "Start of the selected track",
            "Home",
            "skip-back",
            lambda: page.go_to_end(first=True),
        ),
        (
            "end",
            "End of the selected track",
            "End",
            "skip-forward",
            lambda: page.go_to_end(first=False),
        ),
        ("split", "Split at the playhead", "S", "scissors", editing.split),
        ("merge", "Merge the selected", "M", "git-merge", editing.merge),
        ("swap", "Swap the selected from here on", "W", "swap", editing.swap),
        ("separate", "An identity of its own", "R", "user-plus", editing.separate),
        ("fill", "Fill the gaps", "G", "dots-three", editing.fill),
        (
            "extend",
            "Make the tracklet longer, to the playhead",
            "E",
            "arrows-horizontal",
            editing.extend,
        ),
        ("draw", "Draw, move and resize boxes", "B", "bounding-box", move.draw.click),
        ("delete", "Delete the tracklet", "D", "trash", editing.delete),
        ("confirm", "Confirm the identity", "C", "check-circle", editing.confirm),
        ("undo", "Undo", "Z", "arrow-u-up-left", services.undo.undo),
        ("redo", "Redo", "Shift+Z", "arrow-u-up-right", services.undo.redo),
        ("right", "The link is right", "Shift+Return", "check", lambda: page.links.judge(True)),
        ("wrong", "The link is wrong", "Shift+X", "x", lambda: page.links.judge(False)),
        ("follow", "Follow the selected", "F", "crosshair", move.follow.click),
        ("hide", "Hide all others", "H", "eye-slash", move.hide_others.click),
        ("zones", "Show zones", "V", "polygon", move.zones.click),
        ("mode_wall", "The wall of cameras", "Shift+W", "squares-four", partial(show, WALL)),
        ("mode_zones", "The zones of a camera", "Shift+V", "polygon", partial(show, ZONES)),
        ("mode_ways", "Ways between cameras", "Shift+G", "graph", partial(show, WAYS)),
        ("new_zone", "Draw a new zone", "Shift+N", "polygon", page.draw_zone),
        ("all", "Show all of the time", "A", "arrows-out-line-horizontal", page.time.timeline.fit),
        ("find", "Find an identity", "/", "magnifying-glass", page.identities.filter.setFocus),
        ("open", "Open a scene", "Ctrl+Shift+O", "folder-open", page.ask_scene),
        ("export", "Export tracks", "Ctrl+E", "export", page.ask_export),
    ):
        actions.define(f"{WORKSPACE}.{name}", title, key, icon, workspace=WORKSPACE)
        actions.connect(f"{WORKSPACE}.{name}", do)
    for name, right, down in (("left", -1, 0), ("right", 1, 0), ("up", 0, -1), ("down", 0, 1)):
        for edge, keys, what in (
            (False, "Alt+", "Move the box"),
            (True, "Alt+Shift+", "Move the box's edge"),
        ):
            action = f"{WORKSPACE}.box_{name}{'_edge' if edge else ''}"
            title, icon = f"{what} {name}", f"arrow-{name}"
            actions.define(action, title, keys + name.title(), icon, workspace=WORKSPACE)
            actions.connect(action, partial(editing.nudge, right, down, edge=edge))
    for number in range(1, ALTERNATIVES + 1):
        name = f"{WORKSPACE}.alternative_{number}"
        title = f"It is alternative {number} of the identity card"
        actions.define(name, title, str(number), "user-switch", workspace=WORKSPACE)
        actions.connect(name, partial(page.card.take, number))
    define(actions, WORKSPACE, page.review)
