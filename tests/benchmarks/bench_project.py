"""How fast a project is: 10,000 jobs into the queue, 100,000 results in the history.

Run by hand from the repository: ``python tests/benchmarks/bench_project.py``. Prints one JSON line.
Seconds are the best of a few runs; a ratio says how many times faster than its baseline, the
obvious way to do the same on the same machine, so that it can be compared between machines.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.job import ArtifactRef, JobSpec, JobState
from engine.project import Project, ResultFilter
from engine.project.history import _insert

JOBS = 10_000
RESULTS = 100_000
ONE_BY_ONE = 1000
STORED = 50
BUDGETS = {"enqueue": 2.0, "result_ids": 0.05}


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """The best of some runs: what the machine can do when nothing else disturbs it."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def specs(count: int) -> list[JobSpec]:
    """Different jobs of usual size."""
    params = {"prompt": "a red circle left of a blue square", "count": 8, "steps": 30, "guidance": 2.5}
    return [JobSpec("images.generate", params, seed=seed) for seed in range(count)]


def fill_history(project: Project) -> None:
    """Rows as generated images would make them; the files are not needed here."""
    with project._database.transaction() as connection:
        for index in range(RESULTS):
            manifest = {
                "spec": {"kind": "images.generate"}, "seed": index, "model": "builtin",
                "prompt": f"a red circle left of a blue square {index % 977}",
                "width": 64, "height": 64, "sampler": {"name": "ddim"}, "padding": "x" * 700,
            }  # fmt: skip
            artifact = ArtifactRef(f"{index:064x}", "image/png", 5000)
            job, name = f"{index // 8:032x}", f"image-{index % 8:04}"
            _insert(connection, job, name, artifact, manifest, float(index), live=True)


def main() -> None:
    """Measure and print."""
    report: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, Project.create(folder) as project:
        many = specs(JOBS)
        report["enqueue"] = seconds(lambda: project.add_jobs(many), repeats=1)
        one_by_one = seconds(lambda: [project.add_job(spec) for spec in many[:ONE_BY_ONE]], repeats=1)
        one_by_one *= JOBS / ONE_BY_ONE
        report["enqueue_ratio_to_one_transaction_a_job"] = one_by_one / report["enqueue"]
        queue = project.jobs([JobState.QUEUED], limit=2)
        report["next_queued"] = seconds(project.next_queued)
        report["move_to_front"] = seconds(lambda: project.move_job(queue[1].id, queue[0].id), repeats=1)
        report["list_all_jobs"] = seconds(project.jobs, repeats=3)

        fill_history(project)
        report["result_ids"] = seconds(project.result_ids)
        rows = seconds(lambda: [record.id for record in project.results(limit=None)], repeats=2)
        report["result_ids_ratio_to_reading_records"] = rows / report["result_ids"]
        report["result_ids_of_text"] = seconds(lambda: project.result_ids(ResultFilter(text="RED 77")))
        report["result_ids_starred"] = seconds(lambda: project.result_ids(ResultFilter(starred=True)))
        report["page_in_the_middle"] = seconds(lambda: project.results(offset=RESULTS // 2))
        report["star_all"] = seconds(lambda: project.set_starred(project.result_ids(), True), repeats=1)

        def store() -> None:
            for index in range(STORED):
                manifest = {"job": "job", "name": f"{index}", "seed": index}
                project.store.put(index.to_bytes(5000, "big"), "image/png", manifest)

        report["store_one_artifact"] = seconds(store, repeats=1) / STORED
        project.close()
        report["open_with_100k_results_and_50_to_adopt"] = seconds(
            lambda: Project.open(folder).close(), repeats=1
        )
        report["open_with_100k_results"] = seconds(lambda: Project.open(folder).close())
    within = {name: report[name] <= budget for name, budget in BUDGETS.items()}
    figures = {name: float(f"{value:.3g}") for name, value in report.items()}
    print(json.dumps({"benchmark": "project", "unit": "s", **figures, "within_budget": within}))


if __name__ == "__main__":
    main()
