"""Everything a person or a client touches: commands, settings, the daemon and the terminal app."""
