"""Installing what a model lacks, after its command was shown."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.model_desk import ModelDesk
from engine.errors import bad_file
from tests.desktop.shell.models_support import ListedDesk, MakePage, settle, state
from tests.desktop.support import WAIT_MS


def test_an_extra_is_installed_after_its_command_was_shown(
    qtbot: QtBot, make_models_page: MakePage, lacking: ListedDesk, services: Services
) -> None:
    page = make_models_page(lacking)
    assert state(page, "sd") == "Incomplete\nneeds diffusers"
    assert not page.use.isEnabled()
    assert "before diffusers is installed" in page.details.notice.text.text()
    panel = page.installing
    assert panel.isVisible()
    assert panel.command.toPlainText() == "python -m pip install diffusers"
    assert "folders of diffusers" in panel.purpose.text()
    heard: list[None] = []
    services.models.changed.connect(lambda: heard.append(None))
    panel.start.click()
    settle(qtbot, page)
    assert panel.output.toPlainText().splitlines() == lacking.lines
    assert heard == [None]
    assert state(page, "sd").startswith("Ready")
    assert page.use.isEnabled()
    assert "diffusers is installed" in services.notifications.notices[0].text


def test_a_failed_installation_says_why_and_can_be_tried_again(
    qtbot: QtBot, make_models_page: MakePage, lacking: ListedDesk
) -> None:
    lacking.error = bad_file("The extra was not installed: no connection.", "Try again.")
    page = make_models_page(lacking)
    page.installing.start.click()
    settle(qtbot, page)
    assert "no connection" in page.installing.result.text()
    assert page.installing.hint.text() == "Try again."
    assert page.installing.output.isVisible(), "what pip said can be read"
    assert page.installing.start.isEnabled()
    assert state(page, "sd").startswith("Incomplete")


def test_an_installation_is_cancelled(
    qtbot: QtBot, make_models_page: MakePage, lacking: ListedDesk
) -> None:
    lacking.waits = True
    page = make_models_page(lacking)
    page.installing.start.click()
    qtbot.waitUntil(lambda: "Collecting" in page.installing.output.toPlainText(), timeout=WAIT_MS)
    assert not page.installing.start.isVisible()
    page.installing.stop.click()
    settle(qtbot, page)
    assert "cancelled" in page.installing.result.text()


def test_the_real_offer_names_the_command_and_its_purpose() -> None:
    offer = ModelDesk().offer("diffusers")
    assert "-m pip install" in offer.command
    assert "diffusers" in offer.command
    assert "Stable Diffusion" in offer.purpose
