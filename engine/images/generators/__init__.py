"""Models that make pictures, behind one protocol: condition, denoiser, decode.

Samplers, the parallel solver and alignment work on anything with this shape, whether pictures
are made in pixels or in an autoencoder's latents.
"""

from engine.images.generators.builtin import LatentGenerator
from engine.images.generators.dit import DiTGenerator
from engine.images.generators.loading import GENERATORS, cache_key, cached_generator, load_generator
from engine.images.generators.pictures import (
    evaluation_bytes,
    images_that_fit,
    initial_noise,
    picture_bytes,
    to_pixels,
)
from engine.images.generators.protocol import Computing, Condition, CountingDenoiser, Generator

__all__ = [
    "GENERATORS",
    "Computing",
    "Condition",
    "CountingDenoiser",
    "DiTGenerator",
    "Generator",
    "LatentGenerator",
    "cache_key",
    "cached_generator",
    "evaluation_bytes",
    "images_that_fit",
    "initial_noise",
    "load_generator",
    "picture_bytes",
    "to_pixels",
]
