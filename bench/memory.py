"""Peak memory of `hearth serve` under many conversations, beside what it must hold.

Starts the server, sends --clients chats (or completions, for a model without a chat template) at once, and reads
/proc/PID/status: VmHWM is the most that was ever resident, RssAnon and RssFile what of it is the process's own and what
is mapped from files (largest values seen while polling). Beside that:

  weights    bytes of the tensors in the file, as encoded there
  KV cache   allocated, as hearth logs it (in whole MiB), and the most that requests held of it at one time (/metrics)
  rest       peak - weights - KV cache in use

The system gives memory to the cache's blocks when they are first written, so a large cache that is mostly empty takes
little. --require is therefore strict: it fails (1) when the peak is not below weights + KV cache in use + --allowance
(120 MB; MB = 10^6 bytes).
"""

import argparse
import asyncio
import json
import re
import shlex
import sys
import threading
from pathlib import Path

import aiohttp
import gguf
from server_load import make_prompts, run_round
from server_process import ServerProcess, hearth_server

HERE = Path(__file__).resolve().parent
MB = 1e6
POLL_SECONDS = 0.05


def weights_bytes(model: Path) -> int:
    return sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(model).tensors)


def allocated_cache_bytes(server: ServerProcess) -> int:
    """As hearth says when it is ready."""
    said = re.search(r"([\d.]+) MiB of KV cache", server.log_text())
    if not said:
        raise RuntimeError("hearth's log does not say how large the KV cache is")
    return int(float(said[1]) * 2**20)


class Watch(threading.Thread):
    """Reads a server's memory and its KV cache's use until stopped."""

    def __init__(self, server: ServerProcess):
        super().__init__(daemon=True)
        self.server, self.done = server, threading.Event()
        self.peak_bytes: dict[str, int] = {}
        self.peak_cache_share = 0.0
        self.error: Exception | None = None

    def run(self):
        try:
            while not self.done.is_set():
                self.read_memory()
                self.read_metrics()
                self.done.wait(POLL_SECONDS)
        except (OSError, RuntimeError) as error:
            self.error = error

    def read_memory(self):
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        for name, kilobytes in re.findall(r"^(VmHWM|RssAnon|RssFile):\s+(\d+) kB", status, re.MULTILINE):
            self.peak_bytes[name] = max(self.peak_bytes.get(name, 0), int(kilobytes) * 1024)

    def read_metrics(self):
        _, text = self.server.get("/metrics")
        share = re.search(r"^vllm:kv_cache_usage_perc(?:\{.*\})? (\S+)", text, re.MULTILINE)
        if not share:
            raise RuntimeError("/metrics says nothing of the KV cache")
        self.peak_cache_share = max(self.peak_cache_share, float(share[1]))

    def stop(self):
        self.done.set()
        self.join()
        if self.error:
            raise RuntimeError(f"cannot watch the server's memory: {self.error}") from self.error
        self.read_memory()


def measure(options: argparse.Namespace) -> dict:
    weights = weights_bytes(options.model)
    with hearth_server(options.hearth, options.model, options.threads, *options.serve) as server:
        watch = Watch(server)
        watch.start()
        prompts = asyncio.run(make_prompts(server.url, 1, options.clients, options.prompt_tokens))
        asyncio.run(run_round(server.url, options.endpoint, prompts, options.max_tokens, {}))
        watch.stop()
        kv_allocated = allocated_cache_bytes(server)
    kv_used = int(kv_allocated * watch.peak_cache_share)
    peak = watch.peak_bytes["VmHWM"]
    return {
        "peak_bytes": peak,
        "anonymous_bytes": watch.peak_bytes["RssAnon"],
        "file_bytes": watch.peak_bytes["RssFile"],
        "weights_bytes": weights,
        "kv_allocated_bytes": kv_allocated,
        "kv_used_bytes": kv_used,
        "limit_bytes": weights + kv_used + int(options.allowance_mb * MB),
    }


def print_table(result: dict, options: argparse.Namespace):
    rest = result["peak_bytes"] - result["weights_bytes"]
    rows = (
        ("peak resident (VmHWM)", result["peak_bytes"]),
        ("  anonymous, at most", result["anonymous_bytes"]),
        ("  mapped files, at most", result["file_bytes"]),
        ("weights in the file", result["weights_bytes"]),
        ("KV cache allocated", result["kv_allocated_bytes"]),
        ("KV cache in use, at most", result["kv_used_bytes"]),
        ("rest", rest - result["kv_used_bytes"]),
        (f"weights + KV in use + {options.allowance_mb:.0f} MB", result["limit_bytes"]),
    )
    print(
        f"{options.model.name}, {options.clients} clients at once, "
        f"{options.prompt_tokens} + {options.max_tokens} tokens"
    )
    for title, value in rows:
        print(f"{title:<28} {value / MB:>9.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--endpoint", choices=["completions", "chat"], default="chat")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--allowance-mb", type=float, default=120)
    parser.add_argument("--hearth", type=Path, default=HERE.parent / "build/release/bin/hearth")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--require", action="store_true", help="fail when the peak is not below the limit")
    parser.add_argument(
        "--serve",
        type=shlex.split,
        default=[],
        metavar="OPTIONS",
        help="options of `hearth serve` as one word, such as --serve='--context 2048'",
    )
    options = parser.parse_args()
    try:
        result = measure(options)
    except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
    if options.json:
        print(json.dumps(result))
    else:
        print_table(result, options)
    if options.require and result["peak_bytes"] >= result["limit_bytes"]:
        sys.exit("the peak is not below the limit")


if __name__ == "__main__":
    main()
