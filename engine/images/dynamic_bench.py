"""What less arithmetic saves: a dynamic DiT beside the static one of its size, in one process.

Random weights do for speed. Gates are set, not learnt: three quarters of the heads, a share of the
channel groups, and tokens by the token router itself, whose threshold is put so that a share of them
is open. Static and dynamic calls alternate; medians are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine.errors import invalid_input
from engine.images.dit import DiT, DiTConfig
from engine.images.dynamic_dit import DynamicConfig, DynamicDiT
from engine.images.routes import RouteLog

SIZES = {"S": (384, 6, 12), "B": (768, 12, 12), "XL": (1152, 16, 28)}
"""Width, heads and depth of the published sizes."""

TIME_STEP = 500.0
HEADS = 0.75
WARM_UP = 2
LEAST_SECONDS = 0.3
"""A comparison goes on for at least so long, for more repeats of short calls."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    mac_ratio
        Counted arithmetic of attention and MLPs, dynamic by static.
    counted
        The same of the whole network by torch's counter, with attention as plain products.
    formula
        The same by the formula of :mod:`engine.images.dynamic_costs`.
    static_seconds, dynamic_seconds
        Medians of one evaluation of the batch.
    speedup
        Their ratio.
    """

    size: str
    depth: int
    tokens: int
    batch: int
    threads: int
    device: str
    dtype: str
    mac_ratio: float
    counted: float
    formula: float
    static_seconds: float
    dynamic_seconds: float
    speedup: float
    repeats: int

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)


def shares_for(ratio: float) -> tuple[float, float, float]:
    """Shares of heads, groups and tokens with about this ratio of a block's arithmetic at 64 tokens."""
    if not 0.25 <= ratio <= 1:
        raise invalid_input(
            f"A ratio of {ratio:g} cannot be measured; nothing was started.", "Choose 0.25 to 1."
        )
    if ratio == 1:
        return 1.0, 1.0, 1.0
    heads = min(1.0, HEADS * ratio / 0.5)
    # Attention is about a third of a block; groups and tokens share the rest evenly.
    rest = max(0.05, (ratio - heads / 3) * 1.5)
    return heads, rest**0.5, rest**0.5


@torch.no_grad()
def random_pair(
    config: DiTConfig, ratio: float, device: str, dtype: torch.dtype
) -> tuple[DiT, DynamicDiT]:
    """A static DiT and a dynamic one with its weights and gates for this ratio, both random."""
    torch.manual_seed(0)
    static = DiT(config)
    for parameter in static.parameters():
        # The zero layers of an untrained model would make everything trivial.
        if parameter.requires_grad and parameter.ndim == 2 and not parameter.any():
            parameter.normal_(std=0.02)
    dynamic = DynamicDiT(config, DynamicConfig(config.num_heads))
    dynamic.load_state_dict(static.state_dict(), strict=False)
    heads, groups, tokens = shares_for(ratio)
    for block in dynamic.dynamic_blocks:
        for router, share in ((block.attn_rate.router, heads), (block.mlp_rate.router, groups)):
            router.weight.zero_()
            opened = round(share * config.num_heads) - 1
            router.bias.copy_(torch.where(torch.arange(config.num_heads - 1) < opened, 1.0, -1.0))
    for model in (static, dynamic):
        model.eval().requires_grad_(False).to(device, dtype)
    if tokens < 1:
        _open_tokens(dynamic, tokens)
    else:
        for block in dynamic.dynamic_blocks:
            block.token_selection.last.bias.fill_(100.0)
    return static, dynamic


