"""Rewards in the user's Python: off by default, apart, limited in time, started again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from engine import child
from engine.errors import EngineError
from engine.images.rewards import RewardTerm
from engine.images.rewards.protocol import USER_CODE_VARIABLE, RewardContext, eight_bit
from engine.images.rewards.user_python import UserPython
from tests.engine.images.rewards.helpers import pictures, raw_mix, reward

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the user's file."""

    def to_file(code: str) -> Path:
        file = tmp_path / "mine.py"
        file.write_text(code)
        return file

    return to_file


@pytest.fixture
def start() -> Iterator[Callable[..., UserPython]]:
    """Starts a reward that is ended after the test."""
    started: list[UserPython] = []

    def build(path: Path, seconds: float = 20.0) -> UserPython:
        built = reward("python", RewardContext(allow_user_code=True), file=str(path), seconds=seconds)
        assert isinstance(built, UserPython)
        started.append(built)
        return built

    yield build
    for item in started:
        item.close()


GOOD = """
import numpy as np
print("a word on standard output does no harm")
def reward(images):
    assert all(i.dtype == np.uint8 and i.shape[2] == 3 and i.flags.writeable for i in images)
    return [image.mean() for image in images]
"""


def test_values_are_those_of_the_function(write: Write) -> None:
    context = RewardContext(allow_user_code=True)
    term = RewardTerm(name="python", options={"file": str(write(GOOD))})
    with raw_mix(term, context=context) as mix:
        x = pictures(size=10)
        for _ in range(2):
            _, raw = mix.total(x)
            assert raw["python"].tolist() == pytest.approx(
                eight_bit(x).mul(255).mean(dim=(1, 2, 3)).tolist()
            )
        assert mix.kind == "value"
        child = mix.members[0].reward._process  # type: ignore[attr-defined]
        assert psutil.pid_exists(child.pid)
    assert not psutil.pid_exists(child.pid), "closing a mix ends its processes"


def test_it_is_off_unless_it_was_allowed(write: Write, tmp_path: Path) -> None:
    file = write(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(EngineError, match="switched off"):
        reward("python", file=str(file))
    assert not (tmp_path / "ran").exists()


def test_it_is_allowed_by_the_computer_not_by_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(USER_CODE_VARIABLE, raising=False)
    assert not RewardContext().allow_user_code
    monkeypatch.setenv(USER_CODE_VARIABLE, "1")
    assert RewardContext().allow_user_code
    with pytest.raises(ValidationError):
        RewardTerm(name="python", options={"allow_user_code": True})


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def reward(images) return 1", r"mine.py failed: SyntaxError: .*\(line 1\)"),
        ("import no_such_module", r"ModuleNotFoundError.*no_such_module.*\(line 1\)"),
        ("x = 1", r"no function reward\(images\)"),
        ("raise SystemExit(3)", r"SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_said_at_once(
    write: Write, start: Callable[..., UserPython], code: str, told: str
) -> None:
    with pytest.raises(EngineError, match=told) as caught:
        start(write(code))
    assert caught.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return 1.0", "returned float, not a list"),
        ("return [1.0]", r"returned 1 number\(s\) for 3 picture\(s\)"),
        ("return [[1], [2], [3]]", "returned list, not a list of numbers"),
        ("return ['a', 'b', 'c']", "could not convert"),
        ("return [1 / 0 for _ in images]", r"ZeroDivisionError: division by zero \(line 2\)"),
    ],
)
def test_a_function_that_fails_is_named_and_may_be_called_again(
    write: Write, start: Callable[..., UserPython], body: str, told: str
) -> None:
    mine = start(write(f"def reward(images):\n    {body}\n"))
    for _ in range(2):
        with pytest.raises(EngineError, match=told):
            mine.batch(pictures(), RewardContext())
    assert mine.starts == 1


def test_what_is_not_finite_is_told_by_the_mix(write: Write) -> None:
    file = write("def reward(images):\n    return [float('inf') for _ in images]\n")
    term = RewardTerm(name="python", options={"file": str(file)})
    with (
        raw_mix(term, context=RewardContext(allow_user_code=True)) as mix,
        pytest.raises(EngineError, match=r"'My program mine.py' \(python\) returned nan"),
    ):
        mix.total(pictures())


HANGS_ONCE = """
import pathlib, time
flag = pathlib.Path(__file__).with_suffix(".flag")
def reward(images):
    if not flag.exists():
        flag.touch()
        time.sleep(600)
    return [1.0 for _ in images]
"""


def test_a_call_that_hangs_is_ended_and_tried_once_more(
    write: Write, start: Callable[..., UserPython]
) -> None:
    mine = start(write(HANGS_ONCE), seconds=2)
    assert mine.batch(pictures(), RewardContext()).tolist() == [1, 1, 1]
    assert mine.starts == 2


def test_a_call_that_always_hangs_is_said_and_leaves_no_process(
    write: Write, start: Callable[..., UserPython]
) -> None:
    code = (
        "import subprocess, sys, time\ndef reward(images):\n"
        "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    time.sleep(600)\n"
    )
    mine = start(write(code), seconds=0.5)
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"did not answer within 0.5 seconds, and again"):
        mine.batch(pictures(), RewardContext())
    assert time.monotonic() - began < 30
    assert not [p for p in psutil.Process().children(recursive=True) if "time.sleep(600)" in _line(p)]


def test_a_call_that_hangs_ends_with_its_parent(write: Write) -> None:
    file = write("import time\ndef reward(images):\n    while True: time.sleep(0.01)\n")
    code = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from engine.images.rewards.protocol import RewardContext\n"
        "from engine.images.rewards.user_python import UserPython\n"
        f"mine = UserPython(Path({str(file)!r}), 600)\n"
        "sys.stdout.write(f'{mine._process.pid}\\n'); sys.stdout.flush()\n"
        "mine.batch(torch.zeros(1, 3, 8, 8), RewardContext())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=child.environment(), stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        hanging = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.5)
        parent.kill()
    hanging.wait(timeout=20)


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_a_process_that_dies_is_started_again_and_said(
    write: Write, start: Callable[..., UserPython]
) -> None:
    mine = start(write("import os\ndef reward(images):\n    os._exit(7)\n"))
    with pytest.raises(EngineError, match=r"ended by itself \(exit code 7\), and again"):
        mine.batch(pictures(), RewardContext())
    assert mine.starts == 2


@pytest.mark.parametrize(
    ("options", "told"), [({}, "No Python file"), ({"file": "no.py"}, "Looked for")]
)
def test_a_missing_file_is_said(options: dict[str, Any], told: str) -> None:
    with pytest.raises(EngineError, match=told):
        reward("python", RewardContext(allow_user_code=True), **options)
