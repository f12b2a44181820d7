"""The chat screen and the dialogs above it."""
