"""`localllm bench`: the speed of one model on this machine, in a process of its own."""

import time
from dataclasses import asdict
from typing import Any

import click

from app.cli.arguments import (
    draft_option,
    json_option,
    kv_type_option,
    model_argument,
    number_option,
    open_library,
)
from app.cli.output import print_json
from app.settings import read_settings
from app.sizes import format_bytes
from models.memory_plan import parse_kv_type


@click.command("bench")
@model_argument
@number_option("--prompt-tokens", 512, click.IntRange(1), "Length of the prompt.")
@number_option("--gen-tokens", 128, click.IntRange(2), "Length of each answer.")
@number_option("--batch", 8, click.IntRange(1), "Sequences at once in the batched run.")
@number_option("--threads", None, click.IntRange(1), "CPU threads; default: physical cores.")
@number_option("--repeat", 3, click.IntRange(1), "Runs; the median counts.")
@draft_option
@kv_type_option
@json_option
def bench_command(
    model: str,
    prompt_tokens: int,
    gen_tokens: int,
    batch: int,
    threads: int | None,
    repeat: int,
    draft: str | None,
    kv_type: str | None,
    as_json: bool,
) -> None:
    """Measure the speed of a model.

    Without the daemon, on random prompts, and without speculation unless --draft is given: drafts
    are made for texts that mean nothing then, which shows what they cost at worst.

    prefill_tok_s, decode_tok_s and ttft_s are of one sequence: --prompt-tokens in, --gen-tokens
    out. batch_decode_tok_s is of --batch sequences together.
    """
    settings = read_settings()
    from models.resolve import resolve

    library = open_library(settings)
    files = resolve(model, library)
    from engine.benchmark import Workload, measure
    from engine.kernels import describe_kernels
    from engine.loading import EngineOptions, load_model

    workload = Workload(prompt_tokens, gen_tokens, batch, repeat)
    start_s = time.perf_counter()
    loaded = load_model(
        files,
        EngineOptions(
            max_context_tokens=workload.context_tokens,
            max_running=batch,
            max_draft_tokens=0 if draft is None else EngineOptions.max_draft_tokens,
            draft=None if draft is None else resolve(draft, library),
            kv_type=None if kv_type is None else parse_kv_type(kv_type),
            num_threads=threads,
        ),
    )
    load_s = time.perf_counter() - start_s
    figures = measure(loaded, workload)
    kernels = describe_kernels()
    result: dict[str, Any] = {
        "model": loaded.info.name,
        "architecture": loaded.info.architecture,
        "quantization": loaded.info.quantization,
        "num_parameters": loaded.info.num_parameters,
        "weight_bytes": loaded.info.weight_bytes,
        "kv_type": loaded.info.kv_type,
        "kv_token_bytes": loaded.info.kv_token_bytes,
        "backend": kernels.backend,
        "isa": kernels.isa,
        "num_threads": kernels.num_threads,
        "prompt_tokens": prompt_tokens,
        "gen_tokens": gen_tokens,
        "batch": batch,
        "repeat": repeat,
        "load_s": load_s,
        **asdict(figures),
    }
    if as_json:
        print_json(result)
    else:
        _print_figures(result)


def _print_figures(result: dict[str, Any]) -> None:
    kernels = " ".join(filter(None, (result["backend"], result["isa"])))
    lines = {
        result["model"]: f"{result['quantization']}, {format_bytes(result['weight_bytes'])}",
        "kernels": f"{kernels}, {result['num_threads']} threads",
        "prefill": f"{result['prefill_tok_s']:.1f} tokens/s ({result['prompt_tokens']} tokens)",
        "decode": f"{result['decode_tok_s']:.1f} tokens/s",
        f"decode x {result['batch']}": f"{result['batch_decode_tok_s']:.1f} tokens/s together",
        "first token": f"{result['ttft_s']:.3f} s",
        "load": f"{result['load_s']:.2f} s",
        "memory": f"{format_bytes(result['peak_rss_bytes'])} at most",
    }
    width = max(map(len, lines))
    for label, text in lines.items():
        click.echo(f"{label.ljust(width)}  {text}")
