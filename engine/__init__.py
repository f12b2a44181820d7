"""Tokens in, tokens out: requests, scheduling, paged KV cache, sampling, loading. No HTTP, no terminal."""
