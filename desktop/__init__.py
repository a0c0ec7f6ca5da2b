"""Triptych's window: the only place that knows Qt. It never imports torch or what weighs as much."""
