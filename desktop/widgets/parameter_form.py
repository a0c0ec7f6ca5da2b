"""A form made from a JSON schema (that of a job's pydantic model).

Understands integers, numbers, booleans, strings, enumerations, ``anyOf`` with null, references and
discriminated unions (a choice with its own form below). Needs no pydantic itself, only the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QGridLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from desktop.widgets.field_editors import (
    ChoiceEditor,
    FieldEditor,
    NumberEditor,
    Schema,
    SwitchEditor,
    TextEditor,
)
from desktop.widgets.schemas import default_of, resolve, within
from engine.errors import invalid_input

LABEL_WIDTH = 84
RESET_SIZE = 22
EditorFactory = Callable[[Schema, str], FieldEditor]


def make_editor(
    schema: Schema,
    title: str,
    definitions: Schema,
    *,
    advanced: Collection[str] = (),
    skip: Collection[str] = (),
) -> FieldEditor:
    """The editor for a (resolved) schema; ``advanced`` and ``skip`` are about fields within it.

    Raises
    ------
    ValueError
        For a schema the form has no editor for; a mistake of the programmer, not of the user.
    """
    nullable = False
    if "anyOf" in schema:
        kinds = [resolve(item, definitions) for item in schema["anyOf"]]
        rest = [item for item in kinds if item.get("type") != "null"]
        nullable = len(rest) < len(kinds)
        if len(rest) != 1:
            raise ValueError(f"no editor for the union of {title}")
        schema = {**rest[0], **{key: schema[key] for key in schema if key != "anyOf"}}
    if "oneOf" in schema:
        return UnionEditor(schema, title, definitions, advanced=advanced, skip=skip)
    if "enum" in schema:
        labels = schema.get("labels", {})
        choices = [
            (value, labels.get(value, str(value).replace("_", " ").capitalize()))
            for value in schema["enum"]
        ]
        return ChoiceEditor([(None, "None"), *choices] if nullable else choices, title)
    if schema.get("type") == "boolean":
        return SwitchEditor(title)
    if schema.get("type") in ("integer", "number"):
        return NumberEditor(schema, title, nullable=nullable)
    if schema.get("type") == "string":
        return TextEditor(schema, title, nullable=nullable)
    raise ValueError(f"no editor for {title}: {schema.get('type')}")


class _Row:
    """Label, editor, reset button and error line of one field."""

    def __init__(self, name: str, title: str, tip: str, editor: FieldEditor, default: Any) -> None:
        self.name, self.title, self.editor, self.default = name, title, editor, default
        self.shown = True
        self.label = QLabel(title)
        self.label.setToolTip(tip)
        self.label.setBuddy(editor)
        editor.setToolTip(tip)
        focus = editor.focusProxy() or editor
        focus.setAccessibleDescription(tip)
        self.reset = QToolButton(editor)
        self.reset.setText("↺")
        self.reset.setAutoRaise(True)
        self.reset.setFixedSize(RESET_SIZE, RESET_SIZE)
        self.reset.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.reset.setToolTip(f"Reset {title} to its default")
        self.reset.setAccessibleName(f"Reset {title} to its default")
        self.error = QLabel()
        self.error.setProperty("role", "bad")
        self.error.setWordWrap(True)
        self.error.hide()
        self.note = QLabel()
        self.note.setProperty("role", "muted")
        self.note.setWordWrap(True)
        self.note.hide()

    def show(self, shown: bool) -> None:
        """Show or fold away the row."""
        self.shown = shown
        # The button keeps its place while only it is hidden, so that fields do not jump.
        policy = self.reset.sizePolicy()
        policy.setRetainSizeWhenHidden(shown)
        self.reset.setSizePolicy(policy)
        self.label.setVisible(shown)
        self.editor.setVisible(shown)
        if isinstance(self.editor, UnionEditor):
            self.editor.choice.setVisible(shown)
        self.refresh()

    def refresh(self) -> None:
        """Show the error, and the reset button where there is something to reset."""
        problem = self.editor.error()
        self.error.setText(problem)
        self.error.setVisible(self.shown and bool(problem))
        self.note.setVisible(self.shown and bool(self.note.text()))
        changed = bool(problem) or self.editor.value() != self.default
        self.reset.setVisible(self.shown and changed and self.editor.resettable)


class ParameterForm(QWidget):
    """The form.

    Parameters
    ----------
    schema
        JSON schema of an object.
    definitions
        Where references point to; by default the schema's own ``$defs``.
    editors
        Own editors for some fields: ``name -> factory(schema, title)``.
    advanced
        Fields folded away under "More settings"; ``sampler.eta`` is the field ``eta`` of whichever
        variant of ``sampler`` has one.
    skip
        Fields left out (the discriminator of a union, for example), named the same way.
    more
        What unfolds the advanced fields.

    Signals
    -------
    changed
        A value changed, or became valid or invalid.
    """

    changed = Signal()

    def __init__(
        self,
        schema: Schema,
        definitions: Schema | None = None,
        *,
        editors: Mapping[str, EditorFactory] | None = None,
        advanced: Collection[str] = (),
        skip: Collection[str] = (),
        more: str = "More settings",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        definitions = schema.get("$defs", {}) if definitions is None else definitions
        self._rows: dict[str, _Row] = {}
        self._advanced = [name for name in advanced if name in schema["properties"]]
        self._quiet = False
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(4)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnMinimumWidth(0, LABEL_WIDTH)
        self._grid.setColumnStretch(2, 1)
        names = [n for n in schema["properties"] if n not in skip and n not in self._advanced]
        self._more = self._make_more_button(more)
        for name in [*names, *self._advanced]:
            if self._advanced and name == self._advanced[0]:
                self._grid.addWidget(self._more, self._grid.rowCount(), 0, 1, 3)
            field = resolve(schema["properties"][name], definitions)
            title = str(field.get("title", name.replace("_", " ").capitalize()))
            factory = (editors or {}).get(name)
            editor = (
                factory(field, title)
                if factory
                else make_editor(
                    field,
                    title,
                    definitions,
                    advanced=within(name, advanced),
                    skip=within(name, skip),
                )
            )
            row = _Row(
                name, title, str(field.get("description", "")), editor, default_of(field, definitions)
            )
            self._rows[name] = row
            self._place(row)
            row.show(name not in self._advanced)
        self.reset()

    def _make_more_button(self, text: str) -> QToolButton:
        button = QToolButton(self)
        button.setText(text)
        button.setCheckable(True)
        button.setAutoRaise(True)
        button.setArrowType(Qt.ArrowType.RightArrow)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.toggled.connect(self._show_advanced)
        button.setVisible(bool(self._advanced))
        return button

    def _place(self, row: _Row) -> None:
        grid, at = self._grid, self._grid.rowCount()
        grid.addWidget(row.label, at, 0)
        if row.editor.resettable:
            grid.addWidget(row.reset, at, 1)
        if isinstance(row.editor, UnionEditor):
            grid.addWidget(row.editor.choice, at, 2)
            below = (row.error, row.note, row.editor)
        elif row.editor.wide:
            below = (row.editor, row.error, row.note)
        else:
            first = 2 if row.editor.resettable else 1
            grid.addWidget(row.editor, at, first, 1, 3 - first)
            below = (row.error, row.note)
        for line, widget in enumerate(below, start=at + 1):
            grid.addWidget(widget, line, 0, 1, 3)
        row.reset.clicked.connect(lambda: self.reset(row.name))
        row.editor.changed.connect(lambda: self._row_changed(row))

    def _show_advanced(self, shown: bool) -> None:
        self._more.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        for name in self._advanced:
            self._rows[name].show(shown)

    def _row_changed(self, row: _Row) -> None:
        row.refresh()
        # A problem must be seen, wherever the field is.
        if row.name in self._advanced and row.editor.error():
            self._more.setChecked(True)
        if not self._quiet:
            self.changed.emit()

    # --- values -----------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The fields, in order."""
        return list(self._rows)

    def editor(self, name: str) -> FieldEditor:
        """The editor of a field."""
        return self._rows[name].editor

    def errors(self) -> dict[str, str]:
        """What is wrong, by field."""
        found = {name: row.editor.error() for name, row in self._rows.items()}
        return {name: text for name, text in found.items() if text}

    def values(self) -> dict[str, Any]:
        """All values.

        Raises
        ------
        EngineError
            ``invalid_input`` naming the first field that is not valid; the form shows all.
        """
        for text in self.errors().values():
            raise invalid_input(text, "Correct the marked field; nothing was started.")
        return {name: row.editor.value() for name, row in self._rows.items()}

    def set_values(self, values: Mapping[str, Any]) -> list[str]:
        """Show values; fields not named keep theirs. Returns the names this form does not have."""
        self._quiet = True
        for name, row in self._rows.items():
            if name in values:
                row.editor.set_value(values[name])
            row.refresh()
        self._quiet = False
        self.changed.emit()
        return [name for name in values if name not in self._rows]

    def reset(self, name: str | None = None) -> None:
        """Back to the defaults, of one field or of all."""
        chosen = [self._rows[name]] if name else list(self._rows.values())
        self.set_values({row.name: row.default for row in chosen})

    def set_note(self, name: str, text: str) -> None:
        """Say something below a field as long as it is true; an empty text takes it back."""
        row = self._rows[name]
        row.note.setText(text)
        row.refresh()

    def set_reset_icon(self, icon: QIcon) -> None:
        """Use an icon on the reset buttons, here and in nested forms."""
        for row in self._rows.values():
            row.reset.setText("")
            row.reset.setIcon(icon)
            if isinstance(row.editor, UnionEditor):
                row.editor.set_reset_icon(icon)


