"""Short names that we know a good source for, as of 2026-11.

Each entry is a repository of the Hugging Face Hub, the quantization that a plain pull takes, and
why this source. The first tag of a model is what the name means without one.
"""

from dataclasses import dataclass

from models.name import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, ModelName, near_names

CATALOGUE_DATE = "2026-11"


@dataclass(frozen=True)
class Entry:
    """`name:tag` means `quantization` of `repo` (org/name)."""

    name: str
    tag: str
    repo: str
    quantization: str
    reason: str


_MAKER = "the maker's own GGUF files"
_BARTOWSKI = "the maker publishes no GGUF; bartowski quantizes with an importance matrix"
_UNSLOTH = "carries the maker's fixes of chat template and tokenizer"
_GATED = "the maker's repository is gated; " + _BARTOWSKI.partition("; ")[2]

ENTRIES = (
    Entry("llama3.2", "3b", "bartowski/Llama-3.2-3B-Instruct-GGUF", "Q4_K_M", _GATED),
    Entry("llama3.2", "1b", "bartowski/Llama-3.2-1B-Instruct-GGUF", "Q4_K_M", _GATED),
    Entry("llama3.1", "8b", "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "Q4_K_M", _GATED),
    Entry("llama3.3", "70b", "bartowski/Llama-3.3-70B-Instruct-GGUF", "Q4_K_M", _GATED),
    Entry("qwen3", "8b", "Qwen/Qwen3-8B-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen3", "4b", "Qwen/Qwen3-4B-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen3", "14b", "Qwen/Qwen3-14B-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen3", "32b", "Qwen/Qwen3-32B-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen3", "1.7b", "unsloth/Qwen3-1.7B-GGUF", "Q4_K_M", "the maker's has Q8_0 only"),
    Entry("qwen3", "0.6b", "unsloth/Qwen3-0.6B-GGUF", "Q4_K_M", "the maker's has Q8_0 only"),
    Entry("qwen3", "30b-a3b", "Qwen/Qwen3-30B-A3B-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen2.5", "7b", "bartowski/Qwen2.5-7B-Instruct-GGUF", "Q4_K_M", "in one file"),
    Entry("qwen2.5", "3b", "Qwen/Qwen2.5-3B-Instruct-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen2.5", "1.5b", "Qwen/Qwen2.5-1.5B-Instruct-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen2.5", "0.5b", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen2.5-coder", "7b", "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF", "Q4_K_M", _MAKER),
    Entry("qwen2.5-coder", "1.5b", "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "Q4_K_M", _MAKER),
    Entry("gemma3", "4b", "unsloth/gemma-3-4b-it-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("gemma3", "1b", "unsloth/gemma-3-1b-it-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("gemma3", "12b", "unsloth/gemma-3-12b-it-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("gemma3", "27b", "unsloth/gemma-3-27b-it-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("gemma2", "2b", "bartowski/gemma-2-2b-it-GGUF", "Q4_K_M", _GATED),
    Entry("gemma2", "9b", "bartowski/gemma-2-9b-it-GGUF", "Q4_K_M", _GATED),
    Entry("phi4-mini", "3.8b", "unsloth/Phi-4-mini-instruct-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("phi4", "14b", "unsloth/phi-4-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("mistral", "7b", "bartowski/Mistral-7B-Instruct-v0.3-GGUF", "Q4_K_M", _BARTOWSKI),
    Entry("mistral-nemo", "12b", "bartowski/Mistral-Nemo-Instruct-2407-GGUF", "Q4_K_M", _BARTOWSKI),
    Entry("smollm2", "1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", "Q4_K_M", _MAKER),
    Entry("smollm2", "360m", "bartowski/SmolLM2-360M-Instruct-GGUF", "Q4_K_M",
          "the maker's has Q8_0 only"),
    Entry("smollm2", "135m", "bartowski/SmolLM2-135M-Instruct-GGUF", "Q4_K_M", _BARTOWSKI),
    Entry("deepseek-r1", "8b", "unsloth/DeepSeek-R1-Distill-Llama-8B-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("deepseek-r1", "7b", "unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("deepseek-r1", "1.5b", "unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("deepseek-r1", "14b", "unsloth/DeepSeek-R1-Distill-Qwen-14B-GGUF", "Q4_K_M", _UNSLOTH),
    Entry("granite3.3", "8b", "ibm-granite/granite-3.3-8b-instruct-GGUF", "Q4_K_M", _MAKER),
    Entry("granite3.3", "2b", "ibm-granite/granite-3.3-2b-instruct-GGUF", "Q4_K_M", _MAKER),
    Entry("tinyllama", "1.1b", "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF", "Q4_K_M",
          "small, old and widely used in tests"),
    Entry("gpt-oss", "20b", "ggml-org/gpt-oss-20b-GGUF", "MXFP4", "as trained, by llama.cpp's"),
    Entry("nomic-embed-text", "v1.5", "nomic-ai/nomic-embed-text-v1.5-GGUF", "F16", _MAKER),
)  # fmt: skip


def find_entry(name: ModelName) -> Entry | None:
    """What a short name means; only names without host and organisation are ours to give.

    >>> find_entry(ModelName.parse("LLAMA3.2")).tag
    '3b'
    """
    if (name.host, name.namespace) != (DEFAULT_HOST, DEFAULT_NAMESPACE):
        return None
    model, tag = name.model.lower(), name.tag.lower()
    for entry in ENTRIES:
        if entry.name == model and tag in (entry.tag, DEFAULT_TAG):
            return entry
    return None


def near_entries(text: str) -> list[str]:
    """Catalogue names that `text` may have been meant for."""
    return near_names(text, [f"{entry.name}:{entry.tag}" for entry in ENTRIES])
