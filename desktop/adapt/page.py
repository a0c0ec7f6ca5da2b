"""The Adapt page."""

from __future__ import annotations

from desktop.widgets.unbuilt_page import UnbuiltPage


class AdaptPage(UnbuiltPage):
    """Teaches the other three."""

    workspace = "adapt"
    title = "Adapt"
    icon = "graduation-cap"
    promise = (
        "This workspace is not built yet in this version. On the command line, triptych adapt train "
        "learns how your things look and says honestly whether the result is better; the Tracks page "
        "takes the file it makes as an appearance."
    )
