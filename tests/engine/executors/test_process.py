"""What only the child process must show: it dies, hangs and talks nonsense, and nobody notices."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine.artifacts import ArtifactStore
from engine.child import command, environment
from engine.errors import ErrorCode
from engine.executors.process import ProcessExecutor
from engine.job import (
    Cancelled,
    EngineDied,
    EngineReady,
    Failed,
    Finished,
    JobSpec,
    Logged,
    Output,
    Preview,
    is_terminal,
)
from engine.pipe import read_frame, write_frame
from tests.engine.executors.watching import PLUGIN, Watcher, job

MakeProcess = Callable[..., ProcessExecutor]


@pytest.fixture
def process(make: MakeProcess) -> ProcessExecutor:
    return make("process")


@pytest.fixture
def watcher(process: ProcessExecutor) -> Watcher:
    return Watcher(process)


def is_ready(event: object) -> bool:
    return isinstance(event, EngineReady)


def test_a_killed_child_costs_one_job(watcher: Watcher, process: ProcessExecutor) -> None:
    victim = process.submit(job("wait"))
    following = process.submit(job("work"))
    watcher.runs(victim)
    first_pid = process.pid
    assert first_pid
    os.kill(first_pid, signal.SIGKILL)
    failed = watcher.ends(victim)
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.ENGINE_DIED
    assert "SIGKILL" in failed.error.message
    assert isinstance(watcher.ends(following), Finished)
    assert process.pid not in (None, first_pid)
    assert watcher.of("", EngineDied) == [EngineDied("it was ended by SIGKILL")]
    kinds = [type(e) for e in watcher.events if isinstance(e, EngineReady | EngineDied)]
    assert kinds == [EngineReady, EngineDied, EngineReady]


def test_a_crash_keeps_results_and_last_words(watcher: Watcher, store: ArtifactStore) -> None:
    job_id = watcher.executor.submit(job("crash"))
    failed = watcher.ends(job_id)
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.ENGINE_DIED
    assert "SIGABRT" in failed.error.message
    assert "about to crash" in failed.error.detail
    assert "job_kinds.py" in failed.error.detail  # the stack that faulthandler wrote
    assert Logged(job_id, "INFO", "about to crash") in watcher.of(job_id, Logged)
    (output,) = watcher.of(job_id, Output)
    assert store.read(output.artifact) == b"before"


def test_an_idle_child_that_dies_is_replaced(watcher: Watcher, process: ProcessExecutor) -> None:
    process.start()
    watcher.until(is_ready)
    first_pid = process.pid
    assert first_pid
    watcher.events.clear()
    os.kill(first_pid, signal.SIGTERM)
    watcher.until(is_ready)
    assert watcher.of("", EngineDied) == [EngineDied("it was ended by SIGTERM")]
    assert isinstance(watcher.ends(process.submit(job("work"))), Finished)


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="waits for a death without reaping")
def test_a_job_is_not_given_to_a_child_that_has_just_died(
    watcher: Watcher, process: ProcessExecutor
) -> None:
    process.start()
    for _ in range(5):
        watcher.until(is_ready)
        watcher.events.clear()
        pid = process.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # it was reaped already
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert isinstance(watcher.ends(process.submit(job("work"))), Finished)


def test_a_child_that_ignores_a_cancel_is_killed(make: MakeProcess) -> None:
    watcher = Watcher(make("process", kill_after=0.3))
    deaf = watcher.executor.submit(job("ignore"))
    following = watcher.executor.submit(job("work"))
    watcher.runs(deaf)
    asked = time.monotonic()
    watcher.executor.cancel(deaf)
    assert watcher.ends(deaf) == Cancelled(deaf)
    assert 0.3 <= time.monotonic() - asked < 10
    assert isinstance(watcher.ends(following), Finished)
    (died,) = watcher.of("", EngineDied)
    assert "did not answer a cancel" in died.reason


def test_a_stopped_child_is_killed_too(make: MakeProcess) -> None:
    executor = make("process", kill_after=0.3)
    watcher = Watcher(executor)
    job_id = executor.submit(job("wait"))
    watcher.runs(job_id)
    os.kill(executor.pid, signal.SIGSTOP)
    executor.cancel(job_id)
    assert watcher.ends(job_id) == Cancelled(job_id)


def test_an_answered_cancel_kills_nobody(make: MakeProcess) -> None:
    executor = make("process", kill_after=0.3)
    watcher = Watcher(executor)
    for _ in range(2):
        job_id = executor.submit(job("wait"))
        watcher.runs(job_id)
        pid = executor.pid
        executor.cancel(job_id)
        watcher.ends(job_id)
    watcher.events += executor.events(0.6)  # longer than the time to answer
    assert executor.pid == pid
    assert not watcher.of("", EngineDied)


def test_cancel_while_the_child_still_loads(make: MakeProcess) -> None:
    executor = make("process")
    watcher = Watcher(executor)
    job_id = executor.submit(job("work"))
    executor.cancel(job_id)
    assert executor.events(0) == [Cancelled(job_id)]
    assert isinstance(watcher.ends(executor.submit(job("work"))), Finished)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("no frame at all, but a long text that stays around", 600),
        ("\xff" * 12, 600),
        ("\x02\0\0\0\0\0\0\0\0\0\0\0{}", 600),
        ('\x25\0\0\0\0\0\0\0\0\0\0\0{"header":{"event":"x"},"sizes":[],"":1}', 600),
        ("\x40\0\0\0\0\0\0\0\0\0\0\0half a frame", 0),
    ],
    ids=["text", "huge", "json", "event", "truncated"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the job finds the pipe in /proc")
def test_garbage_on_the_pipe_ends_the_child_only(watcher: Watcher, text: str, seconds: float) -> None:
    job_id = watcher.executor.submit(job("garbage", text=text, seconds=seconds))
    failed = watcher.ends(job_id)
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.ENGINE_DIED
    (died,) = watcher.of("", EngineDied)
    assert "unreadable message" in died.reason
    assert isinstance(watcher.ends(watcher.executor.submit(job("work"))), Finished)


def test_prints_become_log_lines_of_the_job(watcher: Watcher) -> None:
    job_id = watcher.executor.submit(job("print", text="stray text"))
    finished = watcher.ends(job_id)
    assert isinstance(finished, Finished)
    assert finished.metrics["read"] == ""  # commands are not to be had on standard input
    watcher.until(lambda event: isinstance(event, Logged) and event.text == "from C")
    texts = {event.text for event in watcher.events if isinstance(event, Logged)}
    assert {"stray text", "raw bytes \ufffd\0 to descriptor 1", "from C"} <= texts


def test_the_child_ends_when_its_input_ends(store: ArtifactStore) -> None:
    with start_worker(store.root) as child:
        send_job(child, "wait")
        assert child.stdin
        child.stdin.close()
        assert child.wait(60) == 0


def test_a_child_that_is_busy_ends_all_the_same(store: ArtifactStore) -> None:
    with start_worker(store.root) as child:
        send_job(child, "ignore")
        assert child.stdin
        child.stdin.close()
        assert child.wait(60) == 1


def test_the_child_ends_on_garbage(store: ArtifactStore) -> None:
    with start_worker(store.root) as child:
        assert child.stdin
        child.stdin.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        child.stdin.flush()
        assert child.wait(60) == 1


def test_the_child_ends_when_its_parent_is_killed(store: ArtifactStore) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(store.root)],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    with parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
        child.wait(60)


PARENT = """
import sys
from pathlib import Path
from engine.executors.process import ProcessExecutor
from engine.job import Progress
from tests.engine.executors.watching import PLUGIN, Watcher, job
executor = ProcessExecutor(Path(sys.argv[1]), plugins=[PLUGIN], warm=False)
Watcher(executor).runs(executor.submit(job("wait")))
print(executor.pid, flush=True)
executor.events(600)
executor.events(600)
"""


def test_close_does_not_wait_for_a_deaf_child(make: MakeProcess) -> None:
    executor = make("process")
    watcher = Watcher(executor)
    job_id = executor.submit(job("ignore"))
    watcher.runs(job_id)
    child = psutil.Process(executor.pid)
    started = time.monotonic()
    executor.close()
    assert time.monotonic() - started < 10
    assert not child.is_running()
    assert executor.pid is None
    assert watcher.ends(job_id) == Cancelled(job_id)
    assert not watcher.of("", EngineDied)


def test_an_engine_that_cannot_start_fails_its_jobs(
    make: MakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.executors.process.command", lambda *_: [sys.executable, "-c", "1/0"])
    executor = make("process")
    watcher = Watcher(executor)
    ids = [executor.submit(job("work")) for _ in range(2)]
    for job_id in ids:
        failed = watcher.ends(job_id)
        assert isinstance(failed, Failed)
        assert failed.error.code is ErrorCode.ENGINE_DIED
        assert "does not start" in failed.error.message
        assert "ZeroDivisionError" in failed.error.detail
    assert len(watcher.of("", EngineDied)) == 3
    monkeypatch.undo()
    assert isinstance(watcher.ends(executor.submit(job("work"))), Finished)


def test_an_engine_program_that_is_missing_is_an_error(
    make: MakeProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("engine.executors.process.command", lambda *_: [str(tmp_path / "gone")])
    with pytest.raises(Exception, match="cannot be started") as caught:
        make("process").submit(job("work"))
    assert caught.value.code is ErrorCode.ENGINE_DIED  # type: ignore[attr-defined]


def test_a_plugin_can_be_named_by_the_environment(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_PLUGINS", f" {PLUGIN}, there.is.no.such.module")
    executor = ProcessExecutor(store.root, warm=False)
    try:
        watcher = Watcher(executor)
        assert isinstance(watcher.ends(executor.submit(job("work"))), Finished)
        errors = [e for e in watcher.events if isinstance(e, Logged) and e.level == "ERROR"]
        assert "there.is.no.such.module cannot be loaded" in errors[0].text
    finally:
        executor.close()


def test_a_warm_child_tells_about_itself(store: ArtifactStore) -> None:
    executor = ProcessExecutor(store.root, plugins=[PLUGIN])
    try:
        watcher = Watcher(executor)
        executor.start()
        executor.start()
        ready = watcher.until(is_ready)
        assert isinstance(ready, EngineReady)
        assert ready.info["pid"] == executor.pid
        assert ready.info["torch"]
        assert ready.info["device_name"]
        assert ready.info["memory_bytes"] > 0
        assert ready.info["seconds"] > 0
        job_id = executor.submit(JobSpec("test.work", {"count": 1}))
        assert isinstance(watcher.ends(job_id), Finished)
        assert watcher.of(job_id, Preview)
    finally:
        executor.close()


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_random_kills(watcher: Watcher, store: ArtifactStore, kills: int) -> None:
    """Whenever the child dies: one terminal event a job, and every announced result is there."""
    chance = random.Random(20_011)
    executor = watcher.executor
    assert isinstance(executor, ProcessExecutor)
    died = 0
    while died < kills:
        job_id = executor.submit(job("work", count=400, seconds=0.001))
        watcher.until(lambda event, wanted=job_id: event.job == wanted)
        time.sleep(chance.uniform(0, 0.15))
        pid = executor.pid
        if pid:
            os.kill(pid, signal.SIGKILL)
        terminal = watcher.ends(job_id)
        if isinstance(terminal, Failed):
            assert terminal.error.code is ErrorCode.ENGINE_DIED
            died += 1
        outputs = watcher.of(job_id, Output)
        assert len({output.name for output in outputs}) == len(outputs)
        assert all(store.verify(output.artifact) for output in outputs)
        watcher.events.clear()
    last = executor.submit(job("work"))
    assert isinstance(watcher.ends(last), Finished)
    watcher.events += executor.events(0)
    assert sum(map(is_terminal, watcher.events)) == 1  # nothing late of the killed ones


class start_worker:  # noqa: N801 (reads like a function where it is used)
    """The child's program, started by hand; killed at the end."""

    def __init__(self, root: Path) -> None:
        arguments = ("--store", str(root), "--plugin", PLUGIN, "--cold")
        self._process = subprocess.Popen(
            command("engine.executors.worker", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream and not stream.closed:
                stream.close()


def send_job(child: subprocess.Popen[bytes], kind: str) -> None:
    """Run a job in a worker started by hand, and wait for its first progress."""
    assert child.stdin
    assert child.stdout
    spec = job(kind).to_json()
    write_frame(child.stdin, {"command": "run", "run": 1, "job": "one", "spec": spec})
    child.stdin.flush()
    while (frame := read_frame(child.stdout)) is not None:
        if frame[0]["event"] == "progress":
            return
    pytest.fail("the job did not start")
