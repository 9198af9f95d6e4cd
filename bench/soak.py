"""Keeps a server busy for a quarter of an hour with all that clients do, and looks at what must not change.

  answers      each of some dozens of questions, of mixed lengths and with seeds, is answered the same every time,
               whatever runs beside it
  errors       what is wrong is refused with its status each time; clients that leave harm nobody
  descriptors  when all clients are gone, the server has as many open files and threads as before
  memory       in the last third of the time it needs no more than in the middle third, but for --slack-mb

With --take-memory all but a little of its memory is taken from it every now and then, and given back: its KV cache shrinks and
grows, and nothing else changes.

It prints what it saw twice a minute, and at the end which of the server's mappings grew. The exit code is 1 when
something did change. Only Python's own library is used: tools/python bench/soak.py build/release/bin/hearth MODEL
"""

import argparse
import collections
import http.client
import json
import os
import random
import re
import resource
import socket
import sys
import threading
import time
from pathlib import Path

from server_process import HOST, ServerProcess, hearth_server

WORDS = "river stone light under seven quiet morning paper engine winter green across silver little market".split()
CLIENTS_THAT_LEAVE = 0.15  # of all requests
WRONG_REQUESTS = 0.15
REQUEST_LIMIT_SECONDS = 300


def make_questions(count: int, longest_words: int) -> list[tuple[str, dict]]:
    """Path and body: half of them begin alike, some sample, some are greedy."""
    rng = random.Random(1)
    questions = []
    for number in range(count):
        words = [rng.choice(WORDS) for _ in range(int(longest_words ** rng.random()))]
        text = ("Tell me a story about: " if number % 2 else f"{number}. ") + " ".join(words)
        body = {"max_tokens": int(64 ** rng.random()), "temperature": rng.choice([0, 0.7, 1.0]), "seed": number}
        if number % 3:
            questions.append(("/v1/completions", body | {"prompt": text, "logprobs": number % 2}))
        else:
            questions.append(("/v1/chat/completions", body | {"messages": [{"role": "user", "content": text}]}))
    return questions


WRONG = [
    ("/v1/completions", b"{", 400),
    ("/v1/completions", b'{"prompt": 5}', 400),
    ("/v1/completions", b'{"prompt": "a", "temperature": "hot"}', 400),
    ("/v1/completions", b'{"prompt": "a", "model": "nobody"}', 404),
    ("/v1/completions", json.dumps({"prompt": "long " * 9000, "max_tokens": 1}).encode(), 400),
    ("/v1/chat/completions", b'{"messages": [{"role": "king", "content": "hi"}]}', 400),
    ("/nowhere", b"{}", 404),
]


class Soak:
    """What the client threads share."""

    def __init__(self, port: int, questions: list[tuple[str, dict]]):
        self.port, self.questions = port, questions
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.answers: dict[int, str] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []

    def count(self, what: str):
        with self.lock:
            self.counts[what] += 1

    def fault(self, what: str):
        with self.lock:
            self.faults.append(what)
        print(f"FAULT: {what}", file=sys.stderr)

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=REQUEST_LIMIT_SECONDS)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ask(self, number: int):
        path, body = self.questions[number]
        status, answer = self.post(path, json.dumps(body).encode())
        if status != 200:
            return self.fault(f"question {number} was answered with {status}: {answer[:200]!r}")
        choice = json.dumps(json.loads(answer)["choices"])
        with self.lock:
            before = self.answers.setdefault(number, choice)
        if before != choice:
            self.fault(f"question {number} was answered\n  {before[:300]}\nand later\n  {choice[:300]}")
        self.count("answers")

    def leave(self, number: int, rng: random.Random):
        """Goes away in the middle: of the request, before the answer, or in the stream."""
        path, body = self.questions[number]
        bytes_ = json.dumps(body | {"stream": True, "max_tokens": 200}).encode()
        request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(bytes_)}\r\n\r\n".encode() + bytes_
        with socket.create_connection((HOST, self.port), timeout=REQUEST_LIMIT_SECONDS) as connection:
            if rng.random() < 0.3:
                connection.sendall(request[: rng.randrange(len(request))])
            else:
                connection.sendall(request)
                for _ in range(rng.randrange(4)):
                    connection.recv(4096)
        self.count("left")

    def go_wrong(self, rng: random.Random):
        path, body, expected = rng.choice(WRONG)
        status, answer = self.post(path, body)
        if status != expected:
            self.fault(f"{path} with {body[:60]!r} was answered with {status}, not {expected}: {answer[:200]!r}")
        self.count("refused")

    def client(self, seed: int):
        rng = random.Random(seed)
        while not self.stopping.is_set():
            chance = rng.random()
            try:
                if chance < CLIENTS_THAT_LEAVE:
                    self.leave(rng.randrange(len(self.questions)), rng)
                elif chance < CLIENTS_THAT_LEAVE + WRONG_REQUESTS:
                    self.go_wrong(rng)
                else:
                    self.ask(rng.randrange(len(self.questions)))
            except OSError as error:
                self.fault(f"a connection broke: {error!r}")


