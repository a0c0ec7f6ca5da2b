"""Reading what goes with a result: beside the window's thread, kept, and its damage told in one way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

from desktop.background import Background
from engine.errors import EngineError, bad_file

Record = TypeVar("Record")


@contextmanager
def reading_record(what: str) -> Iterator[None]:
    """Within it, a file that is not what it should be is ``bad_file``: "The record of {what} ..."."""
    # Not at the top: the window starts without it.
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise bad_file(
            f"The record of {what} is damaged; the picture itself is not affected.",
            "Run again makes picture and record anew.",
            f"{type(error).__name__}: {error}",
        ) from error


class Records(Generic[Record]):
    """The last ``limit`` records that were read, by digest; read beside the window's thread."""

    def __init__(self, background: Background, ready: Callable[[str], object], limit: int) -> None:
        self._background, self._ready, self._limit = background, ready, limit
        self._kept: OrderedDict[str, Record | EngineError] = OrderedDict()
        self._wanted: set[str] = set()

    def get(self, key: str, read: Callable[[], Record]) -> Record | EngineError | None:
        """The record, or what is wrong with it; ``None`` while it is read, ``ready`` follows."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        elif key not in self._wanted:
            self._wanted.add(key)
            keep = partial(self._keep, key)
            self._background.run(read, keep, keep)
        return found

    def _keep(self, key: str, record: Record | EngineError) -> None:
        self._wanted.discard(key)
        self._kept[key] = record
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        self._ready(key)
