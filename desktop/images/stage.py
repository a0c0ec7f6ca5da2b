"""The middle of the page: the canvas or the comparison, with one tool bar for both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QImage, QPixmap
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from desktop.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS, Theme, tabular
from desktop.widgets.compare_view import CompareMode, CompareView
from desktop.widgets.elided_label import ElidedLabel
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.image_canvas import ImageCanvas, Tile
from desktop.widgets.pan_zoom import PanZoomView
from desktop.widgets.parts import button, icon_button, label, percent

GAINS = (1, 2, 4, 8, 16)
MODE_TITLES = {
    CompareMode.WIPE: "Wipe",
    CompareMode.SIDE_BY_SIDE: "Side by side",
    CompareMode.DIFFERENCE: "Difference",
}


class Stage(QWidget):
    """Shows pictures, two pictures compared, or an explanation while there is none.

    Signals
    -------
    live_requested
        Back to the job that is running.
    compare_closed
        The comparison was left.
    """

    live_requested = Signal()
    compare_closed = Signal()

    def __init__(self, theme: Theme, workspace: str, empty: QWidget) -> None:
        super().__init__()
        self._theme = theme
        self._workspace = workspace
        self.canvas = ImageCanvas()
        self.compare = CompareView()
        self._empty = empty
        self._stack = QStackedWidget()
        for widget in (empty, self.canvas, self.compare):
            self._stack.addWidget(widget)
        self._make_tools()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar)
        layout.addWidget(self._stack, 1)
        layout.addWidget(self._info_bar)
        for view in (self.canvas, self.compare):
            view.zoom_changed.connect(self._show_zoom)
            view.pixel_changed.connect(self._show_pixel)
        self.compare.described.connect(lambda: self._show_pixel(""))
        theme.changed.connect(self._use_colours)
        self._use_colours()
        self.show_empty()

    # --- tool bar ---------------------------------------------------------------------------------

    def _make_tools(self) -> None:
        theme = self._theme
        self.title = ElidedLabel("heading")
        self.note = ElidedLabel("muted")
        self.info = ElidedLabel("muted")
        self.info.setFont(tabular(self.info.font()))
        self.zoom = QLabel()
        self.zoom.setProperty("role", "muted")
        self.zoom.setFont(tabular(self.zoom.font()))
        self.zoom.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.zoom.setFixedWidth(self.fontMetrics().horizontalAdvance("6400 %") + SPACE_S)
        self.zoom.setAccessibleName("Zoom")
        self.fit_button = icon_button(theme.icon("frame-corners"), "Fit (F)", lambda: self.view.fit())
        self.one_button = icon_button(
            theme.icon("number-square-one"),
            "One picture pixel per screen pixel (1)",
            lambda: self.view.one_to_one(),
        )
        self.smooth_button = icon_button(
            theme.icon("drop-half"), "Smooth enlarging instead of visible pixels"
        )
        self.smooth_button.setCheckable(True)
        self.smooth_button.toggled.connect(self._set_smooth)
        # The built-in model's pictures fill the stage enlarged; who wants to see pixels, asks.
        self.smooth_button.setChecked(True)
        self.live_button = button("Live", self.live_requested.emit, "quiet", theme.icon("play"))
        self.live_button.setToolTip("Show the running job")
        self.live_button.setAccessibleName("Show the running job")
        self.live_button.hide()
        self._compare_tools = self._make_compare_tools()
        self._bar, top = _bar(40)
        top.addWidget(self._compare_tools)
        top.addWidget(self.title)
        top.addWidget(self.note, 1)
        top.addWidget(self.live_button)
        self._info_bar, bottom = _bar(34)
        bottom.addWidget(self.info, 1)
        bottom.addWidget(self.gain)
        for widget in (self.zoom, self.fit_button, self.one_button, self.smooth_button):
            bottom.addWidget(widget)

    def _make_compare_tools(self) -> QWidget:
        tools = QWidget()
        row = QHBoxLayout(tools)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_XS)
        back = icon_button(self._theme.icon("arrow-left"), "Leave the comparison", self.leave_compare)
        row.addWidget(back)
        self.mode_buttons: dict[CompareMode, QPushButton] = {}
        group = QButtonGroup(self)
        for mode, title in MODE_TITLES.items():
            choice = button(title, partial(self.set_compare_mode, mode), "quiet")
            choice.setCheckable(True)
            group.addButton(choice)
            row.addWidget(choice)
            self.mode_buttons[mode] = choice
        self.gain = QComboBox()
        self.gain.setAccessibleName("Amplify the difference")
        self.gain.setToolTip("Amplify the difference")
        for gain in GAINS:
            self.gain.addItem(f"× {gain}", float(gain))
        self.gain.setCurrentIndex(GAINS.index(4))
        self.gain.currentIndexChanged.connect(lambda: self.compare.set_gain(self.gain.currentData()))
        tools.hide()
        return tools

    # --- what is shown ----------------------------------------------------------------------------

    @property
    def view(self) -> PanZoomView:
        """The view that the tool bar acts on."""
        return self.compare if self.comparing else self.canvas

    @property
    def comparing(self) -> bool:
        """Whether the comparison is shown."""
        return self._stack.currentWidget() is self.compare

    @property
    def empty(self) -> bool:
        """Whether the explanation is shown."""
        return self._stack.currentWidget() is self._empty

    def show_empty(self) -> None:
        """Explain the page."""
        self._show(self._empty)

    def show_tiles(self, tiles: Sequence[Tile], title: str, note: str = "") -> None:
        """Show pictures."""
        self.canvas.set_tiles(tiles)
        self.title.setText(_one_line(title))
        self.note.setText(note)
        self._show(self.canvas)

    def show_compare(self, first: QImage, second: QImage, names: tuple[str, str]) -> None:
        """Compare two pictures."""
        self.compare.set_images(first, second, names)
        self.set_compare_mode(self.compare.mode)
        self._show(self.compare)
        self.compare.setFocus()

    def set_compare_mode(self, mode: CompareMode) -> None:
        """Wipe, side by side or difference."""
        self.mode_buttons[mode].setChecked(True)
        self.compare.set_mode(mode)
        self._show_gain()

    def leave_compare(self) -> None:
        """Back to the pictures."""
        if self.comparing:
            self._show(self.canvas)
            self.compare_closed.emit()

    def _show(self, widget: QWidget) -> None:
        self._stack.setCurrentWidget(widget)
        self._compare_tools.setVisible(widget is self.compare)
        self._show_gain()
        # Beside the modes of the comparison there is room for the icon only.
        self.live_button.setText("" if widget is self.compare else "Live")
        for bar in (self._bar, self._info_bar):
            bar.setVisible(widget is not self._empty)
        self.title.setVisible(widget is self.canvas)
        if widget is not self.canvas:
            self.note.clear()
        self._show_pixel("")
        self._show_zoom()

    def _show_pixel(self, text: str) -> None:
        """The pixel under the cursor; without one, what the comparison found."""
        self.info.setText(text or (self.compare.note if self.comparing else ""))

    def _show_gain(self) -> None:
        self.gain.setVisible(self.comparing and self.compare.mode is CompareMode.DIFFERENCE)

    def _show_zoom(self) -> None:
        # Of the view that is shown: the hidden one tells its zoom too, when it is resized.
        zoom = self.view.current_zoom()
        self.zoom.setText(percent(zoom) if zoom else "")

    def _set_smooth(self, smooth: bool) -> None:
        for view in (self.canvas, self.compare):
            view.set_smooth(smooth)

    def _use_colours(self) -> None:
        ground = QColor(self._theme.tokens.sunken)
        self.canvas.set_colours(ground, QColor(self._theme.accent(self._workspace)))
        self.compare.set_ground(ground)


class Welcome(QWidget):
    """One picture, one sentence, one button: what an empty page shows.

    Parameters
    ----------
    sheet
        Square sample sheet of the built-in model, eight rows; the first three are shown. A null
        image shows an icon instead.
    """

    def __init__(self, theme: Theme, sheet: QImage, run_example: QPushButton) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        layout.setSpacing(SPACE_L)
        layout.addStretch(2)
        layout.addWidget(self._picture(theme, sheet), 0, Qt.AlignmentFlag.AlignHCenter)
        text = label(
            "Describe a picture on the left and watch it appear out of noise.", "heading", wrap=True
        )
        text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout.addWidget(text)
        layout.addWidget(run_example, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(3)

    def _picture(self, theme: Theme, sheet: QImage) -> QWidget:
        if sheet.isNull():
            return IconLabel(theme.icon("image", "muted"), 72)
        rows = sheet.copy(0, 0, sheet.width(), sheet.height() * 3 // 8)
        picture = QLabel()
        picture.setAccessibleName("Random pictures of the built-in model")
        picture.setScaledContents(True)
        smooth = Qt.TransformationMode.SmoothTransformation
        picture.setPixmap(QPixmap.fromImage(rows.scaledToWidth(960, smooth)))
        picture.setFixedSize(320, 120)
        return picture


def _bar(height: int) -> tuple[QFrame, QHBoxLayout]:
    bar = QFrame()
    bar.setFixedHeight(height)
    row = QHBoxLayout(bar)
    row.setContentsMargins(SPACE_M, 0, SPACE_S, 0)
    row.setSpacing(SPACE_S)
    return bar, row


def _one_line(text: str) -> str:
    return " ".join(text.split())
