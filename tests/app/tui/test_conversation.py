from app.tui.conversation import (
    Conversation,
    Message,
    ReplyStats,
    ToolCall,
    as_markdown,
    file_name,
    last_code_block,
    make_title,
    parse_stats,
    request_messages,
)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text, model="pocket")


def shown(conversation: Conversation) -> list[str]:
    return [conversation.messages[place].content for place in conversation.path()]


def test_messages_follow_one_another() -> None:
    conversation = Conversation().add(user("a")).add(assistant("b")).add(user("c"))
    assert shown(conversation) == ["a", "b", "c"]
    assert [message.parent for message in conversation.messages] == [None, 0, 1]


def test_another_reply_stands_beside_the_first() -> None:
    first = Conversation().add(user("a")).add(assistant("b"))
    second = first.at(0).add(assistant("other b"))
    assert shown(second) == ["a", "other b"]
    assert second.alternatives(2) == [1, 2]
    branch = second.branch(2)
    assert (branch.position, branch.count) == (2, 2)


def test_an_edited_first_message_is_another_root() -> None:
    first = Conversation().add(user("a")).add(assistant("b"))
    edited = first.at(None).add(user("A")).add(assistant("B"))
    assert shown(edited) == ["A", "B"]
    assert shown(edited.switched(-1)) == ["a", "b"]


def test_switching_turns_the_lowest_fork_and_goes_round() -> None:
    conversation = Conversation().add(user("a")).add(assistant("b1"))
    conversation = conversation.at(0).add(assistant("b2")).add(user("c")).add(assistant("d"))
    assert shown(conversation) == ["a", "b2", "c", "d"]
    back = conversation.switched(-1)
    assert shown(back) == ["a", "b1"]
    assert shown(back.switched(1)) == ["a", "b2", "c", "d"]
    assert shown(back.switched(-1)) == ["a", "b2", "c", "d"]


def test_without_forks_switching_changes_nothing() -> None:
    conversation = Conversation().add(user("a")).add(assistant("b"))
    assert conversation.switched(1) is conversation


def test_the_request_holds_system_prompt_and_shown_messages() -> None:
    conversation = Conversation().add(user("a")).add(assistant("b1"))
    conversation = conversation.at(0).add(assistant("b2")).add(user("c"))
    assert request_messages(conversation, "Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b2"},
        {"role": "user", "content": "c"},
    ]


def test_an_unanswered_message_is_joined_to_the_next() -> None:
    conversation = Conversation().add(user("a")).add(user("b"))
    assert request_messages(conversation, "") == [{"role": "user", "content": "a\n\nb"}]


def test_tool_calls_are_sent_back_and_thinking_is_not() -> None:
    reply = Message(
        "assistant", "", thinking="hm", tool_calls=(ToolCall("weather", {"city": "Bern"}),)
    )
    (_, body) = request_messages(Conversation().add(user("a")).add(reply), "")
    assert body == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bern"}}}],
    }
    assert str(reply.tool_calls[0]) == "weather(city='Bern')"


def test_figures_come_from_the_final_chunk() -> None:
    chunk = {
        "prompt_eval_count": 100,
        "cached_prompt_tokens": 80,
        "eval_count": 50,
        "eval_duration": 2_000_000_000,
        "draft": {"proposed": 40, "accepted": 30},
    }
    stats = parse_stats(chunk, ttft_s=0.25)
    assert stats.tokens_per_s == 25
    assert stats.num_context_tokens == 150
    assert stats.num_cached_tokens == 80
    assert stats.acceptance == 0.75
    assert stats.ttft_s == 0.25


def test_a_server_that_tells_nothing_gives_no_figures() -> None:
    stats = parse_stats({}, None)
    assert stats.tokens_per_s is None
    assert stats.acceptance is None
    assert stats == ReplyStats()


def test_the_last_code_block_is_found() -> None:
    text = "Run\n```sh\nls\n```\nthen\n```python\nx = 1\n\ny = 2\n```\ndone `a`"
    assert last_code_block(text) == "x = 1\n\ny = 2"
    assert last_code_block("````\n```\ninner\n```\n````") == "```\ninner\n```"
    assert last_code_block("cut\n```\nhalf") == "half"
    assert last_code_block("`inline` only") is None


def test_titles_are_the_first_line_cut_at_a_word() -> None:
    assert make_title("\n  Hello   there \nmore") == "Hello there"
    assert make_title("word " * 30) == "word " * 10 + "word…"
    assert len(make_title("x" * 200)) == 60
    assert make_title("   ") == "New chat"


def test_a_chat_can_be_exported() -> None:
    conversation = Conversation().add(user("Hi")).add(assistant("Hello!"))
    text = as_markdown(conversation, "Greeting")
    assert text == "# Greeting\n\n## You\n\nHi\n\n## pocket\n\nHello!\n"
    assert file_name("What's a B+ tree?") == "what-s-a-b-tree.md"
    assert file_name("???") == "chat.md"


def test_the_figures_shown_are_of_the_last_complete_reply() -> None:
    whole, stopped = ReplyStats(num_prompt_tokens=10), ReplyStats(num_output_tokens=3)
    conversation = Conversation().add(user("a")).add(Message("assistant", "b", stats=whole))
    conversation = conversation.add(user("c")).add(Message("assistant", "d", stats=stopped))
    assert conversation.last_stats() is whole
    assert Conversation().last_stats() is None
