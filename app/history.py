"""The chat history: an SQLite file with full-text search over messages and titles.

It stores the trees of `app.tui.conversation` and small preferences; it knows no screen.
"""

import dataclasses
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.history_schema import SCHEMA, SCHEMA_VERSION
from app.tui.conversation import Conversation, Message, ReplyStats, ToolCall
from models.errors import NotFound, StorageError

_SUMMARY = """
SELECT chat.id, chat.title, chat.model, chat.updated_at, {excerpt} AS excerpt FROM chat
"""


@dataclass(frozen=True)
class ChatSummary:
    """One line of the list of past chats."""

    id: int
    title: str
    model: str
    updated_at: float
    """Seconds since the epoch."""
    excerpt: str = ""
    """Where a search found its words, in one line; empty in a plain listing."""


@dataclass(frozen=True)
class StoredChat:
    """A past chat with all its messages."""

    id: int
    title: str
    model: str
    options: Mapping[str, Any]
    conversation: Conversation


class History:
    """The open history file. Used from one thread; several processes may have it open.

    Raises:
        StorageError: the file cannot be opened, is damaged or was written by a newer version.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file at `path`, which nobody else may read.

        None keeps everything in memory, for when the disk is in the way.
        """
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=5)
            with ExitStack() as on_failure:
                on_failure.callback(self._db.close)
                self._prepare(path)
                on_failure.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"the chat history {path} cannot be opened: {error}",
                hint="check the folder's permissions, or move the file away",
            ) from error

    def _prepare(self, path: Path | None) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"the chat history {path} has format {version}, this version reads up to "
                f"{SCHEMA_VERSION}",
                hint="update localllm, or move the file away",
            )
        if version == 0:
            script = f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            self._db.executescript(script)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; a full or read-only disk becomes a StorageError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                yield self._db
        except sqlite3.Error as error:
            raise StorageError(
                f"the chat history cannot be written: {error}",
                hint="check the disk's free space; this chat stays on the screen",
            ) from error

    def close(self) -> None:
        """Write what is open and let the file go."""
        self._db.close()

    def add_chat(self, title: str, model: str, options: Mapping[str, Any]) -> int:
        """Begin a chat; returns its id."""
        now = time.time()
        with self._writing() as db:
            cursor = db.execute(
                "INSERT INTO chat (title, model, options, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (title, model, json.dumps(dict(options)), now, now),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_message(self, chat_id: int, place: int, message: Message) -> None:
        """Store the message at its place and make it the chat's leaf."""
        rest = dataclasses.asdict(message)
        content = rest.pop("content")
        now = time.time()
        with self._writing() as db:
            db.execute(
                "INSERT INTO message (chat_id, place, content, rest, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (chat_id, place, content, json.dumps(rest), now),
            )
            db.execute(
                "UPDATE chat SET leaf = ?, updated_at = ? WHERE id = ?", (place, now, chat_id)
            )

    def set_leaf(self, chat_id: int, leaf: int | None) -> None:
        """Remember which branch of the chat is shown."""
        with self._writing() as db:
            db.execute("UPDATE chat SET leaf = ? WHERE id = ?", (leaf, chat_id))

    def set_model(self, chat_id: int, model: str, options: Mapping[str, Any]) -> None:
        """Remember which model and options the chat goes on with."""
        with self._writing() as db:
            db.execute(
                "UPDATE chat SET model = ?, options = ? WHERE id = ?",
                (model, json.dumps(dict(options)), chat_id),
            )

    def rename(self, chat_id: int, title: str) -> None:
        """Give the chat another title."""
        with self._writing() as db:
            db.execute("UPDATE chat SET title = ? WHERE id = ?", (title, chat_id))

    def delete(self, chat_id: int) -> None:
        """Remove the chat with its messages, also from the search index."""
        with self._writing() as db:
            db.execute("DELETE FROM message WHERE chat_id = ?", (chat_id,))
            db.execute("DELETE FROM chat WHERE id = ?", (chat_id,))

    def chats(self, *, limit: int = 200) -> list[ChatSummary]:
        """The most recently used chats, newest first."""
        query = _SUMMARY.format(excerpt="''") + "ORDER BY updated_at DESC LIMIT ?"
        return self._summaries(query, (limit,))

    def search(self, text: str, *, limit: int = 100) -> list[ChatSummary]:
        """The chats with all of the words of `text` in their title or in one message.

        The last word may be unfinished. Newest first.
        """
        match = parse_search(text)
        if not match:
            return self.chats(limit=limit)
        excerpt = "max(found.excerpt)"
        query = _SUMMARY.format(excerpt=excerpt) + (
            "JOIN (SELECT rowid AS chat_id, '' AS excerpt FROM chat_title WHERE title MATCH ?"
            " UNION ALL SELECT message.chat_id, hit.excerpt FROM (SELECT rowid,"
            " snippet(message_text, 0, '', '', '…', 12) AS excerpt"
            " FROM message_text WHERE content MATCH ?) AS hit"
            " JOIN message ON message.id = hit.rowid) AS found ON found.chat_id = chat.id"
            " GROUP BY chat.id ORDER BY chat.updated_at DESC LIMIT ?"
        )
        return self._summaries(query, (match, match, limit))

    def _summaries(self, query: str, values: tuple[object, ...]) -> list[ChatSummary]:
        with closing(self._db.execute(query, values)) as rows:
            return [
                ChatSummary(id_, title, model, updated_at, " ".join(excerpt.split()))
                for id_, title, model, updated_at, excerpt in rows
            ]

    def read_chat(self, chat_id: int) -> StoredChat:
        """A past chat as it was left.

        Raises:
            NotFound: another window deleted it.
        """
        row = self._db.execute(
            "SELECT title, model, options, leaf FROM chat WHERE id = ?", (chat_id,)
        ).fetchone()
        if row is None:
            raise NotFound("this chat is no longer in the history")
        title, model, options, leaf = row
        rows = self._db.execute(
            "SELECT content, rest FROM message WHERE chat_id = ? ORDER BY place", (chat_id,)
        )
        messages = tuple(parse_message(content, json.loads(rest)) for content, rest in rows)
        return StoredChat(chat_id, title, model, json.loads(options), Conversation(messages, leaf))

    def title(self, chat_id: int) -> str:
        """The chat's title.

        Raises:
            NotFound: another window deleted it.
        """
        row = self._db.execute("SELECT title FROM chat WHERE id = ?", (chat_id,)).fetchone()
        if row is None:
            raise NotFound("this chat is no longer in the history")
        return str(row[0])

    def preference(self, name: str) -> Any:
        """A remembered choice, None when there is none."""
        row = self._db.execute("SELECT value FROM preference WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_preference(self, name: str, value: object) -> None:
        """Remember a choice (anything JSON can hold)."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO preference (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, json.dumps(value)),
            )


def parse_search(text: str) -> str:
    """What the user typed, as an FTS5 query: every word, the last one as a prefix."""
    words = re.findall(r"\w+", text)
    if not words:
        return ""
    return " ".join(f'"{word}"' for word in words) + " *"


def parse_message(content: str, rest: Mapping[str, Any]) -> Message:
    """A stored message; fields of other versions are passed over."""
    known = {field.name for field in dataclasses.fields(Message)}
    values = {name: value for name, value in rest.items() if name in known}
    values["tool_calls"] = tuple(ToolCall(**call) for call in values.get("tool_calls", ()))
    if values.get("stats") is not None:
        values["stats"] = ReplyStats(**values["stats"])
    return Message(content=content, **values)
