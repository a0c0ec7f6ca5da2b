"""One registry for everything that can be chosen by name: jobs, samplers, rewards, detectors, ..."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from engine.errors import invalid_input

if TYPE_CHECKING:
    from pydantic import BaseModel

    from engine.context import RunContext

T = TypeVar("T")
log = logging.getLogger("triptych.registry")


class Registry(Generic[T]):
    """Named things of one family.

    Plug-ins add to it through the entry-point group ``triptych.<family>``; each entry point names a
    module that registers on import. They are loaded at the first look-up, and a plug-in that
    fails to import is logged and left out, never fatal.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._items: dict[str, T] = {}
        self._plugins_loaded = False

    def add(self, name: str, item: T) -> T:
        """Register ``item``; a name can be taken once."""
        if name in self._items:
            raise ValueError(f"{self.family} {name!r} is registered twice")
        self._items[name] = item
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of :meth:`add`."""
        return lambda item: self.add(name, item)

    def get(self, name: str) -> T:
        """The item called ``name``.

        Raises
        ------
        EngineError
            ``invalid_input`` naming the nearest known names.
        """
        self._load_plugins()
        if name in self._items:
            return self._items[name]
        near = difflib.get_close_matches(name, self._items, n=3, cutoff=0.5)
        known = ", ".join(near or sorted(self._items))
        raise invalid_input(
            f"There is no {self.family} called {name!r}; nothing was started.",
            f"{'Did you mean' if near else 'Known'}: {known}.",
        )

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load_plugins()
        return sorted(self._items)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        self._load_plugins()
        return iter(sorted(self._items.items()))

    def _load_plugins(self) -> None:
        if self._plugins_loaded:
            return
        self._plugins_loaded = True
        for entry in entry_points(group=f"triptych.{self.family.replace(' ', '_')}"):
            try:
                entry.load()
            except Exception:
                log.exception("the plug-in %s could not be loaded and is left out", entry.value)


@dataclass(frozen=True)
class JobKind:
    """A kind of job: its parameters' model and the function that does it."""

    params: type[BaseModel]
    handler: Callable[[Any, dict[str, Any], RunContext], dict[str, Any]]
    """``handler(params, inputs, ctx) -> metrics``; results go through ``ctx.save``."""
    title: str


JOBS: Registry[JobKind] = Registry("job")
