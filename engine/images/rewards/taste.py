"""The user's taste, learnt from likes, dislikes and choices between two pictures.

A linear head over the encoder's unit vectors: logistic loss on thumbs, Bradley-Terry on pairs, and
a penalty on the weights' length. Whoever offers the protocol
:class:`~engine.images.rewards.protocol.Taste` can take its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.errors import bad_file, invalid_input
from engine.images.rewards.catalogue import Sort
from engine.images.rewards.encoder import cached_encoder, shifted
from engine.images.rewards.options import TasteOptions
from engine.images.rewards.protocol import Reward, RewardContext, Taste

LEAST_VOTES = 4
FORMAT = "triptych-taste"
_BIAS_PENALTY = 1e-6
"""Keeps the bias determined where there are only pairs; too small to matter otherwise."""


@dataclass(frozen=True)
class Votes:
    """What the user said; pictures are numbered.

    Attributes
    ----------
    thumbs
        ``(picture, liked)``.
    pairs
        ``(better picture, worse picture)``.
    """

    thumbs: Sequence[tuple[int, bool]] = ()
    pairs: Sequence[tuple[int, int]] = ()

    def __len__(self) -> int:
        return len(self.thumbs) + len(self.pairs)

    def missing(self) -> str:
        """What is still needed before a taste can be learnt, in words; empty when nothing is."""
        signs = {liked for _, liked in self.thumbs}
        lacking = ""
        if not self.pairs and len(signs) < 2:
            wanted = [
                name for name, liked in (("like", True), ("dislike", False)) if liked not in signs
            ]
            lacking = " and one ".join(wanted)
        more = max(LEAST_VOTES - len(self), 1 if lacking else 0)
        if not more:
            return ""
        text = f"{more} more vote{'s' if more > 1 else ''}"
        return f"{text}, with at least one {lacking}" if lacking else text


@dataclass(frozen=True)
class TasteHead:
    """A linear taste ``sigmoid(w . e + b)`` over unit vectors of pictures.

    Attributes
    ----------
    weights, bias
        ``(d,)`` and a number, float64.
    votes
        How many it was learnt from.
    accuracy
        Share of the votes foretold rightly when each is left out in turn.
    """

    weights: Tensor
    bias: float
    votes: int
    accuracy: float

    def score(self, vectors: Tensor) -> Tensor:
        """Liking ``(B,)`` in 0..1 of unit vectors ``(B, d)``."""
        return torch.sigmoid(vectors @ self.weights.to(vectors) + self.bias)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; the inverse of :meth:`from_json`."""
        return {
            "format": FORMAT,
            "version": 1,
            "weights": self.weights.tolist(),
            "bias": self.bias,
            "votes": self.votes,
            "accuracy": self.accuracy,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TasteHead:
        """Rebuild from :meth:`to_json`; raises ``ValueError``, ``KeyError`` or ``TypeError``."""
        if data.get("format") != FORMAT or data.get("version") != 1:
            raise ValueError("it is no taste, or that of a newer program")
        weights = torch.tensor(data["weights"], dtype=torch.float64)
        return cls(weights, float(data["bias"]), int(data["votes"]), float(data["accuracy"]))


def fit_taste(vectors: Tensor, votes: Votes) -> TasteHead:
    """Learn a taste from the unit vectors ``(N, d)`` of pictures and votes on them.

    Minimises the sum of the logistic losses plus ``|w|^2``, that is the mean loss plus ``|w|^2`` by
    the number of votes, in float64 by L-BFGS. Takes well under a second for 500 votes.

    Raises
    ------
    EngineError
        ``invalid_input`` that says how many votes are missing.
    """
    missing = votes.missing()
    if missing:
        raise invalid_input(
            f"Your taste cannot be learnt from {len(votes)} vote(s) yet; nothing was started.",
            f"It needs {missing}.",
        )
    rows, signs = _rows(vectors.detach().double().cpu(), votes)
    penalty = torch.ones(rows.shape[1], dtype=torch.float64)
    penalty[-1] = _BIAS_PENALTY

    solution = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [solution], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = -F.logsigmoid(signs * (rows @ solution)).sum() + (penalty * solution.square()).sum()
        value.backward()
        return value

    solver.step(loss)
    found = solution.detach()
    right = (signs * left_out_scores(rows, signs, found, penalty)) > 0
    return TasteHead(found[:-1], found[-1].item(), len(votes), right.double().mean().item())


def _rows(vectors: Tensor, votes: Votes) -> tuple[Tensor, Tensor]:
    """What the head's ``(w, b)`` is multiplied with for each vote ``(n, d + 1)``, and its sign."""
    one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    rows = [torch.cat([vectors[picture], one]) for picture, _ in votes.thumbs]
    rows += [torch.cat([vectors[a] - vectors[b], none]) for a, b in votes.pairs]
    signs = [1.0 if liked else -1.0 for _, liked in votes.thumbs] + [1.0] * len(votes.pairs)
    return torch.stack(rows), torch.tensor(signs, dtype=torch.float64)


def left_out_scores(rows: Tensor, signs: Tensor, solution: Tensor, penalty: Tensor) -> Tensor:
    """Scores ``(n,)`` of each vote by the head learnt without it.

    By one Newton step from the full solution (approximate leave-one-out, Rad and Maleki 2020):
    ``s_i + l_i' h_i / (1 - l_i'' h_i)`` with ``h_i`` the row's length in the inverse Hessian.
    """
    scores = rows @ solution
    chance = torch.sigmoid(-signs * scores)
    slope, bend = -signs * chance, chance * (1 - chance)
    hessian = rows.T @ (bend[:, None] * rows) + 2 * torch.diag(penalty)
    length = (rows * torch.linalg.solve(hessian, rows.T).T).sum(dim=1)
    return scores + slope * length / (1 - bend * length)


@dataclass(frozen=True)
class EncodedTaste:
    """A head together with the encoder that makes its vectors: a :class:`Taste`."""

    head: TasteHead
    embed: Callable[[Tensor], Tensor]
    title: str

    def score(self, x: Tensor) -> Tensor:
        """Liking of pictures ``(B, 3, H, W)`` in [0, 1], mean over small shifts."""
        return torch.stack([self.head.score(self.embed(part)) for part in shifted(x)]).mean(dim=0)


def own_taste(head: TasteHead, device: str) -> EncodedTaste:
    """A head over the vectors of the shipped encoder."""
    share = f"{head.accuracy:.0%} foretold"
    return EncodedTaste(
        head, cached_encoder(device).embed_images, f"My taste ({head.votes} votes, {share})"
    )


@torch.no_grad()
def vectors_of(pictures: Tensor, device: str) -> Tensor:
    """Unit vectors ``(N, 128)`` on the CPU, to learn a taste from, of ``(N, 3, H, W)`` in [0, 1]."""
    encoder = cached_encoder(device)
    return torch.cat([encoder.embed_images(part.to(device)).cpu() for part in pictures.split(32)])


@dataclass(frozen=True)
class TasteReward:
    """How much the user would like a picture."""

    taste: Taste
    name: str = "taste"
    kind: Sort = field(default="gradient", init=False)

    @property
    def title(self) -> str:
        """What the taste was learnt from."""
        return self.taste.title

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        return self.taste.score(x)


def taste_file() -> Path:
    """Where the taste that was learnt last is kept."""
    return platformdirs.user_data_path("triptych", appauthor=False) / "taste.json"


def taste(options: TasteOptions, context: RewardContext) -> Reward:
    """The taste in a file, else that of the context, else the one learnt last.

    Raises
    ------
    EngineError
        ``invalid_input`` when none has been learnt; ``bad_file`` when the file is not a taste.
    """
    if not options.file and context.taste is not None:
        return TasteReward(context.taste)
    file = Path(options.file).expanduser() if options.file else taste_file()
    if not options.file and not file.exists():
        raise invalid_input(
            "Your taste has not been learnt yet, so pictures cannot be aligned with it; nothing was "
            "started.",
            f"Like and dislike at least {LEAST_VOTES} pictures first.",
        )
    return TasteReward(own_taste(read_taste(file), context.device))


def read_taste(path: Path) -> TasteHead:
    """A head from a file; raises ``bad_file``."""
    try:
        head = TasteHead.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise bad_file(
            f"The taste {path.name} cannot be read: {error}. Nothing was started.",
            f"Choose a file that Triptych saved a taste to ({path} is none).",
        ) from error
    return head
