"""The Tracks workspace."""