def _open_tokens(model: DynamicDiT, share: float) -> None:
    """Put each block's threshold where this share of some tokens is open, block after block."""
    x, t, y = inputs_for(model, 8)
    tokens, condition, code = model.embed(x, t, y, None)
    for block in model.dynamic_blocks:
        seen: list[Tensor] = []

        def decide(logits: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(logits)
            return (logits > 0).to(logits.dtype)

        block.masked(tokens, condition, code, decide, None)
        # Heads, groups, tokens: the last one asked is the token router.
        threshold = seen[-1].float().quantile(1 - share)
        block.token_selection.last.bias.sub_(threshold)
        tokens, _ = block.masked(tokens, condition, code, decide, None)


def inputs_for(model: DiT, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random states, one time step, and labels."""
    config, like = model.config, model.pos_embed
    stream = torch.Generator().manual_seed(batch)
    shape = (batch, config.in_channels, config.input_size, config.input_size)
    x = torch.randn(shape, generator=stream).to(like)
    t = torch.full((batch,), TIME_STEP, device=like.device)
    return x, t, torch.zeros(batch, dtype=torch.long, device=like.device)


def counted_macs(call: Callable[[], Tensor]) -> int:
    """Multiply-accumulates of a call by torch's counter, which counts two operations for each.

    Attention is computed as plain products meanwhile: the counter does not know the fused kernel of
    CPUs, and leaves it out without a word.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        call()
    return int(counter.get_total_flops()) // 2


@torch.no_grad()
def measure(size: str, static: DiT, dynamic: DynamicDiT, batch: int, repeats: int) -> Row:
    """Compare one evaluation of a batch, static and dynamic in turn."""
    x, t, y = inputs_for(static, batch)
    device = x.device
    log = RouteLog(static.config, dynamic.dynamic.groups, 1)
    dynamic(x, t, y, observe=lambda plans, opened: log.observe(t, plans, opened))

    def run_static() -> Tensor:
        return static(x, t, y)

    def run_dynamic() -> Tensor:
        return dynamic(x, t, y)

    taken: dict[str, list[float]] = {"static": [], "dynamic": []}
    began = time.perf_counter()
    done = -WARM_UP
    while done < repeats or time.perf_counter() - began < LEAST_SECONDS:
        for name, call in (("static", run_static), ("dynamic", run_dynamic)):
            started = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if done >= 0:
                taken[name].append(time.perf_counter() - started)
        done += 1
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return Row(
        size=size,
        depth=static.config.depth,
        tokens=static.config.tokens,
        batch=batch,
        threads=torch.get_num_threads(),
        device=str(device),
        dtype=str(x.dtype).removeprefix("torch."),
        mac_ratio=round(log.total.block_macs / log.total.static_block_macs, 4),
        counted=round(counted_macs(run_dynamic) / counted_macs(run_static), 4),
        formula=round(log.total.macs / log.total.static_macs, 4),
        static_seconds=medians["static"],
        dynamic_seconds=medians["dynamic"],
        speedup=round(medians["static"] / medians["dynamic"], 3),
        repeats=done,
    )


def compare(
    sizes: Sequence[str],
    batches: Sequence[int],
    threads: Sequence[int],
    ratio: float,
    repeats: int,
    device: str = "cpu",
    tell: Tell = lambda text: None,
    depth: int | None = None,
    side: int = 16,
) -> Iterator[Row]:
    """All combinations. On a CPU networks have 4 blocks: time and arithmetic grow with them alike.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown size or a ratio out of range.
    """
    shares_for(ratio)
    unknown = [size for size in sizes if size not in SIZES]
    if unknown:
        raise invalid_input(
            f"There is no size {', '.join(unknown)}; nothing was started.",
            f"Known: {', '.join(SIZES)}.",
        )
    on_gpu = device.startswith("cuda")
    dtype = torch.bfloat16 if on_gpu else torch.float32
    before = torch.get_num_threads()
    try:
        for size in sizes:
            width, heads, full_depth = SIZES[size]
            blocks = depth or (full_depth if on_gpu else 4)
            config = DiTConfig(
                32 if on_gpu else side, 2, 4, width, blocks, heads, 1000, learn_sigma=True
            )
            tell(f"DiT-{size}, {blocks} blocks, {config.tokens} tokens: making it")
            static, dynamic = random_pair(config, ratio, device, dtype)
            for count in threads:
                torch.set_num_threads(count)
                for batch in batches:
                    tell(f"DiT-{size}, batch {batch}, {count} threads")
                    yield measure(size, static, dynamic, batch, repeats)
    finally:
        torch.set_num_threads(before)
