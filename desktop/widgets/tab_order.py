"""The Tab key goes through widgets in the order they stand in, not in the one they were made in."""

from __future__ import annotations

from itertools import pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLayout, QWidget


def chain_focus(*parts: QWidget) -> None:
    """Let the Tab key go through these parts, and what is laid out in them, one after another."""
    stops = [widget for part in parts for widget in focus_stops(part)]
    for widget, following in pairwise(stops):
        QWidget.setTabOrder(widget, following)


def focus_stops(part: QWidget) -> list[QWidget]:
    """Widgets of a part, and itself, that the Tab key stops at, in the order of its layout."""
    found = [part] if _is_stop(part) else []
    layout = part.layout()
    return found if layout is None else found + _stops_in(layout)


def _stops_in(layout: QLayout) -> list[QWidget]:
    found: list[QWidget] = []
    for place in range(layout.count()):
        item = layout.itemAt(place)
        widget, inner = item.widget(), item.layout()
        if widget is not None:
            found += focus_stops(widget)
        elif inner is not None:
            found += _stops_in(inner)
    return found


def _is_stop(widget: QWidget) -> bool:
    takes = bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
    return takes and widget.focusProxy() is None
