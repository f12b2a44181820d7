"""Configurations from GGUF metadata, one module for each kin of architectures."""
