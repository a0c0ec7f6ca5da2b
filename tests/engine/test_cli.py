"""The command line: what it accepts, what it says, which files it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine import cli
from engine.errors import EngineError
from engine.job import JobSpec
from tests.engine.fake_folders import write_part, write_pipeline

JOB_KINDS = "tests.engine.executors.job_kinds"
PATIENCE = 110.0
"""Seconds for what takes two on an idle machine: other work may hold up processor and disk."""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def triptych(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process; gives exit code, standard output and standard error."""
    monkeypatch.setenv("TRIPTYCH_PLUGINS", JOB_KINDS)

    def run(*words: object) -> tuple[int, str, str]:
        code = cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a job file."""

    def write(kind: str, seed: int = 0, **params: Any) -> Path:
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps(JobSpec(kind, params, seed=seed).to_json()))
        return path

    return write


# --- generate -------------------------------------------------------------------------------------


def test_generate_writes_pictures_that_can_be_made_again(triptych: Run, tmp_path: Path) -> None:
    words = ("generate", "--prompt", "red heart", "--steps", 2, "--count", 2, "--seed", 41)
    code, out, _ = triptych(*words, "--out", tmp_path / "first", "--json")
    assert code == cli.OK
    result = json.loads(out)
    names = [Path(path).name for path in result["files"]]
    assert names == ["00041_red-heart.png", "00042_red-heart.png"]
    assert result["seed"] == 41
    assert result["device"]
    assert result["seconds"] > 0
    assert result["model_evaluations"] > 0
    assert len(result["weights_sha256"]) == 64
    assert isinstance(result["warnings"], list)

    code, again, _ = triptych("run", result["files"][0], "--out", tmp_path / "second", "--json")
    assert code == cli.OK
    for first, second in zip(result["files"], json.loads(again)["files"], strict=True):
        np.testing.assert_array_equal(np.array(Image.open(first)), np.array(Image.open(second)))


def test_generate_flags_reach_the_job() -> None:
    flags = "--class faces --guidance 3 --batch 2 --sampler ddim --eta 0.5 --spacing leading"
    flags += " --width 512 --height 384 --negative-prompt blurred"
    options = cli._parse(["generate", *flags.split(), "--device", "cpu", "--seed", "9"])
    from engine.command_flags import generate_spec

    spec = generate_spec(options)
    assert (spec.kind, spec.seed, spec.device) == ("images.generate", 9, "cpu")
    assert spec.params["class_name"] == "faces"
    assert spec.params["guidance"] == 3.0
    assert (spec.params["width"], spec.params["height"]) == (512, 384)
    assert spec.params["negative_prompt"] == "blurred"
    assert spec.params["sampler"] == {"name": "ddim", "eta": 0.5, "spacing": "leading"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model nonsense", "nonsense"),
        ("--sampler dim", "Did you mean: ddim"),
        ("--sampler heun --eta 1", "The sampler heun has no setting --eta"),
        ("--spacing sideways", "spacing"),
        ("--steps 0", "steps"),
        ("--steps 1000000", "steps"),
        ("--steps some", "'some' is not a whole number"),
        ("--guidance warm", "'warm' is not a number"),
        ("--count 0", "count"),
        ("--seed TEXT", "--seed: 'TEXT' is not a whole number"),
        ("--seed -1", "seed"),
        ("--seed 9223372036854775808", "seed"),
        ("--device toaster", "toaster"),
        ("--unheard-of", "--unheard-of"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_flags_are_named_and_nothing_is_made(
    triptych: Run, tmp_path: Path, words: str, said: str, as_json: bool
) -> None:
    flags = ["--json"] if as_json else []
    code, out, err = triptych("generate", *words.split(), "--out", tmp_path, *flags)
    assert code == cli.BAD_INPUT
    if as_json:
        error = json.loads(out)["error"]
        assert said in f"{error['message']} {error['hint']}"
    else:
        assert said in err
        assert "Traceback" not in err
        assert out == ""
    assert list(tmp_path.iterdir()) == []


# --- run ------------------------------------------------------------------------------------------


def test_run_writes_the_files_of_any_job(triptych: Run, job_file: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    code, out, _ = triptych("run", job_file("test.work", count=2), "--out", folder, "--json")
    result = json.loads(out)
    assert code == cli.OK
    assert [Path(path).name for path in result["files"]] == ["result-0000.bin", "result-0001.bin"]
    assert result["units"] == 2
    assert result["warnings"] == ["made for a test"]
    manifest = json.loads((folder / "result-0000.manifest.json").read_text())
    assert manifest["spec"]["kind"] == "test.work"

    code, out, _ = triptych("run", folder / "result-0001.manifest.json", "--out", tmp_path / "again")
    assert code == cli.OK
    again = (tmp_path / "again" / "result-0001.bin").read_bytes()
    assert again == (folder / "result-0001.bin").read_bytes()


def test_plain_output_is_one_file_a_line(triptych: Run, job_file: Any, tmp_path: Path) -> None:
    code, out, err = triptych("run", job_file("test.work", count=2), "--out", tmp_path / "out")
    assert code == cli.OK
    assert all(Path(line).is_file() for line in out.splitlines())
    assert len(out.splitlines()) == 2
    assert "note: made for a test" in err


def test_a_failing_job_keeps_what_it_made(triptych: Run, job_file: Any, tmp_path: Path) -> None:
    code, out, _ = triptych("run", job_file("test.raise"), "--out", tmp_path / "out", "--json")
    result = json.loads(out)
    assert code == cli.FAILED
    assert result["error"]["code"] == "internal"
    assert [Path(path).read_bytes() for path in result["files"]] == [b"before"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("", "not a Triptych job"),
        ("\ud800 not text", "not a Triptych job"),
        ("[1, 2]", "a JSON object is expected"),
        ("{}", "not a Triptych job"),
        ('{"kind": "images.generate", "params": 3}', "not a Triptych job"),
        ('{"kind": "images.generate", "schema": 99}', "newer Triptych"),
        ('{"kind": "no.such"}', "no.such"),
        ('{"kind": "images.generate", "params": {"steps": 0}}', "steps"),
        ('{"kind": "images.generate", "params": {"colour": "red"}}', "colour"),
        ('{"kind": "test.inputs", "inputs": {"a": {"path": "nowhere.txt"}}}', "nowhere.txt"),
    ],
)
def test_bad_job_files(triptych: Run, tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "job.json"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
    code, out, _ = triptych("run", path, "--out", tmp_path / "out", "--json")
    error = json.loads(out)["error"]
    assert code == cli.BAD_INPUT
    assert said in error["message"]


def test_a_picture_of_somebody_else_is_no_job(triptych: Run, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (4, 4)).save(path)
    code, _, err = triptych("run", path)
    assert code == cli.BAD_INPUT
    assert "carries no Triptych settings" in err


def test_standard_output_is_only_the_json_object(job_file: Any, tmp_path: Path) -> None:
    done = _command("run", job_file("test.work", count=3), "--out", tmp_path / "out", "--json")
    assert done.returncode == cli.OK
    assert len(json.loads(done.stdout)["files"]) == 3
    assert "100%" in done.stderr


@pytest.mark.timeout(3 * PATIENCE)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_cancels_and_keeps_finished_files(
    job_file: Any, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "out"
    job = job_file("test.work", count=100_000, seconds=0.01)
    process = _start("run", job, "--out", folder, "--json")
    try:
        _wait_for(lambda: len(list(folder.glob("*.bin"))) >= 2)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    result = json.loads(out)
    assert process.returncode == cli.CANCELLED, err
    assert result["error"]["code"] == "cancelled"
    assert sorted(map(Path, result["files"])) == sorted(folder.glob("*.bin"))
    assert not list(folder.glob("*.partial"))


@pytest.mark.timeout(3 * PATIENCE)
def test_a_second_interrupt_ends_a_deaf_job_at_once(job_file: Any, tmp_path: Path) -> None:
    process = _start("run", job_file("test.ignore"), "--out", tmp_path / "out")
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "deaf" in line
        process.send_signal(signal.SIGINT)
        # The first one is noticed but cannot be obeyed; the process is still there for the second.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == cli.CANCELLED
    finally:
        process.kill()
        process.communicate()


# --- where files go -------------------------------------------------------------------------------


def test_a_file_is_the_folder(triptych: Run, job_file: Any, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    code, _, err = triptych("run", job_file("test.work"), "--out", taken)
    assert code == cli.BAD_INPUT
    assert "Nothing was started" in err
    assert taken.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(triptych: Run, job_file: Any, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    code, _, err = triptych("run", job_file("test.work"), "--out", folder)
    assert code == cli.BAD_INPUT
    assert "cannot be written" in err


def test_a_folder_that_can_never_be_written(triptych: Run, job_file: Any) -> None:
    code, _, err = triptych("run", job_file("test.work"), "--out", "/proc/triptych")
    assert code == cli.BAD_INPUT
    assert "Nothing was started" in err


def test_a_disk_that_becomes_full_keeps_what_was_saved(
    triptych: Run, job_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fsync, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 4:  # two results, each with its manifest
            raise OSError(28, "No space left on device")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = tmp_path / "out"
    code, out, _ = triptych("run", job_file("test.work", count=5), "--out", folder, "--json")
    result = json.loads(out)
    assert code == cli.BAD_INPUT
    assert "is full" in result["error"]["message"]
    assert [Path(path).name for path in result["files"]] == ["result-0000.bin", "result-0001.bin"]
    assert not list(folder.glob(".*"))


# --- lists, models, example, window ---------------------------------------------------------------


def test_list_samplers_and_jobs(triptych: Run) -> None:
    code, out, _ = triptych("list", "samplers")
    assert code == cli.OK
    assert [line.split()[0] for line in out.splitlines()] == sorted(
        ["ddim", "ddpm", "dpmpp_2m", "euler", "heun", "parataa"]
    )
    code, out, _ = triptych("list", "jobs", "--json")
    assert "images.generate" in {item["name"] for item in json.loads(out)["jobs"]}


def test_the_listed_samplers_are_the_engines() -> None:
    from engine.command_flags import SAMPLERS as LISTED
    from engine.images.samplers import SAMPLERS
    from engine.runner import load_job_modules

    load_job_modules()
    assert LISTED.names() == SAMPLERS.names()


def test_models_list_and_verify(triptych: Run) -> None:
    code, out, _ = triptych("models", "list", "--json")
    assert code == cli.OK
    assert "builtin" in {item["name"] for item in json.loads(out)["models"]}
    assert triptych("models", "verify", "builtin")[0] == cli.OK
    assert triptych("models", "verify", "nonsense")[0] == cli.BAD_INPUT


def test_a_model_that_is_none_is_refused(triptych: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a model")
    code, _, err = triptych("models", "add", path)
    assert code == cli.BAD_INPUT
    assert "Traceback" not in err


@pytest.mark.usefixtures("untouched_user_folders")
def test_models_are_added_listed_and_removed(triptych: Run, tmp_path: Path) -> None:
    vae, sd = write_part(tmp_path / "vae"), write_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    code, out, err = triptych("models", "add", vae, "--name", "decoder", "--licence", "MIT", "--json")
    (added,) = json.loads(out)["models"]
    assert code == cli.OK
    assert "Checking" in err
    assert (added["kind"], added["licence"], added["generates"]) == ("vae", "MIT", False)
    code, out, err = triptych("models", "add", sd, "--in-place")
    assert code == cli.OK
    assert "Stable Diffusion 1.x" in out
    assert triptych("models", "add", sd, "--vae", "decoder", "--name", "other")[0] == cli.BAD_INPUT
    (sd / "unet" / "config.json").unlink()
    code, out, _ = triptych("models", "list", "--json")
    listed = json.loads(out)
    assert "decoder" in {item["name"] for item in listed["models"]}
    assert [(item["name"], item["error"]["code"]) for item in listed["broken"]] == [
        ("sd", "missing_weights")
    ]
    for name in ("decoder", "sd"):
        assert triptych("models", "remove", name)[0] == cli.OK
    code, out, _ = triptych("models", "remove", "sd", "--json")
    assert code == cli.BAD_INPUT
    assert json.loads(out)["error"]["code"] == "invalid_input"


def test_the_example_runs_once(triptych: Run, tmp_path: Path) -> None:
    folder = tmp_path / "example"
    code, out, _ = triptych("example", "--project", folder)
    assert code == cli.OK
    files = [Path(line) for line in out.splitlines()]
    assert files
    written = [path.stat().st_mtime_ns for path in files]
    code, out, _ = triptych("example", "--project", folder, "--json")
    result = json.loads(out)
    assert code == cli.OK
    assert sorted(result["files"]) == sorted(map(str, files))
    assert [path.stat().st_mtime_ns for path in files] == written


def test_without_a_display_the_window_says_so(tmp_path: Path) -> None:
    hidden = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "QT_QPA_PLATFORM": ""}
    done = _command(environment=hidden)
    assert done.returncode == cli.FAILED
    assert "was not opened" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_window_is_opened_in_a_process_of_its_own(tmp_path: Path, repository: Path) -> None:
    # A folder that has its own `desktop` and `engine` must not be taken for ours.
    for name in ("desktop", "engine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    script = "import sys; from engine.cli import main; sys.exit(main(['--project', '/proc/nowhere']))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=tmp_path,
        env=_environment({"PYTHONPATH": str(repository), "QT_QPA_PLATFORM": "no-such-platform"}),
    )
    # Reaching Qt, which knows no such platform, is all that can be seen without a window.
    assert "no-such-platform" in done.stderr
    assert "the wrong one" not in done.stderr


def test_doctor_says_what_it_found(triptych: Run) -> None:
    code, out, _ = triptych("doctor", "--json")
    report = json.loads(out)
    assert code == (cli.OK if report["ok"] else cli.FAILED)
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert {"python", "packages", "torch", "memory", "disk", "projects"} <= states.keys()
    assert states["model builtin"] == "ok"
    _, plain, _ = triptych("doctor", "--quick")
    assert "ok       python: " in plain
    _, quiet, _ = triptych("doctor", "--quick", "--quiet")
    assert "ok  " not in quiet


def test_a_mistake_of_ours_is_still_one_json_object(
    triptych: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*, quick: bool) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("engine.doctor.diagnose", broken)
    code, out, _ = triptych("doctor", "--json")
    error = json.loads(out)["error"]
    assert code == cli.FAILED
    assert error["code"] == "internal"
    assert "on purpose" in error["message"]


# --- small parts ----------------------------------------------------------------------------------


def test_job_files_may_not_be_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "MAX_JOB_FILE", 10)
    path = tmp_path / "job.json"
    path.write_text("{" + " " * 20 + "}")
    with pytest.raises(EngineError, match="too large"):
        cli.read_job(path)


def test_help_is_quick_and_light() -> None:
    code = (
        "import sys, engine.cli\n"
        "try: engine.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'PySide6', 'desktop'} & sys.modules.keys()\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    assert "generate" in done.stdout
    # 0.1 s on an idle machine; the bound leaves room for a busy one.
    assert seconds < 2


def _environment(changes: dict[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "TRIPTYCH_PLUGINS": JOB_KINDS, **(changes or {})}


def _command(
    *words: object, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=_environment(environment),
    )


def _start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
