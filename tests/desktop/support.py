"""What the window's tests share besides fixtures."""

from __future__ import annotations

from collections.abc import Callable

from desktop.bridge import Bridge

WAIT_MS = 60_000
"""How long a test waits for the engine: this machine may be busy."""

MakeBridge = Callable[..., Bridge]
