"""Learns the user's taste from likes and dislikes, for the reward that follows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from desktop.images.align_rewards import TASTE
from desktop.images.reward_stack import RewardStack
from desktop.images.specs import KINDS
from desktop.services import Services
from engine.errors import EngineError
from engine.job import ArtifactRef, JobSpec
from engine.project import ResultFilter

KIND = "images.learn_taste"
MOST_VOTES = 500


class AlignTaste(QObject):
    """Counts votes, starts the job, and says on the card of that reward what came of it.

    Signals
    -------
    problem(EngineError)
        It could not be started.
    """

    problem = Signal(object)

    def __init__(self, services: Services, stack: RewardStack, parent: QObject) -> None:
        super().__init__(parent)
        self._services, self._stack = services, stack
        self._job: str | None = None
        self._said = ""
        bridge = services.bridge
        bridge.finished.connect(self._finished)
        bridge.failed.connect(self._failed)
        bridge.cancelled.connect(self._cancelled)
        stack.changed.connect(self._show)
        stack.learn_requested.connect(self.learn)

    @property
    def text(self) -> str:
        """What the taste was learnt from, or could be."""
        if self._said:
            return self._said
        project = self._services.project
        liked, disliked = (
            project.count_results(ResultFilter(kind=KINDS, liked=vote)) for vote in (1, -1)
        )
        return f"{liked:,} liked and {disliked:,} disliked in this project."

    def _show(self) -> None:
        if any(card.entry.name == TASTE for card in self._stack.cards):
            self._stack.show_taste(self.text, busy=self._job is not None)

    def learn(self) -> None:
        """Learn it anew from the votes in this project."""
        if self._job is not None:
            return
        project = self._services.project
        inputs: dict[str, ArtifactRef | Path] = {}
        names: dict[int, list[str]] = {1: [], -1: []}
        for vote in (1, -1):
            for record in project.results(ResultFilter(kind=KINDS, liked=vote), limit=MOST_VOTES):
                name = f"picture-{record.id}"
                inputs[name] = record.artifact
                names[vote].append(name)
        params = {"liked": names[1], "disliked": names[-1], "chosen": []}
        device = str(self._services.settings.get("device"))
        try:
            self._job = self._services.bridge.submit(JobSpec(KIND, params, inputs, device=device))
        except EngineError as error:
            self.problem.emit(error)
            return
        self._say("Learning your taste…")

    def _finished(self, job: str, metrics: Mapping[str, Any]) -> None:
        if job == self._job:
            self._job = None
            share = 100 * float(metrics["accuracy"])
            self._say(
                f"Learnt from {int(metrics['votes'])} votes; {share:.0f} % of them are foretold "
                "rightly when each is left out in turn."
            )

    def _failed(self, job: str, error: EngineError) -> None:
        if job == self._job:
            self._job = None
            self._say(str(error))

    def _cancelled(self, job: str) -> None:
        if job == self._job:
            self._job = None
            self._say("Cancelled; your taste is as it was.")

    def _say(self, text: str) -> None:
        self._said = text
        self._show()
