"""The daemon: HTTP in front of worker processes. Never imports MLX."""
