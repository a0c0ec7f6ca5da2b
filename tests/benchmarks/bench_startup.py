"""How long the window takes to be painted and to be usable, in real processes.

``python tests/benchmarks/bench_startup.py [--runs N] [--platform offscreen|xvfb] [--json]``

Seconds count from the first line that the interpreter runs. "painted": the first frame is on the
screen. "usable": a project is open and the page answers. "engine": the engine is warm, in the
background. "blocked" is the longest time in which a 5 ms timer was not served, from the first paint
to two seconds after the window was usable.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUDGET = {"painted": 0.5, "usable": 1.0, "engine": 5.0, "blocked": 0.1}

PROBE = """
import time
began = time.perf_counter()
import json, sys
import PySide6.QtWidgets
times = {"qt": time.perf_counter() - began}
from desktop.__main__ import main
application = []
def observe(what):
    times[what] = time.perf_counter() - began
    if what == "painted":
        watch()
    if what == "usable":
        heavy = ("torch", "open3d", "scipy", "sklearn", "onnxruntime", "PIL", "pyqtgraph")
        times["heavy"] = [name for name in heavy if name in sys.modules]
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication
        app = QApplication.instance()
        owner = next(item for item in app.children() if type(item).__name__ == "Application")
        bridge = owner.services.bridge
        bridge.engine_ready.connect(lambda info: observe("engine"))
        bridge.engine_ready.connect(lambda info: QTimer.singleShot(2000, owner.close))
        QTimer.singleShot(60000, owner.close)
def watch():
    from PySide6.QtCore import QTimer, Qt
    from PySide6.QtWidgets import QApplication
    last = [time.perf_counter()]
    times["blocked"] = 0.0
    def tick():
        now = time.perf_counter()
        times["blocked"] = max(times["blocked"], now - last[0] - 0.005)
        last[0] = now
    timer = QTimer(QApplication.instance(), interval=5, timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start()
main(sys.argv[1:], observe)
sys.stdout.write("TIMES " + json.dumps(times) + chr(10))
"""


def measure(platform: str, runs: int) -> list[dict[str, object]]:
    """Start the window ``runs`` times; the times of each."""
    results = []
    with tempfile.TemporaryDirectory() as home:
        folders = {
            f"XDG_{kind}_HOME": f"{home}/{kind}" for kind in ("CONFIG", "STATE", "DATA", "CACHE")
        }
        environment = {**os.environ, **folders, "PYTHONPATH": str(ROOT)}
        prefix: list[str] = []
        if platform == "xvfb":
            environment.pop("QT_QPA_PLATFORM", None)
            prefix = ["xvfb-run", "-a", "-s", "-screen 0 1920x1200x24"]
        else:
            environment["QT_QPA_PLATFORM"] = "offscreen"
        for _ in range(runs):
            command = [*prefix, sys.executable, "-c", PROBE, "--project", f"{home}/project"]
            run = subprocess.run(
                command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180
            )
            line = next((text for text in run.stdout.splitlines() if text.startswith("TIMES ")), None)
            if line is None:
                raise SystemExit(f"the window did not start:\n{run.stdout}\n{run.stderr}")
            results.append(json.loads(line[6:]))
    return results


def slowest_imports(count: int = 12) -> list[str]:
    """The lines of ``-X importtime`` that cost most by themselves before the window is shown."""
    command = [sys.executable, "-X", "importtime", "-c", "import desktop.__main__, desktop.app"]
    run = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [line for line in run.stderr.splitlines() if line.startswith("import time:")][1:]
    lines.sort(key=lambda line: -int(line.removeprefix("import time:").split("|")[0]))
    return lines[:count]


def main() -> int:
    """Measure, print, and compare with the budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--platform", choices=("offscreen", "xvfb"), default="offscreen")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = measure(options.platform, options.runs)
    names = ("qt", *BUDGET)
    best = {name: min(float(run.get(name, "nan")) for run in results) for name in names}  # type: ignore[arg-type]
    median = {
        name: statistics.median(float(run.get(name, "nan")) for run in results)  # type: ignore[arg-type]
        for name in names
    }
    if options.json:
        sys.stdout.write(json.dumps({"best": best, "median": median, "runs": results}) + "\n")
        return 0
    sys.stdout.write(f"{options.platform}, {options.runs} runs, seconds (best / median / budget)\n")
    for name in names:
        budget = f"{BUDGET[name]:.2f}" if name in BUDGET else "-"
        sys.stdout.write(f"  {name:8} {best[name]:.3f} / {median[name]:.3f} / {budget}\n")
    sys.stdout.write(f"  loaded although heavy: {results[0]['heavy'] or 'nothing'}\n")
    sys.stdout.write("slowest imports before the window is shown (own | with imports, us):\n")
    for line in slowest_imports():
        sys.stdout.write(f"  {line.removeprefix('import time:')}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
