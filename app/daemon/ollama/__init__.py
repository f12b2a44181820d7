"""Ollama's API: its fields, requests, replies and routes."""
