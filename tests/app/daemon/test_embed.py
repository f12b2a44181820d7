"""Embeddings, ranking and tokens over HTTP. The fake worker's vectors are [length, 1, 0]."""

import base64
import struct

import gguf
import numpy as np
import pytest

from tests.app.daemon.test_worker_life import read_until


@pytest.fixture
def embedding_file(tmp_path):
    """A model that is for embeddings."""
    path = tmp_path / "vectors.gguf"
    writer = gguf.GGUFWriter(path, "nomic-bert")
    writer.add_embedding_length(32)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.compat("POST /api/embed", "several texts")
def test_vectors_are_of_length_one_and_in_order(shared_daemon) -> None:
    body = shared_daemon.post("/api/embed", {"model": "pocket", "input": ["abc", ""]}).json
    assert body["embeddings"][0] == pytest.approx([3 / 10**0.5, 1 / 10**0.5, 0])
    assert body["embeddings"][1] == [0, 1, 0]
    assert body["prompt_eval_count"] == 3
    assert body["model"] == "pocket"
    assert body["total_duration"] > 0


@pytest.mark.compat("POST /api/embed", "`dimensions`")
def test_fewer_dimensions_are_of_length_one_again(shared_daemon) -> None:
    asked = {"model": "pocket", "input": "abc", "dimensions": 1}
    assert shared_daemon.post("/api/embed", asked).json["embeddings"] == [[1.0]]
    (data,) = shared_daemon.post("/v1/embeddings", asked).json["data"]
    assert data["embedding"] == [1.0]


@pytest.mark.compat("POST /api/embeddings", "one text")
def test_the_older_form_keeps_the_length(shared_daemon) -> None:
    body = shared_daemon.post("/api/embeddings", {"model": "pocket", "prompt": "abc"}).json
    assert body == {"embedding": [3.0, 1.0, 0.0]}


@pytest.mark.parametrize(
    ("path", "asked", "body"),
    [
        ("/api/embed", {"input": ""}, {"model": "pocket", "embeddings": []}),
        ("/api/embed", {}, {"model": "pocket", "embeddings": []}),
        ("/api/embeddings", {}, {"embedding": []}),
    ],
)
def test_nothing_only_loads_the_model(shared_daemon, path, asked, body) -> None:
    assert shared_daemon.post(path, {"model": "pocket", **asked}).json == body
    assert shared_daemon.get("/api/ps").json["models"]


@pytest.mark.compat("POST /v1/embeddings", "texts and token ids")
def test_openais_form_takes_texts_and_tokens(shared_daemon) -> None:
    for given, count in (("abc", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2)):
        body = shared_daemon.post("/v1/embeddings", {"model": "pocket", "input": given}).json
        assert [each["index"] for each in body["data"]] == list(range(count))
        assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] > 0


@pytest.mark.compat("POST /v1/embeddings", "`encoding_format`: base64")
def test_base64_is_little_endian_float32(shared_daemon) -> None:
    asked = {"model": "pocket", "input": "abc", "encoding_format": "base64"}
    (data,) = shared_daemon.post("/v1/embeddings", asked).json["data"]
    numbers = struct.unpack("<3f", base64.b64decode(data["embedding"]))
    assert numbers == pytest.approx((3 / 10**0.5, 1 / 10**0.5, 0))


@pytest.mark.parametrize(
    ("path", "asked", "status", "text"),
    [
        ("/api/embed", {"input": 3}, 400, "invalid input type"),
        ("/api/embed", {"input": ["a", 3]}, 400, "invalid input type"),
        ("/api/embed", {"model": "nope", "input": "a"}, 404, "model 'nope' not found"),
        (
            "/api/embeddings",
            {"model": "nope", "prompt": "a"},
            404,
            'model "nope" not found, try pulling it first',
        ),
        ("/v1/embeddings", {"input": []}, 400, "input must be"),
        ("/v1/embeddings", {"input": ["a", ""]}, 400, "input must not be empty"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
        ("/v1/embeddings", {"input": "a", "dimensions": 0}, 400, "dimensions must be"),
        ("/v1/rerank", {"query": "a", "documents": ["b"]}, 400, "does not support rerank"),
        ("/v1/rerank", {"query": "a"}, 400, "documents is required"),
        ("/v1/tokenize", {}, 400, "prompt is required"),
    ],
)
def test_what_cannot_be_done_is_said(shared_daemon, path, asked, status, text) -> None:
    reply = shared_daemon.post(path, {"model": "pocket", **asked})
    assert reply.status == status
    error = reply.json["error"]
    assert text in (error["message"] if path.startswith("/v1/") else error)


@pytest.mark.compat("POST /v1/rerank", "`documents`, `top_n`")
def test_documents_are_ranked_by_an_embedding_model(daemon, embedding_file) -> None:
    asked = {
        "model": str(embedding_file),
        "query": "abc",
        "documents": ["x", {"text": "def"}, "abcdefghi"],
        "top_n": 2,
    }
    body = daemon.post("/v1/rerank", asked).json
    assert [each["index"] for each in body["results"]] == [1, 2]
    assert body["results"][0]["relevance_score"] == pytest.approx(1.0)
    assert body["results"][0]["document"] == {"text": "def"}
    bare = daemon.post("/v1/rerank", {**asked, "return_documents": False}).json
    assert bare["results"][1].keys() == {"index", "relevance_score"}


def test_a_client_that_leaves_is_forgotten(daemon, wait_until) -> None:
    stream = daemon.open_stream("/api/embed", {"model": "pocket", "input": ["never"]})
    wait_until(lambda: "embed 1" in daemon.worker_log())
    stream.close()
    wait_until(lambda: any("abort" in line for line in daemon.worker_log()))
    assert daemon.state.num_requests == 0


@pytest.mark.compat("POST /v1/tokenize", "token ids and pieces")
@pytest.mark.compat("POST /v1/detokenize", "text")
def test_text_becomes_tokens_and_text_again(shared_daemon) -> None:
    asked = {"model": "pocket", "prompt": "ab"}
    body = shared_daemon.post("/v1/tokenize", asked).json
    assert body == {"tokens": [1, 97, 98], "count": 3, "max_model_len": 4096}
    bare = {**asked, "add_special_tokens": False, "with_pieces": True}
    body = shared_daemon.post("/v1/tokenize", bare).json
    assert (body["tokens"], body["pieces"]) == ([97, 98], ["a", "b"])
    back = {"model": "pocket", "tokens": body["tokens"]}
    assert shared_daemon.post("/v1/detokenize", back).json["prompt"] == "ab"


def test_a_stream_beside_goes_on(daemon) -> None:
    body = {"model": "pocket", "messages": [{"role": "user", "content": "say 30 every 0.01"}]}
    stream = daemon.open_stream("/api/chat", body)
    read_until(stream, b"w1 ")
    assert daemon.post("/api/embed", {"model": "pocket", "input": "a"}).status == 200
    read_until(stream, b'"done":true')
    stream.close()
