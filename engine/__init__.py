"""Triptych's engine: vision workflows as a library. Importing it loads neither torch nor open3d."""

__version__ = "0.1.0"
