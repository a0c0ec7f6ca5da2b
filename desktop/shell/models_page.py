"""The Models page: what is installed on this computer, adding to it, and taking away from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QPoint, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QSplitter, QVBoxLayout, QWidget

from desktop.background import Background
from desktop.services import Page, Services
from desktop.shell.adding_model import AddingModel
from desktop.shell.installing_extra import InstallingExtra
from desktop.shell.model_desk import ModelDesk
from desktop.shell.model_details import ModelDetails
from desktop.shell.model_facts import (
    MODEL_SUFFIXES,
    InstalledModel,
    Memory,
    device_memory,
    looks_like_model,
    size_text,
)
from desktop.shell.models_model import ModelsModel
from desktop.shell.models_table import ModelsTable
from desktop.shell.removing_model import RemovedModels
from desktop.shell.verifying_model import VerifyingModel, keep_check
from desktop.theme import SPACE_L, SPACE_M, SPACE_S
from desktop.widgets.parts import EmptyState, button, icon_button, label, line
from engine.errors import EngineError

WORKSPACE = "models"
ONLY_BUILTIN = (
    "Only the built-in model is installed",
    "You can add DiT checkpoints (.safetensors, .pt), Stable Diffusion 1.x, 2.x and XL and DiT folders "
    "in the layout of diffusers, and autoencoders for DiT files. Drop them here, or choose a file or a "
    "folder. Nothing is downloaded, and the originals are only read.",
)
FILE_FILTER = f"Models ({' '.join(f'*{suffix}' for suffix in sorted(MODEL_SUFFIXES))});;All files (*)"

# id, title, key, icon, tip
_ACTIONS = (
    ("add_file", "Add file…", "Ctrl+N", "file-plus", "Add a model from a file"),
    ("add_folder", "Add folder…", "Ctrl+Shift+N", "folder-plus", "Add a model from a folder"),
    ("verify", "Verify", "Ctrl+T", "shield-check", "Compare the model's files with their checksums"),
    ("reveal", "Show folder", "Ctrl+E", "folder-open", "Show where the model's files are"),
    ("remove", "Remove", "Del", "trash", "Remove the model; this can be undone"),
    ("use", "Use in Images", "", "image", "Go to Images with this model chosen (Ctrl+Return)"),
    ("refresh", "Look for models again", "F5", "arrows-clockwise", ""),
)


class ModelsPage(Page):
    """A table of models, all about the chosen one, and the panel that adds.

    Parameters
    ----------
    services
        The application's parts.
    desk
        The engine's side.

    Attributes
    ----------
    use_wanted
        Workspace and model: the user wants to work with it there.
    """

    use_wanted = Signal(str, str)

    workspace = WORKSPACE
    title = "Models"
    icon = "cube"

    def __init__(self, services: Services, desk: ModelDesk | None = None) -> None:
        super().__init__()
        self._services = services
        self._desk = desk or ModelDesk()
        self._memory: Memory | None = None
        self._wanted = ""
        self._started = False
        self.background = Background(self)
        self.model = ModelsModel(services.theme, self)
        self.verifying = VerifyingModel(self._desk, self.model, self)
        self._build()
        self._define_actions()
        self._connect()
        self._selection_changed()

    # --- Page -------------------------------------------------------------------------------------

    def activate(self) -> None:
        """The table takes the keyboard."""
        if self.adding.isHidden():
            self.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def run_main_action(self) -> None:
        """Use the chosen model in Images."""
        model = self.chosen()
        if model is not None and model.usable:
            self.use_wanted.emit("images", model.name)

    def can_accept(self, paths: Sequence[Path]) -> bool:
        """Model files and folders, and nothing beside them."""
        return bool(paths) and all(looks_like_model(path) for path in paths)

    def accept(self, paths: Sequence[Path]) -> None:
        """Ask how to add them."""
        self.adding.open(paths)

    def showEvent(self, event: QShowEvent) -> None:
        """Other programs may have added models meanwhile."""
        super().showEvent(event)
        if not self._started:
            self._started = True
            self.background.run(self._desk.delete, lambda _none: None, self._tell)
        self.refresh()

    # --- layout -----------------------------------------------------------------------------------

    def _build(self) -> None:
        theme = self._services.theme
        self._summary = label("Looking for models…", "muted")
        self._tools = QHBoxLayout()
        self._tools.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        self._tools.setSpacing(SPACE_S)
        self._tools.addWidget(label("Models", "title"))
        self._tools.addSpacing(SPACE_S)
        self._tools.addWidget(self._summary, 1)
        self.adding = AddingModel(theme, self._desk)
        self.removed = RemovedModels(self._services, self._desk, self.background)
        self.table = ModelsTable(theme, self.model)
        self.details = ModelDetails(theme)
        self.installing = InstallingExtra(theme, self._desk)
        self.details.below_notice.addWidget(self.installing)
        self._empty = EmptyState(theme, self.icon, *ONLY_BUILTIN)
        self._empty.hide()

        self._panels = QWidget()
        panels = QVBoxLayout(self._panels)
        panels.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        panels.setSpacing(SPACE_S)
        panels.addWidget(self.removed)
        panels.addWidget(self.adding)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._panels)
        column.addWidget(self.table, 1)
        column.addWidget(self._empty, 3)
        splitter = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        splitter.setHandleWidth(1)
        splitter.addWidget(left)
        splitter.addWidget(self.details)
        splitter.setStretchFactor(0, 1)
        splitter.setSizes([820, self.details.sizeHint().width()])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._tools)
        layout.addWidget(line())
        layout.addWidget(splitter, 1)

    def _define_actions(self) -> None:
        actions, theme = self._services.actions, self._services.theme
        handlers: dict[str, Callable[[], object]] = {
            "add_file": self.choose_file,
            "add_folder": self.choose_folder,
            "verify": self.verify,
            "reveal": self.reveal,
            "remove": self.remove,
            "use": self.run_main_action,
            "refresh": self.refresh,
        }
        for name, title, key, icon, tip in _ACTIONS:
            id = f"{WORKSPACE}.{name}"
            action = actions.define(id, title, key, icon, WORKSPACE, tip or title)
            actions.connect(id, handlers[name])
            if name in ("add_file", "add_folder"):
                item = button(title, action.trigger, "", theme.icon(icon))
                item.setToolTip(action.toolTip())
                self._tools.addWidget(item)
            elif name == "use":
                self.use = button(title, action.trigger, "primary", theme.icon(icon, "on_accent"))
                self.use.setToolTip(action.toolTip())
                self._tools.addWidget(self.use)
            elif name != "refresh":
                tool = icon_button(theme.icon(icon), title)
                tool.setDefaultAction(action)
                tool.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
                self._tools.addWidget(tool)

    def _connect(self) -> None:
        self.table.chosen.connect(self._selection_changed)
        self.table.activated.connect(lambda _index: self.run_main_action())
        self.table.customContextMenuRequested.connect(self._menu)
        self.details.licence_edited.connect(lambda name, text: self._describe(name, licence=text))
        self.details.vae_chosen.connect(lambda name, vae: self._describe(name, vae=vae))
        self.adding.taken = lambda: self.model.names
        self.adding.autoencoders = self.autoencoders
        self.adding.added.connect(self._added)
        for panel in (self.adding, self.removed):
            panel.shown.connect(self._make_room)
        self._make_room()
        self.installing.installed.connect(self._installed)
        self.verifying.said.connect(self._summary.setText)
        self.verifying.found.connect(self._tell)
        self.verifying.changed.connect(self._selection_changed)
        self._services.bridge.engine_ready.connect(self._on_engine)
        self._services.models.changed.connect(self.refresh)

    def _make_room(self) -> None:
        self._panels.setVisible(not (self.adding.isHidden() and self.removed.isHidden()))

    # --- what is there ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the models again."""
        desk = self._desk

        def read() -> tuple[list[InstalledModel], Memory]:
            return desk.read(), desk.memory()

        self.background.run(read, self._show, self._tell)

    def _show(self, found: tuple[list[InstalledModel], Memory]) -> None:
        models, machine = found
        before = self.chosen()
        known = {name: self.model.model(name) for name in self.model.names}
        # What a check of the files said stays true while the files are the same.
        models = [keep_check(model, known.get(model.name)) for model in models]
        self._memory = self._device_memory(self._services.bridge.engine) or machine
        self.model.set_models(models)
        self.model.set_memory(self._memory)
        only_builtin = not any(model.own for model in models)
        self._empty.setVisible(only_builtin)
        self.table.set_compact(only_builtin)
        total = sum(model.info.size for model in models if model.info)
        count = f"{len(models)} model{'' if len(models) == 1 else 's'}"
        self._summary.setText(f"{count} · {size_text(total)}" if models else "No model is installed")
        wanted = self._wanted or (before.name if before else "")
        self._wanted = ""
        self.table.choose(wanted if wanted in self.model.names else next(iter(self.model.names), ""))
        self._selection_changed()

    def chosen(self) -> InstalledModel | None:
        """The model that is chosen."""
        row = self.table.chosen_row()
        return self.model.at(row) if row is not None and row < self.model.rowCount() else None

    def autoencoders(self) -> list[tuple[str, str]]:
        """Installed autoencoders: name and title."""
        models = map(self.model.at, range(self.model.rowCount()))
        return [(m.name, m.title) for m in models if m.info is not None and m.info.kind == "vae"]

    def _selection_changed(self) -> None:
        model = self.chosen()
        self.details.show_model(model, self._memory, self.autoencoders())
        needs = model.info.needs if model is not None and model.info is not None else ()
        if needs:
            self.installing.offer(needs[0])
        else:
            self.installing.withdraw()
        action = self._services.actions.action
        action("models.verify").setEnabled(
            model is not None and model.info is not None and not self.verifying.busy
        )
        action("models.reveal").setEnabled(model is not None)
        action("models.remove").setEnabled(model is not None and model.own)
        action("models.use").setEnabled(model is not None and model.usable)
        self.use.setEnabled(model is not None and model.usable)

    def _on_engine(self, info: dict[str, Any]) -> None:
        memory = self._device_memory(info)
        if memory is not None:
            self._memory = memory
            self.model.set_memory(memory)
            self._selection_changed()

    def _device_memory(self, info: dict[str, Any]) -> Memory | None:
        return device_memory(info, self._services.settings.get("device"))

    # --- doing ------------------------------------------------------------------------------------

    def choose_file(self) -> None:
        """Let the user choose files to add."""
        chosen, _ = QFileDialog.getOpenFileNames(self, "Add models", "", FILE_FILTER)
        if chosen:
            self.adding.open([Path(file) for file in chosen])

    def choose_folder(self) -> None:
        """Let the user choose a folder to add."""
        chosen = QFileDialog.getExistingDirectory(self, "Add a model's folder")
        if chosen:
            self.adding.open([Path(chosen)])

    def _added(self, info: Any) -> None:
        self._wanted = info.name
        self.activate()
        self._services.notifications.post(
            "success",
            f"{info.title} is installed.",
            actions=[("Use in Images", lambda: self.use_wanted.emit("images", info.name))]
            if info.generates and not info.needs
            else [],
        )
        self._changed()

    def _installed(self, extra: str) -> None:
        self._services.notifications.post(
            "success", f"{extra} is installed. Models that need it can be used at once."
        )
        self._changed()

    def _changed(self) -> None:
        self._services.models.changed.emit()

    def remove(self) -> None:
        """Take the chosen model away; it can be brought back until the window closes."""
        model = self.chosen()
        if model is not None and model.own:
            self.removed.remove(model)

    def reveal(self) -> None:
        """Show the chosen model's folder in the system's file manager."""
        desk, model = self._desk, self.chosen()
        if model is not None:
            self.background.run(
                lambda: desk.folder(model),
                lambda folder: QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))),
                self._tell,
            )

    def verify(self) -> None:
        """Compare the chosen model's files with their checksums."""
        model = self.chosen()
        if model is not None and model.info is not None:
            self.verifying.verify(model)

    def _describe(self, name: str, *, licence: str | None = None, vae: str | None = None) -> None:
        desk = self._desk
        self.background.run(
            lambda: desk.describe(name, licence=licence, vae=vae),
            lambda _info: self._changed(),
            self._cannot_describe,
        )

    def _cannot_describe(self, error: EngineError) -> None:
        self._tell(error)
        self._selection_changed()

    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for name in ("use", "verify", "reveal", "remove"):
            action = self._services.actions.action(f"{WORKSPACE}.{name}")
            if action.isEnabled():
                menu.addAction(action)
        menu.popup(self.table.viewport().mapToGlobal(place))

    def _tell(self, error: EngineError) -> None:
        self._services.notifications.tell(error)
