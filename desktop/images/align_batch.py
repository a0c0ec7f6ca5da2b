"""Several pictures aligned with the same rewards: how far they are, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from desktop.images.showing import Showing
from desktop.services import Services

if TYPE_CHECKING:
    from desktop.images.align_panel import AlignPanel
    from desktop.images.align_runs import AlignRuns


@dataclass
class Batch:
    """Several pictures that are aligned with the same rewards.

    Attributes
    ----------
    jobs
        One each.
    results
        Results of those that ended, with how much their totals rose.
    ended
        Jobs that ended, with or without a result.
    """

    jobs: list[str]
    results: dict[int, float] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    @property
    def done(self) -> bool:
        """Whether all ended."""
        return len(self.ended) == len(self.jobs)

    def best(self, count: int) -> list[int]:
        """Results of the largest gains, largest first."""
        return sorted(self.results, key=lambda result: -self.results[result])[:count]

    def text(self) -> str:
        """How far it is."""
        return f"{len(self.ended)} of {len(self.jobs)} pictures aligned"


class AlignBatches(QObject):
    """Shows the batch on the tab, and its best pictures on the stage."""

    def __init__(
        self, services: Services, runs: AlignRuns, showing: Showing, panel: AlignPanel, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._services, self._runs, self._showing, self._panel = services, runs, showing, panel
        runs.batch_changed.connect(self._changed)
        panel.best_requested.connect(self.show_best)

    def refresh(self) -> None:
        """Bring the tab up to date."""
        batch = self._runs.batch
        ready = batch is not None and bool(batch.results)
        self._panel.show_batch("" if batch is None else batch.text(), ready=ready)

    def show_best(self, count: int) -> None:
        """Show so many of the best on the stage."""
        if self._runs.batch is not None:
            self._showing.show_results(self._runs.batch.best(count))

    def _changed(self) -> None:
        self.refresh()
        batch = self._runs.batch
        if batch is not None and batch.done and batch.results:
            count = int(self._panel.best.value() or 1)
            self._services.notifications.post(
                "success",
                f"{batch.text()}.",
                actions=[(f"Show the best {count}", lambda: self.show_best(count))],
            )
