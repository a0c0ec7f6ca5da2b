"""The table of spans is what looking at everything anew gives."""

from __future__ import annotations

import numpy as np

from engine.tracks.cameras import Camera
from engine.tracks.overview import Span
from engine.tracks.span_table import SpanTable

CAMERAS = (Camera("a", offset=2.0, fps=10), Camera("b", fps=25))


def span(tracklet: int, rng: np.random.Generator) -> Span:
    first = int(rng.integers(0, 500))
    gaps = ((first + 1, first + 2),) if rng.random() < 0.3 else ()
    return Span(
        tracklet, int(rng.integers(0, 40)), int(rng.integers(2)), first, first + 9, 10, 0.0, 1.0, gaps
    )


def test_it_follows_what_changes(rng: np.random.Generator) -> None:
    expected = {name: span(name, rng) for name in range(150)}
    table = SpanTable(expected.values())
    for _ in range(200):
        gone = rng.choice(300, int(rng.integers(0, 4)), replace=False).tolist()
        fresh = {name: span(name, rng) for name in gone if rng.random() < 0.6}
        for name in gone:
            expected.pop(name, None)
        expected |= fresh
        table.replace(gone, fresh.values())
    assert len(table) == len(expected)
    assert {one.tracklet: one for one in table} == expected
    assert table.gaps == {name: one.gaps for name, one in expected.items() if one.gaps}
    for name, one in expected.items():
        assert table.get(name) == one
        row = table.row_of(name)
        for column in ("tracklet", "identity", "camera", "first", "last"):
            assert table.column(column)[row] == getattr(one, column)
    assert table.get(999) is None


def test_identities_come_by_their_first_appearance() -> None:
    table = SpanTable(
        [
            Span(1, 7, 0, 10, 19, 10, 0.0, 1.0, ()),  # from 3.0 s
            Span(2, 5, 1, 50, 74, 25, 0.0, 1.0, ()),  # 2.0 to 3.0 s
            Span(3, 7, 1, 25, 49, 25, 0.0, 1.0, ()),  # from 1.0 s
            Span(4, 3, 1, 50, 50, 1, 0.0, 1.0, ()),
        ]
    )
    found = table.identities(CAMERAS)
    assert found.names.tolist() == [7, 3, 5]
    assert found.first.tolist() == [1.0, 2.0, 2.0]
    assert found.last.tolist() == [4.0, 2.04, 3.0]
    assert found.row_of.tolist() == [0, 2, 0, 1]
    assert SpanTable().identities(CAMERAS).names.tolist() == []
