"""Which network computes, and how much of it: a static DiT, a dynamic one, or one of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import invalid_input
from engine.images.checkpoints import parameter_bytes
from engine.images.dit import DiT
from engine.images.dynamic_dit import DynamicDiT, Economy
from engine.images.dynamic_files import Curve, read_told_dynamic, told_for
from engine.images.generators.protocol import Computing, require_complete
from engine.images.routes import RouteLog


@dataclass(frozen=True)
class Network:
    """A DiT and how it is to economise.

    Attributes
    ----------
    model
        The network.
    economy
        ``None`` for a static one.
    """

    model: DiT
    economy: Economy | None = None

    def log(self, branches: int) -> RouteLog:
        """A new listener to its evaluations."""
        groups = self.model.dynamic.groups if isinstance(self.model, DynamicDiT) else 0
        return RouteLog(self.model.config, groups, branches)

    def __call__(self, x: Tensor, t: Tensor, y: Tensor, words: Tensor | None, log: RouteLog) -> Tensor:
        """See :meth:`DiT.forward`; the log hears what was computed."""
        if self.economy is None:
            log.observe_static(len(x))
            return self.model(x, t, y, words)
        assert isinstance(self.model, DynamicDiT), "only a dynamic network economises"
        return self.model(
            x, t, y, words, self.economy, lambda plans, opened: log.observe(t, plans, opened)
        )


class StaticNetworks:
    """A network that always computes everything."""

    def __init__(self, model: DiT, title: str) -> None:
        self._network, self._title = Network(model), title
        self.size_bytes = parameter_bytes(model)

    def choose(self, computing: Computing) -> Network:
        """The network; raises ``invalid_input`` when less than everything is asked for."""
        require_complete(self._title, computing)
        return self._network


class FixedNetworks:
    """A dynamic network that was trained for one share: computes that, or everything."""

    def __init__(self, model: DynamicDiT, title: str) -> None:
        self._model, self._title = model, title
        self.size_bytes = parameter_bytes(model)

    def choose(self, computing: Computing) -> Network:
        """The network; raises ``invalid_input`` when a share is asked for that it cannot be told."""
        if computing.share not in (None, 1.0):
            raise invalid_input(
                f"{self._title} was trained for one share of its arithmetic and cannot be told another "
                f"({computing.share:.0%}); nothing was started.",
                "Leave compute empty for what it was trained for, or choose 100 %. Extra economy makes "
                "it compute less than that, which it was not trained for.",
            )
        economy = Economy(threshold=computing.threshold, complete=computing.share == 1.0)
        return Network(self._model, economy)


class ToldNetworks:
    """A static network, and one beside it, loaded when first asked for, that is told how much.

    Raises
    ------
    EngineError
        When a share is first asked for: ``bad_file`` for a damaged file, ``invalid_input`` for a
        share outside of what it was trained for.
    """

    def __init__(self, model: DiT, file: Path, title: str, device: torch.device) -> None:
        self._model, self._file, self._title, self._device = model, file, title, device
        self._dynamic: tuple[DynamicDiT, Curve] | None = None
        self.size_bytes = 2 * parameter_bytes(model)

    def choose(self, computing: Computing) -> Network:
        """The static network for everything, the other for less."""
        if computing.share in (None, 1.0):
            if computing.threshold:
                raise invalid_input(
                    f"At 100 %, {self._title} computes everything and has no gates to close; nothing "
                    "was started.",
                    "Choose less compute, or leave extra economy at 0.",
                )
            return Network(self._model)
        if self._dynamic is None:
            network, curve = read_told_dynamic(self._file, self._model.config)
            self._dynamic = network.requires_grad_(False).to(self._device), curve
        network, curve = self._dynamic
        assert computing.share is not None
        told = told_for(computing.share, curve, self._title)
        return Network(network, Economy(ratio=told, threshold=computing.threshold))


Networks = StaticNetworks | FixedNetworks | ToldNetworks
