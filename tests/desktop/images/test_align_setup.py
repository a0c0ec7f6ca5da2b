"""The form of an alignment: reward cards, guard, budget, forecast, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from desktop.images.align_cost import Cost, forecast
from desktop.images.align_rewards import (
    ALLOW_OWN_CODE,
    OWN_CODE,
    RewardCatalogue,
    RewardEntry,
    read_rewards,
)
from desktop.images.align_setup import AlignSetup
from desktop.images.page import INSPECTOR_WIDTH
from desktop.images.reward_card import NO_GRADIENT, RewardCard, places_text
from desktop.images.reward_stack import MOST, RewardStack
from desktop.theme import SPACE_M, Theme
from engine.errors import EngineError
from engine.images.alignment_params import AlignParams
from engine.images.rewards import RewardTerm

SCROLL_BAR = 10


@pytest.fixture(scope="module")
def catalogue() -> RewardCatalogue:
    return read_rewards()


@pytest.fixture
def stack(qtbot: QtBot, theme: Theme, catalogue: RewardCatalogue) -> RewardStack:
    result = RewardStack(theme)
    qtbot.addWidget(result)
    result.set_catalogue(catalogue)
    result.show()
    return result


@pytest.fixture
def setup(qtbot: QtBot, theme: Theme, catalogue: RewardCatalogue) -> AlignSetup:
    result = AlignSetup(theme)
    qtbot.addWidget(result)
    result.set_catalogue(catalogue)
    result.show_subject("red heart, seed 5", "Align this picture", Cost(20))
    result.resize(260, 900)
    result.show()
    return result


# --- cards ----------------------------------------------------------------------------------------


def test_every_reward_there_is_has_a_card_whose_values_the_engine_takes(
    qtbot: QtBot, theme: Theme, catalogue: RewardCatalogue, tmp_path: Path
) -> None:
    picture = tmp_path / "wanted.png"
    picture.write_bytes(b"x")
    for entry in catalogue.entries:
        card = RewardCard(theme, entry)
        qtbot.addWidget(card)
        if card.picture is not None:
            card.picture.set_path(picture)
        assert card.error() == entry.obstacle, entry.name
        term = RewardTerm.model_validate(card.term())
        assert (term.name, term.weight) == (entry.name, 1.0)
        assert term.settings == term.kind.options(), entry.name
        assert (card.note.text().startswith(NO_GRADIENT)) is not entry.differentiable


def test_a_card_has_direction_weight_and_settings(
    qtbot: QtBot, theme: Theme, catalogue: RewardCatalogue
) -> None:
    entry = catalogue.entry("brightness")
    assert entry is not None
    card = RewardCard(theme, entry)
    qtbot.addWidget(card)
    card.show()
    assert card.form is not None
    assert not card.form.isVisible()
    qtbot.mouseClick(card.more, Qt.MouseButton.LeftButton)
    assert card.form.isVisible()
    with qtbot.waitSignal(card.changed):
        card.direction.setCurrentText("Darker")
    with qtbot.waitSignal(card.changed):
        card.slider.setValue(card.slider.value() + 1)
    card.form.set_values({"subject_only": True})
    assert card.term() == {
        "name": "brightness",
        "weight": -1.05,
        "options": {"ceiling": True, "subject_only": True},
    }
    assert card.slider.accessibleDescription() == "1.05, Darker"
    assert card.slider.accessibleName() == "Weight of Brighter"


def test_a_weight_between_the_sliders_positions_stays_what_it_is(
    stack: RewardStack, qtbot: QtBot
) -> None:
    stack.set_terms([{"name": "contrast", "weight": -0.333}, {"name": "hue", "weight": 60.0}])
    assert [term["weight"] for term in stack.terms()] == [-0.333, 60.0]
    qtbot.keyClick(stack.cards[0].slider, Qt.Key.Key_Right)
    assert stack.terms()[0]["weight"] == pytest.approx(-0.4)


def test_where_a_reward_is_in_its_usual_range_is_shown(stack: RewardStack) -> None:
    stack.set_terms([{"name": "contrast"}, {"name": "hue"}, {"name": "hue"}])
    stack.show_places({"contrast": 40.0, "hue-2": 10.0}, {"contrast": 62.4, "hue-2": 130.0})
    texts = [card.place.text() for card in stack.cards]
    assert texts[0] == "From 40 to 62 of 100"
    assert not stack.cards[1].bar.isVisible()
    assert texts[2] == "From 10 to 130 of 100"
    assert stack.cards[0].bar.accessibleDescription() == texts[0]
    assert stack.grab().width() > 0
    assert places_text(None, None) == "Not measured yet"
    assert places_text(None, 3.0) == "At 3 of 100"


def test_lists_of_settings_are_typed_with_commas(stack: RewardStack) -> None:
    stack.set_terms([{"name": "palette", "options": {"colours": ["#ff0000", "#00ff00"]}}])
    form = stack.cards[0].form
    assert form is not None
    assert stack.terms()[0]["options"]["colours"] == ["#ff0000", "#00ff00"]
    form.set_values({"colours": []})
    assert stack.error() == "Colours must have at least 1, with commas between."
    assert stack.cards[0].more.isChecked()
    with pytest.raises(EngineError, match="at least 1"):
        stack.terms()


def test_numbers_in_lists_are_numbers(stack: RewardStack) -> None:
    stack.set_terms([{"name": "onnx", "options": {"mean": [0.5, 0.25, 0.1]}}])
    assert stack.terms()[0]["options"]["mean"] == [0.5, 0.25, 0.1]
    form = stack.cards[0].form
    assert form is not None
    form.editor("mean").line.setText("0.5, x, 1")  # type: ignore[attr-defined]
    assert stack.error() == "Mean must be numbers with commas between them."


def test_pictures_to_resemble_are_given_along(stack: RewardStack, tmp_path: Path) -> None:
    stack.set_terms([{"name": "closeness"}, {"name": "closeness", "weight": -1.0}])
    assert stack.error() == "Choose the picture that it should resemble."
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for card, path in zip(stack.cards, files, strict=True):
        path.write_bytes(b"x")
        assert card.picture is not None
        card.picture.set_path(path)
    assert [term["options"]["reference"] for term in stack.terms()] == ["reference", "reference-2"]
    assert stack.pictures() == {"reference": files[0], "reference-2": files[1]}
    files[0].unlink()
    assert stack.error() == "a.png is not there any more."


def test_own_programs_are_off_until_the_computer_allows_them(
    monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    off = read_rewards().entry(OWN_CODE)
    assert off is not None
    assert f"{ALLOW_OWN_CODE}=1" in off.obstacle
    monkeypatch.setenv(ALLOW_OWN_CODE, "1")
    on = read_rewards().entry(OWN_CODE)
    assert on is not None
    assert on.obstacle == ""
    # The engine's own name for it, which is beside torch.
    protocol = repository / "engine" / "images" / "rewards" / "protocol.py"
    assert f'USER_CODE_VARIABLE = "{ALLOW_OWN_CODE}"' in protocol.read_text(encoding="utf-8")


# --- the stack ------------------------------------------------------------------------------------


def test_the_menu_offers_every_reward_under_a_heading_and_tells_those_without_gradient(
    stack: RewardStack, catalogue: RewardCatalogue
) -> None:
    groups = {action.text(): action.menu() for action in stack.menu.actions()}
    assert {"Colour", "Look", "Background", "Detail", "Meaning", "Learned"} <= set(groups)
    offered = [item.text() for menu in groups.values() for item in menu.actions()]  # type: ignore[union-attr]
    assert len(offered) == len(catalogue.entries)
    assert "Larger file (no gradient)" in offered
    assert "Brighter" in offered


def test_colours_of_pictograms_bring_what_keeps_them_on_white(stack: RewardStack) -> None:
    stack.set_model("builtin")
    stack.add("warmth")
    assert [(t["name"], t["weight"]) for t in stack.terms()] == [("warmth", 1.0), ("white_border", 3.0)]
    stack.add("hue")
    assert [t["name"] for t in stack.terms()] == ["warmth", "white_border", "hue"]
    stack.set_terms([])
    stack.set_model("my-model")
    stack.add("warmth")
    assert len(stack.cards) == 1


def test_rewards_can_be_removed_by_keyboard_and_the_focus_stays_near(
    stack: RewardStack, qtbot: QtBot
) -> None:
    stack.set_terms([{"name": "contrast"}, {"name": "hue"}])
    assert not stack.empty.isVisible()
    stack.activateWindow()
    stack.cards[0].remove.setFocus()
    with qtbot.waitSignal(stack.changed):
        qtbot.keyClick(stack.cards[0].remove, Qt.Key.Key_Space)
    assert [card.entry.name for card in stack.cards] == ["hue"]
    qtbot.mouseClick(stack.cards[0].remove, Qt.MouseButton.LeftButton)
    assert stack.empty.isVisible()
    assert stack.error() == "Add at least one reward."


def test_no_more_rewards_than_the_engine_takes(stack: RewardStack) -> None:
    for _ in range(MOST + 2):
        stack.add("contrast")
    assert len(stack.cards) == MOST
    assert not stack.add_button.isEnabled()


def test_rewards_that_this_version_does_not_know_are_named(stack: RewardStack) -> None:
    assert stack.set_terms([{"name": "contrast"}, {"name": "of-tomorrow"}]) == ["of-tomorrow"]


def test_a_reward_that_cannot_be_used_says_why(qtbot: QtBot, theme: Theme) -> None:
    entry = RewardEntry(
        "far", "Farther", "Nearer", obstacle="Its weights are missing: put far.bin there."
    )
    stack = RewardStack(theme)
    qtbot.addWidget(stack)
    stack.set_catalogue(RewardCatalogue({"properties": {}}, (entry,)))
    menu = stack.menu.actions()[0].menu()
    choice = menu.actions()[0]  # type: ignore[union-attr]
    assert not choice.isEnabled()
    assert choice.toolTip() == entry.obstacle
    stack.set_terms([{"name": "far"}])
    assert stack.cards[0].problem.text() == entry.obstacle
    assert stack.error() == entry.obstacle


# --- the form -------------------------------------------------------------------------------------


def test_nothing_starts_without_rewards_and_the_button_says_so(setup: AlignSetup) -> None:
    assert not setup.run.isEnabled()
    assert setup.forecast.text() == "Add at least one reward."
    setup.stack.add("contrast")
    assert setup.run.isEnabled()
    assert setup.forecast.text().startswith("100 steps × 20 sampling steps × 3 = 6,000 evaluations.")
    setup.stack.cards[0].slider.setValue(0)
    assert setup.error() == "All weights are 0: nothing would be improved."
    setup.stack.cards[0].slider.setValue(20)
    setup.show_subject("", "Align", None)
    assert setup.error() == "Select a picture first."


def test_the_values_are_parameters_of_the_job(setup: AlignSetup, qtbot: QtBot) -> None:
    setup.stack.add("contrast")
    qtbot.mouseClick(setup.guards["strict"], Qt.MouseButton.LeftButton)
    assert setup.guard_text.text().startswith("Closest to what the model makes")
    assert setup.form is not None
    setup.form.set_values({"steps": 30, "minutes": 2.5, "lr": 0.02})
    params = AlignParams.model_validate(setup.values())
    assert (params.guard, params.steps, params.minutes, params.lr) == ("strict", 30, 2.5, 0.02)
    assert params.rewards[0].name == "contrast"
    other = AlignParams.model_validate({**setup.values(), "guard": "off", "steps": 7, "rewards": []})
    setup.set_values(other.model_dump(mode="json"))
    assert (setup.guard, setup.form.values()["steps"], setup.stack.cards) == ("off", 7, [])


def test_the_form_asks_for_all_that_the_engine_knows(setup: AlignSetup) -> None:
    assert setup.form is not None
    elsewhere = {"picture", "rewards", "guard", "branch_step", "invert"}
    assert set(setup.form.names) | elsewhere == set(AlignParams.model_fields)


def test_a_wrong_value_is_told_and_keeps_the_button_off(setup: AlignSetup) -> None:
    setup.stack.add("contrast")
    assert setup.form is not None
    setup.form.editor("steps").box.lineEdit().setText("many")  # type: ignore[attr-defined]
    assert not setup.run.isEnabled()
    assert setup.forecast.text().startswith("Steps must be a whole number")


def test_the_forecast_counts_what_is_known_and_no_more() -> None:
    values = {"steps": 50, "neighbours": 16, "minutes": None}
    text = forecast(Cost(20, 2, pictures=3, memory_bytes=61 << 20), values, compares=False)
    assert "50 steps × 20 sampling steps × 3 × 2 for guidance = 6,000 evaluations" in text
    assert "for each of 3 pictures" in text
    assert "known after the first steps" in text
    assert "more than the 61 MiB" in text
    text = forecast(Cost(20, seconds=1.2), values, compares=False)
    assert "About 60 s here." in text or "About 1 min 0 s here." in text
    assert "Memory" not in text
    text = forecast(Cost(20, seconds=1.2), {**values, "minutes": 0.5}, compares=False)
    assert "About 30 s here." in text
    text = forecast(Cost(20), {**values, "minutes": 2.0}, compares=True)
    assert "and 16 trial pictures a step = 19,000 evaluations. At most 2 min 0 s." in text


def test_everything_fits_the_inspector_at_its_narrowest(setup: AlignSetup) -> None:
    for name in ("brightness", "palette", "onnx", "symmetry", "jpeg_size"):
        setup.stack.add(name)
    assert setup.form is not None
    setup.form._more.setChecked(True)
    for card in setup.stack.cards:
        card.more.setChecked(True)
    assert setup.minimumSizeHint().width() <= INSPECTOR_WIDTH - 2 * SPACE_M - SCROLL_BAR
