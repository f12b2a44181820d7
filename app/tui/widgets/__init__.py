"""The parts of the chat screen, one widget per file."""
