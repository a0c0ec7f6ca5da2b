"""What can be wanted of a picture: rewards that alignment raises, and that results are rated by.

This package imports no torch by itself, so that the window can list rewards and build their forms;
:mod:`engine.images.rewards.mix` computes.
"""

from engine.images.rewards.catalogue import REWARDS, RewardKind
from engine.images.rewards.params import RewardTerm, parse_term
from engine.images.rewards.scales import RAW, Scale, Scales

__all__ = ["RAW", "REWARDS", "RewardKind", "RewardTerm", "Scale", "Scales", "parse_term"]
