"""A `hearth serve` for the tests of this folder, and OpenAI's own client to talk to it.

HEARTH_E2E_DEVICE names the device that serves; without it, the CPU. Every test runs on every device, but for those of
other clients (litellm_test, langchain_test, lm_eval_test), which are about what they make of answers: on the CPU only. On a software GPU,
which makes some ten tokens a second, a few take less of what their property does not depend on; they say so.
"""

import json
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
DEVICE = os.environ.get("HEARTH_E2E_DEVICE", "cpu")
CACHE = Path(os.environ.get("HEARTH_CACHE", Path.home() / ".cache/hearth"))
DEMO = CACHE / "models/smollm2-135m-instruct.gguf"
BASE = CACHE / "models/gemma3-270m-q4_k_m.gguf"


def usable_gpus():
    doctor = subprocess.run([HEARTH, "doctor", "--json"], capture_output=True, text=True, timeout=60)
    return [gpu for gpu in json.loads(doctor.stdout)["gpus"] if gpu["usable"]]


GPUS = [] if DEVICE == "cpu" else usable_gpus()
SOFTWARE_GPU = bool(GPUS) and all(gpu["type"] == "CPU" for gpu in GPUS)

# How much a token's logprob may move with the other tokens of its step. On the CPU sums are bit for bit the same; on a
# GPU their order depends on the step, and where activations are rounded to bytes a last bit decides about a rounding,
# layer after layer.
LOGPROB_ERROR = 1e-4 if DEVICE == "cpu" else 0.3


class Server:
    """A running server; its standard error is kept in a file."""

    def __init__(self, folder, model, *options, device=DEVICE, **process):
        self.log = folder / f"{time.monotonic_ns()}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [HEARTH, "serve", str(model), "--port", "0", "--device", device, *map(str, options)],
                stdout=subprocess.DEVNULL, stderr=log, **process)
        self.url = self.wait_for(lambda: re.search(r"listening on (http://\S+)", self.log_text()))[1]

    def wait_for(self, look):
        until = time.monotonic() + 60
        while time.monotonic() < until:
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
        self.wait_for(lambda: self.get("/health")[0] == 200)
        return self

    def metric(self, name):
        return float(re.search(rf"^{name}{{[^}}]*}} (\S+)$", self.get("/metrics")[1], re.MULTILINE)[1])

    def client(self, **options):
        return openai.OpenAI(**{"base_url": self.url + "/v1", "api_key": "none", "max_retries": 0,
                                "timeout": 300 if SOFTWARE_GPU else 120, **options})

    def stop(self, how=signal.SIGTERM):
        """The exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session", autouse=True)
def device_is_there():
    """Skips everything where there is no GPU, unless one must be there."""
    if DEVICE == "cpu" or os.environ.get("HEARTH_VULKAN_REQUIRED"):
        return
    if not GPUS:
        pytest.skip("no GPU with Vulkan that hearth can run on")


@pytest.fixture(scope="session")
def start_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    servers = []

    def start(model, *options, **how):
        servers.append(Server(folder, model, *options, **how))
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


@pytest.fixture(scope="session")
def batch_invariant_client(request, start_server):
    """Of a server whose answers depend on nothing else that runs. The CPU's are so anyway; a GPU is asked for it."""
    if DEVICE == "cpu":
        return request.getfixturevalue("client")
    options = ["--served-model-name", "demo", "--context", 2048, "--batch-invariant"]
    return start_server(DEMO, *options).wait_until_ready().client()
