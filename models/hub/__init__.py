"""The Hugging Face Hub: what to fetch, and fetching it."""
