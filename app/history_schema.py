"""The tables of the chat history and their search indexes, which triggers keep in step."""

SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE chat (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    model TEXT NOT NULL,
    options TEXT NOT NULL,
    leaf INTEGER,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE INDEX chat_by_time ON chat (updated_at DESC);
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    chat_id INTEGER NOT NULL REFERENCES chat (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    content TEXT NOT NULL,
    rest TEXT NOT NULL,
    created_at REAL NOT NULL,
    UNIQUE (chat_id, place)
);
CREATE TABLE preference (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE VIRTUAL TABLE message_text USING fts5 (
    content, content='message', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE chat_title USING fts5 (
    title, content='chat', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
);
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
    INSERT INTO message_text (rowid, content) VALUES (new.id, new.content);
END;
CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
    INSERT INTO message_text (message_text, rowid, content)
    VALUES ('delete', old.id, old.content);
END;
CREATE TRIGGER chat_added AFTER INSERT ON chat BEGIN
    INSERT INTO chat_title (rowid, title) VALUES (new.id, new.title);
END;
CREATE TRIGGER chat_removed AFTER DELETE ON chat BEGIN
    INSERT INTO chat_title (chat_title, rowid, title) VALUES ('delete', old.id, old.title);
END;
CREATE TRIGGER chat_renamed AFTER UPDATE OF title ON chat BEGIN
    INSERT INTO chat_title (chat_title, rowid, title) VALUES ('delete', old.id, old.title);
    INSERT INTO chat_title (rowid, title) VALUES (new.id, new.title);
END;
"""
