"""Several descriptors as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input
from engine.tracks.appearance.catalogue import Appearance

How = Literal["concatenate", "mean"]


class Ensemble:
    """Vectors of several descriptors put together.

    Parameters
    ----------
    parts
        At least one.
    weights
        Of the same number, above 0; equal by default.
    how
        ``concatenate``: the cosine of two things is the weighted mean of the parts' cosines.
        ``mean``: the weighted mean of the vectors, which need one dimension.

    Raises
    ------
    EngineError
        ``invalid_input`` when these do not fit each other.
    """

    def __init__(
        self,
        parts: Sequence[Appearance],
        weights: Sequence[float] | None = None,
        how: How = "concatenate",
    ) -> None:
        shares = np.asarray(weights if weights is not None else [1.0] * len(parts), np.float64)
        dimensions = [part.dimension for part in parts]
        problem = ""
        if not parts:
            problem = "there is no descriptor in it"
        elif len(shares) != len(parts) or not (shares > 0).all():
            problem = f"{len(parts)} descriptors need as many weights above 0"
        elif how == "mean" and len(set(dimensions)) > 1:
            problem = f"vectors of {', '.join(map(str, dimensions))} numbers have no mean"
        if problem:
            raise invalid_input(
                f"The descriptors cannot be put together: {problem}. Nothing was started.",
                "Concatenate vectors of different lengths.",
            )
        self._parts, self._how, self._shares = tuple(parts), how, shares / shares.sum()
        self.dimension = dimensions[0] if how == "mean" else sum(dimensions)
        self.name = " + ".join(part.name for part in parts)
        said = [f"{s:.6g} {p.identity}" for s, p in zip(self._shares, parts, strict=True)]
        self.identity = f"{how}({', '.join(said)})"

    def describe(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """See :class:`~engine.tracks.appearance.catalogue.Appearance`."""
        vectors = [part.describe(pictures) for part in self._parts]
        if self._how == "mean":
            mean = sum(share * part for share, part in zip(self._shares, vectors, strict=True))
        else:
            scaled = [np.sqrt(s) * part for s, part in zip(self._shares, vectors, strict=True)]
            mean = np.concatenate(scaled, axis=1)
        whole = np.asarray(mean, np.float32)
        return whole / np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), np.float32(1e-9))
