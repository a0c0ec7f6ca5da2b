"""``triptych models``: list, add, verify and remove the models of this computer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError, ErrorCode
from engine.terminal import OK, StopOnInterrupt, add_json, tell, write, write_json

if TYPE_CHECKING:
    from engine.model_info import ModelInfo


def configure_models(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their flags."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|add|verify|remove")
    listing = actions.add_parser("list", help="what is installed, what it needs, and what is broken")
    adding = actions.add_parser("add", help="install a model from a file or folder")
    adding.add_argument("path", type=Path)
    adding.add_argument("--name", help="what to call it (the file's name)")
    adding.add_argument(
        "--num-heads", type=int, metavar="N", help="attention heads, where the file does not tell"
    )
    adding.add_argument(
        "--vae",
        metavar="NAME",
        help="installed VAE that decodes a latent DiT file, or 'none' (the first that fits)",
    )
    adding.add_argument("--licence", metavar="TEXT", help="its licence (what its card says)")
    adding.add_argument(
        "--in-place", action="store_true", help="copy nothing; use the files where they are"
    )
    verifying = actions.add_parser("verify", help="compare files with their checksums")
    verifying.add_argument("name", nargs="?", help="one model (all)")
    removing = actions.add_parser("remove", help="remove a model that was added")
    removing.add_argument("name")
    for action in (listing, adding, verifying, removing):
        add_json(action)


def run_models(options: argparse.Namespace) -> int:
    """Run the chosen action; the exit code."""
    actions = {"add": _models_add, "verify": _models_verify, "remove": _models_remove}
    return actions.get(options.action, list_installed)(options)


def list_installed(options: argparse.Namespace) -> int:
    """List what is installed; with ``--json`` also what is broken."""
    from engine.weights import list_broken, list_models

    models, broken = list_models(), list_broken()
    if options.json:
        unusable = [{"name": name, "error": error.to_json()} for name, error in broken]
        write_json({"models": [item.to_json() for item in models], "broken": unusable})
        return OK
    for item in models:
        write(_describe_model(item))
    return OK


def _models_add(options: argparse.Namespace) -> int:
    from engine.job import Progress
    from engine.progress import ProgressLine
    from engine.weights import add_model

    with StopOnInterrupt() as stop, ProgressLine(sys.stderr) as line:

        def show(done: float, total: float, stage: str) -> None:
            if stop():
                raise EngineError(ErrorCode.CANCELLED, "Stopped; nothing was added.")
            line.show(Progress("", done, total, stage))

        added = add_model(
            options.path,
            options.name,
            num_heads=options.num_heads,
            vae=options.vae,
            licence=options.licence,
            in_place=options.in_place,
            on_progress=show,
        )
    if options.json:
        write_json({"models": [added.to_json()]})
        return OK
    write(_describe_model(added))
    tell("Added and verified.")
    if added.vae:
        tell(f"Its latents are decoded by the VAE {added.vae}.")
    return OK


def _models_verify(options: argparse.Namespace) -> int:
    from engine.weights import list_models, verify_model

    names = [options.name] if options.name else [item.name for item in list_models()]
    checked = [verify_model(name) for name in names]
    if options.json:
        write_json({"models": [item.to_json() for item in checked]})
        return OK
    for item in checked:
        write(_describe_model(item))
    tell("All as they should be.")
    return OK


def _models_remove(options: argparse.Namespace) -> int:
    from engine.weights import remove_model

    remove_model(options.name)
    if options.json:
        write_json({"removed": options.name})
    else:
        tell(f"Removed {options.name}.")
    return OK


def _describe_model(item: ModelInfo) -> str:
    size = f"{item.size / (1 << 20):.1f} MiB"
    needs = f"needs the extra {', '.join(item.needs)}" if item.needs else ""
    title = item.title if item.title != item.name else ""
    parts = (item.name, title, item.architecture, size, item.licence, needs, f"sha256 {item.sha256}")
    return "  ".join(filter(None, parts))
