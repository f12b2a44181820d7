"""Markdown as a model writes it: code is highlighted by its stated language, never guessed."""

from textual.content import Content
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownBlock, MarkdownFence


class Code(MarkdownFence):
    """A code block; without a stated language it stays plain, so that it does not flicker."""

    DEFAULT_CSS = """
    Code { margin: 0 0 1 0; background: $surface; & > Label { padding: 1 2; } }
    """

    @classmethod
    def highlight(cls, code: str, language: str, ansi: bool = False, dark: bool = False) -> Content:
        """The code in colours, or plain."""
        words = language.split()
        return super().highlight(code, words[0] if words else "text", ansi, dark)


class Answer(Markdown):
    """The text of a reply."""

    DEFAULT_CSS = """
    Answer { padding: 0 2; }
    """

    def get_block_class(self, block_name: str) -> type[MarkdownBlock]:
        """Our code blocks, Textual's own for the rest."""
        return (
            Code if block_name in ("fence", "code_block") else super().get_block_class(block_name)
        )
