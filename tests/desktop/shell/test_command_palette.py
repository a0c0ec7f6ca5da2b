"""The command palette finds actions by some of their letters, and the keyboard is enough."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from desktop.actions import STANDARD, Actions
from desktop.shell.command_palette import CommandPalette, fuzzy_score, search
from desktop.shell.keys import KeysOverlay
from desktop.theme import Theme


def _occurs(query: str, text: str) -> bool:
    letters = iter(text.casefold())
    return all(letter in letters for letter in query.casefold().replace(" ", ""))


@given(st.text(alphabet="abc xY", max_size=6), st.text(alphabet="abc xYz", max_size=14))
def test_a_score_exists_exactly_when_the_letters_occur_in_order(query: str, text: str) -> None:
    assert (fuzzy_score(query, text) is not None) == _occurs(query, text)


@pytest.mark.parametrize(
    ("query", "better", "worse"),
    [
        ("que", "Queue", "Quit the nice one"),
        ("ct", "Cancel the job", "Act"),
        ("can", "Cancel", "Switch between light and dark"),
        ("open", "Open another project", "Show project’s pen"),
    ],
)
def test_runs_and_starts_of_words_count_more(query: str, better: str, worse: str) -> None:
    high, low = fuzzy_score(query, better), fuzzy_score(query, worse)
    assert high is not None
    assert low is None or high > low


def test_an_empty_query_keeps_the_order_of_the_table() -> None:
    assert search("", list(STANDARD)) == list(STANDARD)


def test_the_title_counts_more_than_the_explanation() -> None:
    found = [row.id for row in search("queue", list(STANDARD))]
    assert found[0] == "page.queue"


@pytest.fixture
def palette(qtbot: QtBot, theme: Theme, actions: Actions) -> Iterator[CommandPalette]:
    """A palette over a shown window with a line that has the keyboard."""
    ground = QWidget()
    qtbot.addWidget(ground)
    ground.resize(900, 700)
    line = QLineEdit(ground)
    ground.show()
    ground.activateWindow()
    qtbot.waitUntil(ground.isActiveWindow)
    line.setFocus()
    actions.attach(None, ground)
    yield CommandPalette(ground, theme, actions)
    ground.hide()


def _line() -> QLineEdit:
    focused = QApplication.focusWidget()
    assert isinstance(focused, QLineEdit)
    return focused


def test_typing_and_enter_run_an_action(
    qtbot: QtBot, actions: Actions, palette: CommandPalette
) -> None:
    done: list[str] = []
    actions.connect("page.queue", lambda: done.append("queue"))
    before = QApplication.focusWidget()
    palette.open_for("images")
    qtbot.keyClicks(_line(), "queue")
    assert palette.found[0].id == "page.queue"
    qtbot.keyClick(_line(), Qt.Key.Key_Return)
    assert done == ["queue"]
    assert not palette.isVisible()
    assert QApplication.focusWidget() is before


def test_arrows_choose_and_escape_closes_without_cancelling_a_job(
    qtbot: QtBot, actions: Actions, palette: CommandPalette
) -> None:
    done: list[str] = []
    actions.connect("job.cancel", lambda: done.append("cancelled"))
    actions.connect("page.bodies", lambda: done.append("bodies"))
    palette.open_for("images")
    qtbot.keyClick(_line(), Qt.Key.Key_Down)
    qtbot.keyClick(_line(), Qt.Key.Key_Return)
    assert done == ["bodies"]
    palette.open_for("images")
    qtbot.keyClick(_line(), Qt.Key.Key_Escape)
    assert not palette.isVisible()
    assert done == ["bodies"]


def test_only_actions_of_the_page_are_found_and_disabled_ones_come_last(
    actions: Actions, palette: CommandPalette
) -> None:
    actions.define("images.star", "Star the picture", workspace="images")
    actions.define("tracks.split", "Split the track", workspace="tracks")
    actions.action("page.images").setEnabled(False)
    palette.open_for("images")
    ids = [row.id for row in palette.found]
    assert "images.star" in ids
    assert "tracks.split" not in ids
    assert ids[-1] == "page.images"
    palette.type("Images")
    palette.accept()
    assert palette.isVisible(), "a disabled action does not run"
    palette.close_overlay()


def test_nothing_found_is_no_error(palette: CommandPalette) -> None:
    palette.open_for("images")
    palette.type("qqqq zzzz")
    assert palette.found == []
    palette.accept()
    palette.close_overlay()


def test_the_list_of_keys_is_made_from_the_table(
    qtbot: QtBot, theme: Theme, actions: Actions, palette: CommandPalette
) -> None:
    from PySide6.QtWidgets import QLabel

    actions.define("images.star", "Star the picture", "S", workspace="images")
    keys = KeysOverlay(palette.parentWidget(), theme, actions)
    keys.open_for("images", "Images")
    shown = [label.text() for label in keys.findChildren(QLabel)]
    assert {"Star the picture", "S", "Ctrl+K", "Keys of Images"} <= set(shown)
    qtbot.keyClick(keys, Qt.Key.Key_Escape)
    assert not keys.isVisible()
