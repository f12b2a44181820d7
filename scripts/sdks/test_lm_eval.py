"""lm-eval's API models: log-likelihoods by echo, and generation, over `/v1/completions`.

Its tokenizer is ours, asked over `/v1/tokenize`.
"""

from types import SimpleNamespace

import httpx
import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI


class OurTokenizer:
    """What lm-eval asks of a tokenizer."""

    eos_token_id = 0
    bos_token_id = None
    eos_token = ""

    def __init__(self, url: str, model: str) -> None:
        self._url = url
        self._model = model

    def encode(self, text: str, **_: object) -> list[int]:
        """Token ids."""
        asked = {"model": self._model, "prompt": text, "add_special_tokens": False}
        tokens: list[int] = httpx.post(f"{self._url}/v1/tokenize", json=asked, timeout=120).json()[
            "tokens"
        ]
        return tokens

    def __call__(self, texts: list[str] | str, **_: object) -> SimpleNamespace:
        """Token ids of one text or several."""
        is_one = isinstance(texts, str)
        ids = self.encode(texts) if is_one else [self.encode(text) for text in texts]
        return SimpleNamespace(input_ids=ids)

    def decode(self, tokens: list[int], **_: object) -> str:
        """Text."""
        asked = {"model": self._model, "tokens": tokens}
        text: str = httpx.post(f"{self._url}/v1/detokenize", json=asked, timeout=120).json()[
            "prompt"
        ]
        return text


@pytest.fixture
def completions(url: str, model: str) -> LocalCompletionsAPI:
    """lm-eval's model over the completions API."""
    made = LocalCompletionsAPI(
        model=model, base_url=f"{url}/v1/completions", tokenizer_backend=None, max_length=1024
    )
    made.tokenizer = OurTokenizer(url, model)
    made.tokenizer_backend = "huggingface"
    made.tokenized_requests = True
    return made


def ask(kind: str, *arguments: object) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


def test_likelihoods_of_continuations_add_up(completions: LocalCompletionsAPI) -> None:
    pairs = [("How do I pull", " a model?"), ("How do I pull", " zebra xylophone")]
    (likely, _), (unlikely, _) = completions.loglikelihood(
        [ask("loglikelihood", *p) for p in pairs]
    )
    assert unlikely < likely < 0


def test_text_is_generated_until_a_stop(completions: LocalCompletionsAPI) -> None:
    wanted = {"until": ["\n"], "max_gen_toks": 16, "do_sample": False}
    (text,) = completions.generate_until([ask("generate_until", "How do I", wanted)])
    assert "\n" not in text


def test_a_chat_is_answered(url: str, model: str) -> None:
    chat = LocalChatCompletion(model=model, base_url=f"{url}/v1/chat/completions")
    messages = chat.apply_chat_template([{"role": "user", "content": "Hello"}])
    wanted = {"until": [], "max_gen_toks": 16, "do_sample": False}
    (text,) = chat.generate_until([ask("generate_until", messages, wanted)])
    assert text
