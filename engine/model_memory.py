"""How much memory models take, estimated from their sizes alone; needs no torch.

All are bytes. They are rough on purpose: enough to choose a batch, to warn, and to fall back to
tiles; the out-of-memory ladder of the runner catches what they miss.
"""

from __future__ import annotations

FLOAT32 = 4
BRANCHES = 2
"""A guided evaluation runs the network with and without the condition."""


def dit_evaluation_bytes(tokens: int, width: int, itemsize: int = FLOAT32) -> int:
    """Peak of the activations of one guided evaluation of a DiT.

    A block keeps about eight maps of its width alive, and one matrix of attention at a time.
    """
    return BRANCHES * itemsize * tokens * (8 * width + tokens)
