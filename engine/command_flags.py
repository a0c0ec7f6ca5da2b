"""Command-line flags made from the parameters of ``images.generate``.

The parameters' pydantic models are the only place where names, ranges, defaults and help stand.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from engine.errors import invalid_input
from engine.images.params import GenerateParams, SamplerParams
from engine.job import JobSpec
from engine.registry import Registry
from engine.runner import invalid_params

SAMPLERS: Registry[type[BaseModel]] = Registry("sampler")
"""The parameter models of the samplers; knowing them needs no torch, unlike the samplers."""

for _model in get_args(get_args(SamplerParams)[0]):
    SAMPLERS.add(_model.model_fields["name"].default, _model)

_FLAG_NAMES = {"class_name": "class"}
_SAMPLER_PREFIX = "sampler."


def whole_number(text: str) -> int:
    """Type of a flag; the name is not shown, the message is."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def number(text: str) -> float:
    """Type of a flag; see :func:`whole_number`."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def add_generate_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each parameter, and for each setting of each sampler."""
    for name, field in GenerateParams.model_fields.items():
        if name == "sampler":
            known = ", ".join(SAMPLERS.names())
            text = f"{field.description} One of {known}; default {_default(field).name}."
            parser.add_argument("--sampler", default=argparse.SUPPRESS, metavar="NAME", help=text)
        else:
            add_flag(parser, name, field)
    owners: dict[str, list[str]] = {}
    fields: dict[str, FieldInfo] = {}
    for sampler, model in SAMPLERS:
        for name, field in model.model_fields.items():
            if name != "name":
                owners.setdefault(name, []).append(sampler)
                fields.setdefault(name, field)
    for name, field in fields.items():
        add_flag(parser, name, field, sampler=f"Sampler {', '.join(owners[name])}: ")
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="Sampler parataa: a trajectory to go on with or to vary, or a picture to vary.",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=0,
        metavar="N",
        help="Seed of the first picture; default 0.",
    )
    parser.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:1, ... or mps; default auto.",
    )


def generate_spec(options: argparse.Namespace) -> JobSpec:
    """The job that the flags describe.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown sampler, a setting that the chosen sampler does not have,
        or a value out of range.
    """
    given = vars(options)
    values = {name: given[name] for name in GenerateParams.model_fields if name in given}
    name = values.pop("sampler", _default(GenerateParams.model_fields["sampler"]).name)
    model = SAMPLERS.get(name)
    settings = {
        key.removeprefix(_SAMPLER_PREFIX): value
        for key, value in given.items()
        if key.startswith(_SAMPLER_PREFIX)
    }
    for setting in settings:
        if setting not in model.model_fields:
            has = ", ".join(_flag(key) for key in model.model_fields if key != "name")
            raise invalid_input(
                f"The sampler {name} has no setting {_flag(setting)}; nothing was started.",
                f"It has: {has}." if has else "It has no settings.",
            )
    try:
        params = GenerateParams.model_validate({**values, "sampler": {"name": name, **settings}})
    except ValidationError as error:
        raise invalid_params(error) from error
    if options.start is not None and name != "parataa":
        raise invalid_input(
            f"Only the sampler parataa can start from another picture, not {name}; nothing was "
            "started.",
            "Add --sampler parataa, or leave --start out.",
        )
    return JobSpec(
        "images.generate",
        params.model_dump(mode="json"),
        {} if options.start is None else {"start": options.start},
        seed=options.seed,
        device=options.device,
    )


def _flag(name: str) -> str:
    return "--" + _FLAG_NAMES.get(name, name).replace("_", "-")


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True)


def add_flag(
    parser: argparse.ArgumentParser, name: str, field: FieldInfo, *, sampler: str = ""
) -> None:
    """Add the flag of one parameter; ``sampler`` begins its help where it is a sampler's setting."""
    text = f"{sampler}{field.description or field.title or name}"
    if not sampler and _default(field) not in (None, ""):
        text += f" Default {_default(field)}."
    words = "|".join(item for item in get_args(field.annotation) if isinstance(item, str))
    kinds = get_args(field.annotation) or (field.annotation,)
    target = (_SAMPLER_PREFIX if sampler else "") + name
    if bool in kinds:
        parser.add_argument(
            _flag(name),
            dest=target,
            action=argparse.BooleanOptionalAction,
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
        )
        return
    convert: Callable[[str], Any]
    if int in kinds:
        convert, metavar = whole_number, "N"
    elif float in kinds:
        convert, metavar = number, "X"
    else:
        convert, metavar = str, words or "TEXT"
    parser.add_argument(
        _flag(name),
        dest=target,
        type=convert,
        default=argparse.SUPPRESS,
        metavar=metavar,
        help=text.replace("%", "%%"),
    )
