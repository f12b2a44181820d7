"""The daemon started by the system: as a launchd agent on macOS, a systemd user unit on Linux."""
