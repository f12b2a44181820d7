"""Tokens in, tokens out: scheduling, paged KV cache, sampling. No HTTP, no terminal."""
