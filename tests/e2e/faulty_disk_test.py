"""Models on a disk that is slow, hangs or fails (tests/faulty_disk.cc): what clients see of it."""

import json
import os
import threading
import time
import urllib.request
from pathlib import Path

import openai
import pytest

from conftest import DEMO, SOFTWARE_GPU

LAYER = DEMO.stat().st_size // 2  # an offset among the layers
AN_HOUR_MS = 3_600_000
GOLDEN = Path(__file__).parent.parent / "golden"
TOKENS = 40 if SOFTWARE_GPU else 400  # of a prompt that is one step


@pytest.fixture(scope="module")
def faulty_disk(tmp_path_factory):
    """Sets what the disk does from now on; `environment` is what a server needs to have its model there."""
    folder = tmp_path_factory.mktemp("faulty_disk")
    settings = folder / "settings"

    def set_faults(**faults):
        (folder / "new").write_text("".join(f"{name.upper()}={int(value)}\n" for name, value in faults.items()))
        (folder / "new").rename(settings)

    set_faults()
    # io_uring does not read by pread.
    set_faults.environment = os.environ | {
        "LD_PRELOAD": os.environ["FAULTY_DISK_LIBRARY"], "FAULTY_DISK_FILE": DEMO.name,
        "FAULTY_DISK_SETTINGS": str(settings), "HEARTH_LOAD_READS": "threads"}
    return set_faults


def first_token(server, shift=0):
    """Seconds until the first token behind a prompt; another shift is another prompt."""
    begin = time.monotonic()
    stream = server.client().completions.create(model=DEMO.stem, prompt=[100 + shift + i for i in range(TOKENS)], max_tokens=1,
                                                stream=True)
    next(stream)
    return time.monotonic() - begin


def serve(start_server, faulty_disk, timeout=1):
    """Of two models, as a server of one ends with its failure."""
    return start_server(DEMO, GOLDEN / "llama", "--context", 256 if SOFTWARE_GPU else 1024, "--load-timeout", timeout,
                        env=faulty_disk.environment)


def load_events(server):
    with urllib.request.urlopen(server.url + "/v1/load", timeout=60) as response:
        return [json.loads(line.removeprefix(b"data: ")) for line in response if line.startswith(b"data: ")]


def state(server):
    return json.loads(server.get(f"/v1/models/{DEMO.stem}")[1])


def post(server, path):
    request = urllib.request.Request(server.url + path, method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status


@pytest.mark.skipif(SOFTWARE_GPU, reason="computes for so long that the load is a small part")
def test_a_prompt_is_computed_while_the_model_comes(start_server, faulty_disk):
    seconds = 3
    faulty_disk(bytes_per_second=DEMO.stat().st_size / seconds)
    server = serve(start_server, faulty_disk)
    first = []
    client = threading.Thread(target=lambda: first.append(first_token(server)))
    begin = time.monotonic()
    client.start()
    events = load_events(server)
    loaded = time.monotonic() - begin
    client.join()
    faulty_disk()
    alone = first_token(server, 1)
    assert "read" in {event["stage"] for event in events if event["state"] == "loading"}
    assert loaded > seconds / 2
    # Only the last layer, and the head, are left to compute when the last byte has come.
    assert first[0] < loaded + alone / 2, (first, loaded, alone)
    assert server.stop() == 0


@pytest.mark.parametrize("offset", [0, LAYER], ids=["in the header", "in a layer"])
def test_a_disk_that_hangs_is_named_and_the_model_can_be_loaded_again(start_server, faulty_disk, offset):
    faulty_disk(offset=offset, delay_ms=AN_HOUR_MS)
    server = serve(start_server, faulty_disk)
    with pytest.raises(openai.InternalServerError) as failed:
        first_token(server)
    server.wait_for(lambda: state(server)["state"] == "failed")
    error = state(server)["error"]
    assert DEMO.name in error and "offset" in error and "answer" in error, error
    assert failed.value.status_code in (500, 503, 504)
    faulty_disk()
    post(server, f"/v1/models/{DEMO.stem}/load")
    server.wait_until_ready()
    assert first_token(server) > 0
    assert server.stop() == 0


def test_a_disk_that_fails_ends_what_waits_for_it(start_server, faulty_disk):
    faulty_disk(offset=LAYER, errno=5)
    server = serve(start_server, faulty_disk)
    with pytest.raises(openai.InternalServerError):
        first_token(server)
    server.wait_for(lambda: state(server)["state"] == "failed")
    assert "Input/output error" in state(server)["error"]
    faulty_disk()
    post(server, f"/v1/models/{DEMO.stem}/load")
    server.wait_until_ready()
    assert first_token(server) > 0
    assert server.stop() == 0


@pytest.mark.parametrize("offset", [0, LAYER], ids=["in the header", "in a layer"])
def test_a_load_that_hangs_is_given_up_in_less_than_a_second(start_server, faulty_disk, offset):
    faulty_disk(offset=offset, delay_ms=AN_HOUR_MS)
    server = serve(start_server, faulty_disk, timeout=0)
    time.sleep(0.5)
    begin = time.monotonic()
    post(server, f"/v1/models/{DEMO.stem}/unload")
    server.wait_for(lambda: state(server)["state"] == "unloaded")
    assert time.monotonic() - begin < 1
    faulty_disk()
    assert first_token(server) > 0, "it is loaded again"
    faulty_disk(offset=offset, delay_ms=AN_HOUR_MS)
    post(server, f"/v1/models/{DEMO.stem}/unload")
    server.wait_for(lambda: state(server)["state"] == "unloaded")
    post(server, f"/v1/models/{DEMO.stem}/load")
    time.sleep(0.5)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 1
