"""The Tracks page."""

from __future__ import annotations

from desktop.widgets.unbuilt_page import UnbuiltPage


class TracksPage(UnbuiltPage):
    """Who went where, across cameras."""

    workspace = "tracks"
    title = "Tracks"
    icon = "path"
    promise = (
        "This workspace is not built yet in this version; it will follow people and objects through "
        "the videos of one or many cameras and let you review and correct every link."
    )
