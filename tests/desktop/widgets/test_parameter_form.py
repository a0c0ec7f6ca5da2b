"""The form: every kind of field of a schema, what is wrong said beside it, nothing clamped silently."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from pydantic import BaseModel, Field
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from desktop.widgets.field_editors import ChoiceEditor, NumberEditor
from desktop.widgets.parameter_form import ParameterForm, UnionEditor, make_editor
from desktop.widgets.schemas import default_of
from engine.errors import EngineError, ErrorCode
from engine.images.params import GenerateParams


class Circle(BaseModel):
    """Circle"""

    kind: Literal["circle"] = "circle"
    radius: float = Field(1.0, gt=0, title="Radius")


class Box(BaseModel):
    """Box"""

    kind: Literal["box"] = "box"
    width: int = Field(2, ge=1, le=9, title="Width")
    solid: bool = Field(False, title="Solid")


class Everything(BaseModel):
    whole: int = Field(3, ge=-5, le=10, title="Whole", description="A whole number.")
    real: float = Field(0.5, ge=0, lt=1, title="Real")
    switch: bool = Field(True, title="Switch")
    text: str = Field("a", max_length=4, title="Text")
    choice: Literal["one", "two_more"] = Field("one", title="Choice")
    maybe: str | None = Field(None, title="Maybe")
    maybe_number: int | None = Field(None, ge=0, title="Maybe number")
    shape: Annotated[Circle | Box, Field(discriminator="kind")] = Field(
        default_factory=Circle, title="Shape"
    )


@pytest.fixture
def form(qtbot: QtBot) -> ParameterForm:
    result = ParameterForm(Everything.model_json_schema())
    qtbot.addWidget(result)
    return result


def test_a_new_form_holds_the_defaults_of_the_model(form: ParameterForm) -> None:
    assert form.values() == Everything().model_dump()


def test_the_form_of_the_images_job_holds_its_defaults(qtbot: QtBot) -> None:
    form = ParameterForm(GenerateParams.model_json_schema(), advanced=("batch",))
    qtbot.addWidget(form)
    assert form.values() == GenerateParams().model_dump()


OTHER: dict[str, Any] = {
    "whole": -5,
    "real": 0.25,
    "switch": False,
    "text": "wxyz",
    "choice": "two_more",
    "maybe": "there",
    "maybe_number": 7,
    "shape": {"kind": "box", "width": 9, "solid": True},
}


def test_values_that_are_set_come_back(form: ParameterForm) -> None:
    assert form.set_values(OTHER) == []
    assert form.values() == OTHER == Everything.model_validate(OTHER).model_dump()


def test_names_the_form_does_not_have_are_reported(form: ParameterForm) -> None:
    assert form.set_values({"whole": 4, "from_the_future": 1}) == ["from_the_future"]
    assert form.values()["whole"] == 4


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("whole", "11", "from -5 to 10"),
        ("whole", "1000000", "from -5 to 10"),
        ("whole", "2.5", "whole number"),
        ("whole", "", "whole number"),
        ("whole", "seven", "whole number"),
        ("whole", "9" * 40, "from -5 to 10"),
        ("real", "1", "between 0 and 1"),
        ("real", "nan", "a number"),
        ("real", "inf", "a number"),
        ("maybe_number", "-1", "of at least 0"),
    ],
)
def test_a_wrong_number_stays_as_typed_and_is_explained(
    form: ParameterForm, name: str, text: str, said: str
) -> None:
    editor = form.editor(name)
    assert isinstance(editor, NumberEditor)
    editor.box.lineEdit().setText(text)
    assert editor.box.lineEdit().text() == text
    assert said in form.errors()[name]
    with pytest.raises(EngineError) as caught:
        form.values()
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert caught.value.message == form.errors()[name]


def test_the_error_is_shown_beside_the_field_and_goes_when_corrected(form: ParameterForm) -> None:
    form.show()
    row = form._rows["whole"]
    assert not row.error.isVisible()
    row.editor.set_value(99)
    assert row.error.isVisible()
    assert "from -5 to 10" in row.error.text()
    row.editor.set_value(1)
    assert not row.error.isVisible()


def test_too_long_text_is_an_error_not_cut(form: ParameterForm) -> None:
    form.editor("text").set_value("abcdefgh")
    assert form.editor("text").value() == "abcdefgh"
    assert "at most 4" in form.errors()["text"]


def test_a_fraction_for_a_whole_number_is_an_error_not_another_value(form: ParameterForm) -> None:
    form.set_values({"whole": 2.5})
    assert "whole" in form.errors()
    form.set_values({"whole": 2.0})
    assert form.values()["whole"] == 2


def test_a_choice_that_is_not_offered_is_an_error_until_another_is_chosen(form: ParameterForm) -> None:
    form.set_values({"choice": "three"})
    assert "'three' is not available" in form.errors()["choice"]
    form.set_values({"choice": "two_more"})
    assert form.errors() == {}


def test_a_number_with_a_decimal_comma_is_understood(form: ParameterForm) -> None:
    editor = form.editor("real")
    assert isinstance(editor, NumberEditor)
    editor.box.lineEdit().setText("0,75")
    assert form.values()["real"] == 0.75


def test_empty_means_none_where_none_is_allowed(form: ParameterForm) -> None:
    form.set_values({"maybe": "x", "maybe_number": 3})
    form.set_values({"maybe": None, "maybe_number": None})
    assert form.values()["maybe"] is None
    assert form.values()["maybe_number"] is None


def test_a_union_shows_the_chosen_form_and_keeps_the_others_values(form: ParameterForm) -> None:
    form.set_values({"shape": {"kind": "circle", "radius": 4.0}})
    shape = form.editor("shape")
    assert isinstance(shape, UnionEditor)
    shape.choice.set_value("box")
    assert form.values()["shape"] == {"kind": "box", "width": 2, "solid": False}
    shape.choice.set_value("circle")
    assert form.values()["shape"] == {"kind": "circle", "radius": 4.0}


def test_an_error_inside_a_union_is_an_error_of_the_form(form: ParameterForm) -> None:
    form.set_values({"shape": {"kind": "circle", "radius": 0.0}})
    assert "Radius must be a number above 0" in form.errors()["shape"]
    form.set_values({"shape": {"kind": "box", "width": 3}})
    assert form.values()["shape"] == {"kind": "box", "width": 3, "solid": False}


def test_reset_of_one_field_and_of_all(form: ParameterForm) -> None:
    form.set_values(OTHER)
    form.reset("whole")
    assert form.values() == {**OTHER, "whole": 3}
    form.reset()
    assert form.values() == Everything().model_dump()


def test_the_reset_button_is_there_only_when_there_is_something_to_reset(form: ParameterForm) -> None:
    form.show()
    button = form._rows["whole"].reset
    assert not button.isVisible()
    form.set_values({"whole": 9})
    assert button.isVisible()
    button.click()
    assert form.values()["whole"] == 3
    assert not button.isVisible()


def test_one_change_of_many_values_is_told_once(form: ParameterForm, qtbot: QtBot) -> None:
    heard: list[None] = []
    form.changed.connect(lambda: heard.append(None))
    form.set_values(OTHER)
    assert len(heard) == 1


def test_advanced_fields_are_folded_until_one_of_them_is_wrong(qtbot: QtBot) -> None:
    form = ParameterForm(Everything.model_json_schema(), advanced=("whole",))
    qtbot.addWidget(form)
    form.show()
    assert not form.editor("whole").isVisible()
    form.set_values({"whole": 99})
    assert form.editor("whole").isVisible()


def test_own_editors_take_the_place_of_made_ones(qtbot: QtBot) -> None:
    form = ParameterForm(
        Everything.model_json_schema(),
        editors={"text": lambda _schema, title: ChoiceEditor([("a", "A"), ("b", "B")], title)},
    )
    qtbot.addWidget(form)
    form.set_values({"text": "b"})
    assert form.values()["text"] == "b"


def test_arrow_keys_step_within_the_limits(form: ParameterForm, qtbot: QtBot) -> None:
    editor = form.editor("whole")
    assert isinstance(editor, NumberEditor)
    form.set_values({"whole": 9})
    for _ in range(3):
        qtbot.keyClick(editor.box, Qt.Key.Key_Up)
    assert editor.value() == 10
    qtbot.keyClick(editor.box, Qt.Key.Key_Down)
    assert editor.value() == 9


def test_every_field_has_a_name_for_screen_readers_and_a_tool_tip(form: ParameterForm) -> None:
    for name in form.names:
        editor = form.editor(name)
        focus = editor.focusProxy() or editor
        while focus.focusProxy() is not None:
            focus = focus.focusProxy()
        assert focus.accessibleName(), name
    assert form.editor("whole").toolTip() == "A whole number."


def test_changing_the_choices_keeps_a_value_that_is_still_there(qtbot: QtBot) -> None:
    editor = ChoiceEditor([("a", "A"), ("b", "B")], "Model")
    qtbot.addWidget(editor)
    editor.set_value("b")
    editor.set_choices([("b", "B again"), ("c", "C")])
    assert (editor.value(), editor.error()) == ("b", "")
    editor.set_choices([("c", "C")])
    assert "'b' is not available" in editor.error()
    editor.set_choices([("b", "B"), ("c", "C")])
    assert (editor.value(), editor.error()) == ("b", "")


def test_a_schema_without_an_editor_is_refused() -> None:
    with pytest.raises(ValueError, match="no editor"):
        make_editor({"type": "array"}, "List", {})


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 4}, 4),
        ({"type": "boolean"}, False),
        ({"type": "string"}, ""),
        ({"enum": ["x", "y"], "type": "string"}, "x"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None),
    ],
)
def test_a_field_without_a_default_starts_with_the_plainest_value(
    schema: dict[str, Any], expected: object
) -> None:
    assert default_of(schema, {}) == expected


@given(whole=strategies.integers(), real=strategies.floats(allow_nan=True, allow_infinity=True))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_form_accepts_exactly_the_numbers_the_model_accepts(
    form: ParameterForm, whole: int, real: float
) -> None:
    form.set_values({"whole": whole, "real": real})
    assert ("whole" not in form.errors()) == (-5 <= whole <= 10)
    assert ("real" not in form.errors()) == (0 <= real < 1)
    if not form.errors():
        assert form.values()["real"] == pytest.approx(real, abs=1e-9)


# --- what schemas may say besides -----------------------------------------------------------------


class Fine(BaseModel):
    """Fine"""

    kind: Literal["fine"] = "fine"
    grain: Literal["by_model", "small"] = Field(
        "by_model", title="Grain", json_schema_extra={"labels": {"by_model": "As the model"}}
    )
    order: int | None = Field(None, ge=1, title="Order")
    start: int | None = Field(None, ge=1, title="Start")


class Sized(BaseModel):
    """Sized"""

    width: int | None = Field(None, ge=64, le=512, multiple_of=8, title="Width")
    shape: Annotated[Fine | Circle, Field(discriminator="kind", title="Shape")] = Fine()


@pytest.fixture
def sized(qtbot: QtBot) -> ParameterForm:
    result = ParameterForm(
        Sized.model_json_schema(), advanced=("shape.order",), skip=("shape.start", "shape.nothing")
    )
    qtbot.addWidget(result)
    result.show()
    return result


def test_a_number_that_may_be_left_out_reads_auto(sized: ParameterForm) -> None:
    box = sized.editor("width").box  # type: ignore[attr-defined]
    assert box.lineEdit().text() == ""
    assert box.lineEdit().placeholderText() == "Auto"
    assert sized.values()["width"] is None


@pytest.mark.parametrize(("width", "good"), [(64, True), (65, False), (72, True), (60, False)])
def test_a_number_that_must_be_a_multiple_is_checked(
    sized: ParameterForm, width: int, good: bool
) -> None:
    sized.set_values({"width": width})
    assert ("width" not in sized.errors()) == good
    if not good:
        assert sized.errors()["width"] == "Width must be a multiple of 8 from 64 to 512."
    assert sized.editor("width").box._step == 8  # type: ignore[attr-defined]


def test_choices_may_have_labels(sized: ParameterForm) -> None:
    shape = sized.editor("shape")
    assert isinstance(shape, UnionEditor)
    grain = shape._form("fine").editor("grain")
    assert isinstance(grain, ChoiceEditor)
    assert [grain.box.itemText(row) for row in range(2)] == ["As the model", "Small"]
    assert grain.value() == "by_model"


def test_fields_of_a_variant_are_folded_away_and_left_out(sized: ParameterForm) -> None:
    shape = sized.editor("shape")
    assert isinstance(shape, UnionEditor)
    inner = shape._form("fine")
    assert inner.names == ["grain", "order"]
    assert not inner.editor("order").isVisible()
    assert sized.values()["shape"] == {"kind": "fine", "grain": "by_model", "order": None}
    shape.choice.set_value("circle")
    assert sized.values()["shape"] == {"kind": "circle", "radius": 1.0}


def test_a_note_stays_below_its_field_until_it_is_taken_back(sized: ParameterForm) -> None:
    sized.set_note("shape", "Slow here.")
    assert sized._rows["shape"].note.isVisible()
    sized.set_values({"width": 80})
    assert sized._rows["shape"].note.text() == "Slow here."
    sized.set_note("shape", "")
    assert not sized._rows["shape"].note.isVisible()
