"""Text to token ids and back, for every kind of vocabulary a model file brings."""

from engine.tokenizer.tokenizer import Tokenizer, load_gguf_tokenizer, load_tokenizer_directory

__all__ = ["Tokenizer", "load_gguf_tokenizer", "load_tokenizer_directory"]
