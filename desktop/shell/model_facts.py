"""What the Models page says of a model, in words. No Qt, and nothing is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.errors import EngineError
    from engine.weights import ModelInfo

BUILTIN = "builtin"
MODEL_SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".ckpt", ".bin"})
PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin"})
# A folder with one of these may be a model; the engine says whether it is.
FOLDER_SIGNS = ("model_index.json", "config.json", "generator.json", "model.safetensors")

UNDERSTANDS = {
    "words": "Words of its own vocabulary, and classes",
    "class": "Classes",
    "text": "Text, also what to avoid",
}
SAMPLER_NAMES = {"sequential": "Step by step", "parallel": "in parallel (ParaTAA)"}


class State(StrEnum):
    """What can be done with a model now."""

    READY = "ready"
    VERIFIED = "verified"
    CHECKING = "checking"
    NEEDS = "needs"
    TOO_LARGE = "too_large"
    DAMAGED = "damaged"
    UNUSABLE = "unusable"


# Colour is never the only signal: every state has its own icon and its own word.
STATE_LOOKS = {
    State.READY: ("Ready", "check-circle", "good"),
    State.VERIFIED: ("Verified", "shield-check", "good"),
    State.CHECKING: ("Checking…", "hourglass", "muted"),
    State.NEEDS: ("Incomplete", "puzzle-piece", "warn"),
    State.TOO_LARGE: ("Too large", "warning", "warn"),
    State.DAMAGED: ("Damaged", "warning-circle", "bad"),
    State.UNUSABLE: ("Unusable", "prohibit", "bad"),
}


@dataclass(frozen=True)
class InstalledModel:
    """A model of this computer: what it is, or why it cannot be used.

    Attributes
    ----------
    info
        ``None`` for a model that cannot be used.
    error
        Why it cannot be used, or what a check of its files found.
    verified
        Whether all its files were compared with their checksums since the page was opened.
    """

    name: str
    info: ModelInfo | None = None
    error: EngineError | None = None
    verified: bool = False

    @property
    def title(self) -> str:
        """How people call it."""
        return self.info.title if self.info else self.name

    @property
    def own(self) -> bool:
        """Whether the user added it; the built-in one stays."""
        return self.name != BUILTIN

    @property
    def usable(self) -> bool:
        """Whether pictures can be made with it."""
        return self.info is not None and self.info.generates and not self.info.needs


@dataclass(frozen=True)
class Memory:
    """Memory of the place where jobs run.

    Attributes
    ----------
    place
        As in "this machine has 24 GB free".
    free
        Bytes; ``None`` where only the total is known.
    """

    place: str
    total: int
    free: int | None = None


def state_of(model: InstalledModel, memory: Memory | None = None, checking: bool = False) -> State:
    """What can be done with a model now."""
    if checking:
        return State.CHECKING
    if model.info is None:
        return State.UNUSABLE
    if model.error is not None:
        return State.DAMAGED
    if model.info.needs:
        return State.NEEDS
    if memory is not None and model.info.memory_bytes > memory.total:
        return State.TOO_LARGE
    return State.VERIFIED if model.verified else State.READY


def size_text(size: float) -> str:
    """Bytes as a person says them, in powers of 1000: ``512 kB``, ``33.2 MB``, ``2.61 GB``."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            digits = 0 if unit == "kB" or size >= 99.95 else 1 if size >= 9.995 else 2
            return f"{size:.{digits}f} {unit}"
    raise AssertionError("the loop ends with terabytes")


def count_text(count: int) -> str:
    """A number of parameters: ``33,921``, ``675 million``, ``2.57 billion``."""
    if count < 1_000_000:
        return f"{count:,}"
    value, word = (count / 1e9, "billion") if count >= 999_500_000 else (count / 1e6, "million")
    return f"{value:.3g} {word}"


def memory_sentence(needed: int, memory: Memory | None) -> tuple[str, str]:
    """What making one picture takes beside what there is, and the role of the label that says it."""
    need = f"Needs about {size_text(needed)} for one picture"
    if memory is None:
        return f"{need}.", ""
    if needed > memory.total:
        return f"{need}; {memory.place} has only {size_text(memory.total)}.", "bad"
    if memory.free is None:
        return f"{need}; {memory.place} has {size_text(memory.total)}.", ""
    if needed > memory.free:
        return (
            f"{need}; {memory.place} has {size_text(memory.total)}, of which other programs leave "
            f"{size_text(memory.free)} free now.",
            "warn",
        )
    return f"{need}; {memory.place} has {size_text(memory.free)} free.", ""


def device_memory(engine: Mapping[str, Any], wanted: str) -> Memory | None:
    """Memory of the graphics card that new jobs run on; ``None`` when they run on the processor.

    Parameters
    ----------
    engine
        What the engine said of itself.
    wanted
        The setting: ``auto``, or a device.
    """
    device = engine.get("device") if wanted == "auto" else wanted
    for item in engine.get("devices", ()):
        if item["device"] == device and device != "cpu":
            return Memory(str(item["name"]), int(item["memory_bytes"]))
    return None


def origin_text(model: InstalledModel) -> str:
    """Where a model is from, in a few words."""
    if not model.own:
        return "Comes with Triptych"
    if model.info is None:
        return "Added by you"
    source = Path(model.info.source).name or "an unknown place"
    return f"{source}, where it is" if model.info.in_place else f"Copy of {source}"


def origin_sentence(model: InstalledModel) -> str:
    """Where a model is from, in full."""
    if model.info is None or not model.own:
        return origin_text(model)
    if model.info.in_place:
        return "Used where it is; removing it here leaves its files alone."
    return model.info.source or origin_text(model)


def used_by(model: InstalledModel) -> str:
    """The workspace that uses a model."""
    if model.info is None:
        return "None"
    return "Images" if model.info.generates else "Images, to decode"


def samplers_text(info: ModelInfo) -> str:
    """Which samplers a model supports, and why not others."""
    if not info.generates:
        return "None: it decodes what other models make."
    names = [SAMPLER_NAMES.get(name, name) for name in info.samplers]
    text = " or ".join(names) or "None"
    if "parallel" not in info.samplers:
        text += "; not parallel, because that needs a network whose results do not depend on the batch"
    return f"{text}."


def alignment_text(info: ModelInfo) -> str:
    """Whether a model can be aligned to rewards, and why not."""
    if info.alignment:
        return "Yes: its pictures can be differentiated."
    if not info.generates:
        return "No: it makes no pictures by itself."
    if info.needs:
        return f"Not before {', '.join(info.needs)} is installed."
    return "No: a reward sees pictures, and no autoencoder that makes them is installed for it."


def compute_text(info: ModelInfo) -> str:
    """How much of its arithmetic a model can leave out."""
    if info.compute is not None:
        low, high = (f"{100 * share:.0f} %" for share in info.compute)
        return f"Dynamic: {low} to {high} of its arithmetic, or all of it."
    if info.dynamic:
        return "Dynamic: as it was trained, or all of its arithmetic."
    return "Always all of its arithmetic." if info.generates else ""


def looks_like_model(path: Path) -> bool:
    """Whether a dropped file or folder may be a model; the engine looks closer."""
    if path.is_dir():
        return any((path / sign).is_file() for sign in FOLDER_SIGNS)
    return path.suffix.lower() in MODEL_SUFFIXES
