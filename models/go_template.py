"""Reads Go's template language as far as Ollama's templates use it, into a tree. Pure.

Texts, `if`, `range`, `with`, variables, pipelines and the functions in `FUNCTIONS`; anything else
is refused by name. The language is that of Go's package text/template.
"""

import ast
import re
from collections.abc import Callable
from typing import NoReturn

from models.errors import InvalidInput
from models.go_template_nodes import (
    Action,
    Branch,
    Call,
    Expression,
    Field,
    Inner,
    Jump,
    Literal,
    Node,
    Pipeline,
    Text,
    Variable,
)

FUNCTIONS = frozenset(
    (
        *("and", "or", "not", "len", "index", "slice", "eq", "ne", "lt", "le", "gt", "ge"),
        *("print", "printf", "println", "json", "currentDate", "yesterdayDate"),
    )
)
_ACTION = re.compile(
    r"\{\{(?P<left>-(?=\s))?"
    r"(?:\s*/\*(?P<comment>.*?)\*/|(?P<body>(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^\"`}]|\}(?!\}))*?))"
    r"(?P<right>\s+-)?\s*\}\}",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"(?:\\.|[^\"\\])*\"|`[^`]*`)|(?P<number>[+-]?\d+(?:\.\d+)?)"
    r"|(?P<variable>\$\w*(?:\.\w+)*)|(?P<field>(?:\.\w+)+|\.)|(?P<close>\)(?:\.\w+)*)"
    r"|(?P<mark>[|(])|(?P<word>[A-Za-z_]\w*))"
)
_TAKING = re.compile(r"\s*(\$\w+)(?:\s*,\s*(\$\w+))?\s*(:=|=)")
_CONSTANTS = {"true": True, "false": False, "nil": None}


def parse_go_template(source: str) -> tuple[Node, ...]:
    """The tree of a template.

    Raises:
        InvalidInput: it is not one, or uses what is not supported, with its line.
    """
    parser = _Parser(source)
    nodes, end = parser.parse_list()
    if end:
        parser.refuse(f"{{{{ {end} }}}} without a beginning")
    return nodes


