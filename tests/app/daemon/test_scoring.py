"""Echo with log-probabilities, as evaluation harnesses score texts with it."""

from app.daemon.answer import Answer
from app.daemon.encoder import Times
from app.daemon.ollama.requests import to_generates
from app.daemon.openai.completion_replies import CompletionEncoder
from app.daemon.openai.requests import parse_completion
from app.protocol import Delta, Done, Generate
from engine.request import RequestStats
from models.files import ModelFiles

FILES = ModelFiles("m:latest", "gguf", (), None, "d" * 64)
SCORE = {"model": "m", "prompt": [5, 6], "echo": True, "logprobs": 1, "max_tokens": 1}
READ = [
    {"token": "a", "bytes": [97], "logprob": None},
    {"token": "b", "bytes": [98], "logprob": -2.0, "top_logprobs": []},
]


def generate(**changes: object) -> Generate:
    (text,) = parse_completion({**SCORE, **changes}).texts
    return to_generates(text, FILES)[0]


def test_a_prompt_that_is_scored_is_followed_by_a_token_whatever_the_model_wants() -> None:
    assert generate().sampling.ignore_eos
    assert generate(max_tokens=0).sampling.ignore_eos
    assert not generate(max_tokens=2).sampling.ignore_eos
    assert not generate(echo=False).sampling.ignore_eos
    assert not generate(logprobs=None).sampling.ignore_eos


def test_a_prompts_likelihoods_are_given_even_where_nothing_follows() -> None:
    asked = generate()
    answer = Answer(asked)
    answer.add(Delta(asked.id, prompt_logprobs=READ))
    answer.add(Done(asked.id, "stop", RequestStats(2, 0, 0, 0, 0, 0.0, 0.0, 0.0)))
    encoder = CompletionEncoder("m", [asked.id], include_usage=False, echoes=[""])
    (choice,) = encoder.whole({asked.id: answer}, Times(1.0, 0.0))["choices"]
    assert choice["logprobs"]["token_logprobs"] == [None, -2.0]
    assert choice["text"] == "ab"
