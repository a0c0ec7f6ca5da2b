"""How far an alignment is, what its noise looks like, and what to do when that turns red."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from desktop.images.align_steps import AMBER, GREEN, RED, STATUS_WORDS, AlignSteps, StepPoint
from desktop.images.parameters_panel import ActionButton
from desktop.images.specs import duration
from desktop.theme import SPACE_S, SPACE_XS, Theme, tabular
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.parts import label

STATUS_ICONS = {
    GREEN: ("check-circle", "good"),
    AMBER: ("warning", "warn"),
    RED: ("warning-octagon", "bad"),
}
RED_TEXT = "The noise no longer looks random; the picture may be gaming the score."


class GuardSign(QWidget):
    """Icon and words for what the guard says."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._icons = {
            status: IconLabel(theme.icon(name, role), 16)
            for status, (name, role) in STATUS_ICONS.items()
        }
        self.text = label("", wrap=True)
        self.text.setFont(tabular(self.text.font()))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_S)
        for icon in self._icons.values():
            row.addWidget(icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.text, 1)

    def show_point(self, point: StepPoint) -> None:
        """Show what was found at a step."""
        for status, icon in self._icons.items():
            icon.setVisible(status == point.status)
        self.text.setText(f"{STATUS_WORDS.get(point.status, point.status)} ({point.probabilities()})")


class RedBanner(QFrame):
    """The warning, with what can be done about it."""

    def __init__(self, theme: Theme, *answers: QAction) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.text = label(RED_TEXT, wrap=True)
        self.setAccessibleName(RED_TEXT)
        self.buttons = [ActionButton(action) for action in answers]
        top = QHBoxLayout()
        top.setSpacing(SPACE_S)
        icon = IconLabel(theme.icon("warning-octagon", "bad"), 20)
        top.addWidget(icon, 0, Qt.AlignmentFlag.AlignTop)
        top.addWidget(self.text, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_S, SPACE_S, SPACE_S, SPACE_S)
        layout.setSpacing(SPACE_XS)
        layout.addLayout(top)
        for answer in self.buttons:
            layout.addWidget(answer)


class AlignRunView(QWidget):
    """State, bar and figures of a run, over its buttons."""

    def __init__(self, theme: Theme, pause: QAction, stop: QAction, *answers: QAction) -> None:
        super().__init__()
        self.state = label("", "heading", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Steps of the alignment")
        self.figures = label("", "muted", wrap=True)
        self.figures.setFont(tabular(self.figures.font()))
        self.sign = GuardSign(theme)
        self.pause, self.stop = ActionButton(pause), ActionButton(stop)
        self._pause_action = pause
        pause.changed.connect(self._follow_pause)
        self.banner = RedBanner(theme, *answers, stop)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addWidget(self.pause, 1)
        buttons.addWidget(self.stop, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        for widget in (self.state, self.bar, self.figures, self.sign):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        layout.addWidget(self.banner)
        self._follow_pause()

    def _follow_pause(self) -> None:
        self.pause.setText(self._pause_action.text())
        self.pause.setIcon(self._pause_action.icon())

    def show_run(self, steps: AlignSteps, state: str, *, limit: float | None, running: bool) -> None:
        """Show how far a run is, or how it ended.

        Parameters
        ----------
        steps
            What is known of it.
        state
            In words.
        limit
            Seconds it may take; ``None`` without a limit.
        running
            Whether it can still be paused and stopped.
        """
        last = steps.last
        self.state.setText(state)
        self.bar.setRange(0, max(1, steps.asked))
        self.bar.setValue(last.step if last else 0)
        text = figures_text(steps, limit=limit, running=running)
        self.figures.setText(text)
        self.bar.setAccessibleDescription(f"{state}. {text}")
        self.figures.setVisible(bool(text))
        self.sign.setVisible(last is not None)
        if last is not None:
            self.sign.show_point(last)

    def show_buttons(self, *, pause: bool, stop: bool, banner: bool) -> None:
        """Show what can be done now; while the banner warns, Stop is there."""
        self.pause.setVisible(pause)
        self.stop.setVisible(stop and not banner)
        self.banner.buttons[-1].setVisible(stop)
        self.banner.setVisible(banner)


def figures_text(steps: AlignSteps, *, limit: float | None, running: bool) -> str:
    """Step, best step, seconds a step and time left, to read."""
    last, best, each = steps.last, steps.best, steps.seconds_each
    if last is None:
        return ""
    parts = [f"Step {last.step} of {steps.asked}"]
    if best is not None:
        parts.append("best: the start" if best.step == steps.points[0].step else f"best: {best.step}")
    if each is not None:
        parts.append(f"{each:.1f} s a step" if each >= 0.05 else "under 0.1 s a step")
    left = steps.seconds_left(limit)
    if running and left is not None:
        parts.append(f"about {duration(left)} left")
    return " · ".join(parts)
