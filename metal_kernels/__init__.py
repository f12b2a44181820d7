"""Every custom op: its reference, its Metal shader, its CPU twin, and the module that picks."""
