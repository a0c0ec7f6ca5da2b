"""Editors for settings that only rewards have: lists, files, folders, pictures to resemble."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QFileDialog, QLineEdit, QPushButton

from desktop.widgets.elided_label import ElidedLabel
from desktop.widgets.field_editors import FieldEditor, Schema
from desktop.widgets.parameter_form import EditorFactory, ParameterForm
from desktop.widgets.parts import button

REFERENCE = "reference"
FILES, FOLDERS = ("file", "head"), ("folder", "tokenizer")
PICTURES = "Pictures (*.png *.jpg *.jpeg *.webp *.bmp)"


class ListEditor(FieldEditor):
    """Several texts or numbers in one line, with commas between them."""

    def __init__(self, schema: Schema, title: str) -> None:
        super().__init__()
        self._title = title
        self._least, self._most = int(schema.get("minItems", 0)), schema.get("maxItems")
        items: Schema = schema.get("items") or next(iter(schema.get("prefixItems", ())), {})
        self._numbers = items.get("type") in ("number", "integer")
        self.line = QLineEdit()
        self.line.setAccessibleName(title)
        self.line.textChanged.connect(lambda: self.changed.emit())
        self._fill(self.line)

    def value(self) -> list[Any]:
        parts = [part.strip() for part in self.line.text().split(",") if part.strip()]
        return [float(part) for part in parts] if self._numbers else parts

    def set_value(self, value: Any) -> None:
        shown = (f"{item:g}" if isinstance(item, float) else str(item) for item in value or ())
        self.line.setText(", ".join(shown))

    def error(self) -> str:
        try:
            count = len(self.value())
        except ValueError:
            return f"{self._title} must be numbers with commas between them."
        if count < self._least:
            return f"{self._title} must have at least {self._least}, with commas between."
        if self._most is not None and count > self._most:
            return f"{self._title} has {count}; at most {self._most} are allowed."
        return ""


class PathEditor(FieldEditor):
    """A file or a folder, typed or chosen."""

    def __init__(self, schema: Schema, title: str, *, folder: bool) -> None:
        super().__init__()
        self._title, self._folder = title, folder
        self.line = QLineEdit()
        self.line.setAccessibleName(title)
        self.line.textChanged.connect(lambda: self.changed.emit())
        self.choose = button("…", self._ask)
        self.choose.setAccessibleName(f"Choose: {title}")
        self.choose.setToolTip("Choose a folder" if folder else "Choose a file")
        self.choose.setFixedWidth(32)
        self._fill(self.line, self.choose)

    def value(self) -> str:
        return self.line.text().strip()

    def set_value(self, value: Any) -> None:
        self.line.setText("" if value is None else str(value))

    def _ask(self) -> None:
        if self._folder:
            chosen = QFileDialog.getExistingDirectory(self, self._title)
        else:
            chosen, _ = QFileDialog.getOpenFileName(self, self._title)
        if chosen:
            self.set_value(chosen)


class PictureEditor(FieldEditor):
    """A picture given along with the job; its value is the name that it is given under."""

    wide = True
    resettable = False

    def __init__(self, schema: Schema, title: str) -> None:
        super().__init__()
        self._title = title
        self.key = REFERENCE
        self.path: Path | None = None
        self.name = ElidedLabel("muted")
        self.choose: QPushButton = button("Choose…", self._ask)
        self.choose.setAccessibleName(f"Choose: {title}")
        self._fill(self.name, self.choose)
        self.setFocusProxy(self.choose)
        self.set_path(None)

    def set_path(self, path: Path | None) -> None:
        """Give this picture."""
        self.path = path
        self.name.setText(path.name if path else "None chosen")
        self.changed.emit()

    def value(self) -> str:
        return self.key

    def set_value(self, value: Any) -> None:
        """The name alone says nothing of the picture, which has to be chosen."""

    def error(self) -> str:
        if self.path is None:
            return "Choose the picture that it should resemble."
        return "" if self.path.is_file() else f"{self.path.name} is not there any more."

    def _ask(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, self._title, "", PICTURES)
        if chosen:
            self.set_path(Path(chosen))


def _file(schema: Schema, title: str) -> FieldEditor:
    return PathEditor(schema, title, folder=False)


def _folder(schema: Schema, title: str) -> FieldEditor:
    return PathEditor(schema, title, folder=True)


def options_form(schema: Schema) -> ParameterForm | None:
    """The form for a reward's settings; ``None`` when it has none."""
    fields: Mapping[str, Schema] = schema.get("properties", {})
    if not fields:
        return None
    editors: dict[str, EditorFactory] = {}
    for name, field in fields.items():
        if field.get("type") == "array":
            editors[name] = ListEditor
        elif name == REFERENCE:
            editors[name] = PictureEditor
        elif name in FILES:
            editors[name] = _file
        elif name in FOLDERS:
            editors[name] = _folder
    return ParameterForm(schema, editors=editors)
