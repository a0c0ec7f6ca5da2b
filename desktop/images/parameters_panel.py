"""The inspector's first tab: everything that made a picture, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from desktop.images.specs import ALIGN, duration
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS, Theme
from desktop.widgets.field_editors import AUTO
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.parts import label, line, percent
from desktop.widgets.schemas import plain_name
from engine.project import ResultRecord

Rows = list[tuple[str, str]]
# Sampler settings that mean nothing while they are not set.
UNSAID = ("variation_step", "stop_movement", "max_rounds")


def describe(manifest: Mapping[str, Any], record: ResultRecord) -> list[tuple[str, Rows]]:
    """Groups of named values, for reading; empty ones are left out."""
    spec = manifest.get("spec") or {}
    params = spec.get("params") or {}
    aligned = spec.get("kind") == ALIGN
    alignment = _alignment(params, manifest.get("align") or {}) if aligned else []
    params = params.get("picture") or {} if aligned else params
    sampler = params.get("sampler") or {}
    size = (manifest.get("width"), manifest.get("height"))
    title = manifest.get("model_title") or record.model
    chosen = params.get("class_name")
    used = manifest.get("class_name")
    class_text = str(used) if used else ""
    if used and not chosen:
        class_text += " (from the prompt)"
    picture: Rows = [
        ("Prompt", record.prompt or "none"),
        ("Class", class_text),
        ("Model", str(title)),
        ("Seed", str(manifest.get("seed", spec.get("seed", "")))),
        ("Size", f"{size[0]} × {size[1]} px" if all(size) else ""),
    ]
    sampling: Rows = [
        ("Sampler", str(sampler.get("name", ""))),
        *_settings(sampler),
        ("Steps", str(params.get("steps", ""))),
        *_rounds(manifest),
        ("Guidance", f"{params['guidance']:g}" if "guidance" in params else ""),
        ("Compute", computed_text(manifest)),
        ("Pictures", str(params.get("count", ""))),
        ("Batch", str(params.get("batch", ""))),
    ]
    seconds = manifest.get("seconds")
    origin: Rows = [
        ("Made", time.strftime("%Y-%m-%d %H:%M", time.localtime(record.created))),
        ("After", duration(float(seconds)) if seconds is not None else ""),
        ("Device", str(manifest.get("device_name") or manifest.get("device") or "")),
        ("Triptych", str(manifest.get("triptych", ""))),
        ("Torch", str(manifest.get("torch", ""))),
        ("Weights", str(manifest.get("weights_sha256", ""))[:16]),
        ("File", record.artifact.sha256[:16]),
    ]
    groups = [
        ("Picture", picture),
        ("Alignment", alignment),
        ("Sampling", sampling),
        ("Origin", origin),
    ]
    return [(title, [(key, value) for key, value in rows if value]) for title, rows in groups]


def _alignment(params: Mapping[str, Any], about: Mapping[str, Any]) -> Rows:
    """What a picture was aligned with, and how far."""
    rewards = [f"{term['name']} × {term['weight']:g}" for term in params.get("rewards") or ()]
    done, best = about.get("steps"), about.get("best_step")
    return [
        ("Rewards", ", ".join(plain_name(text) for text in rewards)),
        ("Guard", readable(params.get("guard"))),
        ("Steps", f"{done} of {params.get('steps')}" if done is not None else ""),
        ("Best step", "" if best is None else str(best)),
        ("Mode", readable(about.get("mode", params.get("mode")))),
    ]


def _settings(sampler: Mapping[str, Any]) -> Rows:
    """A sampler's own settings, one row each, also of settings within settings."""
    rows: Rows = []
    for name, value in sampler.items():
        if name == "name" or (value is None and name in UNSAID):
            continue
        title = plain_name(name)
        if isinstance(value, Mapping):
            rows += [(f"{title}, {key.lower()}", text) for key, text in _settings(value)]
        else:
            rows.append((title, readable(value, AUTO)))
    return rows


def readable(value: Any, empty: str = "") -> str:
    """A JSON value for people; ``empty`` stands for null."""
    if value is None:
        return empty
    if isinstance(value, bool):
        return "On" if value else "Off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(readable(item, empty) for item in value)
    return plain_name(value) if isinstance(value, str) else str(value)


def _rounds(manifest: Mapping[str, Any]) -> Rows:
    """What the run took, in rounds where it has them."""
    about, measured = manifest.get("parallel") or {}, manifest.get("sampling") or {}
    rows: Rows = []
    if about:
        steps = int(about["steps"])
        rows.append(("Rounds", str(about["rounds"])))
        rows.append(("Converged", f"{steps - int(about['finished'])} of {steps} steps"))
    count = about.get("evaluations", measured.get("evaluations"))
    if count is not None:
        rows.append(("Evaluations", f"{count:,}"))
    return rows


