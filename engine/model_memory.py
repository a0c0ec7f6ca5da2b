"""How much memory models take, estimated from their sizes alone; needs no torch.

All are bytes. They are rough on purpose: enough to choose a batch, to warn, and to fall back to
tiles; the out-of-memory ladder of the runner catches what they miss.
"""

from __future__ import annotations

from collections.abc import Sequence

FLOAT32 = 4
BRANCHES = 2
"""A guided evaluation runs the network with and without the condition."""

USUAL_VAE_WIDTHS = (128, 256, 512, 512)


def dit_evaluation_bytes(tokens: int, width: int, itemsize: int = FLOAT32) -> int:
    """Peak of the activations of one guided evaluation of a DiT.

    A block keeps about eight maps of its width alive, and one matrix of attention at a time.
    """
    return BRANCHES * itemsize * tokens * (8 * width + tokens)


def unet_evaluation_bytes(area: int, width: int, itemsize: int = FLOAT32) -> int:
    """Peak of the activations of one guided evaluation of a latent UNet.

    Parameters
    ----------
    area
        Positions of the latent grid, h x w.
    itemsize
        Bytes of one number.
    width
        Channels of the finest level. The maps kept for the skip connections, and those of the
        finest level's transformer (four times as wide inside), add up to about forty of them.
    """
    return BRANCHES * itemsize * 40 * width * area


def vae_decode_bytes(pixels: int, widths: Sequence[int], itemsize: int = FLOAT32) -> int:
    """Peak of decoding one picture of ``pixels`` = H x W by an AutoencoderKL.

    At full size the last level's first block has its input, which is as wide as the level below,
    and a few maps of its own alive.
    """
    below = widths[1] if len(widths) > 1 else widths[0]
    return itemsize * pixels * (2 * below + 4 * widths[0])