class UnionEditor(FieldEditor):
    """A discriminated union: which variant, and the variant's own form.

    The chooser is laid out by the outer form, beside the label; this widget holds the inner form.
    A variant's form is made when it is first looked at, and kept with what was entered.
    ``advanced`` and ``skip`` are as for :class:`ParameterForm`.
    """

    def __init__(
        self,
        schema: Schema,
        title: str,
        definitions: Schema,
        *,
        advanced: Collection[str] = (),
        skip: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._title, self._advanced, self._skip = title, advanced, skip
        self._key = str(schema["discriminator"]["propertyName"])
        self._definitions = definitions
        self._variants: dict[Any, Schema] = {}
        self._forms: dict[Any, ParameterForm] = {}
        self._icon: QIcon | None = None
        self._inner = QVBoxLayout(self)
        self._inner.setContentsMargins(0, 0, 0, 0)
        choices = []
        for item in schema["oneOf"]:
            variant = resolve(item, definitions)
            name = default_of(variant["properties"][self._key], definitions)
            text = str(variant.get("description") or variant.get("title") or name)
            choices.append((name, text.splitlines()[0]))
            self._variants[name] = variant
        self.choice = ChoiceEditor(choices, title)
        self.choice.changed.connect(self._chosen)
        self.setFocusProxy(self.choice)
        self._chosen()

    def _form(self, name: Any) -> ParameterForm:
        if name not in self._forms:
            form = ParameterForm(
                self._variants[name],
                self._definitions,
                advanced=self._advanced,
                skip=(self._key, *self._skip),
                more=f"More of the {self._title.lower()}",
            )
            form.changed.connect(self.changed)
            if self._icon is not None:
                form.set_reset_icon(self._icon)
            self._inner.addWidget(form)
            self._forms[name] = form
        return self._forms[name]

    def variant(self, name: Any) -> ParameterForm | None:
        """The form of a variant, whichever is chosen; ``None`` when there is no such variant."""
        if name not in self._variants:
            return None
        form = self._form(name)
        form.setVisible(name == self.choice.value() and bool(form.names))
        return form

    def _chosen(self) -> None:
        chosen = self.choice.value()
        if chosen in self._variants:
            self._form(chosen)
        for name, form in self._forms.items():
            form.setVisible(name == chosen and bool(form.names))
        self.changed.emit()

    def value(self) -> dict[str, Any] | None:
        name = self.choice.value()
        if name is None or self.error():
            return None
        return {self._key: name, **self._form(name).values()}

    def set_value(self, value: Any) -> None:
        name = value.get(self._key) if isinstance(value, Mapping) else value
        self.choice.set_value(name)
        if isinstance(value, Mapping) and name in self._variants:
            inner = {key: item for key, item in value.items() if key != self._key}
            self._form(name).reset()
            self._form(name).set_values(inner)

    def error(self) -> str:
        if self.choice.error():
            return self.choice.error()
        return next(iter(self._form(self.choice.value()).errors().values()), "")

    def set_reset_icon(self, icon: QIcon) -> None:
        """Use an icon on the reset buttons of the inner forms."""
        self._icon = icon
        for form in self._forms.values():
            form.set_reset_icon(icon)