def computed_text(manifest: Mapping[str, Any]) -> str:
    """Counted arithmetic, where the model's is known: the share, both in billions of MACs, the time."""
    about, sampling = manifest.get("compute") or {}, manifest.get("sampling") or {}
    if not about.get("static_macs"):
        return ""
    done, whole = (float(about[key]) / 1e9 for key in ("macs", "static_macs"))
    parts = [percent(float(about["ratio"])), f"{done:.1f} of {whole:.1f} GMAC"]
    if sampling.get("seconds") is not None:
        count = int(sampling.get("pictures", 1))
        together = f" for {count} pictures" if count > 1 else ""
        parts.append(f"{float(sampling['seconds']):.2f} s{together}")
    return " · ".join(parts)


class ParametersPanel(QWidget):
    """Shows one result; what to do with several is said, not shown."""

    def __init__(self, theme: Theme, actions: list[QAction]) -> None:
        super().__init__()
        self._theme = theme
        self._content: QWidget | None = None
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._scroll.setAccessibleName("Parameters of the selected picture")
        self._buttons = QWidget()
        grid = QGridLayout(self._buttons)
        grid.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        grid.setSpacing(SPACE_S)
        for place, action in enumerate(actions):
            grid.addWidget(ActionButton(action), place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._scroll, 1)
        layout.addWidget(line())
        layout.addWidget(self._buttons)
        self.show_message("Select a picture to see everything that made it.")

    def show_message(self, text: str, *, with_buttons: bool = False) -> None:
        """Show a sentence instead of values."""
        content, layout = self._new_content()
        message = label(text, "muted", wrap=True)
        layout.addWidget(message)
        layout.addStretch(1)
        self._buttons.setVisible(with_buttons)
        self._scroll.setWidget(content)

    def show_result(self, manifest: Mapping[str, Any], record: ResultRecord) -> None:
        """Show what made a result."""
        content, layout = self._new_content()
        for warning in manifest.get("warnings") or ():
            layout.addWidget(self._warning(str(warning)))
        for title, rows in describe(manifest, record):
            layout.addWidget(label(title, "heading"))
            layout.addLayout(_value_grid(rows))
        layout.addStretch(1)
        self._buttons.show()
        self._scroll.setWidget(content)

    def _new_content(self) -> tuple[QWidget, QVBoxLayout]:
        content = QWidget()
        content.setProperty("role", "form")
        layout = QVBoxLayout(content)
        layout.setContentsMargins(SPACE_L, SPACE_L, SPACE_M, SPACE_L)
        layout.setSpacing(SPACE_S)
        return content, layout

    def _warning(self, text: str) -> QWidget:
        box = QFrame()
        box.setProperty("role", "card")
        row = QHBoxLayout(box)
        row.setContentsMargins(SPACE_S, SPACE_S, SPACE_S, SPACE_S)
        row.setSpacing(SPACE_S)
        icon = IconLabel(self._theme.icon("warning", "warn"), 16)
        row.addWidget(icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(label(text, wrap=True, selectable=True), 1)
        return box


def _value_grid(rows: Rows) -> QGridLayout:
    grid = QGridLayout()
    grid.setContentsMargins(0, 0, 0, SPACE_S)
    grid.setHorizontalSpacing(SPACE_M)
    grid.setVerticalSpacing(SPACE_XS)
    grid.setColumnMinimumWidth(0, 68)
    grid.setColumnStretch(1, 1)
    for at, (name, value) in enumerate(rows):
        key = label(name, "muted")
        shown = label(value, wrap=True, selectable=True)
        shown.setAccessibleName(f"{name}: {value}")
        grid.addWidget(key, at, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(shown, at, 1)
    return grid


class ActionButton(QPushButton):
    """A push button for an action; a QToolButton would cut its text."""

    def __init__(self, action: QAction) -> None:
        super().__init__(action.icon(), action.text())
        self._action = action
        self.setIconSize(QSize(16, 16))
        self.setAutoDefault(False)
        self.clicked.connect(self._trigger)
        action.changed.connect(self._follow)
        self._follow()

    def _trigger(self) -> None:
        self._action.trigger()

    def _follow(self) -> None:
        self.setEnabled(self._action.isEnabled())
        self.setToolTip(self._action.toolTip())
