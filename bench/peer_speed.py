"""Measures the peer as `hearth bench --json` measures hearth, and prints an object with the same keys.

For each attention setting: prompts of random ids into an empty cache, logits of the last token; and n sequences
decoding side by side, one batch of n tokens a step, logits of all n. Like the peer's own benchmark, and in the peer's
favour, its tokens are random, not sampled. The upper keys hold for each figure the faster setting; "by_setting" holds
both. The bytes that a step reads and the memory's bandwidth are null: compare.py takes them from hearth, for it is the
same file on the same machine.
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

from peer import FLASH_ATTENTION, PeerContext, PeerModel


def measure_prompt(context: PeerContext, vocabulary: int, tokens: int, repeat: int, source: random.Random) -> dict:
    seconds = []
    for _ in range(repeat):
        context.clear()
        ids = [(0, source.randrange(vocabulary)) for _ in range(tokens)]
        start = time.perf_counter()
        for first in range(0, tokens, context.batch_limit):
            context.append(ids[first : first + context.batch_limit])
        seconds.append(time.perf_counter() - start)
    middle = statistics.median(seconds)
    return {"tokens": tokens, "tokens_per_second": tokens / middle, "time_to_first_token_ms": middle * 1e3}


def measure_decode(
    context: PeerContext, vocabulary: int, sequences: int, filled: int, steps: int, repeat: int, source: random.Random
) -> dict:
    def step():
        context.append([(s, source.randrange(vocabulary)) for s in range(sequences)], logits="all")

    rates = []
    for _ in range(repeat):
        context.clear()
        for sequence in range(sequences):
            context.append([(sequence, source.randrange(vocabulary)) for _ in range(max(filled, 1))])
        start = time.perf_counter()
        for _ in range(steps):
            step()
        rates.append(sequences * steps / (time.perf_counter() - start))
    return {
        "sequences": sequences,
        "context": filled,
        "tokens_per_second": statistics.median(rates),
        "bytes_per_step": None,
        "gb_per_second": None,
        "share_of_bandwidth": None,
    }


def measure(model: PeerModel, setting: str, options: argparse.Namespace) -> dict:
    source = random.Random(1)
    prompts = []
    for tokens in options.prompt:
        context = PeerContext(model, 1, tokens, options.threads, setting)
        measure_prompt(context, model.vocabulary_size, tokens, 1, source)  # warm up
        prompts.append(measure_prompt(context, model.vocabulary_size, tokens, options.repeat, source))
        context.close()
    decodes = []
    for sequences in options.sequences:
        length = max(options.context, 1) + options.decode
        context = PeerContext(model, sequences, length, options.threads, setting)
        arguments = (context, model.vocabulary_size, sequences, options.context)
        measure_decode(*arguments, 8, 1, source)  # warm up
        decodes.append(measure_decode(*arguments, options.decode, options.repeat, source))
        context.close()
    return {"prompt": prompts, "decode": decodes}


def faster(by_setting: dict[str, dict], part: str) -> list[dict]:
    """For each figure of `part` the fastest setting's, with the setting's name."""
    labelled = [
        [figure | {"flash_attention": setting} for figure in measured[part]] for setting, measured in by_setting.items()
    ]
    return [max(figures, key=lambda figure: figure["tokens_per_second"]) for figures in zip(*labelled, strict=True)]


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=numbers, default=[512], help="prompt lengths (default 512)")
    parser.add_argument("--decode", type=int, default=128, help="tokens to decode (default 128)")
    parser.add_argument("--sequences", type=numbers, default=[1, 2, 4, 8], help="side by side (default 1,2,4,8)")
    parser.add_argument("--context", type=int, default=0, help="tokens in the cache before decoding")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--flash-attention", default="auto,off", help="settings to measure: " + ",".join(FLASH_ATTENTION)
    )
    options = parser.parse_args()
    settings = options.flash_attention.split(",")
    for setting in settings:
        if setting not in FLASH_ATTENTION:
            parser.error(f"--flash-attention: {setting!r} is not one of {', '.join(FLASH_ATTENTION)}")

    model = PeerModel(options.model)
    by_setting = {setting: measure(model, setting, options) for setting in settings}
    model.close()
    result = {
        "model": str(options.model),
        "device": "llama.cpp",
        "threads": options.threads,
        "prompt": faster(by_setting, "prompt"),
        "decode": faster(by_setting, "decode"),
        "bandwidth_gb_per_second": None,
        "by_setting": by_setting,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
