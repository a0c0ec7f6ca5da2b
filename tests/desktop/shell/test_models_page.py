"""The Models page: what it lists and says, verifies, describes and uses; its look and keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.model_desk import ModelDesk
from desktop.shell.model_facts import InstalledModel, Memory, State
from desktop.shell.models_model import COLUMNS, LICENCE, USED
from desktop.shell.models_page import ModelsPage
from engine.errors import bad_file
from engine.weights import find_model
from tests.desktop.shell.model_files import damage, write_dit, write_vae
from tests.desktop.shell.models_support import ListedDesk, MakePage, install, listed, settle, state


@pytest.fixture
def page(models_page: ModelsPage) -> ModelsPage:
    return models_page


# --- what is listed -------------------------------------------------------------------------------


def test_only_the_builtin_model_and_what_can_be_added(page: ModelsPage, services: Services) -> None:
    assert page.model.names == ["builtin"]
    assert page._empty.isVisible()
    assert "You can add" in page._empty.text.text()
    assert state(page, "builtin").startswith("Ready")
    chosen = page.chosen()
    assert chosen is not None
    assert chosen.name == "builtin"
    assert not services.actions.action("models.remove").isEnabled(), "it stays"
    assert services.actions.action("models.use").isEnabled()
    assert not page.details.licence.isVisible(), "only the user's models can be described"


def test_all_there_is_to_know_is_said_and_can_be_copied(page: ModelsPage) -> None:
    info = find_model("builtin")
    assert page.details.title.text() == info.title
    assert page.details.digest.text() == info.sha256
    page.details.copy.click()
    assert QGuiApplication.clipboard().text() == info.sha256
    texts = {name: row.text() for name, row in page.details._rows.items() if row.isVisible()}
    assert texts["What it is"] == info.architecture
    assert texts["Files"] == str(info.path)
    assert "this machine has" in texts["Memory"]
    assert "parallel" in texts["Samplers"]
    assert all(row.accessibleName() for row in page.details._rows.values())


def test_a_model_that_cannot_be_used_is_listed_with_the_reason(
    qtbot: QtBot, page: ModelsPage, own_models: Path, services: Services
) -> None:
    (own_models / "broken").mkdir(parents=True)
    (own_models / "broken" / "model.safetensors").write_bytes(b"version https://git-lfs")
    services.actions.action("models.refresh").trigger()
    settle(qtbot, page)
    assert page.model.names == ["builtin", "broken"]
    assert state(page, "broken").startswith("Unusable")
    page.table.choose("broken")
    assert "Git LFS pointer" in page.details.notice.text.text()
    assert page.details.notice.hint.text()
    assert not services.actions.action("models.use").isEnabled()
    assert services.actions.action("models.remove").isEnabled()
    assert not page._empty.isVisible()


# --- verifying, describing, using -----------------------------------------------------------------


def test_verifying_says_that_all_is_well_or_what_is_damaged(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    install(qtbot, page, dit)
    verify = services.actions.action("models.verify")
    verify.trigger()
    assert state(page, "faces").startswith("Checking")
    assert not verify.isEnabled()
    settle(qtbot, page)
    assert state(page, "faces").startswith("Verified")
    assert verify.isEnabled()
    services.actions.action("models.refresh").trigger()
    settle(qtbot, page)
    assert state(page, "faces").startswith("Verified"), "that stays true"
    damage(find_model("faces").path)
    verify.trigger()
    settle(qtbot, page)
    assert state(page, "faces").startswith("Damaged")
    assert "model.safetensors is not what was installed" in page.details.notice.text.text()
    assert services.notifications.notices[0].level == "error"
    services.actions.action("models.refresh").trigger()
    settle(qtbot, page)
    assert state(page, "faces").startswith("Damaged"), "that stays true as well"


def test_a_licence_is_kept_with_the_model(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    install(qtbot, page, dit)
    field = page.details.licence
    assert field.isVisible()
    field.setFocus()
    qtbot.keyClicks(field, "CC BY-NC 4.0")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    settle(qtbot, page)
    info = find_model("faces")
    assert info.licence == "CC BY-NC 4.0"
    assert info.num_heads == 4, "the rest of the description stays"
    assert page.details.licence.text() == "CC BY-NC 4.0"


def test_a_model_is_used_from_button_key_and_list(
    qtbot: QtBot, page: ModelsPage, services: Services
) -> None:
    wanted: list[tuple[str, str]] = []
    page.use_wanted.connect(lambda *names: wanted.append(names))
    page.use.click()
    page.run_main_action()
    page.table.setFocus()
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    assert wanted == [("images", "builtin")] * 3


def test_the_folder_is_shown(
    qtbot: QtBot, page: ModelsPage, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    services.actions.action("models.reveal").trigger()
    settle(qtbot, page)
    assert [Path(url.toLocalFile()) for url in opened] == [find_model("builtin").path]


def test_memory_of_the_graphics_card_is_what_counts(
    qtbot: QtBot, make_models_page: MakePage, services: Services
) -> None:
    page = make_models_page(ListedDesk(listed("big", memory_bytes=40_000_000_000)))
    page._memory = Memory("this machine", 64_000_000_000, 60_000_000_000)
    page.model.set_memory(page._memory)
    assert state(page, "big").startswith("Ready")
    services.bridge.engine_ready.emit(
        {
            "device": "cuda:0",
            "devices": [{"device": "cuda:0", "name": "A card", "memory_bytes": 24_000_000_000}],
        }
    )
    assert state(page, "big").startswith("Too large")
    assert "A card has only 24.0 GB" in page.details.notice.text.text()


def test_an_autoencoder_is_chosen_for_latents(
    qtbot: QtBot, make_models_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaes = [listed(name, kind="vae", generates=False) for name in ("mse", "ema")]
    page = make_models_page(ListedDesk(listed("xl", kind="dit", vae="mse", alignment=True), *vaes))
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(
        ModelDesk, "describe", lambda _self, name, licence=None, vae=None: asked.append((name, vae))
    )
    box = page.details.vae
    assert box.isVisible()
    assert [box.itemData(row) for row in range(box.count())] == ["none", "mse", "ema"]
    assert box.currentData() == "mse"
    box.setCurrentIndex(2)
    box.activated.emit(2)
    settle(qtbot, page)
    assert asked == [("xl", "ema")]
    page.table.choose("ema")
    assert not box.isVisible()
    assert not page.use.isEnabled(), "it makes no pictures"


def test_latents_are_decoded_by_the_autoencoder_of_ones_choice(
    qtbot: QtBot, page: ModelsPage, tmp_path: Path, services: Services
) -> None:
    for name in ("ema", "mse"):
        page.accept([write_vae(tmp_path / name)])
        settle(qtbot, page)
        page.adding.add()
        settle(qtbot, page)
        assert page.adding.isHidden(), page.adding.message.text()
    page.accept([write_dit(tmp_path / "latent.safetensors", channels=4)])
    settle(qtbot, page)
    assert page.adding.vae.isVisible(), "with two of them there is a choice"
    page.adding.heads.set_value(4)
    page.adding.vae.setCurrentIndex(page.adding.vae.findData("mse"))
    page.adding.add()
    settle(qtbot, page)
    assert find_model("latent").vae == "mse"
    box = page.details.vae
    assert box.currentData() == "mse"
    for name in ("ema", "none"):
        box.setCurrentIndex(box.findData(name))
        box.activated.emit(box.currentIndex())
        settle(qtbot, page)
        assert find_model("latent").vae == ("" if name == "none" else name)
        assert box.currentData() == name
    page._describe("latent", vae="ema")
    settle(qtbot, page)
    page.table.choose("ema")
    page.remove()
    settle(qtbot, page)
    assert "decodes the pictures of latent" in services.notifications.notices[0].text
    assert "ema" in page.model.names
    assert not services.undo.canUndo()


def test_states_differ_in_word_and_icon() -> None:
    from desktop.shell.model_facts import STATE_LOOKS
    from desktop.theme import known_icon

    assert set(STATE_LOOKS) == set(State)
    assert len({word for word, _, _ in STATE_LOOKS.values()}) == len(State)
    assert len({icon for _, icon, _ in STATE_LOOKS.values()}) == len(State)
    assert all(known_icon(icon) for _, icon, _ in STATE_LOOKS.values())


def test_a_narrow_table_goes_without_columns_instead_of_squeezing_all(
    qtbot: QtBot, page: ModelsPage
) -> None:
    table = page.table
    for width, hidden in ((884, {LICENCE, USED}), (1204, set())):
        page.window().resize(width, 560)
        qtbot.waitUntil(
            lambda hidden=hidden: (
                {column for column in range(len(COLUMNS)) if table.isColumnHidden(column)} == hidden
            )
        )
        assert all(
            table.columnWidth(column) >= 80
            for column in range(len(COLUMNS))
            if not table.isColumnHidden(column)
        )


@pytest.mark.parametrize("size", [(820, 520), (1204, 730), (2400, 1300)])
def test_no_text_is_cut_off(
    qtbot: QtBot, make_models_page: MakePage, lacking: ListedDesk, dit: Path, size: tuple[int, int]
) -> None:
    lacking.models.append(InstalledModel("broken", error=bad_file("It is damaged. " * 9, "Remove it.")))
    page = make_models_page(lacking)
    page.window().resize(*size)
    page.accept([dit])
    settle(qtbot, page)
    page.adding._refuse(bad_file("It is no model that this version knows. " * 4, "Choose another."))

    def cut() -> list[str]:
        labels = [label for label in page.findChildren(QLabel) if label.isVisible() and label.text()]
        return [
            label.text()
            for label in labels
            if label.wordWrap()
            and label.height() < label.heightForWidth(label.width())
            and label.text() != page._empty.text.text()
        ]

    for name in ("sd", "broken"):
        page.table.choose(name)
        qtbot.waitUntil(lambda: cut() == [])


def test_everything_has_a_name_and_is_reached_by_keyboard(
    qtbot: QtBot, page: ModelsPage, dit: Path
) -> None:
    page.accept([dit])
    settle(qtbot, page)
    reached: list[QWidget] = []
    focus = page.adding.name
    focus.setFocus()
    for _ in range(40):
        widget = page.window().focusWidget()
        assert widget is not None
        if widget in reached:
            break
        reached.append(widget)
        qtbot.keyClick(widget, Qt.Key.Key_Tab)
    for wanted in (page.adding.start, page.adding.give_up, page.table, page.details.copy, page.use):
        assert wanted in reached, wanted
    unnamed = [
        widget
        for widget in reached
        if not widget.accessibleName()
        and not getattr(widget, "text", lambda: "")()
        and not widget.toolTip()
    ]
    assert unnamed == []
