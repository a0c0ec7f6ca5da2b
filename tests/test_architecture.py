"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HEAVY = ("cv2", "diffusers", "onnxruntime", "open3d", "scipy", "sklearn", "torch")
WINDOW = ("PySide6", "desktop", "pyqtgraph", "qtawesome", "superqt")
CONTRACT_MODULES = (
    "engine.artifacts", "engine.cli", "engine.context", "engine.errors", "engine.executors.process",
    "engine.job", "engine.project", "engine.registry", "engine.runner", "engine.scheduler",
    "engine.images.params", "engine.images.rewards", "engine.images.vocabulary",
)  # fmt: skip


def modules(root: Path, room: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and path of each module below ``engine`` or ``desktop``."""
    for path in sorted((root / room).rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def tracked_files(root: Path) -> list[Path]:
    """What git tracks; everything, where the checkout has no git (a source archive)."""
    listing = subprocess.run(
        ["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listing.returncode == 0:
        paths = [root / name for name in listing.stdout.split("\0") if name]
    else:
        paths = [path for path in root.rglob("*") if not {".venv", "runs"} & set(path.parts)]
    return [path for path in paths if path.is_file()]


def run_python(code: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )


def test_import_contracts_hold(repository: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-logo", "--no-cache"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("module", ["engine", *CONTRACT_MODULES])
def test_importing_the_engine_loads_nothing_heavy_and_no_window(repository: Path, module: str) -> None:
    code = f"import sys, {module}; print(*{set(HEAVY + WINDOW)!r} & sys.modules.keys())"
    done = run_python(code, repository)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_importing_the_window_loads_nothing_heavy(repository: Path) -> None:
    late = (*HEAVY, "pydantic", "pyqtgraph", "PIL", "PySide6.QtOpenGL", "PySide6.QtNetwork")
    code = f"import sys, desktop.app, desktop.__main__; print(*{set(late)!r} & sys.modules.keys())"
    done = run_python(code, repository)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("room", ["engine", "desktop"])
def test_every_module_is_in_its_readme(repository: Path, room: str) -> None:
    listed = set(re.findall(r"`([\w/]+\.py)`", (repository / room / "README.md").read_text()))
    existing = {
        str(path.relative_to(repository / room))
        for _, path in modules(repository, room)
        if path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 2
    }
    assert sorted(existing - listed) == [], "not listed"
    assert sorted(listed - existing) == [], "listed, but not there"


@pytest.mark.parametrize("room", ["engine", "desktop"])
def test_nothing_is_printed(repository: Path, room: str) -> None:
    for name, path in modules(repository, room):
        for node in ast.walk(ast.parse(path.read_text())):
            prints = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
            assert not prints, f"{name}: use a logger (triptych.TOPIC)"


@pytest.mark.parametrize("room", ["engine", "desktop"])
def test_loggers_are_named_by_topic(repository: Path, room: str) -> None:
    for name, path in modules(repository, room):
        for topic in re.findall(r"getLogger\((.*?)\)", path.read_text()):
            assert topic == "" or topic.startswith(('"triptych', 'f"triptych')), f"{name}: {topic}"


def test_models_of_the_workspaces_know_no_widgets(repository: Path) -> None:
    for path in sorted((repository / "desktop").glob("*/model.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = {node.module or ""}
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            else:
                continue
            wrong = [name for name in names if name.startswith(("PySide6", "desktop.widgets"))]
            assert set(wrong) <= {"PySide6.QtCore"}, f"{path.parent.name}: {wrong}"


def test_no_path_of_one_machine_is_tracked(repository: Path) -> None:
    pattern = re.compile(r"(?<![\w.$}])/(?:work|root|home|Users|tmp)/[\w.]")
    for path in tracked_files(repository):
        if path.suffix in {
            ".png",
            ".safetensors",
            ".npz",
            ".ico",
            ".icns",
            ".gif",
            ".jpg",
            ".mp4",
            ".tflite",
        }:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not pattern.search(line), f"{path.relative_to(repository)}:{number}: {line[:120]}"
