"""Starts a server on a free port of the loopback interface, waits until it answers, and ends it."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOST = "127.0.0.1"
READY_WITHIN_SECONDS = 300
STOP_WITHIN_SECONDS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class ServerProcess:
    """`with ServerProcess(name, command, ready_path) as server:` has a server that answered 200 to GET `ready_path`.
    `command` holds "{port}" where the port belongs. What the server prints goes to a log, shown if it fails."""

    def __init__(self, name: str, command: list[str], ready_path: str):
        self.name, self.ready_path = name, ready_path
        self.port = free_port()
        self.command = [part.replace("{port}", str(self.port)) for part in command]
        self.url = f"http://{HOST}:{self.port}"
        self.log = tempfile.NamedTemporaryFile("w+", prefix=f"{name}-", suffix=".log", delete=False)

    def __enter__(self) -> "ServerProcess":
        try:
            self.process = subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT)
        except OSError as error:
            sys.exit(f"error: {error}")
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, error, trace):
        self.stop()
        if kind is None:
            os.unlink(self.log.name)

    @property
    def pid(self) -> int:
        return self.process.pid

    def log_text(self) -> str:
        return Path(self.log.name).read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(
                    f"error: {self.name} ended with {self.process.returncode}; its log ({self.log.name}) ends with:\n"
                    f"{self.log_text()[-2000:]}"
                )
            try:
                if self.get(self.ready_path)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        sys.exit(f"error: {self.name} was not ready within {READY_WITHIN_SECONDS} s; its log is {self.log.name}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def hearth_server(binary: Path, model: Path, threads: int, *more: str) -> ServerProcess:
    command = [str(binary), "serve", str(model), "--host", HOST, "--port", "{port}", "--device", "cpu"]
    return ServerProcess("hearth", [*command, "--threads", str(threads), *more], "/health")


def peer_server(model: Path, threads: int, context: int, flash_attention: bool) -> ServerProcess:
    """llama-cpp-python's own server. Two of its defaults would spoil the comparison: it cuts a running stream off when
    the next request comes, and it keeps the logits of every prompt token."""
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--host", HOST, "--port", "{port}"]
    command += ["--n_ctx", str(context), "--n_threads", str(threads), "--n_threads_batch", str(threads)]
    command += ["--interrupt_requests", "false", "--logits_all", "false", "--verbose", "false"]
    command += ["--flash_attn", "true" if flash_attention else "false"]
    return ServerProcess("peer", command, "/v1/models")
