"""The registry of rewards: their names, words, settings, and where each is computed. No torch here.

A plug-in adds to :data:`REWARDS` through the entry-point group ``triptych.reward``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from engine import extras
from engine.images.rewards.options import (
    AestheticOptions,
    CheckpointOptions,
    ClassOptions,
    ClipOptions,
    ColourOptions,
    HueOptions,
    OnnxOptions,
    PaletteOptions,
    ReferenceOptions,
    RewardOptions,
    TasteOptions,
    TextOptions,
    UserPythonOptions,
)
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.images.rewards.protocol import Reward, RewardContext

Sort = Literal["gradient", "value"]


@dataclass(frozen=True)
class RewardKind:
    """A reward that can be chosen.

    Attributes
    ----------
    title, less
        The user's words for more and for less of it.
    sort
        ``gradient``: torch operations that alignment can differentiate; ``value``: only compared.
    factory
        ``f(options, context) -> Reward``, or ``module:function`` to import when it is needed.
    options
        The model of its settings.
    group
        The heading it is listed under.
    description
        One sentence on what is measured.
    note
        What the user should know before choosing it.
    fixed
        ``(p5, median, p95)`` where the scale does not depend on the model of the pictures.
    least_spread
        The smallest distance from p5 to p95 that counts, where most pictures have the same value.
    tabled
        Whether the scale depends on nothing but the model and few settings, so that a table has it.
    extra
        The optional part of Triptych that it needs, one of :data:`engine.extras.EXTRAS`.
    """

    title: str
    less: str
    sort: Sort
    factory: str | Callable[[Any, RewardContext], Reward]
    options: type[RewardOptions] = RewardOptions
    group: str = "Look"
    description: str = ""
    note: str = ""
    fixed: tuple[float, float, float] | None = None
    least_spread: float = 0.0
    tabled: bool = False
    extra: str = ""

    def obstacle(self) -> str:
        """Why it cannot be used here as it is, and what to do; empty when it can."""
        if not self.extra or extras.is_installed(self.extra):
            return ""
        return (
            f"It needs the extra {self.extra!r}, which is not installed: the models panel installs it, "
            f"or run {extras.command_text(self.extra)}"
        )

    def build(self, options: RewardOptions, context: RewardContext) -> Reward:
        """The reward itself; raises ``EngineError`` where files or libraries are missing."""
        if callable(self.factory):
            return self.factory(options, context)
        module, _, function = self.factory.partition(":")
        build: Callable[[Any, RewardContext], Reward] = getattr(
            importlib.import_module(module), function
        )
        return build(options, context)


REWARDS: Registry[RewardKind] = Registry("reward")

ALIASES = {
    "darkness": ("brightness", -1.0),
    "coolness": ("warmth", -1.0),
    "compressibility": ("jpeg_size", -1.0),
    "incompressibility": ("jpeg_size", 1.0),
    "few_colours": ("colour_count", -1.0),
    "connected_shapes": ("shape_count", -1.0),
}
"""Further names, each with the reward it means and the sign of its weight."""

_HERE = "engine.images.rewards"
_COLOUR = f"{_HERE}.differentiable"

REWARDS.add(
    "brightness",
    RewardKind(
        "Brighter", "Darker", "gradient", f"{_COLOUR}:brightness", ColourOptions, "Colour",
        "Mean luma of the pixels.", tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "colourfulness",
    RewardKind(
        "More colourful", "Greyer", "gradient", f"{_COLOUR}:colourfulness", ColourOptions, "Colour",
        "Spread and strength of the opponent colours (Hasler and Süsstrunk 2003).", tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "warmth",
    RewardKind(
        "Warmer", "Cooler", "gradient", f"{_COLOUR}:warmth", ColourOptions, "Colour",
        "Mean of red minus blue.", tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "hue",
    RewardKind(
        "More of a hue", "Less of a hue", "gradient", f"{_COLOUR}:hue", HueOptions, "Colour",
        "Mean colour towards an angle of the colour circle.", tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "palette",
    RewardKind(
        "Colours of a palette", "Other colours", "gradient", f"{_COLOUR}:palette", PaletteOptions,
        "Colour", "Minus the squared distance of each pixel to the nearest of the given colours.",
    ),
)  # fmt: skip
REWARDS.add(
    "contrast",
    RewardKind(
        "More contrast", "Less contrast", "gradient", f"{_COLOUR}:contrast", ColourOptions,
        description="Standard deviation of luma.", tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "sharpness",
    RewardKind(
        "Sharper", "Softer", "gradient", f"{_COLOUR}:sharpness",
        description="Root mean square of the Laplacian of luma.", tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "smoothness",
    RewardKind(
        "Smoother", "Rougher", "gradient", f"{_COLOUR}:smoothness",
        description="Minus the mean difference of neighbouring pixels.", tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "symmetry",
    RewardKind(
        "More symmetrical", "Less symmetrical", "gradient", f"{_COLOUR}:symmetry",
        description="Minus the mean difference of the picture and its mirror image.", tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "plain_background",
    RewardKind(
        "Plainer background", "Busier background", "gradient", f"{_COLOUR}:plain_background",
        group="Background",
        description="Minus the mean difference of the 3 outermost pixels from their mean colour.",
        least_spread=0.1, tabled=True,
    ),
)  # fmt: skip
REWARDS.add(
    "white_border",
    RewardKind(
        "White background", "Coloured background", "gradient", f"{_COLOUR}:white_border",
        group="Background",
        description="Minus the mean distance of the 3 outermost pixels from white.",
        note="Keeps pictograms on their white ground while another reward changes colours.",
        least_spread=0.1, tabled=True,
    ),
)  # fmt: skip

_VALUE = f"{_HERE}.value"

REWARDS.add(
    "jpeg_size",
    RewardKind(
        "Larger file", "Smaller file", "value", f"{_VALUE}:jpeg_size", group="Detail", tabled=True,
        description="KiB as JPEG (quality 75) beyond those of a flat grey picture.",
    ),
)  # fmt: skip
REWARDS.add(
    "edges",
    RewardKind(
        "More edges", "Fewer edges", "value", f"{_VALUE}:edges", group="Detail", tabled=True,
        description="Share of the pixels that are edges (Canny).",
    ),
)  # fmt: skip
REWARDS.add(
    "colour_count",
    RewardKind(
        "More colours", "Fewer colours", "value", f"{_VALUE}:colour_count", group="Detail", tabled=True,
        description="Number of different colours, at 3 bits a channel.",
    ),
)  # fmt: skip
REWARDS.add(
    "shape_count",
    RewardKind(
        "More shapes", "Fewer shapes", "value", f"{_VALUE}:shape_count", group="Detail", tabled=True,
        description="Number of connected shapes on the light ground.",
    ),
)  # fmt: skip
REWARDS.add(
    "class_probability",
    RewardKind(
        "Looks like a class", "Looks less like a class", "value", f"{_VALUE}:class_probability",
        ClassOptions, "Meaning",
        "Probability of a class of pictograms by a small classifier, 0 unless it is its first guess.",
        fixed=(0.0, 0.5, 1.0),
    ),
)  # fmt: skip
REWARDS.add(
    "words",
    RewardKind(
        "Like the words", "Unlike the words", "gradient", f"{_HERE}.likeness:words", TextOptions,
        "Meaning", "Likeness of picture and words by the small encoder that ships with Triptych.",
        "It knows pictograms: of other pictures it understands little.",
    ),
)  # fmt: skip
REWARDS.add(
    "closeness",
    RewardKind(
        "Closer to a picture", "Further from a picture", "gradient", f"{_HERE}.likeness:closeness",
        ReferenceOptions, "Meaning",
        "Likeness to a picture or sketch in layout and features; of a sketch, where it is painted.",
    ),
)  # fmt: skip
REWARDS.add(
    "taste",
    RewardKind(
        "My taste", "Not my taste", "gradient", f"{_HERE}.taste:taste", TasteOptions, "Meaning",
        "How much you would like it, learnt from your votes.",
    ),
)  # fmt: skip
REWARDS.add(
    "onnx",
    RewardKind(
        "ONNX model", "ONNX model, less", "value", f"{_HERE}.onnx_reward:onnx", OnnxOptions, "Yours",
        "A number that a model in an .onnx file gives to each picture.",
    ),
)  # fmt: skip
REWARDS.add(
    "python",
    RewardKind(
        "My program", "My program, less", "value", f"{_HERE}.user_python:user_python",
        UserPythonOptions, "Yours", "A number that your own Python function gives to each picture.",
        "It can do whatever you can: allow only what you trust. It runs in a process of its own.",
    ),
)  # fmt: skip

_LEARNED = f"{_HERE}.learned"
_LARGE = "Made for photographs of 224 pixels: use it with models of pictures of 128 pixels and more."

REWARDS.add(
    "clip",
    RewardKind(
        "Like the words (CLIP)", "Unlike the words (CLIP)", "gradient", f"{_LEARNED}:clip_similarity",
        ClipOptions, "Learned", "Likeness of picture and words by a CLIP model of yours.", _LARGE,
        extra="diffusers",
    ),
)  # fmt: skip
REWARDS.add(
    "pickscore",
    RewardKind(
        "Preferred (PickScore)", "Not preferred (PickScore)", "gradient", f"{_LEARNED}:pick_score",
        ClipOptions, "Learned", "What people would pick for these words; needs its weights.", _LARGE,
        extra="diffusers",
    ),
)  # fmt: skip
REWARDS.add(
    "hpsv2",
    RewardKind(
        "Preferred (HPS v2)", "Not preferred (HPS v2)", "gradient", f"{_LEARNED}:hps",
        CheckpointOptions, "Learned",
        "What people would prefer for these words; needs its weights and open_clip.", _LARGE,
    ),
)  # fmt: skip
REWARDS.add(
    "imagereward",
    RewardKind(
        "Preferred (ImageReward)", "Not preferred (ImageReward)", "gradient",
        f"{_LEARNED}:image_reward", CheckpointOptions, "Learned",
        "What people would prefer for these words; needs its weights and the library image-reward.",
        _LARGE,
    ),
)  # fmt: skip
REWARDS.add(
    "aesthetic",
    RewardKind(
        "More aesthetic", "Less aesthetic", "gradient", f"{_LEARNED}:aesthetic", AestheticOptions,
        "Learned", "LAION's aesthetic score; needs CLIP ViT-L/14 and the head.", _LARGE,
        extra="diffusers",
    ),
)  # fmt: skip
