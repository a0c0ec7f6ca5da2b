"""The page of a workspace that this version does not have."""

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
