"""The rows of the Align tab in the table of actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtGui import QAction

from desktop.actions import Actions
from desktop.theme import Theme

WORKSPACE = "images"
# id, title, shortcut, icon, tip
ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    ("align", "Align", "A", "trend-up", "Say what should improve in the selected pictures"),
    ("align_run", "Start aligning", "Shift+A", "play", "Align the selected pictures with the rewards"),
    ("align_pause", "Pause", "Shift+P", "pause", "Hold the alignment, or go on with it"),
    ("align_stop", "Stop", "", "stop", "Stop the alignment and keep the best picture"),
    ("align_compare", "Compare with start", "W", "columns", "Wipe between this step and the start"),
    ("align_pin", "Pin step", "K", "push-pin", "Keep this step at hand, or let it go"),
    ("align_branch", "Branch from here", "B", "git-branch", "Go on from this step, other rewards too"),
    ("align_undo", "Undo to here", "U", "arrow-u-up-left", "Make the picture of this step the result"),
    (
        "align_back",
        "Back to the last green step",
        "",
        "rewind",
        "Show the newest step whose noise looks random",
    ),
    (
        "align_stricter",
        "Stricter guard, and go on",
        "",
        "shield-plus",
        "Go on from the last green step with a stronger guard",
    ),
    ("align_play", "Play the steps of an alignment", "", "film-strip", "Show the picture step by step"),
)


def define(actions: Actions, handlers: Mapping[str, Callable[[], object]]) -> None:
    """Add the rows; each does what its handler does."""
    for name, title, key, icon, tip in ROWS:
        actions.define(f"{WORKSPACE}.{name}", title, key, icon, workspace=WORKSPACE, tip=tip)
        actions.connect(f"{WORKSPACE}.{name}", handlers[name])


def action(actions: Actions, name: str) -> QAction:
    """The action of a row."""
    return actions.action(f"{WORKSPACE}.{name}")


def show_pause(actions: Actions, theme: Theme, *, held: bool) -> None:
    """Let the action that holds a run say whether it holds, or goes on."""
    pause = action(actions, "align_pause")
    pause.setText("Go on" if held else "Pause")
    pause.setIcon(theme.icon("play" if held else "pause"))


def enable(actions: Actions, able: Mapping[str, bool]) -> None:
    """Enable what can be done now."""
    for name, _, _, _, _ in ROWS:
        action(actions, name).setEnabled(able.get(name, False))
