"""Measuring how large rewards usually are: ``python -m engine.images.rewards.measuring``.

The scales of the embedded generator are shipped; those of another one are measured on 64 of its
pictures at first use, and what depends on the user's settings (a prompt, a file) on the same
pictures whenever it is used.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.errors import EngineError
from engine.images.pictograms import load_pictograms
from engine.images.rewards.catalogue import REWARDS
from engine.images.rewards.mix import RewardMix
from engine.images.rewards.options import ColourOptions, HueOptions
from engine.images.rewards.params import RewardTerm
from engine.images.rewards.protocol import RewardContext
from engine.images.rewards.scales import (
    FOLDER,
    HUE_STEP,
    RAW,
    Scale,
    Scales,
    builtin_scales,
    read_scales,
)
from engine.model_folders import BUILTIN, BUILTIN_FOLDER
from engine.weights import ModelInfo

log = logging.getLogger("triptych.rewards")

SAMPLES = 64
CHUNK = 16
_SHEET_COLUMNS = 8


def tabled_terms() -> Iterator[RewardTerm]:
    """Every reward, in every setting, that a table of scales has."""
    for name, kind in REWARDS:
        if not kind.tabled:
            continue
        choices: list[dict[str, object]] = [{}]
        if issubclass(kind.options, HueOptions):
            choices = [{"angle": angle} for angle in range(0, 360, HUE_STEP)]
        if issubclass(kind.options, ColourOptions):
            choices = [{**c, "subject_only": only} for c in choices for only in (False, True)]
        for options in choices:
            yield RewardTerm(name=name, options=options)


def overview_terms() -> list[RewardTerm]:
    """Every reward by formula once, at weight 0: what a finished run is rated by, before and after."""
    return [RewardTerm(name=name, weight=0) for name, kind in REWARDS if kind.tabled]


def measure(terms: Sequence[RewardTerm], context: RewardContext, pictures: Tensor) -> dict[str, Scale]:
    """The scale of each term on pictures ``(N, 3, H, W)`` in [0, 1], rated as they are saved.

    Raises what building or computing a reward raises.
    """
    terms = list({term.scale_key: term for term in terms}.values())
    if not terms:
        return {}
    values: dict[str, list[float]] = {}
    with RewardMix(terms, context, RAW) as mix:
        for part in pictures.split(CHUNK):
            _, raw = mix.total(part.to(context.device), clipped=True)
            for key, numbers in raw.items():
                values.setdefault(key, []).extend(numbers.tolist())
        return {
            member.term.scale_key: Scale.of(values[member.key], member.term.kind.least_spread)
            for member in mix.members
        }


def scales_for(
    terms: Sequence[RewardTerm],
    context: RewardContext,
    info: ModelInfo,
    sample: Callable[[int], Tensor],
) -> Scales:
    """The scales that a mix of ``terms`` needs, for the pictures of a model.

    Parameters
    ----------
    terms, context
        As for :class:`~engine.images.rewards.mix.RewardMix`.
    info
        The model; the embedded one needs no sampling.
    sample
        Makes so many usual pictures of it, ``(n, 3, H, W)`` in [0, 1]. Called at most once; what it
        made is kept in the user's cache folder.
    """
    if info.name == BUILTIN:
        known, pictures = builtin_scales(), builtin_pictures
    else:
        pictures = cache(lambda: _own_pictures(info, sample))
        known = _own_scales(info, context, pictures)
    absent = [term for term in terms if known.find(term) is None]
    return known.with_scales(measure(absent, context, pictures())) if absent else known


@cache
def builtin_pictures() -> Tensor:
    """The 64 samples of the embedded generator on its model card, ``(64, 3, 128, 128)``."""
    with Image.open(BUILTIN_FOLDER / "samples64.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    size = pixels.shape[1] // _SHEET_COLUMNS
    rows = pixels.reshape(-1, size, _SHEET_COLUMNS, size, 3).swapaxes(1, 2)
    return _as_pictures(rows.reshape(-1, size, size, 3))


def _as_pictures(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float().div(255)


def _cache_file(info: ModelInfo, ending: str) -> Path:
    folder = platformdirs.user_cache_path("triptych", appauthor=False) / "reward-scales"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{info.sha256[:32]}{ending}"


def _own_pictures(info: ModelInfo, sample: Callable[[int], Tensor]) -> Tensor:
    file = _cache_file(info, ".npz")
    with contextlib.suppress(OSError, ValueError, KeyError), np.load(file, allow_pickle=False) as kept:
        return _as_pictures(kept["pixels"])
    pictures = sample(SAMPLES).detach().float().clamp(0, 1).cpu()
    pixels = pictures.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    partial = file.with_name(f".{file.name}")
    np.savez_compressed(partial, pixels=pixels)
    partial.replace(file)
    return _as_pictures(pixels)


def _own_scales(info: ModelInfo, context: RewardContext, pictures: Callable[[], Tensor]) -> Scales:
    file = _cache_file(info, ".json")
    terms = list(tabled_terms())
    with contextlib.suppress(EngineError):  # absent or damaged: measured again
        kept = read_scales(file)
        if all(kept.find(term) is not None for term in terms):
            return kept
    scales = Scales(measure(terms, context, pictures()), f"{SAMPLES} pictures of {info.title}")
    _write(scales, file)
    return scales


def _write(scales: Scales, file: Path) -> None:
    partial = file.with_name(f".{file.name}")
    partial.write_text(json.dumps(scales.to_json(), indent=1) + "\n", encoding="utf-8")
    partial.replace(file)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m engine.images.rewards.measuring``."""
    parser = argparse.ArgumentParser(prog="engine.images.rewards.measuring", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the pictogram files")
    parser.add_argument("--out", type=Path, default=FOLDER / "scales.json", help="the table to write")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    data = load_pictograms(options.data)
    rows = data.rows(held_out=True, toned=False)
    pictures = torch.cat([_as_pictures(data.images[rows]), builtin_pictures()])
    table = measure(list(tabled_terms()), RewardContext(), pictures)
    words = f"{len(rows)} held-out pictograms and {SAMPLES} pictures of the embedded generator"
    _write(Scales(table, words), options.out)
    for key, scale in sorted(table.items()):
        log.info("%-32s %9.4f %9.4f %9.4f", key, scale.p5, scale.median, scale.p95)


if __name__ == "__main__":
    main()
