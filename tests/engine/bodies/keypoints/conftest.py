"""Photos and clips of people, where they are beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def photos(repository: Path) -> Path:
    """The folder of development photos; a test that asks for it is skipped where there is none."""
    folder = repository.parent / "shared" / "data" / "photos"
    if not folder.is_dir():
        pytest.skip("the development photos are not beside this checkout")
    return folder
