"""A slow consumer gets what matters, and the queue stays short."""

from __future__ import annotations

import threading
import time

import numpy as np

from engine.executors.event_queue import MAX_LOG_LINES, EventQueue
from engine.job import ArtifactRef, Finished, Logged, Output, Preview, Progress, Started

ARTIFACT = ArtifactRef("00", "text/plain", 1)


def test_only_the_newest_progress_and_preview_of_a_job_are_kept() -> None:
    events = EventQueue()
    pictures = [np.full((1, 1, 3), value, np.uint8) for value in range(5)]
    events.put(Started("a"))
    for index, picture in enumerate(pictures):
        for job in "ab":
            events.put(Progress(job, index, 5))
            events.put(Preview(job, picture))
    events.put(Finished("a", {}))
    started, *latest, finished = events.get(0)
    assert started == Started("a")
    assert finished == Finished("a", {})
    assert latest[0] == Progress("a", 4, 5)
    assert latest[2] == Progress("b", 4, 5)
    assert [event.job for event in latest if isinstance(event, Preview)] == ["a", "b"]
    assert all(event.image is pictures[4] for event in latest if isinstance(event, Preview))
    assert events.get(0) == []


def test_order_is_kept_around_outputs() -> None:
    events = EventQueue()
    output = Output("a", "one", ARTIFACT, {})
    for event in (Progress("a", 1, 2), output, Progress("a", 2, 2)):
        events.put(event)
    assert events.get(0) == [output, Progress("a", 2, 2)]


def test_outputs_are_never_dropped() -> None:
    events = EventQueue()
    for index in range(10_000):
        events.put(Progress("a", index, 10_000))
        events.put(Output("a", str(index), ARTIFACT, {}))
    outputs = [event.name for event in events.get(0) if isinstance(event, Output)]
    assert outputs == [str(index) for index in range(10_000)]


def test_a_storm_of_log_lines_is_cut_short_and_said() -> None:
    events = EventQueue()
    for index in range(MAX_LOG_LINES + 7):
        events.put(Logged("a", "INFO", str(index)))
    events.put(Finished("a", {}))
    got = events.get(0)
    assert len(got) == MAX_LOG_LINES + 2
    assert Finished("a", {}) in got
    assert got[-1] == Logged("", "WARNING", "7 further log lines came too fast and were left out.")
    events.put(Logged("a", "INFO", "again"))
    assert events.get(0) == [Logged("a", "INFO", "again")]


def test_a_waiting_consumer_wakes() -> None:
    events = EventQueue()
    got: list[list] = []
    consumer = threading.Thread(target=lambda: got.append(events.get(60)))
    consumer.start()
    events.put(Started("a"))
    consumer.join(60)
    assert got == [[Started("a")]]


def test_close_wakes_the_consumer_for_good() -> None:
    events = EventQueue()
    consumer = threading.Thread(target=events.get, args=(60,))
    consumer.start()
    events.close()
    consumer.join(60)
    assert not consumer.is_alive()
    started = time.monotonic()
    assert events.get(60) == []
    assert time.monotonic() - started < 30


def test_length() -> None:
    events = EventQueue()
    for index in range(1000):
        events.put(Progress("a", index, 1000))
    assert len(events) == 1
