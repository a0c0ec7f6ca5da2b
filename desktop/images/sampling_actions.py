"""The rows of the Sampling tab in the table of actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PySide6.QtGui import QAction

from desktop.actions import Actions
from desktop.images import twins

WORKSPACE = "images"
# id, title, shortcut, icon, tip
ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    ("sampling", "Show how it was sampled", "", "chart-bar", "The rounds of a parallel run"),
    (
        "compare_sequential",
        "Compare with sequential",
        "Shift+C",
        "scales",
        "Make the same picture step by step, and show the difference",
    ),
    ("sample_parallel", "Sample in parallel", "", "rows", "Make the same picture in rounds"),
    ("solve_rest", "Solve the rest", "", "fast-forward", "Go on with a run that was stopped"),
    ("vary_step", "Vary from a step", "V", "git-branch", "Another prompt on this picture's way"),
    (
        "compute_all",
        "Compare with 100 %",
        "",
        "scales",
        "Make the same picture with all of the network's arithmetic, and show both",
    ),
    ("replay", "Play the rounds", "P", "play", "Show the picture round by round"),
)


def define(actions: Actions, handlers: Mapping[str, Callable[[], object]]) -> None:
    """Add the rows; each does what its handler does."""
    for name, title, key, icon, tip in ROWS:
        actions.define(f"{WORKSPACE}.{name}", title, key, icon, workspace=WORKSPACE, tip=tip)
        actions.connect(f"{WORKSPACE}.{name}", handlers[name])


def action(actions: Actions, name: str) -> QAction:
    """The action of a row."""
    return actions.action(f"{WORKSPACE}.{name}")


def enable(actions: Actions, manifest: Mapping[str, Any], *, comparing: bool, completing: bool) -> None:
    """Enable what can be done with the picture of this manifest; empty for no picture."""
    parallel = twins.is_parallel(manifest)
    can_vary = twins.can_vary(manifest)
    able = {
        "compare_sequential": parallel and twins.varied_at(manifest) is None and not comparing,
        "sample_parallel": can_vary and not parallel and not manifest.get("sequential_of"),
        "solve_rest": twins.is_unfinished(manifest),
        "vary_step": can_vary,
        "replay": parallel,
        "compute_all": twins.computes_less(manifest) and not completing,
    }
    for name, enabled in able.items():
        action(actions, name).setEnabled(enabled)
