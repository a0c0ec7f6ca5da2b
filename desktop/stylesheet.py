"""The application's style sheet, generated from a palette.

Widgets opt in with dynamic properties: ``role`` on buttons (``primary``, ``quiet``), on labels
(``title``, ``heading``, ``muted``, ``good``, ``warn``, ``bad``) and on frames (``card``, ``sunken``,
``toast``), ``workspace`` on a page for its accent.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from desktop.theme import RADIUS, Tokens

ICONS = Path(__file__).resolve().parents[1] / "resources" / "icons"

_BASE = Template("""
* { outline: none; }
QWidget { color: $text; selection-background-color: $accent; selection-color: $on_accent; }
QMainWindow, QDialog { background: $surface; }
QToolTip { background: $raised; color: $text; border: 1px solid $border; padding: 4px 6px; }

QLabel { background: transparent; }
QLabel[role="title"] { font-size: 16pt; font-weight: 600; }
QLabel[role="heading"] { font-weight: 600; }
QLabel[role="muted"] { color: $muted; }
QLabel[role="good"] { color: $good; }
QLabel[role="warn"] { color: $warn; }
QLabel[role="bad"] { color: $bad; }

QFrame[role="rail"] { background: $sunken; border: none; border-right: 1px solid $border; }
QFrame[role="status"] { background: $sunken; border: none; border-top: 1px solid $border; }
QFrame[role="sunken"] { background: $sunken; border: none; }
QFrame[role="card"] { background: $raised; border: 1px solid $border; border-radius: ${radius}px; }
QFrame[role="line"] { background: $border; border: none; }
QFrame[role="toast"] { background: $raised; border: 1px solid $border; border-radius: ${radius}px; }
QFrame[role="overlay"] { background: $surface; border: 1px solid $border; border-radius: ${radius}px; }
QFrame[role="banner"] { background: $raised; border: none; border-bottom: 1px solid $border; }

QPushButton {
    background: $raised; border: 1px solid $border; border-radius: ${radius}px;
    padding: 5px 12px; min-height: 18px;
}
QPushButton:hover { background: $hover; }
QPushButton:pressed { background: $sunken; }
QPushButton:focus { border-color: $accent; }
QPushButton:disabled { color: $disabled; background: $surface; }
QPushButton:checked { background: $hover; border-color: $accent; }
QPushButton[role="primary"] {
    background: $accent; color: $on_accent; border-color: $accent; font-weight: 600;
}
QPushButton[role="primary"]:focus { border-color: $text; }
QPushButton[role="primary"]:disabled {
    background: $hover; color: $disabled; border-color: $border;
}
QPushButton[role="quiet"] { background: transparent; border-color: transparent; padding: 5px 8px; }
QPushButton[role="quiet"]:hover { background: $hover; }
QPushButton[role="quiet"]:checked { background: $hover; border-color: $border; }
QPushButton[role="quiet"]:focus { border-color: $accent; }

QToolButton {
    background: transparent; border: 1px solid transparent; border-radius: ${radius}px; padding: 4px;
}
QToolButton:hover { background: $hover; }
QToolButton:pressed { background: $sunken; }
QToolButton:focus { border-color: $accent; }
QToolButton:checked { background: $hover; border-color: $border; }
QToolButton:disabled { color: $disabled; }
QToolButton::menu-indicator { image: none; width: 0; }
QToolButton[role="rail"] { color: $muted; padding: 6px 2px; border-radius: 8px; }
QToolButton[role="rail"]:checked { color: $text; background: $raised; border-color: transparent; }
QToolButton[role="rail"]:focus { border-color: $accent; }

