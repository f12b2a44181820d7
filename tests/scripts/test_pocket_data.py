"""The bundled model's training text: repeatable, split by construction, true to the product."""

import random
import re

import click
import pytest

from app.cli.root import COMMANDS, root
from engine.text.chat_template import ChatTemplate
from scripts.pocket.dialogue import Dialogue, Split, share
from scripts.pocket.help_intents import INTENTS, Intent
from scripts.pocket.mix import SKILLS, held_out_set
from scripts.pocket.scoring import is_right
from scripts.pocket.skills import (
    arithmetic,
    copy_phrasings,
    extraction,
    extraction_phrasings,
    help_answers,
    memory,
    style,
)
from scripts.pocket.skills.tool_kinds import KINDS, KINDS_OF
from scripts.pocket.skills.wording import normal
from scripts.pocket.template import TEMPLATE, render_prompt

NAMES = sorted(SKILLS)
SPLITS: tuple[Split, ...] = ("train", "held_out")
COMMAND = re.compile(r"localllm ([a-z]+)([^`\n]*)")
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def draw(skill: str, count: int) -> list[Dialogue]:
    rng = random.Random(7)
    return [SKILLS[skill](rng, "train") for _ in range(count)]


def asked(dialogue: Dialogue) -> tuple[str, str]:
    """The system prompt and the last thing that the user said."""
    first = dialogue.prompt[0]
    said = [m["content"] for m in dialogue.prompt if m["role"] == "user"]
    return (first["content"] if first["role"] == "system" else "", said[-1])


@pytest.mark.parametrize("skill", NAMES)
def test_the_same_seed_makes_the_same_dialogues(skill: str) -> None:
    assert draw(skill, 40) == draw(skill, 40)
    assert held_out_set(skill, 20) == held_out_set(skill, 20)


@pytest.mark.parametrize("skill", NAMES)
def test_every_dialogue_ends_with_an_answer_that_its_own_check_accepts(skill: str) -> None:
    for dialogue in draw(skill, 100) + held_out_set(skill, 50):
        assert dialogue.answer["role"] == "assistant"
        assert is_right(dialogue, dialogue.answer), dialogue


@pytest.mark.parametrize("skill", NAMES)
def test_no_held_out_prompt_is_ever_trained(skill: str) -> None:
    shared = {asked(d) for d in draw(skill, 1500)} & {asked(d) for d in held_out_set(skill, 200)}
    assert not shared, sorted(shared)[:5]


def phrasings() -> list[tuple[str, ...]]:
    lists = [
        copy_phrasings.REPEAT,
        copy_phrasings.NTH,
        extraction_phrasings.ASK,
        arithmetic.ASK,
        style.MARKS,
    ]
    lists += [t for topic in memory.TOPICS.values() for t in (topic.tell, topic.ask)]
    lists += [rule.phrasings for rule in style.RULES.values()] + [style.ONE_WORD]
    lists += [tuple(x) for x in extraction.DOMAINS.values()]
    return lists


def test_no_phrasing_stands_in_both_shares_in_another_spelling() -> None:
    for items in phrasings():
        shares = [
            {re.sub(r"[^\w{}]+", " ", text.lower()).strip() or text for text in share(items, split)}
            for split in ("train", "held_out")
        ]
        assert not shares[0] & shares[1], shares[0] & shares[1]


def test_a_held_out_kind_of_tool_shares_no_request_with_a_trained_one() -> None:
    trained, held_out = (
        {text.lower() for kind in KINDS_OF[split] for text in kind.requests} for split in SPLITS
    )
    assert len(KINDS_OF["train"]) + len(KINDS_OF["held_out"]) == len(KINDS) >= 120
    assert not trained & held_out


@pytest.mark.parametrize("thinking", [False, True])
def test_the_product_renders_the_text_that_was_trained(thinking: bool) -> None:
    ours = ChatTemplate(TEMPLATE)
    for skill in NAMES:
        for dialogue in draw(skill, 10):
            expected = render_prompt(dialogue.prompt, dialogue.tools, thinking)
            rendered = ours.render(dialogue.prompt, tools=dialogue.tools, thinking=thinking)
            assert rendered == expected


def test_there_are_at_least_a_hundred_intents_with_distinct_answers() -> None:
    answers = [answer for intent in INTENTS for answer in intent.answers]
    assert len(INTENTS) >= 100
    assert len(set(answers)) == len(answers)


@pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.name)
def test_help_is_asked_in_many_ways_and_never_as_a_held_out_question(intent: Intent) -> None:
    rng = random.Random(intent.name)
    asked = {normal(help_answers.ask(rng, "train", intent)) for _ in range(400)}
    held_out = {normal(text) for text in intent.held_out}
    assert intent.asked.num_variants + intent.done.num_variants >= 60
    assert len(held_out) >= 4
    assert not asked & held_out


def test_no_held_out_question_belongs_to_two_intents() -> None:
    assert len(help_answers.HELD_OUT) == sum(
        len({normal(text) for text in intent.held_out}) for intent in INTENTS
    )


def options_of(command: click.Command) -> set[str]:
    return {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"-h", "--help"}


def find_command(name: str) -> click.Command:
    assert name in COMMANDS, f"the help names a command that is not there: localllm {name}"
    command = root.get_command(click.Context(root), name)
    assert command is not None
    return command


@pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.name)
def test_help_names_only_commands_and_options_that_exist(intent: Intent) -> None:
    for answer in intent.answers:
        assert all(part in answer for part in intent.must)
        for name, rest in COMMAND.findall(answer):
            unknown_flags = set(FLAG.findall(rest)) - options_of(find_command(name))
            assert not unknown_flags, f"localllm {name} has no {unknown_flags}"
        outside = set(FLAG.findall(COMMAND.sub("", answer)))
        known = {o for name in ("run", "serve", "finetune") for o in options_of(find_command(name))}
        assert outside <= known | options_of(root) | {"-d", "-h"}, outside
