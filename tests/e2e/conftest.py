"""A `hearth serve` for the tests of this folder, and OpenAI's own client to talk to it."""

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import openai
import pytest

HEARTH = os.environ["HEARTH"]
CACHE = Path(os.environ.get("HEARTH_CACHE", Path.home() / ".cache/hearth"))
DEMO = CACHE / "models/smollm2-135m-instruct.gguf"
BASE = CACHE / "models/gemma3-270m-q4_k_m.gguf"


class Server:
    """A running server; its standard error is kept in a file."""

    def __init__(self, folder, model, *options):
        self.log = folder / f"{time.monotonic_ns()}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([HEARTH, "serve", str(model), "--port", "0", *map(str, options)],
                                            stdout=subprocess.DEVNULL, stderr=log)
        self.url = self._wait_for(lambda: re.search(r"listening on (http://\S+)", self.log_text()))[1]

    def _wait_for(self, look):
        for _ in range(600):
            if found := look():
                return found
            assert self.process.poll() is None, self.log_text()
            time.sleep(0.05)
        raise AssertionError(self.log_text())

    def log_text(self):
        return self.log.read_text(errors="replace")

    def get(self, path):
        """Status and body."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_until_ready(self):
        self._wait_for(lambda: self.get("/health")[0] == 200)
        return self

    def metric(self, name):
        return float(re.search(rf"^{name}{{[^}}]*}} (\S+)$", self.get("/metrics")[1], re.MULTILINE)[1])

    def client(self, **options):
        return openai.OpenAI(**{"base_url": self.url + "/v1", "api_key": "none", "max_retries": 0, "timeout": 120,
                                **options})

    def stop(self, how=signal.SIGTERM):
        """The exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def start_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    servers = []

    def start(model, *options):
        servers.append(Server(folder, model, *options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def server(start_server):
    """Serves the demo model to most of the tests."""
    return start_server(DEMO, "--served-model-name", "demo", "--context", 2048).wait_until_ready()


@pytest.fixture(scope="session")
def client(server):
    return server.client()