class _Parser:
    """Texts and actions in turn; each action is read by `_Tokens`."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._place = 0
        self._trims = False
        """Whether the last action takes the white space behind it."""

    def refuse(self, what: str) -> NoReturn:
        """Say what is wrong, and where."""
        line = self._source.count("\n", 0, self._place) + 1
        raise InvalidInput(f"the template's line {line}: {what}")

    def parse_list(self) -> tuple[tuple[Node, ...], str]:
        """Nodes up to the `end` or `else…` that ends them, and that."""
        nodes: list[Node] = []
        while self._place < len(self._source):
            body = self._take_text(nodes)
            if body is None:
                break
            word = re.match(r"\w*", body)[0]  # type: ignore[index]
            if word in ("end", "else"):
                return tuple(nodes), body
            if word in ("if", "with", "range"):
                nodes.append(self._parse_branch(word, body[len(word) :]))
            elif body in ("break", "continue"):
                nodes.append(Jump(body))
            elif word in ("define", "template", "block"):
                self.refuse(f"{{{{ {word} }}}} is not supported")
            elif body:
                nodes.append(Action(self._pipeline(body)))
        return tuple(nodes), ""

    def _take_text(self, nodes: list[Node]) -> str | None:
        """Take the text before the next action, and that; "" for a comment, None at the end."""
        start = self._source.find("{{", self._place)
        found = _ACTION.match(self._source, start) if start >= 0 else None
        if start >= 0 and found is None:
            self._place = start
            self.refuse("{{ without }}")
        text = self._source[self._place : start if start >= 0 else None]
        text = text.lstrip(" \t\r\n") if self._trims else text
        if found is not None and found["left"]:
            text = text.rstrip(" \t\r\n")
        if text:
            nodes.append(Text(text))
        if found is None:
            self._place = len(self._source)
            return None
        self._place, self._trims = found.end(), found["right"] is not None
        return (found["body"] or "").strip()

    def _parse_branch(self, kind: str, text: str) -> Branch:
        pipeline = self._pipeline(text, is_range=kind == "range")
        body, end = self.parse_list()
        otherwise: tuple[Node, ...] = ()
        more = end.removeprefix("else").strip()
        if end.startswith("else") and more:
            word = re.match(r"\w*", more)[0]  # type: ignore[index]
            if word not in ("if", "with"):
                self.refuse(f"{{{{ {end} }}}}")
            return Branch(kind, pipeline, body, (self._parse_branch(word, more[len(word) :]),))
        if end == "else":
            otherwise, end = self.parse_list()
        if end != "end":
            self.refuse(f"{{{{ {kind} }}}} without {{{{ end }}}}")
        return Branch(kind, pipeline, body, otherwise)

    def _pipeline(self, text: str, *, is_range: bool = False) -> Pipeline:
        found = _TAKING.match(text)
        names = () if found is None else tuple(filter(None, found.groups()[:2]))
        if len(names) > 1 and not is_range:
            self.refuse("two variables are taken by {{ range }} alone")
        tokens = _Tokens(text if found is None else text[found.end() :], self.refuse)
        expression = tokens.take_pipeline()
        if tokens.kind:
            self.refuse(f"{{{{ {text.strip()} }}}} cannot be read")
        return Pipeline(expression, names, found is None or found[3] == ":=")


class _Tokens:
    """One pipeline: commands with `|` between them, each a value or a function with arguments."""

    def __init__(self, text: str, refuse: Callable[[str], NoReturn]) -> None:
        self._text = text.rstrip()
        self._place = 0
        self._refuse = refuse
        self.kind = ""
        """Of the token that is next; empty at the end."""
        self._token = ""
        self._advance()

    def take_pipeline(self) -> Expression:
        """Each command is the last argument of the next."""
        expression = self._take_command(())
        while self._token == "|":
            self._advance()
            expression = self._take_command((expression,))
        return expression

    def _take_command(self, last: tuple[Expression, ...]) -> Expression:
        if self.kind == "word" and self._token not in _CONSTANTS:
            name = self._token
            if name not in FUNCTIONS:
                known = ", ".join(sorted(FUNCTIONS))
                self._refuse(f"the function {name!r} is not supported; known are {known}")
            self._advance()
            arguments: list[Expression] = []
            while self.kind not in ("", "mark", "close") or self._token == "(":
                arguments.append(self._take_value())
            return Call(name, (*arguments, *last))
        value = self._take_value()
        if last or (self.kind not in ("", "close") and self._token != "|"):
            self._refuse(f"{self._text.strip()!r}: only functions have arguments")
        return value

    def _take_value(self) -> Expression:
        kind, token = self.kind, self._token
        self._advance()
        if kind == "string":
            return Literal(token[1:-1] if token[0] == "`" else _unquoted(token))
        if kind == "number":
            return Literal(float(token) if "." in token else int(token))
        if kind == "field":
            return Field(tuple(filter(None, token.split("."))))
        if kind == "variable":
            name, *path = token.split(".")
            return Variable(name, tuple(path))
        if kind == "word" and token in _CONSTANTS:
            return Literal(_CONSTANTS[token])
        if kind == "word" and token in FUNCTIONS:
            return Call(token, ())
        if token != "(":
            self._refuse(f"{self._text.strip()!r} cannot be read at {token!r}")
        expression = self.take_pipeline()
        if self.kind != "close":
            self._refuse(f"{self._text.strip()!r}: ( without )")
        names = tuple(filter(None, self._token[1:].split(".")))
        self._advance()
        return Inner(expression, names) if names else expression

    def _advance(self) -> None:
        found = _TOKEN.match(self._text, self._place)
        if found is None:
            if self._place < len(self._text):
                self._refuse(
                    f"{self._text.strip()!r} cannot be read at {self._text[self._place :]!r}"
                )
            self.kind, self._token = "", ""
            return
        assert found.lastgroup is not None
        self.kind, self._token = found.lastgroup, found[found.lastgroup]
        self._place = found.end()


def _unquoted(token: str) -> str:
    text = ast.literal_eval(token)
    assert isinstance(text, str)
    return text
