"""Colours, spacing and icons of the window: two palettes, switchable at once.

Widgets take colours from here and nowhere else, and listen to :attr:`Theme.changed` when they paint
by hand. Icons tint themselves, so nobody has to renew them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QObject, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QIcon,
    QIconEngine,
    QPainter,
    QPalette,
    QPixmap,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QApplication

Mode = Literal["light", "dark", "system"]
MODES: tuple[Mode, ...] = ("system", "light", "dark")

# The only distances used in layouts, in device-independent pixels.
SPACE_XS, SPACE_S, SPACE_M, SPACE_L, SPACE_XL = 4, 8, 12, 16, 24
RADIUS = 6


@dataclass(frozen=True)
class Tokens:
    """One palette; every value is ``#rrggbb``.

    ``sunken`` lies behind pictures and lists, ``surface`` is the window, ``raised`` is what can be
    typed into or pressed. ``accents`` has one colour a workspace, used for the selection and the main
    button only; ``on_accent`` is text on any of them.
    """

    dark: bool
    sunken: str
    surface: str
    raised: str
    hover: str
    border: str
    text: str
    muted: str
    disabled: str
    good: str
    warn: str
    bad: str
    accents: Mapping[str, str]
    on_accent: str


DARK = Tokens(
    dark=True,
    sunken="#121418",
    surface="#1a1d22",
    raised="#24282f",
    hover="#2e333c",
    border="#363c46",
    text="#e6e8ec",
    muted="#a3abb8",
    disabled="#69717e",
    good="#4cc38a",
    warn="#e5b454",
    bad="#ff8078",
    accents=MappingProxyType(
        {"images": "#a78bfa", "bodies": "#2dd4bf", "tracks": "#f5b544", "adapt": "#fb7185"}
    ),
    on_accent="#14161a",
)

LIGHT = Tokens(
    dark=False,
    sunken="#e7e9ee",
    surface="#f4f5f7",
    raised="#ffffff",
    hover="#e9ebf0",
    border="#ced3db",
    text="#1b1f26",
    muted="#545c69",
    disabled="#959ca8",
    good="#14693f",
    warn="#7d5200",
    bad="#b42318",
    accents=MappingProxyType(
        {"images": "#6b3fd8", "bodies": "#0a6f66", "tracks": "#8a5200", "adapt": "#b81d4a"}
    ),
    on_accent="#ffffff",
)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1 .. 21 (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


class Theme(QObject):
    """The look in use.

    Attributes
    ----------
    changed
        Emitted after the palette was exchanged and applied.
    """

    changed = Signal()

    def __init__(self, mode: Mode = "system", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mode: Mode = mode
        self._ink = _Ink(self._resolve())
        self._icons: dict[tuple[str, str], QIcon] = {}
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._follow_system)

    @property
    def mode(self) -> Mode:
        """What the user chose: ``light``, ``dark`` or ``system``."""
        return self._mode

    @property
    def tokens(self) -> Tokens:
        """The palette in use."""
        return self._ink.tokens

    @property
    def dark(self) -> bool:
        """Whether the dark palette is in use."""
        return self.tokens.dark

    def set_mode(self, mode: Mode) -> None:
        """Switch at once; every open widget follows."""
        self._mode = mode
        self._use(self._resolve())

    def apply(self, app: QApplication) -> None:
        """Put style, palette and style sheet on the application."""
        from desktop.stylesheet import stylesheet

        if app.style().objectName() != "fusion":
            app.setStyle("Fusion")
        # Without the old sheet first: replacing one sheet by another takes Qt ten times as long.
        app.setStyleSheet("")
        self._tell_platform()
        app.setPalette(self._palette())
        app.setStyleSheet(stylesheet(self.tokens))

    def accent(self, workspace: str | None) -> str:
        """Accent of a workspace; without one, that of Images (also the application's own)."""
        return self.tokens.accents.get(workspace or "images", self.tokens.accents["images"])

    def color(self, name: str) -> QColor:
        """A token by its name, or the accent of a workspace by the workspace's."""
        return QColor(_value(self.tokens, name))

    def icon(self, name: str, role: str = "text") -> QIcon:
        """A Phosphor icon, drawn in the token (or accent) ``role`` of whichever palette is in use.

        Parameters
        ----------
        name
            Phosphor name without prefix, for example ``image`` or ``star-fill``.
        role
            Token name, workspace name, or ``#rrggbb``.
        """
        key = (name, role)
        if key not in self._icons:
            self._icons[key] = QIcon(_GlyphEngine(self._ink, name, role))
        return self._icons[key]

    def _tell_platform(self) -> None:
        """Let title bars and native dialogs match."""
        schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
        hints = QGuiApplication.styleHints()
        hints.setColorScheme(schemes.get(self._mode, Qt.ColorScheme.Unknown))

    def _resolve(self) -> Tokens:
        if self._mode == "system":
            QGuiApplication.styleHints().unsetColorScheme()
            scheme = QGuiApplication.styleHints().colorScheme()
            return LIGHT if scheme == Qt.ColorScheme.Light else DARK
        return LIGHT if self._mode == "light" else DARK

    def _follow_system(self) -> None:
        if self._mode == "system":
            self._use(self._resolve())

    def _use(self, tokens: Tokens) -> None:
        if tokens is self._ink.tokens:
            return
        self._ink.tokens = tokens
        app = QGuiApplication.instance()
        if app is not None:
            self.apply(app)  # type: ignore[arg-type]
        self.changed.emit()

    def _palette(self) -> QPalette:
        tokens, role = self.tokens, QPalette.ColorRole
        palette = QPalette()
        for key, value in {
            role.Window: tokens.surface,
            role.WindowText: tokens.text,
            role.Base: tokens.raised,
            role.AlternateBase: tokens.surface,
            role.Text: tokens.text,
            role.Button: tokens.raised,
            role.ButtonText: tokens.text,
            role.BrightText: tokens.bad,
            role.ToolTipBase: tokens.raised,
            role.ToolTipText: tokens.text,
            role.PlaceholderText: tokens.muted,
            role.Highlight: self.accent(None),
            role.HighlightedText: tokens.on_accent,
            role.Accent: self.accent(None),
            role.Link: self.accent(None),
            role.Mid: tokens.border,
            role.Light: tokens.hover,
            role.Dark: tokens.sunken,
            role.Shadow: tokens.sunken,
        }.items():
            palette.setColor(key, QColor(value))
        for key in (role.WindowText, role.Text, role.ButtonText):
            palette.setColor(QPalette.ColorGroup.Disabled, key, QColor(tokens.disabled))
        return palette


def tabular(font: QFont) -> QFont:
    """The same font with digits of equal width, for numbers that change or stand in columns."""
    result = QFont(font)
    result.setFeature(QFont.Tag("tnum"), 1)
    return result


class _Ink:
    """What icons look up their colours in. Not a QObject: icons may outlive the theme."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens


def _value(tokens: Tokens, name: str) -> str:
    if name.startswith("#"):
        return name
    return str(tokens.accents[name] if name in tokens.accents else getattr(tokens, name))


@cache
def _glyphs() -> tuple[str, Mapping[str, str]]:
    """Family and code points of the Phosphor font that QtAwesome ships.

    The font file is read directly: importing QtAwesome would load all its twelve fonts, 250 ms.
    """
    spec = find_spec("qtawesome")
    if spec is None or not spec.submodule_search_locations:
        return "", {}
    folder = Path(spec.submodule_search_locations[0]) / "fonts"
    fonts, charmaps = sorted(folder.glob("phosphor-[0-9]*.ttf")), sorted(folder.glob("phosphor-char*"))
    if not fonts or not charmaps:
        return "", {}
    families = QFontDatabase.applicationFontFamilies(QFontDatabase.addApplicationFont(str(fonts[0])))
    points = json.loads(charmaps[0].read_text(encoding="utf-8"))
    return (families[0] if families else ""), {name: chr(int(p, 16)) for name, p in points.items()}


def known_icon(name: str) -> bool:
    """Whether the icon font has ``name``."""
    return name in _glyphs()[1]


class _GlyphEngine(QIconEngine):
    """Paints one glyph in the colour of the moment; loads the font at the first paint."""

    def __init__(self, ink: _Ink, name: str, role: str) -> None:
        super().__init__()
        self._ink, self._name, self._role = ink, name, role

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        """Draw the glyph centred in ``rect``."""
        family, points = _glyphs()
        role = "disabled" if mode == QIcon.Mode.Disabled else self._role
        painter.save()
        painter.setPen(QColor(_value(self._ink.tokens, role)))
        font = QFont(family)
        font.setPixelSize(max(1, rect.height()))
        painter.setFont(font)
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, points.get(self._name, ""))
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        """The glyph on a transparent ground."""
        if size.isEmpty():
            return QPixmap()
        result = QPixmap(size)
        result.fill(Qt.GlobalColor.transparent)
        painter = QPainter(result)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint(painter, QRect(0, 0, size.width(), size.height()), mode, state)
        painter.end()
        return result
