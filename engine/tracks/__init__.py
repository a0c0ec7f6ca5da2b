"""Tracks: boxes of objects over many cameras, who is who, how good that is, and files of it."""