QLineEdit, QPlainTextEdit, QTextEdit, QAbstractSpinBox, QDoubleSpinBox, QComboBox {
    background: $raised; border: 1px solid $border; border-radius: ${radius}px;
    padding: 4px 8px; min-height: 20px;
}
QLineEdit:hover, QPlainTextEdit:hover, QTextEdit:hover, QAbstractSpinBox:hover, QDoubleSpinBox:hover,
QComboBox:hover { border-color: $muted; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QAbstractSpinBox:focus, QDoubleSpinBox:focus,
QComboBox:focus { border-color: $accent; }
QLineEdit:disabled, QPlainTextEdit:disabled, QAbstractSpinBox:disabled, QDoubleSpinBox:disabled,
QComboBox:disabled { color: $disabled; background: $surface; }
QPlainTextEdit, QTextEdit { padding: 4px 4px; }
QPlainTextEdit[role="plain"] { background: $sunken; border: none; border-radius: 0; }
QLineEdit { lineedit-clear-button-icon: url("$icons/clear.svg"); }
QLineEdit[bad="true"], QPlainTextEdit[bad="true"] { border-color: $bad; }
QComboBox::drop-down, QAbstractSpinBox::up-button, QAbstractSpinBox::down-button,
QDoubleSpinBox::up-button, QDoubleSpinBox::down-button {
    border: none; background: transparent; width: 20px;
}
QComboBox::down-arrow, QAbstractSpinBox::down-arrow, QDoubleSpinBox::down-arrow {
    image: url("$icons/caret-down.svg"); width: 12px; height: 12px;
}
QAbstractSpinBox::up-arrow, QDoubleSpinBox::up-arrow {
    image: url("$icons/caret-up.svg"); width: 12px; height: 12px;
}
QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover, QDoubleSpinBox::up-button:hover,
QDoubleSpinBox::down-button:hover { background: $hover; border-radius: 4px; }
QComboBox QAbstractItemView, QAbstractItemView[role="popup"] {
    background: $raised; border: 1px solid $border; padding: 4px; outline: none;
}
QComboBox QAbstractItemView::item, QAbstractItemView[role="popup"]::item {
    min-height: 24px; padding: 0 6px; border-radius: 4px;
}

QCheckBox, QRadioButton { spacing: 8px; background: transparent; }
QCheckBox::indicator, QRadioButton::indicator {
    width: 14px; height: 14px; border: 1px solid $muted; background: $raised; border-radius: 4px;
}
QRadioButton::indicator { border-radius: 8px; }
QCheckBox::indicator:hover, QRadioButton::indicator:hover { border-color: $accent; }
QCheckBox::indicator:checked {
    background: $accent; border-color: $accent; image: url("$icons/$check");
}
QRadioButton::indicator:checked { background: $accent; border: 4px solid $raised; }
QCheckBox:focus, QRadioButton:focus { color: $accent; }
QCheckBox:disabled { color: $disabled; }

QSlider { background: transparent; min-height: 20px; }
QSlider::groove:horizontal { height: 4px; background: $border; border-radius: 2px; }
QSlider::sub-page:horizontal { background: $accent; border-radius: 2px; }
QSlider::handle:horizontal {
    width: 14px; height: 14px; margin: -6px 0; border-radius: 8px;
    background: $text; border: 1px solid $surface;
}
QSlider::handle:horizontal:focus { border-color: $accent; background: $accent; }
QSlider::groove:horizontal:disabled, QSlider::sub-page:horizontal:disabled { background: $hover; }

QProgressBar {
    background: $border; border: none; border-radius: 3px; min-height: 6px; max-height: 6px;
    color: transparent;
}
QProgressBar::chunk { background: $accent; border-radius: 3px; }

QAbstractItemView {
    background: $sunken; alternate-background-color: $surface; border: none;
    gridline-color: $border;
}
QAbstractItemView::item:hover { background: $hover; }
QAbstractItemView::item:selected { background: $selected; color: $text; }
QTableView::item, QTreeView::item { padding: 4px 8px; border: none; }
QListView::item { padding: 6px 8px; border-radius: 4px; }
QHeaderView { background: $sunken; }
QHeaderView::section {
    background: $sunken; color: $muted; border: none; border-bottom: 1px solid $border;
    padding: 6px 11px; font-weight: 600;
}
QTableCornerButton::section { background: $sunken; border: none; }

QTabWidget::pane { border: none; border-top: 1px solid $border; }
QTabBar { background: transparent; qproperty-drawBase: 0; }
QTabBar::tab {
    background: transparent; color: $muted; padding: 7px 8px; border: none;
    border-bottom: 2px solid transparent;
}
QTabBar::tab:hover { color: $text; }
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; }
QTabBar::tab:focus { color: $accent; }

