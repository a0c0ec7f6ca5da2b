"""Command-line flags of ``triptych align``, made from the parameters of ``images.align``."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.command_flags import add_flag, whole_number
from engine.errors import bad_file, invalid_input
from engine.images.alignment_params import AlignParams
from engine.images.metadata import is_foreign, read_manifest
from engine.images.params import GenerateParams
from engine.images.rewards.params import parse_term
from engine.job import JobSpec
from engine.runner import invalid_params

NOISE_ENDING = "-noise.safetensors"
_NO_FLAG = ("picture", "rewards")
_MODES = ("zeroth", "hybrid1", "hybrid2")
_PICTURE_KINDS = ("images.generate", "images.align")

ReadJob = Callable[[Path], JobSpec]


@dataclass
class Source:
    """What is to be aligned.

    Attributes
    ----------
    picture
        How it is made.
    seed
        Of its noise.
    inputs
        Where to start, if not at the seed's noise.
    branch_step
        The step of that start to begin at.
    eta
        That of the alignment it comes from, where it had one of its own.
    """

    picture: GenerateParams
    seed: int = 0
    inputs: dict[str, Path] = field(default_factory=dict)
    branch_step: int | None = None
    eta: float | None = None


def add_align_flags(parser: argparse.ArgumentParser) -> None:
    """Add the picture, the rewards, and a flag for each parameter."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="IMAGE.png|SETTINGS.json",
        help="a picture made by Triptych, a job that makes one, or with --invert any picture",
    )
    parser.add_argument(
        "--reward",
        action="append",
        default=[],
        metavar="NAME[:SETTING=X,...][=WEIGHT]",
        help="what to have more of, for example brightness=1 or jpeg_size=-0.5; may be repeated",
    )
    for name, info in AlignParams.model_fields.items():
        if name not in _NO_FLAG:
            add_flag(parser, name, info)
    for mode in _MODES:
        parser.add_argument(
            f"--{mode}",
            dest="mode",
            action="store_const",
            const=mode,
            default=argparse.SUPPRESS,
            help=f"the same as --mode {mode}",
        )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help=f"stored noise (NAME{NOISE_ENDING}) to go on with, or to branch from with --branch-step",
    )
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a picture that rewards refer to; the name is 'reference' unless given",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="with --invert: a job or picture whose model, prompt and steps the picture shares",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=None,
        metavar="N",
        help="another seed than that of the picture or job",
    )
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... or mps"
    )


def align_spec(options: argparse.Namespace, read_job: ReadJob) -> JobSpec:
    """The job that the flags describe.

    Raises
    ------
    EngineError
        ``invalid_input`` for a value out of range or what does not go together; ``bad_file`` when
        the picture or the job cannot be used.
    """
    given = {name: value for name, value in vars(options).items() if name in AlignParams.model_fields}
    source = _source(options, read_job, inverts=bool(given.get("invert")))
    if options.start is not None:
        source.inputs["start"], source.branch_step = options.start, None
    if source.eta is not None:
        given.setdefault("eta", source.eta)
    if source.branch_step is not None:
        given.setdefault("branch_step", source.branch_step)
    rewards = [parse_term(text) for text in options.reward]
    if not rewards:
        raise invalid_input(
            "No reward was given, so there is nothing to align the picture with; nothing was started.",
            "Add for example --reward brightness=1; `triptych list rewards` names them.",
        )
    values: dict[str, Any] = {
        **given,
        "picture": source.picture.model_dump(mode="json"),
        "rewards": [term.model_dump(mode="json") for term in rewards],
    }
    try:
        params = AlignParams.model_validate(values)
    except ValidationError as error:
        raise invalid_params(error) from error
    return JobSpec(
        "images.align",
        params.model_dump(mode="json"),
        {**source.inputs, **_references(options.reference)},
        seed=source.seed if options.seed is None else options.seed,
        device=options.device,
    )


def _references(given: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        key, value = (name, path) if equals else ("reference", text)
        if key in found or key == "start":
            raise invalid_input(
                f"There are two pictures called {key!r}; nothing was started."
                if key in found
                else "A picture that rewards refer to cannot be called 'start'; nothing was started.",
                "Name them, for example --reference sketch=FILE.",
            )
        found[key] = Path(value)
    return found


def _source(options: argparse.Namespace, read_job: ReadJob, *, inverts: bool) -> Source:
    path: Path = options.source
    if inverts:
        like = (
            Source(GenerateParams())
            if options.settings is None
            else _made_by(options.settings, read_job)
        )
        return Source(_single(like.picture), like.seed, {"start": path})
    if options.settings is not None:
        raise invalid_input(
            "--settings is for pictures of another origin; this one brings its own. Nothing was "
            "started.",
            "Leave it out, or add --invert.",
        )
    return _made_by(path, read_job)


def _made_by(path: Path, read_job: ReadJob) -> Source:
    """The picture in a PNG of Triptych, or the pictures of a job."""
    if path.suffix.lower() != ".json":
        if is_foreign(path):
            raise invalid_input(
                f"{path.name} carries no Triptych settings, so the noise it was made from is not "
                "known; nothing was started.",
                "Add --invert to find noise that makes about the same picture; how close it comes is "
                "told.",
            )
        return _of_manifest(path, read_manifest(path))
    spec = read_job(path)
    picture = _picture_of(spec, path)
    return Source(picture, spec.seed)


def _picture_of(spec: JobSpec, path: Path) -> GenerateParams:
    if spec.kind not in _PICTURE_KINDS:
        raise bad_file(
            f"{path.name} is a job of another kind ({spec.kind}), not one that makes pictures; nothing "
            "was started."
        )
    aligned = spec.kind == "images.align"
    params: Any = spec.params.get("picture", {}) if aligned else spec.params
    if "start" in spec.inputs and not aligned:
        raise invalid_input(
            f"{path.name} was varied from another picture, so its seed alone does not make it; nothing "
            "was started.",
            "Align the picture that it was varied from.",
        )
    try:
        return GenerateParams.model_validate(dict(params))
    except ValidationError as error:
        raise invalid_params(error) from error


def _of_manifest(path: Path, manifest: Mapping[str, Any]) -> Source:
    spec = JobSpec.from_json(manifest["spec"])
    picture = _single(_picture_of(spec, path))
    seed = manifest.get("seed")
    source = Source(picture, seed if isinstance(seed, int) else spec.seed)
    if spec.kind != "images.align":
        return source
    about = manifest.get("align") or {}
    wanted = (about.get("noise") or {}).get("sha256")
    for file in sorted(path.parent.glob("*.safetensors")):
        if wanted and hashlib.sha256(file.read_bytes()).hexdigest() == wanted:
            source.inputs["start"] = file
            source.branch_step = int(about["best_step"])
            source.eta = spec.params.get("eta")
            return source
    raise invalid_input(
        f"{path.name} was aligned, and the noise stored with it (NAME{NOISE_ENDING}) is not beside it; "
        "nothing was started.",
        f"Put that file into {path.parent}, or give it with --start.",
    )


def _single(picture: GenerateParams) -> GenerateParams:
    return picture.model_copy(update={"count": 1})
