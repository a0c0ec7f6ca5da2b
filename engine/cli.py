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
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from engine import __version__
from engine.adapt_command import configure_adapt, run_adapt
from engine.associate_command import configure_associate, run_associate
from engine.bench_command import configure_bench, run_bench
from engine.convert_command import configure_convert, run_convert
from engine.detect_command import configure_detect, run_detect
from engine.errors import EngineError, ErrorCode, bad_file, cancelled, invalid_input
from engine.evaluate_command import configure_evaluate, run_evaluate
from engine.model_commands import configure_models, list_installed, run_models
from engine.recover_command import configure_recover, run_recover
from engine.scene_command import configure_scene, run_scene
from engine.taste_command import configure_taste, learn_taste
from engine.terminal import (
    BAD_INPUT,
    CANCELLED,
    FAILED,
    OK,
    StopOnInterrupt,
    add_json,
    tell,
    write,
    write_json,
)
from engine.track_command import configure_track, run_track

if TYPE_CHECKING:
    from engine.headless import Outcome
    from engine.job import JobSpec

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


# --- how commands end -----------------------------------------------------------------------------


def _exit_code(error: EngineError) -> int:
    if error.code is ErrorCode.CANCELLED:
        return CANCELLED
    user_can_correct = (ErrorCode.INVALID_INPUT, ErrorCode.BAD_FILE, ErrorCode.MISSING_WEIGHTS)
    return BAD_INPUT if error.code in user_can_correct else FAILED


def _tell_error(error: EngineError, as_json: bool, **more: Any) -> int:
    if as_json:
        write_json({"error": error.to_json(), **more})
    else:
        tell(f"triptych: {error.message}")
        if error.hint:
            tell(f"  {error.hint}")
        if error.detail and error.code is ErrorCode.INTERNAL:
            tell(error.detail)
    return _exit_code(error)


# --- window, doctor -------------------------------------------------------------------------------


def _window(options: argparse.Namespace) -> int:
    from engine import child
    from engine.doctor import window_obstacle

    obstacle = window_obstacle()
    if obstacle:
        tell(f"triptych: {obstacle} The window was not opened.")
        tell("  `triptych doctor` says what to do; `triptych --help` lists what works without.")
        return FAILED
    arguments = [] if options.project is None else ["--project", str(options.project)]
    # Not in this process: it may have loaded torch, and the window starts faster without.
    os.execve(sys.executable, child.command("desktop", *arguments), child.environment())


def _configure_doctor(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    parser.add_argument("--quick", action="store_true", help="load no torch, verify no weights")
    parser.add_argument("--quiet", action="store_true", help="say only what is not in order")


def _doctor(options: argparse.Namespace) -> int:
    from engine.doctor import diagnose, report

    checks = []
    marks = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}
    for check in diagnose(quick=options.quick):
        checks.append(check)
        if not (options.json or (options.quiet and check.state == "ok")):
            write(f"{marks[check.state]}  {check.name}: {check.text}")
            if check.hint:
                write(f"         {check.hint}")
    result = report(checks)
    if options.json:
        write_json(result)
    return OK if result["ok"] else FAILED


# --- running jobs ---------------------------------------------------------------------------------


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="folder for the results (here)"
    )
    add_json(parser)


def _configure_generate(parser: argparse.ArgumentParser) -> None:
    from engine.command_flags import add_generate_flags

    add_generate_flags(parser)
    _add_running(parser)


def _generate(options: argparse.Namespace) -> int:
    from engine.command_flags import generate_spec

    return _run_spec(generate_spec(options), options)


def _configure_align(parser: argparse.ArgumentParser) -> None:
    from engine.align_flags import add_align_flags

    add_align_flags(parser)
    _add_running(parser)


def _align(options: argparse.Namespace) -> int:
    from engine.align_flags import align_spec
    from engine.headless import run_to_folder
    from engine.job import Event, Measured
    from engine.progress import ProgressLine

    spec = align_spec(options, read_job)
    curves: list[dict[str, Any]] = []
    with StopOnInterrupt() as stop, ProgressLine(sys.stderr) as progress:

        def listen(event: Event) -> None:
            progress.show(event)
            if isinstance(event, Measured):
                curves.append(dict(event.values))

        outcome = run_to_folder(spec, options.out, listen, stop)
    return _tell_outcome(outcome, options.json, {"seed": spec.seed, "curves": curves})


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
        write_json({**known, **more, **details, **outcome.metrics})
        return OK
    if not as_json:
        for path in files:
            write(path)
        for note in (*outcome.warnings, *outcome.metrics.get("notes", ())):
            tell(f"note: {note}")
    if outcome.error is not None:
        return _tell_error(outcome.error, as_json, files=files, warnings=outcome.warnings)
    return OK


# --- the example ----------------------------------------------------------------------------------


def _configure_example(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", type=Path, metavar="DIR", help="folder of the example project")
    parser.add_argument("--open", action="store_true", help="open the window on it afterwards")
    add_json(parser)


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
        write_json({"project": str(folder), "files": [str(path) for path in files]})
        return OK
    if options.open:
        tell(f"{obstacle} The example was run without a window.")
    tell(f"The example project is in {folder}. Its results:")
    for path in files:
        write(str(path))
    return OK


# --- lists --------------------------------------------------------------------------------


def _configure_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("samplers", "jobs", "models", "rewards"))
    add_json(parser)


def _list(options: argparse.Namespace) -> int:
    if options.what == "models":
        return list_installed(options)
    if options.what == "samplers":
        from engine.command_flags import SAMPLERS

        titles = {name: (model.__doc__ or name) for name, model in SAMPLERS}
    elif options.what == "rewards":
        from engine.images.rewards import REWARDS

        titles = {name: f"{kind.title}: {kind.description}" for name, kind in REWARDS}
    else:
        from engine.registry import JOBS
        from engine.runner import load_job_modules

        load_job_modules()
        titles = {name: kind.title for name, kind in JOBS}
    if options.json:
        write_json({options.what: [{"name": n, "title": t} for n, t in titles.items()]})
        return OK
    for name, title in titles.items():
        write(f"{name}  {title}")
    return OK


@dataclass(frozen=True)
class Command:
    """A word after ``triptych``."""

    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "generate": Command("generate pictures from a prompt", _configure_generate, _generate),
    "align": Command("make a picture better by rewards", _configure_align, _align),
    "adapt": Command("teach Triptych how your things look", configure_adapt, run_adapt),
    "taste": Command("teach Triptych which pictures you like", configure_taste, learn_taste),
    "recover": Command("people in photos and videos as bodies", configure_recover, run_recover),
    "detect": Command("find and describe things in videos", configure_detect, run_detect),
    "track": Command("follow objects through the cameras of a scene", configure_track, run_track),
    "associate": Command("the same objects in several cameras", configure_associate, run_associate),
    "evaluate": Command("measure tracks against the truth", configure_evaluate, run_evaluate),
    "convert": Command("boxes and tracks from one format to another", configure_convert, run_convert),
    "scene": Command("make a synthetic camera network", configure_scene, run_scene),
    "run": Command("run a job file, or make a picture again", _configure_run, _run),
    "example": Command("make the example project", _configure_example, _example),
    "models": Command("list, add, verify and remove models", configure_models, run_models),
    "list": Command("list samplers, kinds of jobs, models, or rewards", _configure_list, _list),
    "bench": Command("measure what a method saves on this machine", configure_bench, run_bench),
    "doctor": Command("check whether Triptych can run here", _configure_doctor, _doctor),
}

if __name__ == "__main__":
    sys.exit(main())
