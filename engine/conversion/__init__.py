"""Models made into other files: quantized, or of another format."""
