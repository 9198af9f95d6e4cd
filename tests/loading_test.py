"""Loading from disks that fail, hang and crawl (faulty_disk.cc), as a user sees it. What must not take for ever has a
limit of a minute."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

HEARTH = os.environ["HEARTH"]
MODEL = Path(__file__).parent / "golden" / "llama"
OFFSET = 300_000  # among the matrices
AN_HOUR_MS = 3_600_000


def environment(way="threads", **faults):
    """Of a process whose disk has faults. io_uring does not read by pread."""
    named = {f"FAULTY_DISK_{name.upper()}": str(value) for name, value in faults.items()}
    return os.environ | {"LD_PRELOAD": os.environ["FAULTY_DISK_LIBRARY"], "FAULTY_DISK_FILE": "model.safetensors",
                         "HEARTH_LOAD_READS": way} | named


def logits(out, *options, **keywords):
    return subprocess.run([HEARTH, "logits", str(MODEL), "--ids", "1,2,3", "--out", str(out), "--device", "cpu", *options],
                          capture_output=True, text=True, timeout=60, **keywords)


def error_of(run):
    assert run.returncode == 1, run.stderr
    return [line for line in run.stderr.splitlines() if line.startswith("hearth: ")][-1]


@pytest.mark.parametrize("way", ["threads", "buffered"])
def test_a_read_error_names_its_place(way, tmp_path):
    error = error_of(logits(tmp_path / "out", env=environment(way, offset=OFFSET, errno=5)))
    assert "model.safetensors" in error and "Input/output error" in error
    offset, size = int(re.search(r"offset (\d+)", error)[1]), int(re.search(r"(\d+) bytes", error)[1])
    assert offset <= OFFSET < offset + size


@pytest.mark.parametrize("way", ["threads", "buffered"])
def test_a_hanging_disk_ends_the_load(way, tmp_path):
    run = logits(tmp_path / "out", "--load-timeout", "1", env=environment(way, offset=OFFSET, delay_ms=AN_HOUR_MS))
    error = error_of(run)
    assert "no byte came" in error and "model.safetensors" in error and "stage read" in error
    offset = int(re.search(r"at offset (\d+)", error)[1])
    assert offset <= OFFSET


def test_a_slow_disk_is_only_slow(tmp_path):
    slow = logits(tmp_path / "slow", "--load-timeout", "1", env=environment(delay_ms=50))
    usual = logits(tmp_path / "usual")
    assert slow.returncode == usual.returncode == 0, slow.stderr + usual.stderr
    assert (tmp_path / "slow").read_bytes() == (tmp_path / "usual").read_bytes()


def test_a_server_ends_while_its_disk_hangs(tmp_path):
    log = tmp_path / "log"
    with open(log, "wb") as file:
        server = subprocess.Popen([HEARTH, "serve", str(MODEL), "--port", "0", "--device", "cpu"], stderr=file,
                                  env=environment(offset=OFFSET, delay_ms=AN_HOUR_MS))
    until = time.monotonic() + 60
    while "listening" not in log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)  # into the read
    assert server.poll() is None, log.read_text()
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=60)
