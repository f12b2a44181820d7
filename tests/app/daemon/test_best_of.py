"""`best_of` makes more choices than it shows."""

import pytest

from app.daemon.answer import Answer
from app.daemon.encoder import Times
from app.daemon.openai.completion_replies import CompletionEncoder
from app.daemon.openai.requests import parse_completion
from app.protocol import Delta, Done, Generate, Started
from engine.request import RequestStats
from models.errors import InvalidInput

BODY = {"model": "m", "prompt": ["a", "b"], "n": 2, "best_of": 3}


def answer(request_id: str, *logprobs: float) -> Answer:
    found = Answer(Generate(request_id))
    found.add(Started(request_id, 1))
    shown = [{"token": "t", "bytes": [116], "logprob": each} for each in logprobs]
    found.add(Delta(request_id, content=request_id, logprobs=shown))
    found.add(Done(request_id, "stop", RequestStats(1, 0, len(logprobs), 0, 0, 0.0, 0.0, 0.0)))
    return found


def test_the_likeliest_choices_of_each_prompt_are_shown() -> None:
    answers = {
        request_id: answer(request_id, *logprobs)
        for request_id, logprobs in {
            "p.0": (-3.0,), "p.1": (-0.5, -0.5, -0.5), "p.2": (-1.0,),
            "q.0": (-0.1,), "q.1": (-9.0,), "q.2": (-0.2,),
        }.items()
    }  # fmt: skip
    encoder = CompletionEncoder(
        "m", list(answers), include_usage=False, num_best=2, shows_logprobs=False
    )
    choices = encoder.whole(answers, Times(1.0, 0.0))["choices"]
    assert [choice["text"] for choice in choices] == ["p.1", "p.2", "q.0", "q.2"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert all(choice["logprobs"] is None for choice in choices)


@pytest.mark.compat("POST /v1/completions", "`best_of`")
def test_more_choices_are_asked_for_than_are_shown_and_they_are_scored() -> None:
    asked = parse_completion(BODY)
    assert [(text.num_choices, text.num_logprobs) for text in asked.texts] == [(3, 0), (3, 0)]
    assert (asked.num_best, asked.shows_logprobs) == (2, False)
    plain = parse_completion(BODY | {"best_of": 2})
    assert (plain.num_best, plain.first.num_choices, plain.first.num_logprobs) == (None, 2, None)


@pytest.mark.parametrize("changes", [{"best_of": 1}, {"best_of": 129}, {"stream": True}])
def test_what_cannot_be_done_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="best_of"):
        parse_completion(BODY | changes)
