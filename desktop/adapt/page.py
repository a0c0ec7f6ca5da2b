"""The Adapt page."""

from __future__ import annotations

from desktop.widgets.unbuilt_page import UnbuiltPage


class AdaptPage(UnbuiltPage):
    """Teaches the other three."""

    workspace = "adapt"
    title = "Adapt"
    icon = "graduation-cap"
    promise = (
        "This workspace is not built yet in this version; it will teach the other three workspaces "
        "from your own labelled data and say honestly whether the result is better."
    )
