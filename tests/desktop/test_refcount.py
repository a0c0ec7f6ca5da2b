"""PySide6 6.12.0 on Python 3.11 loses a reference to None, True or False in every setter call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QApplication, QCheckBox, QLineEdit, QPushButton, QWidget

CALLS = 2000

# From Python 3.12 on these are immortal: their counts never change, and nothing can be lost.
pytestmark = pytest.mark.skipif(sys.version_info >= (3, 12), reason="None and bools are immortal")


SETTERS: list[tuple[str, type[QObject], Callable[[Any], object]]] = [
    ("setVisible", QWidget, lambda item: item.setVisible(False)),
    ("setEnabled", QWidget, lambda item: item.setEnabled(True)),
    ("setChecked", QCheckBox, lambda item: item.setChecked(True)),
    ("setText", QLineEdit, lambda item: item.setText("text")),
    ("setProperty", QPushButton, lambda item: item.setProperty("role", None)),
    ("blockSignals", QObject, lambda item: item.blockSignals(False)),
    (
        "setAttribute",
        QWidget,
        lambda item: item.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground, True),
    ),
]


@pytest.mark.parametrize(("name", "kind", "call"), SETTERS, ids=[name for name, *_ in SETTERS])
def test_setters_keep_references(
    qapp: QApplication, name: str, kind: type[QObject], call: Callable[[Any], object]
) -> None:
    parent = QWidget()
    item = kind(parent)
    call(item)
    constants = (None, True, False)
    before = [sys.getrefcount(value) for value in constants]
    for _ in range(CALLS):
        call(item)
    after = [sys.getrefcount(value) for value in constants]
    lost = [b - a for b, a in zip(before, after, strict=True)]
    assert max(lost) < CALLS // 10, f"{name} loses references: {lost} in {CALLS} calls"
    parent.deleteLater()
