"""Prompt and seed fields."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from desktop.images.prompt import PromptEditor
from desktop.images.seed import SeedEditor
from desktop.theme import Theme
from engine.errors import EngineError
from engine.images.vocabulary import Vocabulary


@pytest.fixture
def prompt(qtbot: QtBot, theme: Theme, vocabulary: Vocabulary) -> PromptEditor:
    result = PromptEditor({"maxLength": 50}, "Prompt", theme)
    qtbot.addWidget(result)
    result.set_model(vocabulary, True)
    result.resize(300, 200)
    result.show()
    qtbot.waitExposed(result)
    return result


def plain(editor: PromptEditor) -> str:
    from PySide6.QtGui import QTextDocument

    document = QTextDocument()
    document.setHtml(editor.note.text())
    return document.toPlainText()


def test_the_note_says_what_is_drawn(prompt: PromptEditor) -> None:
    prompt.set_value("red heart")
    assert plain(prompt) == "Draws: red heart · hearts"


def test_the_note_names_words_that_were_read_as_others(prompt: PromptEditor) -> None:
    prompt.set_value("puppy")
    assert "“puppy” is read as “" in plain(prompt)


def test_unknown_words_are_never_silent(prompt: PromptEditor) -> None:
    prompt.set_value("red hart xyzzy")
    text = plain(prompt)
    assert "“hart” is not known and has no effect. Did you mean heart" in text
    assert "“xyzzy” is not known and has no effect." in text
    prompt.set_value("xyzzy")
    assert "No word is left" in plain(prompt)


def test_markup_in_a_prompt_is_text(prompt: PromptEditor) -> None:
    prompt.set_value("<b>rocket</b> <img src=x>")
    assert "<img" not in prompt.note.text()
    assert "rocket" in plain(prompt)


def test_a_suggested_word_replaces_the_unknown_one(prompt: PromptEditor) -> None:
    prompt.set_value("red hart")
    prompt.note.linkActivated.emit("hart/heart")
    assert prompt.value() == "red heart"
    prompt.text.undo()
    assert prompt.value() == "red hart"


def test_the_chosen_class_is_named_and_an_empty_prompt_explained(prompt: PromptEditor) -> None:
    prompt.set_value("rocket")
    prompt.set_class("animals")
    assert plain(prompt).endswith("animals")
    prompt.set_value("")
    assert plain(prompt).startswith("Empty:")


def test_a_model_of_classes_says_that_the_prompt_is_not_used(prompt: PromptEditor) -> None:
    prompt.set_value("rocket")
    prompt.set_model(None, True)
    assert "classes only" in plain(prompt)
    prompt.set_model(None, False)
    assert plain(prompt) == ""


def test_completion_offers_captions_and_return_takes_one(prompt: PromptEditor, qtbot: QtBot) -> None:
    prompt.text.setFocus()
    qtbot.keyClicks(prompt.text, "hea")
    popup = prompt.text.popup
    assert popup.isVisible()
    model = prompt.text.completer.completionModel()
    offered = [model.index(row, 0).data() for row in range(model.rowCount())]
    assert offered == ["red heart", "blue heart"]
    qtbot.keyClick(popup, Qt.Key.Key_Down)
    qtbot.keyClick(popup, Qt.Key.Key_Return)
    assert prompt.value() == "red heart"
    assert not popup.isVisible()


def test_escape_closes_the_suggestions_and_keeps_what_was_typed(
    prompt: PromptEditor, qtbot: QtBot
) -> None:
    prompt.text.setFocus()
    qtbot.keyClicks(prompt.text, "dog")
    qtbot.keyClick(prompt.text.popup, Qt.Key.Key_Escape)
    assert not prompt.text.popup.isVisible()
    assert prompt.value() == "dog"


def test_return_never_starts_a_line_and_spaces_are_tidied(prompt: PromptEditor, qtbot: QtBot) -> None:
    prompt.text.setFocus()
    qtbot.keyClicks(prompt.text, "zz")
    qtbot.keyClick(prompt.text, Qt.Key.Key_Return)
    assert prompt.text.toPlainText() == "zz"
    prompt.set_value("red \n  heart ")
    assert prompt.value() == "red heart"


def test_a_prompt_that_is_too_long_is_an_error_not_cut(prompt: PromptEditor) -> None:
    prompt.set_value("x" * 60)
    assert prompt.value() == "x" * 60
    assert "60 characters; at most 50" in prompt.error()


@pytest.fixture
def seed(qtbot: QtBot, theme: Theme) -> SeedEditor:
    result = SeedEditor(theme, "Seed")
    qtbot.addWidget(result)
    return result


def test_an_open_seed_is_new_for_every_run_and_shown(seed: SeedEditor) -> None:
    first, second = seed.next_seed(), seed.next_seed()
    assert first != second
    assert seed.value() == second


def test_a_locked_seed_stays(seed: SeedEditor) -> None:
    seed.set_value(77)
    seed.set_locked(True)
    assert (seed.next_seed(), seed.next_seed()) == (77, 77)


def test_typing_a_seed_locks_it_and_the_dice_change_it(seed: SeedEditor, qtbot: QtBot) -> None:
    seed.line.clear()
    qtbot.keyClicks(seed.line, "123")
    assert seed.locked
    assert seed.next_seed() == 123
    seed.dice.click()
    assert seed.value() != 123


def test_text_for_a_seed_is_an_error_and_never_a_run(seed: SeedEditor, qtbot: QtBot) -> None:
    seed.line.clear()
    qtbot.keyClicks(seed.line, "lucky")
    assert "“lucky” is not a whole number" in seed.error()
    assert seed.value() is None
    with pytest.raises(EngineError):
        seed.next_seed()
    assert seed.line.text() == "lucky"


def test_the_lock_says_its_state(seed: SeedEditor) -> None:
    assert "new random seed" in seed.lock.accessibleName()
    seed.lock.click()
    assert "same seed" in seed.lock.accessibleName()