class Watch:
    """What the system says of a process."""

    def __init__(self, pid: int):
        self.folder = Path(f"/proc/{pid}")

    def status_mb(self, key: str) -> float:
        return int(re.search(rf"{key}:\s+(\d+)", (self.folder / "status").read_text())[1]) / 1024

    def resident_mb(self) -> float:
        return self.status_mb("VmRSS")

    def address_space_mb(self) -> float:
        return self.status_mb("VmSize")

    def descriptors(self) -> int:
        return len(os.listdir(self.folder / "fd"))

    def threads(self) -> int:
        return len(os.listdir(self.folder / "task"))

    def mappings_mb(self) -> dict[str, float]:
        """Resident memory by the mapping's address (anonymous ones) or file."""
        sizes: dict[str, float] = collections.defaultdict(float)
        name = ""
        for line in (self.folder / "smaps").read_text().splitlines():
            if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+ *(.*)$", line):
                name = match[3] or f"anonymous at {match[1]}"
            elif match := re.match(r"Rss: +(\d+) kB", line):
                sizes[name] += int(match[1]) / 1024
        return sizes


class MemoryTaker:
    """Leaves a process little more address space than it has, for a minute of each `every` seconds."""

    LEFT_MB = 64

    def __init__(self, watch: Watch, pid: int, every: float):
        self.watch, self.pid, self.every, self.next, self.times = watch, pid, every, every, 0

    def look(self, passed: float):
        if self.every == 0 or passed < self.next:
            return
        takes = resource.prlimit(self.pid, resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
        left = int((self.watch.address_space_mb() + self.LEFT_MB) * 2**20) if takes else resource.RLIM_INFINITY
        resource.prlimit(self.pid, resource.RLIMIT_AS, (left, resource.RLIM_INFINITY))
        self.times += takes
        self.next = passed + (60 if takes else self.every - 60)


def idle(server: ServerProcess) -> bool:
    text = server.get("/metrics")[1]
    values = re.findall(r"^vllm:num_requests_(?:running|waiting)(?:{[^}]*})? (\S+)$", text, re.MULTILINE)
    return len(values) == 2 and all(float(value) == 0 for value in values)


def run(server: ServerProcess, questions: list, arguments: argparse.Namespace) -> bool:
    """Whether nothing changed that must not."""
    soak, watch, seconds = Soak(server.port, questions), Watch(server.pid), arguments.minutes * 60
    taker = MemoryTaker(watch, server.pid, arguments.take_memory)
    soak.ask(0)  # what the first request makes is there from now on
    descriptors, threads = watch.descriptors(), watch.threads()
    workers = [threading.Thread(target=soak.client, args=(seed,)) for seed in range(arguments.clients)]
    for worker in workers:
        worker.start()
    began, memory, next_line, early_mappings = time.monotonic(), [], 0.0, {}
    while (passed := time.monotonic() - began) < seconds and server.process.poll() is None:
        memory.append((passed, watch.resident_mb()))
        if not early_mappings and passed > seconds / 3:
            early_mappings = watch.mappings_mb()
        if passed >= next_line:
            next_line += 30
            counts = ", ".join(f"{count} {what}" for what, count in sorted(soak.counts.items()))
            print(f"{passed:5.0f} s  {memory[-1][1]:6.1f} MB  {watch.descriptors():3d} descriptors  "
                  f"{watch.threads():2d} threads  {counts}", flush=True)
        taker.look(passed)
        time.sleep(2)
    soak.stopping.set()
    for worker in workers:
        worker.join()
    if server.process.poll() is not None:
        soak.fault(f"the server ended with {server.process.returncode}: {server.log_text()[-2000:]}")
        return False
    while not idle(server):
        time.sleep(0.5)
    resizes = int(re.search(r"^hearth:kv_cache_resizes_total{[^}]*} (\S+)$", server.get("/metrics")[1], re.MULTILINE)[1])
    print(f"memory was taken {taker.times} times, the cache resized {resizes} times")
    if resizes < taker.times:
        soak.fault("the cache did not shrink each time that memory was taken")
    wait_for_descriptors(soak, watch, descriptors)
    if watch.threads() != threads:
        soak.fault(f"{watch.threads()} threads remain; there were {threads}")
    growth = {name: (early_mappings.get(name, 0), size) for name, size in watch.mappings_mb().items()}
    for name, (early, late) in sorted(growth.items(), key=lambda item: item[1][0] - item[1][1])[:8]:
        print(f"  {name}: {early:.1f} MB after a third of the time, {late:.1f} MB at the end")
    middle = max(size for when, size in memory if seconds / 3 <= when < seconds * 2 / 3)
    last = max(size for when, size in memory if when >= seconds * 2 / 3)
    print(f"at most {middle:.1f} MB in the middle third, {last:.1f} MB in the last; {dict(soak.counts)}")
    if last > middle + arguments.slack_mb:
        soak.fault(f"memory grew by {last - middle:.1f} MB from the middle third to the last")
    return not soak.faults


def wait_for_descriptors(soak: Soak, watch: Watch, before: int):
    """Connections that clients left close by themselves, within the server's time limits for silence."""
    for _ in range(120):
        if watch.descriptors() <= before:
            return
        time.sleep(1)
    soak.fault(f"{watch.descriptors()} descriptors remain; there were {before}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hearth", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--longest-words", type=int, default=700)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--kv-cache-mb", type=int, default=64)
    parser.add_argument("--take-memory", type=float, default=0, metavar="SECONDS", help="from one time to the next")
    parser.add_argument("--slack-mb", type=float, default=4, help="what memory may differ between the last two thirds")
    arguments = parser.parse_args()
    questions = make_questions(arguments.questions, arguments.longest_words)
    # A small KV cache: its pages become resident as blocks are first used, and soon all have been; requests preempt
    # each other and cached prefixes are evicted.
    options = ["--context", "2048", "--kv-cache-mb", str(arguments.kv_cache_mb)]
    with hearth_server(arguments.hearth, arguments.model, arguments.threads, *options) as server:
        fine = run(server, questions, arguments)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
