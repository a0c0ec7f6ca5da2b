"""The pages of workspaces that this version does not have, or that could not be made."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout

from desktop.services import Page, Services
from desktop.widgets.parts import EmptyState


class UnbuiltPage(Page):
    """Says so in one sentence; has no controls, because none would do anything."""

    promise: str = ""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.setProperty("workspace", self.workspace)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(
            EmptyState(services.theme, self.icon, self.title, self.promise, role=self.workspace)
        )


class BrokenPage(UnbuiltPage):
    """In place of a page that failed; the others go on."""

    icon = "warning-circle"
    promise = (
        "This workspace could not be loaded; jobs and results are safe, and the other workspaces work. "
        "The log (Ctrl+L) says why. Installing Triptych again repairs a damaged installation."
    )

    def __init__(self, services: Services, workspace: str) -> None:
        self.workspace = workspace
        self.title = workspace.capitalize()
        super().__init__(services)
