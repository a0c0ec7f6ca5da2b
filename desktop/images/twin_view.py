"""Shows a picture beside its twin, once that is there."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from desktop.images.showing import Showing
from desktop.images.twin_jobs import TwinJobs
from desktop.services import Services
from desktop.widgets.compare_view import CompareMode
from engine.errors import EngineError


class TwinView(QObject):
    """Asks for comparisons of one kind and puts them on the stage.

    Parameters
    ----------
    names, mode
        What the two sides are called, and how they are compared at first.
    meant
        The result that the user looks at now.

    Signals
    -------
    opening
        A comparison is about to take the stage.
    """

    opening = Signal()

    def __init__(
        self,
        services: Services,
        showing: Showing,
        jobs: TwinJobs,
        names: tuple[str, str],
        mode: CompareMode,
        meant: Callable[[], int | None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._services, self._showing, self.jobs = services, showing, jobs
        self._names, self._mode, self._meant = names, mode, meant
        jobs.compared.connect(self._compared)
        jobs.failed.connect(self._failed)

    def ask(self) -> None:
        """Compare the picture that is looked at; the stage stays with it while its twin is made."""
        result = self._meant()
        if result is None:
            return
        self._showing.show_results([result])
        try:
            self.jobs.compare(result)
        except EngineError as error:
            self._tell(error)

    def show(self, result: int) -> None:
        """Show a comparison that was made, wherever the user is."""
        try:
            comparison = self.jobs.comparison(self._services.project.result(result))
        except EngineError as error:
            self._tell(error)
            return
        if comparison is None:
            return
        if self._meant() != result:
            self._showing.show_results([result])
        self.opening.emit()
        self._showing.replay(result, None)
        self._showing.compare(result, comparison.twin, self._names, self._mode)

    def _compared(self, result: int) -> None:
        if self._meant() == result:
            self.show(result)
            return
        self._services.notifications.post(
            "success",
            f"The comparison with {self.jobs.kind.picture} is there.",
            actions=[("Show", lambda: self.show(result))],
        )

    def _failed(self, result: int, text: str) -> None:
        # Where the picture is looked at, the note beside the button says it.
        if self._meant() != result:
            self._services.notifications.post("warning", text)

    def _tell(self, error: EngineError) -> None:
        self._services.notifications.tell(error)
