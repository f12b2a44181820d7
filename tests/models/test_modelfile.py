"""Modelfiles mean what they mean to Ollama; what is wrong is named with its line."""

import codecs
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidInput
from models.modelfile import (
    Modelfile,
    decode_modelfile,
    format_modelfile,
    parse_modelfile,
    split_instructions,
)

WHOLE = '''
# a comment
FROM   ./tiny.gguf
PARAMETER temperature 0.2
parameter num_ctx 4096
PARAMETER stop "### User: "
PARAMETER stop <|end|>
SYSTEM """
You are "terse".

# not a comment
"""
TEMPLATE "{{ messages }}
on two lines"
MESSAGE user Hello there
MESSAGE assistant """Hi."""
LICENSE MIT
LICENSE """and
more"""
ADAPTER ./lora
REQUIRES 0.14.0
'''


def test_every_instruction_arrives_as_it_is_meant() -> None:
    found = parse_modelfile(WHOLE)
    assert found.base == "./tiny.gguf"
    assert found.adapter == "./lora"
    assert found.parameters == {
        "temperature": 0.2, "num_ctx": 4096, "stop": ["### User: ", "<|end|>"],
    }  # fmt: skip
    assert found.system == '\nYou are "terse".\n\n# not a comment\n'
    assert found.template == "{{ messages }}\non two lines"
    assert found.messages == (
        {"role": "user", "content": "Hello there"},
        {"role": "assistant", "content": "Hi."},
    )
    assert found.licenses == ("MIT", "and\nmore")
    assert found.notes == ("REQUIRES speaks of Ollama's own program and has no effect",)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain text  ", "plain text"),
        ('"quoted  "', "quoted  "),
        ('""', ""),
        ('""""""', ""),
        ('"\'"', "'"),
        ('"""in "quotes" here"""   ', 'in "quotes" here'),
        ('"""\nThis is a\nmultiline system."""', "\nThis is a\nmultiline system."),
        ('"""\'\'"\'""\'""\'"\'\'\'\'\'""\'""\'"""', "''\"'\"\"'\"\"'\"'''''\"\"'\"\"'"),
        ("it's # fine", "it's # fine"),
        ('say "hi"', 'say "hi"'),
    ],
)
def test_values_are_unquoted_as_ollama_does(written: str, value: str) -> None:
    assert parse_modelfile(f"FROM foo\nSYSTEM {written}\n\t\t").system == value
    assert parse_modelfile(f"SYSTEM {written}\r\nFROM foo\r\n").system == value


@pytest.mark.parametrize("text", ["FROM     FOOO BAR    ", 'FROM "FOOO BAR"', "from\tFOOO BAR"])
def test_a_base_may_hold_blanks(text: str) -> None:
    assert parse_modelfile(text).base == "FOOO BAR"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "no FROM line", "begin with"),
        ("PARAMETER seed 1", "no FROM line", "begin with"),
        ("FROM a\n\nSYTEM x", "line 3: unknown instruction 'SYTEM'", "Did you mean SYSTEM?"),
        ("FROM a\nxyzzy x", "line 2: unknown instruction 'xyzzy'", "Known: FROM"),
        ("FROM", "line 1: FROM has no value", ""),
        ("FROM ", "line 1: FROM has no value", ""),
        ("FROM a\nPARAMETER seed\n", "line 2: PARAMETER seed has no value", ""),
        ("FROM a\nPARAMETER\n", "line 2: PARAMETER has no value", ""),
        ("FROM a\nPARAMETER temprature 1", "line 2: unknown parameter 'temprature'", "temperature"),
        ("FROM a\nPARAMETER seed x", "line 2: parameter seed: 'x' is not a whole number", ""),
        ("FROM a\nPARAMETER seed 1.5", "line 2: parameter seed: '1.5' is not a whole", ""),
        ("FROM a\nPARAMETER top_p nan", "line 2: parameter top_p: 'nan' is not a number", ""),
        ("FROM a\nPARAMETER use_mmap x", "line 2: parameter use_mmap: 'x' is not a true", ""),
        ("FROM a\nMESSAGE badguy hi", "line 2: message role 'badguy'", ""),
        ("FROM a\nMESSAGE system", "line 2: MESSAGE system has no value", ""),
        ('FROM a\nSYSTEM """x\ny""\n', "line 2: the quotation that SYSTEM begins", ""),
        ('FROM a\nSYSTEM "\n', "line 2: the quotation that SYSTEM begins does not end", ""),
        ("FROM a\nFROM b", "line 2: a second FROM", ""),
        ("FROM a\nDRAFT ./b", "line 2: DRAFT is not supported", ""),
        ("FROM a\nREQUIRES soon", "line 2: REQUIRES 'soon'", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_modelfile(text)
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")


def test_former_parameters_are_noted_and_left_out() -> None:
    found = parse_modelfile("FROM a\nPARAMETER mirostat 2\nPARAMETER num_gqa 8")
    assert found.parameters == {}
    assert len(found.notes) == 2
    assert "mirostat" in found.notes[0]


@pytest.mark.parametrize(
    "raw",
    [
        "FROM bób".encode(),
        codecs.BOM_UTF8 + "FROM bób".encode(),
        codecs.BOM_UTF16_LE + "FROM bób".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "FROM bób".encode("utf-16-be"),
    ],
)
def test_modelfiles_come_in_utf8_and_utf16(raw: bytes) -> None:
    assert parse_modelfile(decode_modelfile(raw)).base == "bób"
    with pytest.raises(InvalidInput, match="not text in UTF-8"):
        decode_modelfile(b"FROM \xff")


LINE = st.text(st.characters(codec="utf-8", exclude_characters='"\r'))


@given(LINE)
def test_what_is_quoted_thrice_comes_back_as_it_was(text: str) -> None:
    (found,) = split_instructions(f'SYSTEM """{text}"""')
    assert found.value == text


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    with suppress(InvalidInput):
        parse_modelfile(text)


WRITABLE = st.text(st.characters(codec="utf-8", exclude_characters="\r")).filter(
    lambda text: '"""' not in text
)


@given(WRITABLE, WRITABLE, st.lists(WRITABLE.filter(bool), max_size=3))
def test_what_is_formatted_reads_back_the_same(system: str, turn: str, stop: list[str]) -> None:
    written = Modelfile(
        base="./a model.gguf",
        system=system,
        parameters={"seed": 7, "stop": stop} if stop else {"seed": 7},
        messages=({"role": "user", "content": turn},),
    )
    assert parse_modelfile(format_modelfile(written)) == written
