"""The command line: ``triptych`` opens the window, ``triptych COMMAND`` works without one.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 2 bad input,
3 failed, 130 cancelled. Commands import what they need when they run, so that ``--help`` is quick
and a window never pays for torch.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from engine import __version__
from engine.errors import EngineError, ErrorCode, bad_file, cancelled, invalid_input

if TYPE_CHECKING:
    from engine.headless import Outcome
    from engine.job import JobSpec
    from engine.model_info import ModelInfo

OK, BAD_INPUT, FAILED, CANCELLED = 0, 2, 3, 130
MAX_JOB_FILE = 16 << 20


class Parser(argparse.ArgumentParser):
    """Says mistakes the way the rest of the engine does, so that ``--json`` covers them too."""

    def error(self, message: str) -> NoReturn:
        """Raise what ``argparse`` would have printed."""
        raise invalid_input(f"{message[:1].upper()}{message[1:]}.", f"See `{self.prog} --help`.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        options = _parse(words)
        code: int = options.run(options)
        return code
    except EngineError as error:
        return _tell_error(error, as_json)
    except BrokenPipeError:  # `triptych list jobs | head -1`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return _tell_error(cancelled(), as_json)
    except Exception as error:
        mistake = EngineError(
            ErrorCode.INTERNAL,
            f"Triptych made a mistake ({type(error).__name__}: {error}). Finished results are kept.",
            "Please report it with what follows.",
            traceback.format_exc(),
        )
        return _tell_error(mistake, as_json)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = Parser(prog="triptych", description=__doc__.split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"Triptych {__version__}")
    parser.add_argument(
        "--project", type=Path, metavar="DIR", help="open the window on this project's folder"
    )
    parser.set_defaults(run=_window)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    chosen = next((word for word in words if word in COMMANDS), None)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help, allow_abbrev=False)
        sub.set_defaults(run=command.run)
        if name == chosen:  # only then: flags are made from models that take time to import
            command.configure(sub)
    return parser.parse_args(words)


# --- what is written ------------------------------------------------------------------------------


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _write_json(value: dict[str, Any]) -> None:
    _write(json.dumps(value, indent=2))


def _exit_code(error: EngineError) -> int:
    if error.code is ErrorCode.CANCELLED:
        return CANCELLED
    user_can_correct = (ErrorCode.INVALID_INPUT, ErrorCode.BAD_FILE, ErrorCode.MISSING_WEIGHTS)
    return BAD_INPUT if error.code in user_can_correct else FAILED


def _tell_error(error: EngineError, as_json: bool, **more: Any) -> int:
    if as_json:
        _write_json({"error": error.to_json(), **more})
    else:
        _tell(f"triptych: {error.message}")
        if error.hint:
            _tell(f"  {error.hint}")
        if error.detail and error.code is ErrorCode.INTERNAL:
            _tell(error.detail)
    return _exit_code(error)


# --- window, doctor -------------------------------------------------------------------------------


def _window(options: argparse.Namespace) -> int:
    from engine import child
    from engine.doctor import window_obstacle

    obstacle = window_obstacle()
    if obstacle:
        _tell(f"triptych: {obstacle} The window was not opened.")
        _tell("  `triptych doctor` says what to do; `triptych --help` lists what works without.")
        return FAILED
    arguments = [] if options.project is None else ["--project", str(options.project)]
    # Not in this process: it may have loaded torch, and the window starts faster without.
    os.execve(sys.executable, child.command("desktop", *arguments), child.environment())


def _configure_doctor(parser: argparse.ArgumentParser) -> None:
    _add_json(parser)
    parser.add_argument("--quick", action="store_true", help="load no torch, verify no weights")
    parser.add_argument("--quiet", action="store_true", help="say only what is not in order")


def _doctor(options: argparse.Namespace) -> int:
    from engine.doctor import diagnose, report

    checks = []
    marks = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}
    for check in diagnose(quick=options.quick):
        checks.append(check)
        if not (options.json or (options.quiet and check.state == "ok")):
            _write(f"{marks[check.state]}  {check.name}: {check.text}")
            if check.hint:
                _write(f"         {check.hint}")
    result = report(checks)
    if options.json:
        _write_json(result)
    return OK if result["ok"] else FAILED


# --- running jobs ---------------------------------------------------------------------------------


class StopOnInterrupt:
    """Within it, the first Ctrl-C (or SIGTERM) asks to stop; the second ends the process at once.

    Ending at once is safe: results are whole files from the moment they exist.
    """

    def __init__(self) -> None:
        self._asked = False
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether the user wants to stop."""
        return self._asked

    def __enter__(self) -> StopOnInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(CANCELLED)
        self._asked = True


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write one JSON object")


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="folder for the results (here)"
    )
    _add_json(parser)


