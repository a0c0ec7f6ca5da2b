"""Progress as text."""

from __future__ import annotations

import io

from engine.job import Finished, Progress
from engine.progress import ProgressLine


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """See :meth:`io.IOBase.isatty`."""
        return True


def draw(stream: io.StringIO, *events: Progress) -> str:
    """What a progress line writes for these events, before it is cleared."""
    line = ProgressLine(stream)
    with line:
        for event in events:
            line.show(event)
        text = stream.getvalue()
    return text


def test_a_terminal_gets_one_line_that_is_redrawn_and_cleared() -> None:
    stream = Terminal()
    text = draw(stream, Progress("job", 1, 4, "Step 1 of 4"), Progress("job", 4, 4, "Step 4 of 4"))
    first, second = text.split("\r\x1b[K")[1:]
    assert first == "[######..................]  25%  Step 1 of 4"
    assert second == "[########################] 100%  Step 4 of 4"
    assert stream.getvalue().endswith("\r\x1b[K")
    assert "\n" not in stream.getvalue()


def test_a_log_gets_plain_lines_and_few_of_them() -> None:
    stream = io.StringIO()
    draw(stream, *(Progress("job", done, 1000, "Sampling") for done in range(1001)))
    assert stream.getvalue() == "  0%  Sampling\n100%  Sampling\n"


def test_other_events_and_empty_totals_are_harmless() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.show(Finished("job", {}))
    assert stream.getvalue() == ""
    line.show(Progress("job", 0, 0, "Waiting"))
    assert stream.getvalue() == "  0%  Waiting\n"
