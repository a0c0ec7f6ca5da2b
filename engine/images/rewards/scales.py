"""How large a reward usually is: what makes weights comparable and gives 0..100. No torch here.

Of each reward the 5th percentile, the median and the 95th percentile over a model's own pictures
are kept. A reward counts as its distance from the median, in widths from p5 to p95.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import bad_file, invalid_input
from engine.images.rewards.params import RewardTerm
from engine.model_folders import BUILTIN_FOLDER

FOLDER = BUILTIN_FOLDER.parent / "rewards"
FORMAT = "triptych-reward-scales"
HUE_STEP = 30
"""Degrees between two hues whose scales are measured; between them they are interpolated."""


@dataclass(frozen=True)
class Scale:
    """Percentiles of one reward over usual pictures."""

    p5: float
    median: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float], least_spread: float = 0.0) -> Scale:
        """The scale of measured values; a spread of nothing, or too little, is widened.

        A narrow one is opened downwards from its p95, as the rewards with a least spread end
        there.
        """
        p5, median, p95 = (float(p) for p in np.percentile(np.asarray(values, np.float64), (5, 50, 95)))
        needed = least_spread or 1e-6 * max(1.0, abs(median))
        if p95 - p5 < needed:
            p5 = p95 - needed
        return cls(p5, median, p95)

    @property
    def spread(self) -> float:
        """From p5 to p95: one unit of a weighted reward."""
        return self.p95 - self.p5

    def position(self, value: float) -> float:
        """0 at p5, 100 at p95; may lie beyond."""
        return 100 * (value - self.p5) / self.spread


@dataclass(frozen=True)
class Scales:
    """The scales of many rewards, by :attr:`RewardTerm.scale_key`.

    Attributes
    ----------
    measured_on
        In words, which pictures they come from.
    raw
        Where true, every reward that has no scale counts as it is, without a ceiling.
    """

    table: Mapping[str, Scale] = field(default_factory=dict)
    measured_on: str = ""
    raw: bool = False

    def find(self, term: RewardTerm) -> Scale | None:
        """The scale of a term, or ``None``."""
        if term.kind.fixed is not None:
            return Scale(*term.kind.fixed)
        if term.scale_key in self.table:
            return self.table[term.scale_key]
        return self._between_hues(term) if term.name == "hue" else None

    def require(self, term: RewardTerm) -> Scale | None:
        """The scale of a term; ``None`` where it counts as it is.

        Raises
        ------
        EngineError
            ``invalid_input`` when there is none.
        """
        found = self.find(term)
        if found is None and not self.raw:
            raise invalid_input(
                f"It is not known how large the reward {term.name!r} usually is with this model, so "
                "it cannot be weighed against others; nothing was started.",
                "Have its scale measured on pictures of the model first.",
            )
        return found

    def with_scales(self, more: Mapping[str, Scale]) -> Scales:
        """These and further ones."""
        return Scales({**self.table, **more}, self.measured_on, self.raw)

    def _between_hues(self, term: RewardTerm) -> Scale | None:
        name, angle, *rest = term.scale_key.split("/")
        below = int(float(angle) // HUE_STEP) * HUE_STEP
        share = (float(angle) - below) / HUE_STEP
        keys = ["/".join([name, str(a % 360), *rest]) for a in (below, below + HUE_STEP)]
        if any(key not in self.table for key in keys):
            return None
        low, high = (self.table[key] for key in keys)
        return Scale(
            *((1 - share) * getattr(low, p) + share * getattr(high, p) for p in ("p5", "median", "p95"))
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; the inverse of :meth:`from_json`."""
        return {
            "format": FORMAT,
            "version": 1,
            "measured_on": self.measured_on,
            "scales": {
                key: [float(f"{value:.6g}") for value in (scale.p5, scale.median, scale.p95)]
                for key, scale in sorted(self.table.items())
            },
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Scales:
        """Rebuild from :meth:`to_json`; raises ``ValueError``, ``KeyError`` or ``TypeError``."""
        if data.get("format") != FORMAT or data.get("version") != 1:
            raise ValueError("not a table of reward scales of this version")
        table = {str(key): Scale(*map(float, values)) for key, values in data["scales"].items()}
        return cls(table, str(data["measured_on"]))


RAW = Scales(measured_on="nothing", raw=True)
"""Every reward counts as it is."""


def read_scales(path: Path) -> Scales:
    """Scales from a file; raises ``bad_file``."""
    try:
        return Scales.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise bad_file(
            f"The table of reward scales {path.name} cannot be read: {error}. Nothing was started.",
            f"It belongs at {path}; install Triptych again, or delete it if it is in a cache folder.",
        ) from error


@cache
def builtin_scales() -> Scales:
    """The scales on pictures of the embedded generator, as shipped."""
    return read_scales(FOLDER / "scales.json")
