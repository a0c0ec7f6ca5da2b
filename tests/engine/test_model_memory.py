"""Estimates of memory against what was measured on a CPU in float32 (diffusers 0.42, torch 2.13)."""

from __future__ import annotations

import pytest

from engine.model_memory import (
    USUAL_VAE_WIDTHS,
    dit_evaluation_bytes,
    unet_evaluation_bytes,
    vae_decode_bytes,
)

MIB = 1 << 20


@pytest.mark.parametrize(("side", "measured"), [(64, 417), (32, 161)])
def test_the_unet_of_stable_diffusion_1(side: int, measured: int) -> None:
    estimate = unet_evaluation_bytes(side**2, 320) / MIB
    assert measured / 2 < estimate < 2 * measured
    assert unet_evaluation_bytes(side**2, 320, 2) == unet_evaluation_bytes(side**2, 320) / 2


@pytest.mark.parametrize(("side", "measured"), [(512, 979), (256, 279)])
def test_the_vae_of_stable_diffusion(side: int, measured: int) -> None:
    assert vae_decode_bytes(side**2, USUAL_VAE_WIDTHS) / MIB == pytest.approx(measured, rel=0.1)


def test_attention_makes_dit_grow_faster_than_its_tokens() -> None:
    assert dit_evaluation_bytes(1024, 384) > 4 * dit_evaluation_bytes(256, 384)
