"""Several rewards weighed against each other: the number that alignment raises."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.device import is_out_of_memory
from engine.errors import EngineError, ErrorCode, invalid_input
from engine.images.rewards.catalogue import Sort
from engine.images.rewards.params import RewardTerm
from engine.images.rewards.protocol import (
    Reward,
    RewardContext,
    eight_bit,
    soft_clip,
    without_autocast,
)
from engine.images.rewards.scales import Scale, Scales

_MEANING = "The run stops there; the best picture so far is kept."


@dataclass(frozen=True)
class Member:
    """A term, ready to be computed.

    Attributes
    ----------
    key
        The name of its values: the reward's, numbered where it occurs twice.
    """

    key: str
    term: RewardTerm
    reward: Reward
    scale: Scale | None

    def counted(self, values: Tensor) -> Tensor:
        """What raw values add to the total: capped, in widths from the median, weighted."""
        weight, scale = self.term.weight, self.scale
        if scale is None:
            return weight * values
        if self.term.settings.ceiling:
            values = values.clamp(max=scale.p95) if weight >= 0 else values.clamp(min=scale.p5)
        return weight * (values - scale.median) / scale.spread


class RewardMix:
    """A weighted sum of rewards, ``sum_k w_k (r_k - median_k) / (p95_k - p5_k)``.

    Parameters
    ----------
    terms
        The rewards with their weights; at least one.
    context
        What rewards may need to know.
    scales
        How large each usually is; :data:`~engine.images.rewards.scales.RAW` takes them as they are.

    Raises
    ------
    EngineError
        ``invalid_input`` without terms or without a scale; what building a reward raises
        (``missing_weights``, ``bad_file``).
    """

    def __init__(self, terms: Sequence[RewardTerm], context: RewardContext, scales: Scales) -> None:
        if not terms:
            raise invalid_input(
                "There is no reward to align the picture with; nothing was started.",
                "Choose at least one, for example brightness=1.",
            )
        self.context = context
        self.members: list[Member] = []
        try:
            for term in terms:
                scale = scales.require(term)
                reward = term.kind.build(term.settings, context)
                self.members.append(Member(self._key(term), term, reward, scale))
        except BaseException:
            self.close()
            raise

    @property
    def kind(self) -> Sort:
        """``gradient`` when every member with a weight is."""
        return "gradient" if all(m.reward.kind == "gradient" for m in self.active()) else "value"

    def active(self, only: Sort | None = None) -> list[Member]:
        """Members whose weight is not 0, of one sort or of both."""
        return [m for m in self.members if m.term.weight and only in (None, m.reward.kind)]

    def total(
        self, x: Tensor, clipped: bool = False, only: Sort | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum ``(B,)`` of pictures, and the raw values ``(B,)`` of each term.

        Parameters
        ----------
        x
            Pictures ``(B, 3, H, W)`` in [0, 1], not clipped.
        clipped
            Rate the pictures as they are saved (8 bit, no gradient). Otherwise gradients flow
            through those terms that have one, from softly clipped pictures; the others are added
            as constants.
        only
            Leave out the terms of the other sort.

        Raises
        ------
        EngineError
            ``invalid_input`` naming the reward that failed, or returned something that is not one
            finite number a picture, or no gradient although it is declared to have one.
        """
        total = x.new_zeros(len(x))
        raw: dict[str, Tensor] = {}
        saved = eight_bit(x)
        soft = saved if clipped else soft_clip(x)
        if any(member.reward.kind == "value" for member in self.members):
            saved = saved.cpu()
        for member in self.members:
            if only not in (None, member.reward.kind):
                continue
            has_gradient = member.reward.kind == "gradient" and not clipped
            with torch.set_grad_enabled(torch.is_grad_enabled() and has_gradient):
                given = soft if member.reward.kind == "gradient" else saved
                values = self._values(member, given).to(total)
            raw[member.key] = values
            if member.term.weight:
                total = total + member.counted(values)
        return total, raw

    def positions(self, raw: Mapping[str, float]) -> dict[str, float]:
        """Raw values as 0..100 between p5 and p95, of those terms that have a scale."""
        return {
            m.key: m.scale.position(raw[m.key])
            for m in self.members
            if m.scale is not None and m.key in raw
        }

    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the rewards were understood, one sentence each."""
        return tuple(note for m in self.members for note in getattr(m.reward, "notes", ()))

    def close(self) -> None:
        """End what rewards keep running; they cannot be used afterwards."""
        for member in self.members:
            close = getattr(member.reward, "close", None)
            if close is not None:
                close()

    def __enter__(self) -> RewardMix:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _key(self, term: RewardTerm) -> str:
        same = sum(member.term.name == term.name for member in self.members)
        return term.name if not same else f"{term.name}-{same + 1}"

    def _values(self, member: Member, x: Tensor) -> Tensor:
        differentiates = torch.is_grad_enabled() and x.requires_grad
        if differentiates:
            # A view of its own, so that a bad gradient can be laid at this reward's door.
            x = x.view_as(x)
            x.register_hook(lambda gradient: _check_gradient(member, gradient))
        try:
            with without_autocast(x):
                values = member.reward.batch(x, self.context)
        except EngineError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise _failed(
                member, f"raised {type(error).__name__}: {error}", traceback.format_exc()
            ) from error
        _check_values(member, values, len(x))
        if differentiates and not values.requires_grad:
            raise _failed(
                member,
                "is declared to have a gradient, but its value does not depend on the pixels through "
                "torch operations",
                hint="Declare it as a reward without gradient (value), or compute it with torch.",
            )
        return values


def _check_values(member: Member, values: object, count: int) -> None:
    if not isinstance(values, Tensor) or not values.is_floating_point():
        what = f"{values.dtype} numbers" if isinstance(values, Tensor) else type(values).__name__
        raise _failed(member, f"returned {what} instead of a tensor of floating-point numbers")
    if values.shape != (count,):
        raise _failed(
            member,
            f"returned numbers of shape {tuple(values.shape)} for {count} picture(s), where it should "
            f"be ({count},)",
        )
    if not values.isfinite().all():
        bad = values.detach()[~values.isfinite()][0].item()
        raise _failed(member, f"returned {bad} for a picture")


def _check_gradient(member: Member, gradient: Tensor) -> None:
    if not gradient.isfinite().all():
        raise _failed(
            member,
            "has a gradient that is not finite (NaN or infinite)",
            hint="Leave this reward out; if it is your own, add a small number under roots and in "
            "denominators.",
        )


def _failed(member: Member, what: str, detail: str = "", hint: str = "") -> EngineError:
    return EngineError(
        ErrorCode.INVALID_INPUT,
        f"The reward {member.reward.title!r} ({member.key}) {what}. {_MEANING}",
        hint or "Leave this reward out, or correct it, and start again.",
        detail,
    )
