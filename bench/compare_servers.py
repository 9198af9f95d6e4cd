"""Puts the same load on `hearth serve` and on llama-cpp-python's server, alternately, and prints both side by side.

Same model file, same number of threads, same prompts, greedy answers. Each round starts one server, warms it up, loads
it and ends it before the other one starts, so that neither takes anything from the other. What is printed:
bench/server_load.py says. Both servers answer on the loopback interface only.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import aiohttp
from disturbance import Disturbance
from server_load import add_load_options, make_prompts, print_summaries, run_round, summary
from server_process import hearth_server, peer_server

HERE = Path(__file__).resolve().parent
# The peer penalises repetitions unless told not to; hearth has a name of its own for that, and a default of none.
PEER_FIELDS = {"repeat_penalty": 1.0}


def measure(options: argparse.Namespace) -> dict[str, dict]:
    # The peer answers one request at a time, so its context holds one.
    context = max(2048, options.prompt_tokens + options.max_tokens + 256)
    servers = {
        "hearth": (lambda: hearth_server(options.hearth, options.model, options.threads), {}),
        "peer": (
            lambda: peer_server(options.model, options.threads, context, options.peer_flash_attention),
            PEER_FIELDS,
        ),
    }
    if options.only:
        servers = {options.only: servers[options.only]}
    rounds = {name: [] for name in servers}
    for number in range(options.rounds):
        prompts = None
        for name, (start, fields) in servers.items():
            with start() as server:
                first = 1 + number * options.clients
                prompts = prompts or asyncio.run(
                    make_prompts(server.url, first, options.clients, options.prompt_tokens)
                )
                result = asyncio.run(run_round(server.url, options.endpoint, prompts, options.max_tokens, fields))
            rounds[name].append(result)
            print(f"{name}: round {number + 1} of {options.rounds}", file=sys.stderr)
    return {name: summary(results, options.max_tokens) for name, results in rounds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a GGUF file")
    add_load_options(parser)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hearth", type=Path, default=HERE.parent / "build/release/bin/hearth")
    parser.add_argument("--peer-flash-attention", action="store_true", help="switch it on in the peer (default: off)")
    parser.add_argument("--only", choices=["hearth", "peer"], help="measure one of them")
    options = parser.parse_args()
    disturbance = Disturbance()
    try:
        results = measure(options)
    except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
    others = disturbance.warn()
    if options.json:
        print(
            json.dumps(
                {"model": str(options.model), "threads": options.threads, "cores_taken_by_others": others} | results
            )
        )
        return
    print(
        f"{options.model.name}, {options.threads} threads; {options.clients} clients at once, "
        f"prompts of {options.prompt_tokens} tokens, answers of {options.max_tokens}, "
        f"{options.endpoint}, {options.rounds} rounds\n"
    )
    print_summaries(results)
    if len(results) == 2:
        ratio = results["hearth"]["tokens_per_second"] / results["peer"]["tokens_per_second"]
        print(f"\nhearth makes {ratio:.2f}x the peer's tokens/s in sum")


if __name__ == "__main__":
    main()