QScrollArea { background: transparent; border: none; }
QScrollArea > QWidget > QWidget[role="form"] { background: transparent; }
QScrollBar { background: transparent; border: none; }
QScrollBar:vertical { width: 10px; }
QScrollBar:horizontal { height: 10px; }
QScrollBar::handle { background: $scroll; border-radius: 3px; margin: 2px; }
QScrollBar::handle:vertical { min-height: 28px; }
QScrollBar::handle:horizontal { min-width: 28px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }

QSplitter::handle { background: $border; }
QSplitter::handle:horizontal { width: 1px; }
QSplitter::handle:vertical { height: 1px; }
QSplitter::handle:hover { background: $accent; }

QGroupBox { border: none; margin-top: 20px; font-weight: 600; }
QGroupBox::title { subcontrol-origin: margin; left: 0; padding: 0; color: $text; }

QMenu { background: $raised; border: 1px solid $border; padding: 4px; }
QMenu::item { padding: 6px 24px 6px 12px; border-radius: 4px; }
QMenu::item:selected { background: $hover; }
QMenu::item:disabled { color: $disabled; }
QMenu::separator { height: 1px; background: $border; margin: 4px 8px; }
QMenu::icon { padding-left: 8px; }
""")

_WORKSPACE = Template("""
[workspace="$name"] QPushButton[role="primary"] { background: $accent; border-color: $accent; }
[workspace="$name"] QPushButton[role="primary"]:disabled { background: $hover; border-color: $border; }
[workspace="$name"] QPushButton:focus, [workspace="$name"] QToolButton:focus,
[workspace="$name"] QLineEdit:focus, [workspace="$name"] QPlainTextEdit:focus,
[workspace="$name"] QAbstractSpinBox:focus, [workspace="$name"] QDoubleSpinBox:focus,
[workspace="$name"] QComboBox:focus { border-color: $accent; }
[workspace="$name"] QPushButton[role="primary"]:focus { border-color: $text; }
[workspace="$name"] QSlider::sub-page:horizontal, [workspace="$name"] QProgressBar::chunk,
[workspace="$name"] QCheckBox::indicator:checked { background: $accent; }
[workspace="$name"] QCheckBox::indicator:checked { border-color: $accent; }
[workspace="$name"] QSlider::sub-page:horizontal:disabled { background: $hover; }
[workspace="$name"] QTabBar::tab:selected { border-bottom-color: $accent; }
[workspace="$name"] QAbstractItemView::item:selected { background: $selected; }
QToolButton[role="rail"][workspace="$name"]:checked { color: $accent; }
""")


def blend(top: str, ground: str, share: float) -> str:
    """``share`` of colour ``top`` over ``ground``, as ``#rrggbb``."""
    parts = zip(_channels(top), _channels(ground), strict=True)
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in parts)


def stylesheet(tokens: Tokens) -> str:
    """The whole sheet for one palette."""
    values = {
        name: getattr(tokens, name)
        for name in (
            "sunken", "surface", "raised", "hover", "border", "text", "muted", "disabled",
            "good", "warn", "bad", "on_accent",
        )
    }  # fmt: skip
    values |= {
        "icons": ICONS.as_posix(),
        "check": "check-dark.svg" if tokens.dark else "check-light.svg",
        "radius": RADIUS,
        "scroll": blend(tokens.muted, tokens.surface, 0.4),
    }

    def with_accent(accent: str) -> dict[str, object]:
        return values | {"accent": accent, "selected": blend(accent, tokens.sunken, 0.28)}

    parts = [_BASE.substitute(with_accent(tokens.accents["images"]))]
    for name, accent in tokens.accents.items():
        parts.append(_WORKSPACE.substitute(with_accent(accent), name=name))
    return "".join(parts)


def _channels(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
