"""Images: generating pictures with diffusion transformers."""
