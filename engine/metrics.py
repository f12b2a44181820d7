"""The engine's own figures, as one value a step."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine.plan import SchedulerOutput
from engine.request import RequestStats, StepOutput


@dataclass(frozen=True)
class StepMetrics:
    """One step, the engine's state after it, and totals since the start.

    A total over a total is a mean: `total_ttft_s / num_finished` is the mean time to first token.
    """

    step_s: float = 0.0
    num_sequences: int = 0
    """In the step: the batch size."""
    num_rows: int = 0
    num_draft_rows: int = 0

    num_running: int = 0
    num_waiting: int = 0
    num_blocks: int = 0
    num_free_blocks: int = 0
    num_cached_blocks: int = 0
    block_size: int = 0
    kv_bytes: int = 0
    kv_waste: float = 0.0
    """Share of the rows in blocks that are not free which hold no token."""

    num_steps: int = 0
    num_preemptions: int = 0
    num_evictions: int = 0
    """Cached blocks given away."""
    num_finished: int = 0
    """Requests; the totals below are theirs."""
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_output_tokens: int = 0
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0
    total_queue_s: float = 0.0
    total_ttft_s: float = 0.0
    """From a request's arrival to its first token."""
    total_tpot_s: float = 0.0
    """From one token to the next, a mean for each request."""

    def after_step(
        self, plan: SchedulerOutput, outputs: Iterable[StepOutput], step_s: float
    ) -> "StepMetrics":
        """With one more step counted in."""
        metrics = replace(
            self,
            step_s=step_s,
            num_sequences=len(plan.scheduled),
            num_rows=plan.num_rows,
            num_draft_rows=sum(len(item.draft_token_ids) for item in plan.scheduled),
            num_steps=self.num_steps + 1,
        )
        for output in outputs:
            if output.stats is not None:
                metrics = metrics._after_request(output.stats)
        return metrics

    def _after_request(self, stats: RequestStats) -> "StepMetrics":
        return replace(
            self,
            num_finished=self.num_finished + 1,
            num_prompt_tokens=self.num_prompt_tokens + stats.num_prompt_tokens,
            num_cached_tokens=self.num_cached_tokens + stats.num_cached_tokens,
            num_output_tokens=self.num_output_tokens + stats.num_output_tokens,
            num_draft_tokens=self.num_draft_tokens + stats.num_draft_tokens,
            num_accepted_tokens=self.num_accepted_tokens + stats.num_accepted_tokens,
            total_queue_s=self.total_queue_s + stats.queue_s,
            total_ttft_s=self.total_ttft_s + stats.queue_s + stats.prefill_s,
            total_tpot_s=self.total_tpot_s + stats.decode_s / max(stats.num_output_tokens - 1, 1),
        )
