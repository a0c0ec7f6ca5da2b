"""People of whom a body can be made, and why others are refused."""

from __future__ import annotations

from engine.bodies.keypoints.person import Person
from engine.errors import invalid_input

LEAST_TRUNK = 0.3
"""Confidence that a shoulder and a hip need."""


def shows_trunk(person: Person, width: int, height: int) -> bool:
    """Whether a shoulder and a hip are seen in an image of this size (or just outside of it)."""

    def seen(part: str) -> bool:
        for side in ("left", "right"):
            x, y, sure = person.point(f"{side}_{part}").tolist()
            margin = 0.05 * max(width, height)
            within = -margin <= x <= width + margin and -margin <= y <= height + margin
            if within and sure >= LEAST_TRUNK:
                return True
        return False

    return seen("shoulder") and seen("hip")


def with_bodies(people: list[Person], name: str, width: int, height: int) -> list[Person]:
    """The people of whom more than a head is to be seen.

    Parameters
    ----------
    people
        As a detector found them.
    name
        Of the image, for the message.
    width, height
        Of the image, pixels.

    Raises
    ------
    EngineError
        ``invalid_input`` when there is nobody, or only heads.
    """
    if not people:
        raise invalid_input(
            f"Nobody was found in {name}; nothing was made of it.",
            "Small people are found with more levels; or set the keypoints by hand.",
        )
    bodies = [person for person in people if shows_trunk(person, width, height)]
    if not bodies:
        raise invalid_input(
            f"Of the {'person' if len(people) == 1 else f'{len(people)} people'} in {name} no trunk is "
            "to be seen (no shoulder and hip); no body was made.",
            "Use a picture that shows more than the head, or set the keypoints by hand.",
        )
    return bodies
