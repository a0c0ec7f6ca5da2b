"""``triptych bench``: what a method saves on this machine, against a named baseline."""

from __future__ import annotations

import argparse

from engine.errors import invalid_input
from engine.terminal import OK, add_json, tell, write, write_json

_LARGEST_BATCH = 4096


def configure_bench(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    # Not at the top: `triptych --help` must not pay for the parameters of all jobs.
    from engine.command_flags import number, whole_number

    parser.add_argument("what", choices=("dynamic",), help="dynamic: a DyDiT beside the static DiT")
    parser.add_argument(
        "--sizes", nargs="+", default=["S", "B", "XL"], metavar="NAME", help="S, B, XL; default all"
    )
    parser.add_argument(
        "--batch", nargs="+", type=whole_number, default=None, metavar="N", help="default 1 8 32"
    )
    parser.add_argument(
        "--threads", nargs="+", type=whole_number, default=[1], metavar="N", help="default 1"
    )
    parser.add_argument(
        "--ratio", type=number, default=0.5, metavar="R", help="share of the arithmetic; default 0.5"
    )
    parser.add_argument(
        "--repeats", type=whole_number, default=15, metavar="N", help="calls of each; default 15"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, ...")
    add_json(parser)


def run_bench(options: argparse.Namespace) -> int:
    """Run the command; results as they come, or one JSON object."""
    from engine.device import resolve
    from engine.images.dynamic_bench import compare

    device = resolve(options.device)
    batches = options.batch or ([1, 8, 32, 128] if device.startswith("cuda") else [1, 8, 32])
    for name, values in (("batch", batches), ("threads", options.threads)):
        if not all(1 <= value <= _LARGEST_BATCH for value in values):
            raise invalid_input(
                f"--{name} must be from 1 to {_LARGEST_BATCH}; nothing was started.", "Correct it."
            )
    if options.repeats < 1:
        raise invalid_input("--repeats must be at least 1; nothing was started.", "Correct it.")
    rows = []
    if not options.json:
        write("size  blocks  tokens  batch  threads  arithmetic  static s  dynamic s  times faster")
    for row in compare(
        options.sizes, batches, options.threads, options.ratio, options.repeats, device, tell
    ):
        rows.append(row.to_json())
        if not options.json:
            write(
                f"{row.size:<4}  {row.depth:>6}  {row.tokens:>6}  {row.batch:>5}  {row.threads:>7}  "
                f"{row.mac_ratio:>10.3f}  {row.static_seconds:>8.4f}  {row.dynamic_seconds:>9.4f}  "
                f"{row.speedup:>12.2f}"
            )
    if options.json:
        write_json({"device": device, "ratio": options.ratio, "rows": rows})
    return OK
