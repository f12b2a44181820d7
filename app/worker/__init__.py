"""The process that holds one model, and what it makes of the protocol."""
