"""The server as a process: starting, keys, limits, draining."""

import json
import signal
import socket
import subprocess
import threading
import time

import openai
import pytest

from conftest import DEMO, HEARTH, SOFTWARE_GPU


def test_models_and_version(server, client):
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").max_model_len == 2048
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    assert json.loads(server.get("/version")[1])["version"]


def test_it_listens_before_the_model_is_loaded(start_server):
    server = start_server(DEMO, "--context", 512)
    status, body = server.get("/health")
    seen = {(status, json.loads(body)["status"])}
    server.wait_until_ready()
    seen.add((200, json.loads(server.get("/health")[1])["status"]))
    assert seen <= {(503, "loading"), (200, "ok")} and (200, "ok") in seen
    assert server.stop() == 0


def test_keys_come_from_a_file(start_server, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# people\nalice-key\nbob-key\n")
    server = start_server(DEMO, "--context", 512, "--api-key-file", keys).wait_until_ready()
    for key in ("alice-key", "bob-key"):
        assert server.client(api_key=key).models.list().data
    for key in ("alice", "none", "# people"):
        with pytest.raises(openai.AuthenticationError) as caught:
            server.client(api_key=key).models.list()
        assert caught.value.code == "invalid_api_key"
    assert server.get("/health")[0] == 200 and server.get("/metrics")[0] == 200
    assert "alice-key" not in server.log_text()
    assert server.stop() == 0


def test_a_port_in_use_is_one_line_and_exit_code_1(server):
    port = server.url.rsplit(":", 1)[1]
    run = subprocess.run([HEARTH, "serve", str(DEMO), "--port", port], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert len(run.stderr.strip().splitlines()) == 1 and port in run.stderr, run.stderr


def test_sigterm_lets_a_stream_finish(start_server):
    server = start_server(DEMO, "--context", 1024, "--served-model-name", "demo").wait_until_ready()
    stream = server.client().chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "Tell me a story."}], stream=True,
        max_tokens=30 if SOFTWARE_GPU else 100,  # seconds, well within the time that draining gives
        temperature=0, extra_body={"ignore_eos": True})
    next(stream)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    with pytest.raises(openai.APIConnectionError):
        server.client().models.list()
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert server.process.wait(timeout=30) == 0


def test_signals_that_mean_nothing_here_are_ignored(start_server):
    server = start_server(DEMO, "--context", 512).wait_until_ready()
    for ignored in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        server.process.send_signal(ignored)
    assert server.client().models.list().data
    assert server.stop() == 0


def test_sighup_drains_where_there_are_no_keys(start_server):
    server = start_server(DEMO, "--context", 1024, "--served-model-name", "demo").wait_until_ready()
    stream = server.client().chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "Tell me a story."}], stream=True, max_tokens=20,
        temperature=0, extra_body={"ignore_eos": True})
    next(stream)
    server.process.send_signal(signal.SIGHUP)
    assert list(stream)[-1].choices[0].finish_reason == "length"
    assert server.process.wait(timeout=30) == 0


def test_sighup_reads_the_keys_anew(start_server, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("old-key\n")
    server = start_server(DEMO, "--context", 512, "--api-key-file", keys).wait_until_ready()

    def reload(text, says):
        keys.write_text(text)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(lambda: says in server.log_text())

    reload("new-key\n", "were read anew")
    assert server.client(api_key="new-key").models.list().data
    with pytest.raises(openai.AuthenticationError):
        server.client(api_key="old-key").models.list()
    reload("# nobody\n", "stay as they were")
    assert server.client(api_key="new-key").models.list().data
    assert "new-key" not in server.log_text()
    assert server.stop() == 0


def test_nohup_keeps_it_alive(start_server):
    server = start_server(DEMO, "--context", 512, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    server.wait_until_ready()
    server.process.send_signal(signal.SIGHUP)
    assert server.client().models.list().data
    assert server.stop() == 0


def test_a_drain_has_an_end(start_server):
    server = start_server(DEMO, "--served-model-name", "demo", "--drain-timeout", 1).wait_until_ready()
    failures = []

    def generate():
        try:
            list(server.client().chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Tell me a story."}], stream=True,
                max_tokens=8000, temperature=0, extra_body={"ignore_eos": True}))
        except openai.APIError as error:
            failures.append(error)

    thread = threading.Thread(target=generate)
    thread.start()
    while server.metric("vllm:generation_tokens_total") == 0:  # a software GPU's first step takes seconds
        time.sleep(0.01)
    assert server.stop() == 0
    thread.join()
    assert len(failures) == 1 and "stopping" in str(failures[0])


def test_garbage_on_the_socket_harms_nobody(server, client):
    host, port = server.url.removeprefix("http://").split(":")
    for garbage in (b"\x00" * 100, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000, b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Length: 99999999999\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Length: 10\r\n\r\n{\"a\":"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(garbage)
    assert client.models.list().data


def test_logs_never_show_what_was_said(server, client):
    client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "xyzzy-secret"}], max_tokens=4)
    assert "xyzzy-secret" not in server.log_text()
    assert "POST /v1/chat/completions 200" in server.log_text()
