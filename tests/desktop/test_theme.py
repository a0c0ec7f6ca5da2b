"""Colours that can be read, icons that exist, and a switch that reaches everything."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon, QPalette
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.actions import STANDARD
from desktop.shell.banners import LEVEL_ICONS
from desktop.shell.job_model import STATE_LOOKS
from desktop.stylesheet import blend, stylesheet
from desktop.theme import DARK, LIGHT, Theme, Tokens, contrast, known_icon
from engine.job import JobState

PALETTES = pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])


def test_contrast_of_known_pairs() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#777777") == pytest.approx(1.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@PALETTES
def test_text_is_readable_on_every_surface(tokens: Tokens) -> None:
    inks = {name: getattr(tokens, name) for name in ("text", "muted", "good", "warn", "bad")}
    grounds = {name: getattr(tokens, name) for name in ("sunken", "surface", "raised", "hover")}
    for (ink, colour), (ground, behind) in product((inks | tokens.accents).items(), grounds.items()):
        assert contrast(colour, behind) >= 4.5, f"{ink} on {ground}"


@PALETTES
def test_text_is_readable_on_accents_and_selections(tokens: Tokens) -> None:
    for name, accent in tokens.accents.items():
        assert contrast(tokens.on_accent, accent) >= 4.5, name
        assert contrast(tokens.text, blend(accent, tokens.sunken, 0.28)) >= 4.5, name


@PALETTES
def test_the_style_sheet_is_complete(tokens: Tokens) -> None:
    sheet = stylesheet(tokens)
    assert "$" not in sheet
    assert sheet.count("{") == sheet.count("}")
    files = re.findall(r'url\("([^"]+)"\)', sheet)
    assert len(files) >= 4
    assert [file for file in files if not Path(file).is_file()] == []
    for accent in tokens.accents.values():
        assert accent in sheet


def test_the_mode_switches_at_once(qtbot: QtBot, qapp: QApplication, theme: Theme) -> None:
    assert theme.dark
    with qtbot.waitSignal(theme.changed):
        theme.set_mode("light")
    assert theme.mode == "light"
    assert theme.tokens is LIGHT
    assert qapp.palette().color(QPalette.ColorRole.Window) == QColor(LIGHT.surface)
    assert LIGHT.surface in qapp.styleSheet()
    assert DARK.surface not in qapp.styleSheet()
    with qtbot.assertNotEmitted(theme.changed):
        theme.set_mode("light")


def _darkest(icon: QIcon) -> QColor:
    image = icon.pixmap(QSize(32, 32)).toImage()
    points = [image.pixelColor(x, y) for x in range(32) for y in range(32)]
    return max(points, key=lambda colour: colour.alpha())


def test_icons_tint_themselves(theme: Theme) -> None:
    icon = theme.icon("star-fill", "images")
    assert theme.icon("star-fill", "images") is icon
    assert _darkest(icon) == QColor(DARK.accents["images"])
    theme.set_mode("light")
    assert _darkest(icon) == QColor(LIGHT.accents["images"])


def test_a_disabled_icon_is_grey(theme: Theme) -> None:
    image = theme.icon("star-fill").pixmap(QSize(32, 32), QIcon.Mode.Disabled).toImage()
    assert image.pixelColor(16, 16) == QColor(DARK.disabled)


def test_every_icon_that_is_used_exists(qapp: QApplication) -> None:
    names = {row.icon for row in STANDARD if row.icon}
    names |= {icon for icon, _ in LEVEL_ICONS.values()} | {icon for _, icon, _ in STATE_LOOKS.values()}
    source = Path(__file__).resolve().parents[2] / "desktop"
    for file in source.rglob("*.py"):
        names |= set(re.findall(r'theme\.icon\(\s*"([a-z-]+)"', file.read_text(encoding="utf-8")))
    assert len(names) > 20
    assert {name for name in names if not known_icon(name)} == set()


def test_every_state_has_a_look_of_its_own() -> None:
    assert set(STATE_LOOKS) == set(JobState)
    words = [word for word, _, _ in STATE_LOOKS.values()]
    assert len(set(words)) == len(words)
