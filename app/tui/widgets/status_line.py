"""The last line of the screen: model and its state, speed, context, cache, drafts, first token."""

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from app.tui.conversation import ReplyStats
from app.tui.model_state import ModelState
from app.tui.status import Segment, fit, format_rate, is_nearly_full, usage_segments

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

_GLYPHS = {"ready": ("●", "$text-success"), "failed": ("✖", "$text-error")}


class StatusLine(Widget):
    """One line, drawn anew when a figure changes."""

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        width: 1fr;
        padding: 0 1;
        color: $text-muted;
        background: $surface;
    }
    """

    model = reactive(ModelState(""))
    stats: reactive[ReplyStats | None] = reactive(None)
    """The last shown reply's figures."""
    rate: reactive[float | None] = reactive(None)
    """Tokens per second, live while a reply comes."""
    is_live: reactive[bool] = reactive(False)
    num_live_tokens: reactive[int] = reactive(0)
    """Tokens of the reply that is coming."""
    tick: reactive[int] = reactive(0)
    """Turns the spinner."""

    def on_mount(self) -> None:
        """Make the spinner ready to turn."""
        self._spinner = self.set_interval(0.1, self._turn, pause=not self.model.is_busy)

    def watch_model(self, model: ModelState) -> None:
        """Turn the spinner while the model is on its way."""
        if self.is_mounted:
            (self._spinner.resume if model.is_busy else self._spinner.pause)()

    def _turn(self) -> None:
        self.tick = (self.tick + 1) % len(SPINNER)

    def render(self) -> Content:
        """Model at the left, figures at the right."""
        glyph, color = _GLYPHS.get(self.model.phase, (SPINNER[self.tick], "$text-warning"))
        width = self.content_size.width
        left = self.model.label(max_chars=max(12, width // 2 - 4))
        right = fit(self._segments(), width - len(left) - 5)
        gap = " " * max(1, width - len(left) - len(right) - 2)
        return Content.assemble((glyph, color), f" {left}", gap, (right, self._color()))

    def _segments(self) -> list[Segment]:
        rate = format_rate(self.rate)
        if not self.is_live:
            return [Segment(rate), *usage_segments(self.stats, self.model.context_length)]
        return [
            Segment(f"~{rate}" if rate else ""),
            Segment(f"{self.num_live_tokens:,} tokens" if self.num_live_tokens else "", 1),
            Segment("Esc stops", 2),
        ]

    def _color(self) -> str:
        tokens = self.stats.num_context_tokens if self.stats else 0
        if is_nearly_full(tokens, self.model.context_length):
            return "$text-warning"
        return "$text-accent" if self.is_live else ""
