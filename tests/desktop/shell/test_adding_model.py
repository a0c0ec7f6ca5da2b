"""Adding models: asked inline, refused with reasons, corrected, cancelled."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.model_desk import Meter, ModelDesk, Wish
from desktop.shell.models_page import ModelsPage
from engine.model_info import ModelInfo
from engine.weights import find_model
from tests.desktop.shell.model_files import write_dit
from tests.desktop.shell.models_support import MakePage, install, settle
from tests.desktop.support import WAIT_MS


@pytest.fixture
def page(models_page: ModelsPage) -> ModelsPage:
    return models_page


def test_a_refused_file_says_why_and_keeps_what_was_typed(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    heard: list[None] = []
    services.models.changed.connect(lambda: heard.append(None))
    page.accept([dit])
    settle(qtbot, page)
    assert page.adding.name.text() == "faces"
    assert page.adding.name.hasFocus()
    page.adding.name.setText("my-faces")
    qtbot.keyClick(page.adding.name, Qt.Key.Key_Return)
    settle(qtbot, page)
    assert "width 32" in page.adding.message.text()
    assert "heads" in page.adding.hint.text()
    assert page.adding.name.text() == "my-faces"
    assert page.adding.heads.isVisible(), "what was missing can be said now"
    assert page.model.names == ["builtin"]
    assert heard == []
    qtbot.keyClicks(page.adding.heads.box.lineEdit(), "4")
    qtbot.keyClick(page.adding.heads.box.lineEdit(), Qt.Key.Key_Return)
    settle(qtbot, page)
    assert page.adding.isHidden()
    assert page.model.names == ["builtin", "my-faces"]
    assert heard, "who lists models looks again"
    chosen = page.chosen()
    assert chosen is not None
    assert chosen.name == "my-faces", "the new model is shown"
    assert find_model("my-faces").num_heads == 4
    assert services.notifications.notices[0].level == "success"


def test_heads_that_are_no_number_are_not_sent(qtbot: QtBot, page: ModelsPage, dit: Path) -> None:
    page.accept([dit])
    settle(qtbot, page)
    page.adding.heads.box.lineEdit().setText("many")
    page.adding.add()
    assert not page.adding.work.busy
    assert "whole number" in page.adding.message.text()


def test_a_taken_name_gets_a_number(qtbot: QtBot, page: ModelsPage, dit: Path) -> None:
    install(qtbot, page, dit)
    page.accept([dit])
    settle(qtbot, page)
    assert page.adding.name.text() == "faces-2"
    page.adding.name.setText("faces")
    page.adding.heads.set_value(4)
    page.adding.add()
    settle(qtbot, page)
    assert "already" in page.adding.message.text()
    page.adding.give_up.click()
    assert page.adding.isHidden()


def test_a_model_can_stay_where_it_is(
    qtbot: QtBot, page: ModelsPage, dit: Path, own_models: Path
) -> None:
    install(qtbot, page, dit, in_place=True)
    info = find_model("faces")
    assert info.in_place
    assert info.path == dit
    assert not list(own_models.rglob("*.safetensors"))
    assert "where it is" in page.details._rows["From"].text()


def test_pickles_are_always_copied_and_the_reason_is_said(
    qtbot: QtBot, page: ModelsPage, tmp_path: Path
) -> None:
    path = tmp_path / "old.ckpt"
    path.write_bytes(b"x" * 1000)
    page.accept([path])
    settle(qtbot, page)
    assert not page.adding.stay.isEnabled()
    assert "hide programs" in page.adding.room.text()


def test_several_files_are_asked_about_one_by_one(
    qtbot: QtBot, page: ModelsPage, tmp_path: Path
) -> None:
    first, second = write_dit(tmp_path / "a.safetensors"), write_dit(tmp_path / "b.safetensors")
    page.accept([first, second])
    settle(qtbot, page)
    assert page.adding.heading.text() == "Add a.safetensors (1 more after it)"
    page.adding.give_up.click()
    settle(qtbot, page)
    assert page.adding.heading.text() == "Add b.safetensors"


def test_a_file_that_is_gone_is_explained(qtbot: QtBot, page: ModelsPage, tmp_path: Path) -> None:
    page.accept([tmp_path / "gone.safetensors"])
    settle(qtbot, page)
    assert "cannot be read" in page.adding.message.text()


def test_files_and_folders_are_chosen_in_dialogs(
    qtbot: QtBot,
    page: ModelsPage,
    dit: Path,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_a: ([str(dit)], ""))
    services.actions.action("models.add_file").trigger()
    settle(qtbot, page)
    assert page.adding.place.text() == str(dit)
    page.adding.cancel()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_a: str(dit.parent))
    services.actions.action("models.add_folder").trigger()
    settle(qtbot, page)
    assert page.adding.place.text() == str(dit.parent)


class SlowDesk(ModelDesk):
    """Adding reports progress until it is cancelled or let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def add(self, wish: Wish, meter: Meter) -> ModelInfo:
        done = 0.0
        while not self.go.wait(0.02):
            done += 20e6
            meter.report(min(done, 900e6), 1e9, "copying")
        return super().add(wish, meter)


def test_adding_shows_bytes_and_can_be_cancelled(
    qtbot: QtBot, make_models_page: MakePage, dit: Path, own_models: Path
) -> None:
    page = make_models_page(SlowDesk())
    page.accept([dit])
    settle(qtbot, page)
    page.adding.name.setText("kept")
    page.adding.start.click()
    assert page.adding.give_up.hasFocus(), "cancelling is one key away"
    qtbot.waitUntil(lambda: "of 1.00 GB" in page.adding.stage.text(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: "left" in page.adding.stage.text(), timeout=WAIT_MS)
    assert page.adding.bar.value() > 0
    qtbot.keyClick(page.adding.give_up, Qt.Key.Key_Space)
    settle(qtbot, page)
    assert "cancelled" in page.adding.message.text()
    assert page.adding.name.text() == "kept"
    assert not (own_models / "kept").exists()
    assert page.adding.start.isEnabled(), "it can be tried again"


def test_the_page_can_go_while_a_model_is_added(
    qtbot: QtBot, make_models_page: MakePage, dit: Path
) -> None:
    desk = SlowDesk()
    page = make_models_page(desk)
    page.accept([dit])
    settle(qtbot, page)
    page.adding.heads.set_value(4)
    page.adding.add()
    with qtbot.waitSignal(page.destroyed, timeout=WAIT_MS):
        page.deleteLater()
    assert not desk.go.is_set(), "it was cancelled, or waiting for it would never end"


def test_escape_gives_up_what_is_asked(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    cancelled: list[str] = []
    services.actions.connect("job.cancel", lambda: cancelled.append("job"))
    page.window().addAction(services.actions.action("job.cancel"))
    page.accept([dit])
    settle(qtbot, page)
    qtbot.keyClick(page.adding.name, Qt.Key.Key_Escape)
    assert page.adding.isHidden()
    assert cancelled == [], "one key does one thing"
    page.table.setFocus()
    qtbot.keyClick(page.table, Qt.Key.Key_Escape)
    assert cancelled == ["job"]
