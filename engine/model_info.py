"""What is known about an installed model: pure data, for jobs, lists and panels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SEQUENTIAL, PARALLEL = "sequential", "parallel"


@dataclass(frozen=True)
class ModelInfo:
    """A model that is on this computer.

    Attributes
    ----------
    name
        How jobs call it.
    title
        How people call it.
    kind
        ``triptych-generator``, ``dit``, ``diffusers-dit``, ``stable-diffusion``,
        ``stable-diffusion-xl`` or ``vae``.
    path
        Its folder; of a DiT file, the file.
    sha256
        Of the file; of a folder, of the lines that sha256sum prints for its files.
    size
        Bytes of the weights on disk.
    licence, source
        As far as known.
    num_heads
        Attention heads of a DiT where its file does not tell and its user did.
    architecture
        What it is, for people: ``DiT-XL/2, 256 px, latent``.
    parameters
        Number of trained numbers in all its parts.
    memory_bytes
        Estimate of what making one picture takes, weights included.
    conditions
        What it is told: ``words``, ``class``, ``text``, or nothing.
    samplers
        Families of samplers it works with: ``sequential``, ``parallel``.
    alignment
        Whether it can be differentiated from the picture back to the noise.
    needs
        Extras (see :mod:`engine.extras`) it needs that are not installed.
    generates
        Whether it makes pictures; a VAE alone does not.
    in_place
        Whether its files stay where the user has them.
    vae
        Name of the VAE that decodes its latents; empty when it has its own or needs none.
    dynamic
        ``told``: its network can be told how much to compute; ``fixed``: it computes less, as it was
        trained, or everything; empty: it always computes everything.
    compute
        Smallest and largest share below all that a ``told`` one computes.
    """

    name: str
    title: str
    kind: str
    path: Path
    sha256: str
    size: int
    licence: str = ""
    source: str = ""
    num_heads: int | None = None
    architecture: str = ""
    parameters: int = 0
    memory_bytes: int = 0
    conditions: str = ""
    samplers: tuple[str, ...] = ()
    alignment: bool = False
    needs: tuple[str, ...] = ()
    generates: bool = True
    in_place: bool = False
    vae: str = ""
    dynamic: str = ""
    compute: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return {
            **asdict(self),
            "path": str(self.path),
            "samplers": list(self.samplers),
            "needs": list(self.needs),
        }
