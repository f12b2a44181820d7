import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.history import History, parse_search
from app.tui.conversation import Conversation, Message, ReplyStats, ToolCall
from models.errors import NotFound, StorageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "history.sqlite3"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    opened = History(path)
    yield opened
    opened.close()


def add_chat(history: History, title: str, *texts: str) -> int:
    chat_id = history.add_chat(title, "pocket", {})
    for place, text in enumerate(texts):
        role = "assistant" if place % 2 else "user"
        message = Message(role, text, parent=place - 1 if place else None)  # type: ignore[arg-type]
        history.add_message(chat_id, place, message)
    return chat_id


def test_a_chat_comes_back_as_it_was(history: History, path: Path) -> None:
    reply = Message(
        "assistant",
        "Sunny.",
        thinking="Which city?",
        thinking_s=1.5,
        tool_calls=(ToolCall("weather", {"city": "Bern", "days": [1, 2]}),),
        model="pocket",
        done_reason="stop",
        num_dropped_messages=2,
        stats=ReplyStats(100, 80, 50, 2.0, 40, 30, ttft_s=0.2),
    )
    conversation = Conversation().add(Message("user", "Weather?")).add(reply)
    chat_id = history.add_chat("Weather", "pocket", {"temperature": 0.5})
    for place, message in enumerate(conversation.messages):
        history.add_message(chat_id, place, message)
    history.close()

    again = History(path)
    stored = again.read_chat(chat_id)
    assert stored.conversation == conversation
    assert stored.options == {"temperature": 0.5}
    assert (stored.title, stored.model) == ("Weather", "pocket")
    again.close()


def test_the_shown_branch_is_remembered(history: History) -> None:
    chat_id = add_chat(history, "Chat", "a", "b")
    history.add_message(chat_id, 2, Message("assistant", "other b", parent=0))
    history.set_leaf(chat_id, 1)
    assert history.read_chat(chat_id).conversation.leaf == 1


def test_the_latest_chat_stands_first(history: History) -> None:
    first, second = add_chat(history, "First", "a"), add_chat(history, "Second", "b")
    assert [chat.id for chat in history.chats()] == [second, first]
    history.add_message(first, 1, Message("assistant", "more", parent=0))
    assert [chat.id for chat in history.chats()] == [first, second]


def test_search_finds_messages_and_titles_by_all_words(history: History) -> None:
    cats = add_chat(history, "About pets", "The cat sleeps", "Cats sleep a lot")
    trees = add_chat(history, "About trees", "A binary tree", "has two branches")
    assert [chat.id for chat in history.search("cat sleeps")] == [cats]
    assert [chat.id for chat in history.search("trees")] == [trees]
    assert {chat.id for chat in history.search("about")} == {cats, trees}
    assert history.search("cat branches") == []


def test_the_last_word_of_a_search_may_be_unfinished(history: History) -> None:
    chat_id = add_chat(history, "Chat", "Photosynthesis explained")
    (found,) = history.search("photosy")
    assert found.id == chat_id
    assert "Photosynthesis" in found.excerpt
    assert history.search("synthesis") == []


def test_search_takes_no_offence_at_signs_and_accents(history: History) -> None:
    chat_id = add_chat(history, "Chat", 'déjà vu, "quoted" AND (more)')
    for text in ("deja", '"', "quoted)", "AND", "-vu", "more*"):
        assert [chat.id for chat in history.search(text)] == [chat_id], text


def test_a_blank_search_lists_everything(history: History) -> None:
    add_chat(history, "Chat", "a")
    assert history.search("  ") == history.chats()
    assert parse_search(" ,; ") == ""


def test_a_renamed_chat_is_found_by_its_title_alone(history: History) -> None:
    chat_id = add_chat(history, "Walrus", "a")
    history.rename(chat_id, "Penguin")
    assert history.search("walrus") == []
    assert [chat.title for chat in history.search("penguin")] == ["Penguin"]
    assert history.title(chat_id) == "Penguin"


def test_a_deleted_chat_is_gone_also_from_the_search(history: History) -> None:
    chat_id = add_chat(history, "Secret", "a hidden word")
    history.delete(chat_id)
    assert history.chats() == []
    assert history.search("hidden") == []
    assert history.search("secret") == []
    with pytest.raises(NotFound):
        history.read_chat(chat_id)
    with pytest.raises(NotFound):
        history.title(chat_id)


def test_preferences_are_kept(history: History) -> None:
    assert history.preference("theme") is None
    history.set_preference("theme", "nord")
    history.set_preference("theme", {"any": ["json", 1]})
    assert history.preference("theme") == {"any": ["json", 1]}


def test_two_windows_share_one_history(history: History, path: Path) -> None:
    other = History(path)
    chat_id = add_chat(other, "From the other window", "a")
    assert [chat.id for chat in history.chats()] == [chat_id]
    other.close()


def test_nobody_else_can_read_what_was_said(history: History, path: Path) -> None:
    add_chat(history, "Private", "a")
    modes = {file.stat().st_mode & 0o777 for file in path.parent.glob("history.sqlite3*")}
    assert modes == {0o600}


def test_a_file_that_is_no_history_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageError, match="cannot be opened"):
        History(path)


def test_a_history_of_a_newer_version_is_refused(history: History, path: Path) -> None:
    history.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StorageError, match="has format 99"):
        History(path)


def test_a_failed_write_says_so_and_changes_nothing(history: History) -> None:
    chat_id = add_chat(history, "Chat", "a")
    with pytest.raises(StorageError, match="cannot be written"):
        history.add_message(chat_id, 0, Message("user", "the same place"))
    assert [m.content for m in history.read_chat(chat_id).conversation.messages] == ["a"]
