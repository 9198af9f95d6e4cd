"""What somebody waits for who starts a server and asks it something at once: seconds until it is ready and until the
first token, beside what reading the file alone and computing the prompt alone take.

Each round starts each server once, with the file out of the page cache (as root) or in it, and puts the same prompt to
it as soon as it listens. `dd` reads the file before the first server, past the cache or from it. Prints medians.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import threading
import time
from pathlib import Path

from disturbance import Disturbance
from server_process import HOST, ServerProcess, hearth_server, peer_server

HERE = Path(__file__).resolve().parent


def empty_page_cache():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def fill_page_cache(model: Path):
    with open(model, "rb", buffering=0) as file:
        while file.read(8 << 20):
            pass


def dd_seconds(model: Path, cached: bool) -> float:
    command = ["dd", f"if={model}", "of=/dev/null", "bs=8M", *([] if cached else ["iflag=direct"])]
    begin = time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - begin


def first_token_seconds(port: int, prompt: str, begin: float) -> float:
    """Since `begin`; tries again until the server accepts connections."""
    body = json.dumps({"prompt": prompt, "max_tokens": 1, "stream": True, "temperature": 0})
    while True:
        connection = http.client.HTTPConnection(HOST, port, timeout=600)
        try:
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            for line in response:
                if line.startswith(b"data: {"):
                    return time.monotonic() - begin
            raise RuntimeError(f"{response.status}: no token came")
        except OSError:
            time.sleep(0.005)
        finally:
            connection.close()


def start_once(server: ServerProcess, prompt: str) -> dict[str, float]:
    result = {}
    begin = time.monotonic()
    client = threading.Thread(target=lambda: result.update(token=first_token_seconds(server.port, prompt, begin)))
    client.start()
    with server:
        result["ready"] = time.monotonic() - begin
        client.join()
        again = "Now" + prompt  # no prefix of it is known
        result["prompt"] = first_token_seconds(server.port, again, time.monotonic())
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--cached", action="store_true", help="with the file in the page cache")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hearth", type=Path, default=HERE.parent / "build/release/bin/hearth")
    parser.add_argument("--peer", action="store_true", help="llama-cpp-python's server, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    prompt = " the cat" * (options.prompt_tokens // 2)  # a token each, in most vocabularies
    context = max(1024, 2 * options.prompt_tokens)
    servers = {"hearth": lambda: hearth_server(options.hearth, options.model, options.threads, "--context", str(context))}
    if options.peer:
        servers["peer"] = lambda: peer_server(options.model, options.threads, context, False)
    disturbance = Disturbance()
    rounds = {name: [] for name in ["dd", *servers]}
    for _ in range(options.rounds):
        for name in rounds:
            fill_page_cache(options.model) if options.cached else empty_page_cache()
            seconds = {"read": dd_seconds(options.model, options.cached)} if name == "dd" else None
            rounds[name].append(seconds or start_once(servers[name](), prompt))
    medians = {
        name: {what: statistics.median(one[what] for one in all_of) for what in all_of[0]} for name, all_of in rounds.items()
    }
    if options.json:
        print(json.dumps({"medians": medians, "rounds": rounds, "other_cores": disturbance.warn()}))
        return
    print(f"dd: {medians['dd']['read']:.2f} s")
    for name in servers:
        m = medians[name]
        print(
            f"{name}: ready after {m['ready']:.2f} s, first token after {m['token']:.2f} s; "
            f"the prompt alone takes {m['prompt']:.2f} s"
        )
    disturbance.warn()


if __name__ == "__main__":
    main()