def _configure_generate(parser: argparse.ArgumentParser) -> None:
    from engine.command_flags import add_generate_flags

    add_generate_flags(parser)
    _add_running(parser)


def _generate(options: argparse.Namespace) -> int:
    from engine.command_flags import generate_spec

    return _run_spec(generate_spec(options), options)


def _configure_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", type=Path, help="a job as JSON, or a picture made by Triptych")
    _add_running(parser)


def _run(options: argparse.Namespace) -> int:
    return _run_spec(read_job(options.job), options)


def read_job(path: Path) -> JobSpec:
    """The job in a JSON file, in a manifest, or inside a PNG that Triptych made.

    Raises
    ------
    EngineError
        ``bad_file`` when there is none, or one of a newer version.
    """
    from engine.job import JobSpec

    if path.suffix.lower() == ".png":
        from engine.images.metadata import read_manifest

        return JobSpec.from_json(read_manifest(path)["spec"])
    try:
        if path.stat().st_size > MAX_JOB_FILE:
            raise bad_file(f"{path} is too large to be a job; it was not read.")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise bad_file(f"{path} cannot be read: {error.strerror}.", "Check the name.") from error
    except ValueError as error:
        raise bad_file(
            f"{path} is not a Triptych job: {error}.", "A job is a JSON object; see the README."
        ) from error
    if isinstance(data, dict) and isinstance(data.get("spec"), dict):
        data = data["spec"]
    if not isinstance(data, dict):
        raise bad_file(f"{path} is not a Triptych job: a JSON object is expected.")
    return JobSpec.from_json(data)


def _run_spec(spec: JobSpec, options: argparse.Namespace) -> int:
    from engine.headless import run_to_folder
    from engine.progress import ProgressLine

    with StopOnInterrupt() as stop, ProgressLine(sys.stderr) as progress:
        outcome = run_to_folder(spec, options.out, progress.show, stop)
    return _tell_outcome(outcome, options.json, {"seed": spec.seed})


def _tell_outcome(outcome: Outcome, as_json: bool, details: dict[str, Any]) -> int:
    """Say how a run ended, and return the exit code."""
    files = [str(path) for path in outcome.files]
    if as_json and outcome.error is None:
        known = {"files": files, "seconds": None, "model_evaluations": None, "device": None}
        more = {"weights_sha256": None, "warnings": outcome.warnings}
        _write_json({**known, **more, **details, **outcome.metrics})
        return OK
    if not as_json:
        for path in files:
            _write(path)
        for note in (*outcome.warnings, *outcome.metrics.get("notes", ())):
            _tell(f"note: {note}")
    if outcome.error is not None:
        return _tell_error(outcome.error, as_json, files=files, warnings=outcome.warnings)
    return OK


# --- the example ----------------------------------------------------------------------------------


