"""Time and arithmetic of a dynamic DiT beside the static one: ``triptych bench dynamic --json``.

Run by hand from the repository: ``python tests/benchmarks/bench_dynamic.py [--sizes S B XL] ...``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", "dynamic", "--json", *sys.argv[1:]]))
