"""The Bodies page."""

from __future__ import annotations

from desktop.widgets.unbuilt_page import UnbuiltPage


class BodiesPage(UnbuiltPage):
    """People in photos as posed, measured 3D bodies."""

    workspace = "bodies"
    title = "Bodies"
    icon = "person"
    promise = (
        "This workspace is not built yet in this version; it will turn the people in a photo into "
        "posed 3D bodies that you can measure, correct and export."
    )
