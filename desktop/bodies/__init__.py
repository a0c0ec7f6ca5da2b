"""The Bodies workspace."""
