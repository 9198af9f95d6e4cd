"""Memory that others take while a model is served: its cache shrinks, its answers stay what they were."""

import re
import resource
import threading
import time
from pathlib import Path

import pytest

from conftest import DEMO, DEVICE

MIB = 1 << 20


def address_space(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmSize:\s+(\d+)", status)[1]) * 1024


def story(client, tokens=300):
    return client.completions.create(model="", prompt="Once upon a time", max_tokens=tokens, temperature=0,
                                     extra_body={"ignore_eos": True}).choices[0].text


@pytest.mark.skipif(DEVICE != "cpu", reason="what a process may take of a GPU cannot be limited from outside")
def test_a_cache_shrinks_when_memory_gets_scarce_and_answers_stay_the_same(start_server):
    server = start_server(DEMO, "--kv-cache-mb", 512, "--context", 2048).wait_until_ready()
    client = server.client()
    expected = story(client)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(story(client)))
    asking.start()
    time.sleep(0.3)
    limit = address_space(server) + 64 * MIB
    resource.prlimit(server.process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    server.wait_for(lambda: server.metric("hearth:kv_cache_resizes_total") > 0)
    asking.join()
    assert answers == [expected]
    assert story(client) == expected
    assert address_space(server) <= limit - 128 * MIB, "a reserve is free again"
    assert server.metric("hearth:kv_cache_resizes_total") == 1, "once was enough"
    log = server.log_text()
    assert "which others have taken" in log and "the KV cache shrinks from" in log
