"""Steps of alignments that the user wants at hand; kept in the project."""

from __future__ import annotations

from engine.project import Project

KEY = "images.align.pins"
MOST = 12


class Pins:
    """By the picture's digest: an id keeps its place when its picture is made again."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def of(self, picture: str) -> list[int]:
        """The pinned steps of a picture, in order."""
        return list((self._project.get(KEY) or {}).get(picture, ()))

    def toggle(self, picture: str, step: int) -> list[int]:
        """Pin a step, or let it go; the steps that are pinned then."""
        pins = self.of(picture)
        pins = [pin for pin in pins if pin != step] if step in pins else sorted([*pins, step])[:MOST]
        self._project.put(KEY, {**(self._project.get(KEY) or {}), picture: pins})
        return pins
