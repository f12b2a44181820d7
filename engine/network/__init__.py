"""From files to networks: architectures, weights in place, layers of ours, adapters."""
