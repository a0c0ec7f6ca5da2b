"""The heat map: what each cell shows, the frontier, pointing, saving, both themes."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from desktop.theme import DARK, LIGHT, Theme
from tests.desktop.images.parallel import ROUNDS, STEPS, rounds_of_a_run

if TYPE_CHECKING:
    from desktop.widgets.residual_map import ResidualMap


@pytest.fixture
def residual_map(qtbot: QtBot, theme: Theme) -> ResidualMap:
    from desktop.widgets.residual_map import ResidualMap

    result = ResidualMap(theme)
    qtbot.addWidget(result)
    result.resize(280, 300)
    result.show()
    qtbot.waitExposed(result)
    return result


def cell_centre(shown: ResidualMap, row: int, step: int) -> QPointF:
    scene = shown._map.mapViewToScene(QPointF(step, row))
    return QPointF(shown.mapFromScene(scene))


def colour(shown: ResidualMap, row: int, step: int) -> str:
    at = cell_centre(shown, row, step).toPoint()
    return shown.grab().toImage().pixelColor(at).name()


def test_the_scale_runs_from_a_ten_thousandth_to_one() -> None:
    from desktop.widgets.residual_map import level_of

    levels = level_of(np.array([0.0, 1e-5, 1e-4, 1e-2, 1.0, 50.0, np.nan], np.float32))
    assert levels[:6] == pytest.approx([0, 0, 0, 0.5, 1, 1], abs=1e-6)
    assert np.isnan(levels[6])


def test_cells_show_residuals_with_the_noisy_steps_left_and_the_first_round_on_top(
    residual_map: ResidualMap,
) -> None:
    residuals, finished = rounds_of_a_run()
    residual_map.set_rounds(residuals, finished, 1e-3)
    table = residual_map._table
    from desktop.widgets.residual_map import level_of

    for row, step in ((1, 2), (1, STEPS - 1), (3, 15), (ROUNDS, STEPS - 1)):
        expected = table[int(level_of(residuals[row - 1, STEPS - step]) * 255)]
        assert colour(residual_map, row, step) == "#{:02x}{:02x}{:02x}".format(*expected[:3])


def test_cells_that_were_not_looked_at_are_neutral_in_both_themes(
    residual_map: ResidualMap, theme: Theme
) -> None:
    residual_map.set_rounds(*rounds_of_a_run(window=6), 1e-3)
    assert colour(residual_map, 1, STEPS - 1) == DARK.sunken
    assert colour(residual_map, 3, 2) == DARK.sunken
    theme.set_mode("light")
    assert colour(residual_map, 1, STEPS - 1) == LIGHT.sunken
    assert residual_map.grab().toImage().pixelColor(1, 1).name() == LIGHT.surface


def test_the_frontier_follows_the_converged_steps(residual_map: ResidualMap) -> None:
    residuals, finished = rounds_of_a_run()
    residual_map.set_rounds(residuals, finished, 1e-3)
    x, y = residual_map._frontier_points()
    assert x.tolist() == np.repeat(STEPS - finished + 0.5, 2).tolist()
    assert y[:4].tolist() == [0.5, 1.5, 1.5, 2.5]
    assert y[-1] == ROUNDS + 0.5
    assert "20 of 20 steps converged" in residual_map.accessibleDescription()


def test_the_map_grows_round_by_round(residual_map: ResidualMap) -> None:
    residuals, finished = rounds_of_a_run()
    for count in range(ROUNDS + 1):
        residual_map.set_rounds(residuals[:count], finished[:count], 1e-3)
        assert residual_map.shape == (count, STEPS)
        residual_map.grab()
    assert colour(residual_map, ROUNDS, STEPS) != DARK.sunken


def test_a_hundred_rounds_of_a_hundred_steps_cost_one_picture_not_ten_thousand_items(
    residual_map: ResidualMap,
) -> None:
    items = len(residual_map.scene().items())
    residuals, finished = rounds_of_a_run(100, 100)
    for count in range(1, 101):
        residual_map.set_rounds(residuals[:count], finished[:count], 1e-3)
    residual_map.grab()
    assert len(residual_map.scene().items()) == items
    assert residual_map.shape == (100, 100)


def test_the_cell_under_the_mouse_is_read_out(residual_map: ResidualMap, qtbot: QtBot) -> None:
    residuals, finished = rounds_of_a_run()
    residual_map.set_rounds(residuals, finished, 1e-3)
    heard: list[str] = []
    residual_map.pointed.connect(heard.append)
    qtbot.mouseMove(residual_map, cell_centre(residual_map, 2, 15).toPoint())
    qtbot.waitUntil(lambda: bool(heard))
    value = residuals[1, STEPS - 15]
    assert heard[-1] == f"Round 2, step 15 of 20: residual {value:.2g}, above the tolerance"
    assert residual_map.cell_text(1, 2).endswith("within the tolerance")
    assert residual_map.cell_text(3, 1).endswith("converged before")
    assert residual_map.cell_at(QPointF(1, 1)) is None
    residual_map.set_rounds(*rounds_of_a_run(window=6), 1e-3)
    assert residual_map.cell_text(1, STEPS).endswith("not looked at yet")


def test_rounds_may_start_later_than_with_the_first(residual_map: ResidualMap) -> None:
    residual_map.set_rounds(*rounds_of_a_run(), 1e-3, first=7)
    assert residual_map.cell_text(1, 2).startswith("Round 7, step 2")
    rows = list(csv.DictReader(io.StringIO(residual_map.exported("csv").decode())))
    assert {row["round"] for row in rows} == {"7", "8", "9", "10", "11"}
    assert residual_map._left._tickLevels[0][0] == (1.0, "7")


def test_arrow_keys_move_a_cell_that_is_read_out(residual_map: ResidualMap, qtbot: QtBot) -> None:
    residual_map.set_rounds(*rounds_of_a_run(), 1e-3)
    heard: list[str] = []
    residual_map.pointed.connect(heard.append)
    qtbot.keyClick(residual_map, Qt.Key.Key_Right)
    assert heard[-1].startswith(f"Round {ROUNDS}, step 1 of 20")
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Up, Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Down):
        qtbot.keyClick(residual_map, key)
    assert heard[-1].startswith(f"Round {ROUNDS - 1}, step 1 of 20")
    for _ in range(STEPS + 3):
        qtbot.keyClick(residual_map, Qt.Key.Key_Right)
    assert heard[-1].startswith(f"Round {ROUNDS - 1}, step {STEPS} of 20")
    residual_map.set_rounds(*rounds_of_a_run(rounds=2), 1e-3)
    assert heard[-1] == ""


def test_the_tolerance_is_marked_on_the_scale(residual_map: ResidualMap) -> None:
    residual_map.set_rounds(*rounds_of_a_run(), 1e-2)
    assert residual_map._mark[0].value() == pytest.approx(-2)
    assert "0.01" in residual_map._scale_axis.labelText


@pytest.mark.parametrize(
    ("count", "at_most", "ticks"),
    [
        (1, 5, [1]),
        (4, 5, [1, 2, 3, 4]),
        (8, 5, [1, 3, 5, 7]),
        (100, 5, [1, 20, 40, 60, 80, 100]),
        (1000, 5, [1, 200, 400, 600, 800, 1000]),
    ],
)
def test_axes_are_labelled_with_round_whole_numbers(count: int, at_most: int, ticks: list[int]) -> None:
    from desktop.widgets.residual_map import axis_ticks

    assert axis_ticks(count, at_most) == ticks


def test_the_map_is_saved_as_table_and_as_picture(residual_map: ResidualMap) -> None:
    residuals, finished = rounds_of_a_run(window=6)
    residual_map.set_rounds(residuals, finished, 1e-3)
    rows = list(csv.DictReader(io.StringIO(residual_map.exported("csv").decode())))
    assert len(rows) == int((~np.isnan(residuals)).sum())
    for row in rows:
        value = residuals[int(row["round"]) - 1, STEPS - int(row["step"])]
        assert float(row["residual_rms"]) == pytest.approx(float(value), rel=1e-5)
        assert int(row["converged_steps"]) == STEPS - finished[int(row["round"]) - 1]
    picture = QImage.fromData(residual_map.exported("png"), "PNG")
    assert picture.size() == residual_map.size() * 2
    assert picture.pixelColor(2, 2).name() == DARK.surface
    drawn = residual_map.exported("svg").decode()
    assert drawn.startswith("<?xml")
    assert "tolerance 0.001" in drawn


def test_the_context_menu_offers_what_can_be_saved(residual_map: ResidualMap, qtbot: QtBot) -> None:
    from PySide6.QtGui import QContextMenuEvent
    from PySide6.QtWidgets import QMenu

    asked: list[str] = []
    residual_map.export_requested.connect(asked.append)
    residual_map.set_rounds(*rounds_of_a_run(), 1e-3)
    at = residual_map.rect().center()
    residual_map.contextMenuEvent(
        QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, residual_map.mapToGlobal(at))
    )
    menu = residual_map.findChild(QMenu)
    assert isinstance(menu, QMenu)
    assert [action.text() for action in menu.actions()] == [
        "Save as PNG…",
        "Save as SVG…",
        "Save as CSV…",
    ]
    menu.actions()[2].trigger()
    assert asked == ["csv"]
    menu.close()