def _configure_example(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", type=Path, metavar="DIR", help="folder of the example project")
    parser.add_argument("--open", action="store_true", help="open the window on it afterwards")
    _add_json(parser)


def _example(options: argparse.Namespace) -> int:
    from engine.doctor import RESOURCES, projects_folder, window_obstacle
    from engine.headless import run_in_project
    from engine.progress import ProgressLine
    from engine.project import Project, ResultFilter

    folder = options.project or projects_folder() / "Example"
    with Project.open_or_create(folder) as project:
        done = project.results(ResultFilter(include_removed=True), 100, 0)
        files = [project.store.path(result.artifact) for result in done]
        if not files:
            jobs = sorted((RESOURCES / "samples").glob("*.json"))
            with StopOnInterrupt() as stop, ProgressLine(sys.stderr) as progress:
                specs = [read_job(path) for path in jobs]
                outcome = run_in_project(project, specs, progress.show, stop)
            if outcome.error is not None:
                return _tell_outcome(outcome, options.json, {})
            files = outcome.files
    obstacle = window_obstacle()
    if options.open and obstacle is None:
        return _window(argparse.Namespace(project=folder))
    if options.json:
        _write_json({"project": str(folder), "files": [str(path) for path in files]})
        return OK
    if options.open:
        _tell(f"{obstacle} The example was run without a window.")
    _tell(f"The example project is in {folder}. Its results:")
    for path in files:
        _write(str(path))
    return OK


# --- models, lists --------------------------------------------------------------------------------


def _configure_models(parser: argparse.ArgumentParser) -> None:
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
        _add_json(action)


def _models(options: argparse.Namespace) -> int:
    actions = {"add": _models_add, "verify": _models_verify, "remove": _models_remove}
    return actions.get(options.action, _models_list)(options)


def _models_list(options: argparse.Namespace) -> int:
    from engine.weights import list_broken, list_models

    models, broken = list_models(), list_broken()
    if options.json:
        unusable = [{"name": name, "error": error.to_json()} for name, error in broken]
        _write_json({"models": [item.to_json() for item in models], "broken": unusable})
        return OK
    for item in models:
        _write(_describe_model(item))
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
        _write_json({"models": [added.to_json()]})
        return OK
    _write(_describe_model(added))
    _tell("Added and verified.")
    if added.vae:
        _tell(f"Its latents are decoded by the VAE {added.vae}.")
    return OK


def _models_verify(options: argparse.Namespace) -> int:
    from engine.weights import list_models, verify_model

    names = [options.name] if options.name else [item.name for item in list_models()]
    checked = [verify_model(name) for name in names]
    if options.json:
        _write_json({"models": [item.to_json() for item in checked]})
        return OK
    for item in checked:
        _write(_describe_model(item))
    _tell("All as they should be.")
    return OK


def _models_remove(options: argparse.Namespace) -> int:
    from engine.weights import remove_model

    remove_model(options.name)
    if options.json:
        _write_json({"removed": options.name})
    else:
        _tell(f"Removed {options.name}.")
    return OK


def _describe_model(item: ModelInfo) -> str:
    size = f"{item.size / (1 << 20):.1f} MiB"
    needs = f"needs the extra {', '.join(item.needs)}" if item.needs else ""
    title = item.title if item.title != item.name else ""
    parts = (item.name, title, item.architecture, size, item.licence, needs, f"sha256 {item.sha256}")
    return "  ".join(filter(None, parts))


def _configure_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("samplers", "jobs", "models"))
    _add_json(parser)


def _list(options: argparse.Namespace) -> int:
    if options.what == "models":
        return _models_list(options)
    if options.what == "samplers":
        from engine.command_flags import SAMPLERS

        titles = {name: (model.__doc__ or name) for name, model in SAMPLERS}
    else:
        from engine.registry import JOBS
        from engine.runner import load_job_modules

        load_job_modules()
        titles = {name: kind.title for name, kind in JOBS}
    if options.json:
        _write_json({options.what: [{"name": n, "title": t} for n, t in titles.items()]})
        return OK
    for name, title in titles.items():
        _write(f"{name}  {title}")
    return OK


@dataclass(frozen=True)
class Command:
    """A word after ``triptych``."""

    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "generate": Command("generate pictures from a prompt", _configure_generate, _generate),
    "run": Command("run a job file, or make a picture again", _configure_run, _run),
    "example": Command("make the example project", _configure_example, _example),
    "models": Command("list, add, verify and remove models", _configure_models, _models),
    "list": Command("list samplers, kinds of jobs, or models", _configure_list, _list),
    "doctor": Command("check whether Triptych can run here", _configure_doctor, _doctor),
}

if __name__ == "__main__":
    sys.exit(main())
