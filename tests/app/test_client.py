"""The client against a private daemon with a real model of a few thousand random weights."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.client import DaemonClient
from app.daemon.serve import listen, serve
from app.locations import launcher
from app.private_daemon import connect_or_start
from app.settings import Settings
from models.errors import Busy, InvalidInput, NotFound

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def model(home: Path) -> str:
    """A tiny random model; its answers mean nothing and are always the same at temperature 0."""
    path = home / "tiny.gguf"
    shape = "--layers 2 --width 64 --ffn 128 --heads 4 --kv-heads 2 --head-size 16 --vocab 1024"
    subprocess.run(
        [
            sys.executable,
            ROOT / "scripts" / "make_synthetic_model.py",
            *shape.split(),
            *("--context", "512", "--quantization", "Q8_0", "--output", path),
        ],
        check=True,
        capture_output=True,
    )
    return str(path)


@pytest.fixture(scope="module")
def settings(home: Path) -> Settings:
    """Nothing listens at this address."""
    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
    return replace(Settings(home=home), address=address)


@pytest.fixture(scope="module")
def client(settings: Settings, model: str) -> Iterator[DaemonClient]:
    with connect_or_start(settings, preload=model) as client:
        yield client


def chat(model: str, **options: object) -> dict[str, object]:
    sampling = {"temperature": 0, "num_predict": 8, **options}
    return {
        "model": model,
        "messages": [{"role": "user", "content": "hello there"}],
        "options": sampling,
    }


def text_of(chunks: list[dict]) -> str:
    return "".join(chunk["message"]["content"] for chunk in chunks)


def test_a_private_daemon_answers_and_has_preloaded_its_model(client, model: str) -> None:
    assert client.is_up()
    assert client.version()["localllm"]
    chunks = list(client.chat(chat(model)))
    assert chunks[-1]["done_reason"] in ("stop", "length")
    assert chunks[-1]["eval_count"] <= 8
    assert [loaded["name"] for loaded in client.ps()] == ["tiny"]


def test_the_same_prompt_has_the_same_text_on_every_path(client, model: str) -> None:
    streamed = text_of(list(client.chat(chat(model))))
    generated = {"model": model, "prompt": "hello there", "options": chat(model)["options"]}
    assert "".join(chunk["response"] for chunk in client.generate(generated)) == streamed
    body = {**chat(model), "temperature": 0, "max_tokens": 8}
    whole = client._call("POST", "/v1/chat/completions", body)
    assert whole["choices"][0]["message"]["content"] == streamed


def test_the_bundled_model_answers_and_stops_by_itself(client) -> None:
    body = {
        "model": "pocket",
        "messages": [{"role": "user", "content": "Hello!"}],
        "think": False,
        "options": {"temperature": 0},
    }
    chunks = list(client.chat(body))
    assert text_of(chunks).strip()
    assert chunks[-1]["done_reason"] == "stop"
    body |= {"temperature": 0, "reasoning_effort": "none"}
    answer = client._call("POST", "/v1/chat/completions", body)
    assert answer["choices"][0]["message"]["content"] == text_of(chunks)


def test_another_server_of_the_same_api_is_not_taken_for_a_daemon() -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        body = b'{"version": "0.32.0"}'
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        connection.close()

    with listen("127.0.0.1", 0) as listener:
        listener.setblocking(True)
        server = threading.Thread(target=answer, args=(listener,))
        server.start()
        assert not DaemonClient("127.0.0.1", listener.getsockname()[1]).is_up()
        server.join()


def test_a_seed_makes_an_answer_repeatable(client, model: str) -> None:
    first, second = (
        text_of(list(client.chat(chat(model, temperature=2.0, seed=7)))) for _ in range(2)
    )
    other = text_of(list(client.chat(chat(model, temperature=2.0, seed=8))))
    assert first == second != other


def test_an_answer_survives_the_death_of_its_worker(client, model: str) -> None:
    options = {"temperature": 1.5, "seed": 3, "num_predict": 200}
    whole = text_of(list(client.chat(chat(model, **options))))
    chunks = []
    for chunk in client.chat(chat(model, **options)):
        chunks.append(chunk)
        if len(chunks) == 20:
            for pid in worker_pids():
                os.kill(pid, signal.SIGKILL)
    assert text_of(chunks) == whole
    assert chunks[-1]["eval_count"] == 200


def worker_pids() -> list[int]:
    """Workers of the daemons that this process started."""
    table = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in table.splitlines()[1:]]
    ours = {pid for pid, ppid, args in rows if ppid == str(os.getpid()) and "serve" in args}
    return [int(pid) for pid, ppid, args in rows if ppid in ours and args.endswith("worker")]


def test_a_json_schema_holds_the_answer(client, model: str) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    body = {**chat(model, num_predict=300), "format": schema}
    assert set(json.loads(text_of(list(client.chat(body))))) == {"ok"}


def test_a_long_conversation_loses_its_oldest_turns_and_says_so(client, model: str) -> None:
    turns = [
        {"role": role, "content": "word " * 30} for _ in range(6) for role in ("user", "assistant")
    ]
    body = {**chat(model), "messages": [*turns, {"role": "user", "content": "end"}]}
    final = list(client.chat(body))[-1]
    assert final["truncated"]["dropped_messages"] >= 2
    assert final["truncated"]["dropped_tokens"] > 0
    body["truncate"] = False
    with pytest.raises(InvalidInput, match="tokens"):
        list(client.chat(body))


def test_errors_come_as_the_classes_of_this_process(client) -> None:
    with pytest.raises(NotFound, match="model 'nope' not found") as caught:
        list(client.chat({"model": "nope", "messages": [{"role": "user", "content": "x"}]}))
    assert "localllm" in caught.value.hint
    with pytest.raises(NotFound):
        client.show("nope")


def test_closing_the_client_ends_a_stream_in_another_thread(client, model: str) -> None:
    begun, chunks = threading.Event(), []

    def read() -> None:
        for chunk in client.chat(chat(model, num_predict=400)):
            chunks.append(chunk)
            begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(20)
    client.close()
    reader.join(10)
    assert not reader.is_alive()
    assert client.is_up()


def test_unload_frees_the_model(client, model: str) -> None:
    client.load(model)
    assert "tiny" in [loaded["name"] for loaded in client.ps()]
    client.unload(model)
    assert "tiny" not in [loaded["name"] for loaded in client.ps()]


def test_nobody_there_is_said_with_the_address(settings: Settings) -> None:
    with pytest.raises(NotFound, match=f"no daemon answers at 127.0.0.1:{settings.port}"):
        DaemonClient(*settings.address).version()


def test_a_preload_of_an_unknown_model_is_this_process_error(settings: Settings) -> None:
    with (
        pytest.raises(NotFound, match="model 'nope' not found"),
        connect_or_start(settings, preload="nope"),
    ):
        pass


def test_a_running_daemon_is_used(settings: Settings, client: DaemonClient) -> None:
    running = replace(settings, address=(client.host, client.port))
    with connect_or_start(running) as second:
        assert second.port == client.port
    assert client.is_up()


def test_a_private_daemon_and_its_worker_end_however_their_user_dies(
    home: Path, settings: Settings, model: str, tmp_path: Path
) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import time\n"
        "from app.private_daemon import connect_or_start\n"
        "from app.settings import read_settings\n"
        f"with connect_or_start(read_settings(), preload={model!r}) as client:\n"
        f"    client.load({model!r})\n"
        "    print(client.version()['pid'], flush=True)\n"
        "    time.sleep(60)\n"
    )
    environ = {
        **os.environ,
        "LOCALLLM_HOME": str(home),
        "LOCALLLM_HOST": f"127.0.0.1:{settings.port}",
    }
    user = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environ, cwd=tmp_path
    )
    assert user.stdout is not None
    daemon_pid = int(user.stdout.readline())
    family = [daemon_pid, *children_of(daemon_pid)]
    assert len(family) == 2
    user.kill()
    user.wait()
    user.stdout.close()
    for _ in range(500):
        if not any(map(is_running, family)):
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"still running: {[pid for pid in family if is_running(pid)]}")


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout
    rows = [line.split() for line in found.splitlines()[1:]]
    return [int(child) for child, parent in rows if parent == str(pid)]


def is_running(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip() not in ("", "Z", "Zs", "Zl")


def test_a_taken_port_is_an_error_that_names_the_holder(
    settings: Settings, client: DaemonClient
) -> None:
    taken = replace(settings, address=(client.host, client.port))
    with pytest.raises(Busy, match=f"port {client.port} of 127.0.0.1 is in use") as caught:
        serve(taken)
    assert "a localllm daemon (process" in caught.value.hint


def test_an_address_that_others_reach_needs_a_flag(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match="can be reached from other machines"):
        serve(replace(settings, address=("0.0.0.0", 0)))


def test_a_served_daemon_finishes_its_answers_and_ends_its_workers_on_a_signal(
    home: Path, settings: Settings, model: str
) -> None:
    environ = {
        **os.environ,
        "LOCALLLM_HOME": str(home),
        "LOCALLLM_HOST": f"127.0.0.1:{settings.port}",
    }
    command = [sys.executable, str(launcher()), "serve", "--preload", model]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as process:
        client = DaemonClient(*settings.address)
        for _ in range(500):
            if client.is_up() and client.ps():
                break
            threading.Event().wait(0.02)
        workers = children_of(process.pid)
        stream = client.chat(chat(model, num_predict=300, temperature=2.0, seed=1))
        next(stream)
        process.send_signal(signal.SIGTERM)
        assert list(stream)[-1]["done"]
        assert process.wait(10) in (0, -signal.SIGTERM)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert len(workers) == 1
    assert not is_running(workers[0])


def test_an_echo_scores_the_prompts_own_tokens(client, model: str) -> None:
    body = {"model": model, "prompt": [300, 301, 302, 303], "echo": True, "logprobs": 2}
    whole = client._call("POST", "/v1/completions", {**body, "max_tokens": 2, "temperature": 0})
    (choice,) = whole["choices"]
    scores = choice["logprobs"]["token_logprobs"]
    assert scores[0] is None
    assert all(score < 0 for score in scores[1:])
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    alone = client._call("POST", "/v1/completions", {**body, "max_tokens": 0})["choices"][0]
    assert len(alone["logprobs"]["tokens"]) == 4
    assert alone["logprobs"]["token_logprobs"][1:] == pytest.approx(scores[1:4], abs=1e-4)
    assert [len(top or ()) for top in alone["logprobs"]["top_logprobs"]] == [0, 2, 2, 2]
    assert choice["text"].startswith(alone["text"])


def test_an_echo_of_token_ids_is_their_text(client, model: str) -> None:
    body = {"model": model, "prompt": [300, 301], "echo": True, "max_tokens": 1}
    (plain,) = client._call("POST", "/v1/completions", body)["choices"]
    (scored,) = client._call("POST", "/v1/completions", {**body, "logprobs": 0})["choices"]
    assert plain["text"].startswith("".join(scored["logprobs"]["tokens"][:2]))
    assert plain["logprobs"] is None
