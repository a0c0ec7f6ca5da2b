"""The rewards that a picture is aligned with: a stack of cards, and a menu to add from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QMenu, QPushButton, QVBoxLayout, QWidget

from desktop.images.align_rewards import BUILTIN, COMPANION, COMPANION_OF, RewardCatalogue, RewardEntry
from desktop.images.reward_card import RewardCard
from desktop.images.reward_fields import REFERENCE, PictureEditor
from desktop.theme import SPACE_S, Theme
from desktop.widgets.parts import label

MOST = 16
EMPTY = "Say what should improve: add one reward or several, each with its weight."


class RewardStack(QWidget):
    """The cards, in order.

    Signals
    -------
    changed
        A reward was added, removed or changed.
    learn_requested
        The user's taste shall be learnt.
    laid_out
        A card has more to edit than before.
    """

    changed = Signal()
    learn_requested = Signal()
    laid_out = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._catalogue: RewardCatalogue | None = None
        self._model = ""
        self.cards: list[RewardCard] = []
        self.empty = label(EMPTY, "muted", wrap=True)
        self.add_button = QPushButton("Add a reward")
        self.add_button.setIcon(theme.icon("plus"))
        self.add_button.setAutoDefault(False)
        self.add_button.setEnabled(False)
        self.menu = QMenu(self.add_button)
        self.menu.setToolTipsVisible(True)
        self.add_button.setMenu(self.menu)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(SPACE_S)
        self._layout.addWidget(self.empty)
        self._layout.addWidget(self.add_button)

    def set_catalogue(self, catalogue: RewardCatalogue) -> None:
        """Offer these rewards."""
        self._catalogue = catalogue
        self.menu.clear()
        for heading, entries in catalogue.groups():
            group = self.menu.addMenu(heading)
            group.setToolTipsVisible(True)
            for entry in entries:
                self._offer(group, entry)
        self._show_state()

    def _offer(self, group: QMenu, entry: RewardEntry) -> None:
        title = entry.title if entry.differentiable else f"{entry.title} (no gradient)"
        choice = group.addAction(title)
        choice.setEnabled(not entry.obstacle)
        choice.setToolTip(entry.obstacle or entry.description)
        choice.triggered.connect(partial(self._chosen, entry))

    def _chosen(self, entry: RewardEntry, _checked: bool = False) -> None:
        self.add(entry.name)
        added = [card for card in self.cards if card.entry is entry]
        if added:
            added[-1].slider.setFocus()

    def set_model(self, model: str) -> None:
        """Which model made the pictures that are to be aligned."""
        self._model = model

    # --- cards ------------------------------------------------------------------------------------

    def add(self, name: str) -> None:
        """Add a reward; with the first one of colours also what keeps pictograms on white."""
        if self._catalogue is None or len(self.cards) >= MOST:
            return
        entry = self._catalogue.entry(name)
        if entry is None:
            return
        alone = not self.cards
        self._append({"name": name, "weight": 1.0})
        if alone and self._model == BUILTIN and entry.group == COMPANION_OF:
            self._append({"name": COMPANION[0], "weight": COMPANION[1]})
        self._show_state()
        self.changed.emit()

    def _append(self, term: Mapping[str, Any]) -> bool:
        assert self._catalogue is not None
        entry = self._catalogue.entry(str(term["name"]))
        if entry is None:
            return False
        card = RewardCard(self._theme, entry)
        card.set_term(term)
        card.changed.connect(self.changed)
        card.removed.connect(partial(self._remove, card))
        card.learn_requested.connect(self.learn_requested)
        card.laid_out.connect(self.laid_out)
        self.cards.append(card)
        self._layout.insertWidget(len(self.cards), card)
        return True

    def _remove(self, card: RewardCard) -> None:
        place = self.cards.index(card)
        self.cards.remove(card)
        self._layout.removeWidget(card)
        card.hide()
        card.deleteLater()
        near = self.cards[min(place, len(self.cards) - 1)].remove if self.cards else self.add_button
        near.setFocus()
        self._show_state()
        self.changed.emit()

    def set_terms(self, terms: Sequence[Mapping[str, Any]]) -> list[str]:
        """Show these rewards; returns the names that this version does not know."""
        for card in self.cards:
            self._layout.removeWidget(card)
            card.hide()
            card.deleteLater()
        self.cards = []
        unknown = [str(term["name"]) for term in terms[:MOST] if not self._append(term)]
        self._show_state()
        self.changed.emit()
        return unknown

    def terms(self) -> list[dict[str, Any]]:
        """The rewards as the engine takes them.

        Raises
        ------
        EngineError
            ``invalid_input`` naming the setting that is not valid.
        """
        for place, editor in enumerate(self._picture_editors(), start=1):
            editor.key = REFERENCE if place == 1 else f"{REFERENCE}-{place}"
        return [card.term() for card in self.cards]

    def pictures(self) -> dict[str, Path]:
        """The pictures that rewards refer to, by the names that :meth:`terms` has for them."""
        return {editor.key: editor.path for editor in self._picture_editors() if editor.path}

    def _picture_editors(self) -> list[PictureEditor]:
        return [card.picture for card in self.cards if card.picture is not None]

    def error(self) -> str:
        """Why no run can start with these rewards; empty when it can."""
        if not self.cards:
            return "Add at least one reward."
        for card in self.cards:
            if card.error():
                return card.error()
        if not any(card.weight for card in self.cards):
            return "All weights are 0: nothing would be improved."
        return ""

    @property
    def compares(self) -> bool:
        """Whether a reward without gradient has a weight."""
        return any(card.weight and not card.entry.differentiable for card in self.cards)

    def show_taste(self, text: str, *, busy: bool) -> None:
        """Say on the card of the user's taste what it was learnt from."""
        for card in self.cards:
            card.show_taste(text, busy=busy)

    def show_places(self, start: Mapping[str, float], now: Mapping[str, float]) -> None:
        """Show on each card where its reward was and is, as 0..100 by the names of a run."""
        seen: dict[str, int] = {}
        for card in self.cards:
            name = card.entry.name
            seen[name] = seen.get(name, 0) + 1
            key = name if seen[name] == 1 else f"{name}-{seen[name]}"
            card.show_places(start.get(key), now.get(key))

    def _show_state(self) -> None:
        self.empty.setVisible(not self.cards)
        self.add_button.setEnabled(self._catalogue is not None and len(self.cards) < MOST)
