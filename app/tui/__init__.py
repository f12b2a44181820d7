"""The terminal chat: a Textual client of the daemon. It knows no model and no engine."""
