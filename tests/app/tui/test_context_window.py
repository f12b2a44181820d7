from app.tui.context_window import num_dropped_messages
from app.tui.conversation import Conversation, Message, ReplyStats


def long_chat(num_turns: int, chars: int, *, num_dropped: int = 0) -> Conversation:
    conversation = Conversation()
    for turn in range(num_turns):
        conversation = conversation.add(Message("user", "u" * chars))
        last = num_dropped if turn == num_turns - 1 else 0
        conversation = conversation.add(
            Message("assistant", "a" * chars, num_dropped_messages=last)
        )
    return conversation.add(Message("user", "and now?"))


def test_a_short_chat_goes_in_whole() -> None:
    assert num_dropped_messages(long_chat(3, 60), "", 2048, 512) == 0


def test_nothing_is_dropped_while_the_context_is_unknown() -> None:
    assert num_dropped_messages(long_chat(100, 300), "", None, 512) == 0


def test_a_long_chat_loses_its_oldest_turns_and_begins_with_the_user() -> None:
    conversation = long_chat(20, 300)
    dropped = num_dropped_messages(conversation, "", 2048, 512)
    assert 0 < dropped < 40
    assert dropped % 2 == 0


def test_what_was_left_out_stays_out_so_that_the_prefix_stays_the_same() -> None:
    before = num_dropped_messages(long_chat(20, 300), "", 2048, 512)
    assert num_dropped_messages(long_chat(21, 300, num_dropped=before), "", 2048, 512) == before


def test_the_last_message_is_never_dropped() -> None:
    conversation = Conversation().add(Message("user", "x" * 100_000))
    assert num_dropped_messages(conversation, "", 2048, 512) == 0
    conversation = long_chat(1, 300).add(Message("user", "x" * 100_000))
    assert num_dropped_messages(conversation, "", 2048, 512) == 3


def test_the_ratio_is_learnt_from_the_last_reply() -> None:
    conversation = Conversation().add(Message("user", "好" * 1000))
    stats = ReplyStats(num_prompt_tokens=1016)
    conversation = conversation.add(Message("assistant", "好" * 500, stats=stats))
    conversation = conversation.add(Message("user", "好" * 300))
    assert num_dropped_messages(conversation, "", 2048, 512) == 2
    english = Conversation(
        tuple(
            m if m.stats is None else Message("assistant", m.content, 0)
            for m in conversation.messages
        ),
        conversation.leaf,
    )
    assert num_dropped_messages(english, "", 2048, 512) == 0
