"""The Compute slider: its stops by model, what is sent, and settings of pictures."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from desktop.images.catalogue import ModelEntry
from desktop.images.compute import ComputeEditor, stops_of

TOLD = ModelEntry("builtin", "Built-in", dynamic="told", compute=(0.3502, 0.9801))
FIXED = ModelEntry("dydit", "DyDiT", dynamic="fixed")
STATIC = ModelEntry("dit", "DiT")


def test_stops_are_within_what_the_model_was_trained_for() -> None:
    shares = [share for share, _ in stops_of(TOLD)]
    assert shares[0] == 0.35
    assert shares[-2:] == [0.95, None]
    assert len(shares) == 14
    exact = ModelEntry("m", "M", dynamic="told", compute=(0.36, 0.9))
    assert [share for share, _ in stops_of(exact)][:2] == [0.4, 0.45]
    assert [share for share, _ in stops_of(exact)][-2:] == [0.9, None]
    assert [name for _, name in stops_of(FIXED)] == ["As trained", "100 %"]
    assert stops_of(STATIC) == stops_of(None) == ((None, "100 %"),)


@pytest.fixture
def editor(qtbot: QtBot) -> ComputeEditor:
    editor = ComputeEditor("Compute")
    qtbot.addWidget(editor)
    editor.set_model(TOLD)
    return editor


def test_the_slider_says_and_gives_the_share(qtbot: QtBot, editor: ComputeEditor) -> None:
    assert (editor.value(), editor.text.text()) == (None, "100 %")
    with qtbot.waitSignal(editor.changed):
        editor.slider.setValue(3)
    assert (editor.value(), editor.text.text()) == (0.5, "50 %")


def test_a_share_between_stops_is_kept_until_the_slider_moves(editor: ComputeEditor) -> None:
    editor.set_value(0.523)
    assert (editor.value(), editor.text.text(), editor.error()) == (0.523, "52.3 %", "")
    editor.slider.setValue(0)
    assert editor.value() == 0.35
    editor.set_value(1.0)
    assert (editor.text.text(), editor.error()) == ("100 %", "")


def test_what_the_model_cannot_compute_is_an_error_not_another_value(editor: ComputeEditor) -> None:
    editor.set_value(0.2)
    assert editor.value() == 0.2
    assert "20 %" in editor.error()
    editor.set_value(0.5)
    editor.set_model(FIXED)
    assert editor.error()
    editor.set_value(None)
    assert (editor.text.text(), editor.error()) == ("As trained", "")
    editor.slider.setValue(1)
    assert editor.value() == 1.0
