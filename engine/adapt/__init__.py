"""Adapt: models that learn from the user's own examples."""
