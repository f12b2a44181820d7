"""`localllm fit`: whether a model fits into memory, what it takes there, and how fast it is."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from app.cli.arguments import (
    json_option,
    kv_type_option,
    model_argument,
    number_option,
    open_library,
)
from app.cli.output import print_json
from app.settings import read_settings
from app.sizes import describe_cache, format_bytes
from models.errors import Busy

if TYPE_CHECKING:
    from models.chips import Machine
    from models.memory_plan import MemoryNeeds, MemoryPlan


@click.command("fit")
@model_argument
@number_option("--context", None, click.IntRange(4), "Tokens of one conversation.")
@number_option("--parallel", 1, click.IntRange(1), "Conversations of that length at once.")
@kv_type_option
@click.option("--chip", metavar="NAME", help='Another machine: "M4 Pro 24GB".')
@json_option
def fit_command(
    model: str,
    context: int | None,
    parallel: int,
    kv_type: str | None,
    chip: str | None,
    as_json: bool,
) -> None:
    """Say whether a model fits into memory, what it takes there and how fast it will be.

    "fits" leaves other programs room; "tight" may make them swap. Without --context the longest is
    planned that fits, up to what the model was trained with. Nothing is loaded. The speed is what
    memory bandwidth allows at most, with a context half full; --chip plans for a Mac by its name.
    """
    from models.details import describe
    from models.fit import fit_context, total_memory_bytes
    from models.memory_plan import make_needs, parse_kv_type, plan_memory
    from models.resolve import resolve

    files = resolve(model, open_library(read_settings()))
    found = describe(files)
    machine = _find_machine(chip)
    memory_bytes = machine.memory_bytes if machine else total_memory_bytes()
    fit = fit_context(found.total_bytes, found.metadata, memory_bytes)
    needs = make_needs(
        found.total_bytes,
        found.metadata,
        context_tokens=context,
        num_parallel=parallel,
        value_bytes=2 if machine else 4,
        kv_type=None if kv_type is None else parse_kv_type(kv_type),
    )
    plan, refusal = None, ""
    try:
        plan = plan_memory(needs, memory_bytes)
    except Busy as error:
        refusal = error.message
    speed = _expected_tokens_s(needs, plan, parallel, machine) if plan else None
    if as_json:
        print_json({
            "name": files.name, "memory_bytes": memory_bytes, **asdict(fit),
            "chip": machine.name if machine else None,
            "plan": asdict(plan) if plan else None, "refusal": refusal or None, "tokens_s": speed,
        })  # fmt: skip
        return
    facts = [
        ("name", files.name),
        ("machine", f"{machine.name if machine else 'this one'}, {format_bytes(memory_bytes)}"),
        ("fit", fit.fit),
        ("weights", format_bytes(fit.weight_bytes)),
        ("cache", describe_cache(found.metadata)),
        ("trained context", f"{fit.trained_tokens:,} tokens"),
        ("context that fits", f"{fit.comfortable_tokens:,} tokens"),
        *(_describe_plan(plan, parallel) if plan else [("plan", refusal)]),
    ]
    if speed is not None:
        facts.append(("speed", f"{speed:.0f} tokens/s at most" + _each(parallel)))
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        click.echo(f"{label.ljust(width)}  {value}")


def _find_machine(chip: str | None) -> "Machine | None":
    from models.chips import find_this_machine, parse_machine

    return find_this_machine() if chip is None else parse_machine(chip)


def _describe_plan(plan: "MemoryPlan", parallel: int) -> list[tuple[str, str]]:
    together = f", {plan.cache_tokens:,} in all" if parallel > 1 else ""
    return [
        ("planned context", f"{plan.context_tokens:,} tokens{together}"),
        ("planned cache", f"{format_bytes(plan.cache_bytes)} as {plan.kv_type}"),
        ("to compute", f"{format_bytes(plan.step_bytes)}, {plan.step_tokens} tokens a step"),
        ("in all", f"{format_bytes(plan.total_bytes)} of {format_bytes(plan.budget_bytes)}"),
        *([("given up", ", ".join(plan.given_up))] if plan.given_up else []),
    ]


def _expected_tokens_s(
    needs: "MemoryNeeds", plan: "MemoryPlan", parallel: int, machine: "Machine | None"
) -> float | None:
    """Of all conversations together, each half full."""
    from models.memory_plan import expected_tokens_s

    bandwidth = machine.bandwidth_bytes_s if machine else _measure_bandwidth()
    if bandwidth is None:
        return None
    context_tokens = parallel * plan.context_tokens // 2
    one = expected_tokens_s(needs.weight_bytes, plan.token_bytes, context_tokens, bandwidth)
    return parallel * one


def _measure_bandwidth() -> float | None:
    from engine.bandwidth import measure_bandwidth_bytes_s

    return measure_bandwidth_bytes_s()


def _each(parallel: int) -> str:
    return f" for {parallel} together" if parallel > 1 else ""
