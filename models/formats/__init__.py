"""Model files: GGUF and safetensors, read and written without arrays."""
