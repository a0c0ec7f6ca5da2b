"""The Adapt workspace."""
