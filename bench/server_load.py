"""Sends many streaming requests at once to an OpenAI-compatible server and prints what its users feel.

  time to first token  from sending a request to its first text, p50 and p99 over all requests
  inter-token latency  between two pieces of text of one request, p50 and p99 over all pairs
  tokens/s in sum      tokens of all requests / (last end - first start)
  first tokens         when each client's came, in order: they should come as prompts finish, not together at the end

All clients of a round start together; prompts are of real text, --prompt-tokens long each, and no two begin alike.
--vocabulary N sends token ids below N instead of text, to /v1/completions: no tokenizer is needed then, and with
--fields '{"ignore_eos": true}' random weights serve. --newcomer 100 sends one more prompt of 100 tokens
--newcomer-after seconds later, and tells its time to first token apart: nobody should wait behind others' long prompts.
"""

import argparse
import asyncio
import itertools
import json
import math
import sys
import time
from dataclasses import dataclass, field

import aiohttp
from prompts import make_ids, make_prompt

TIME_LIMIT_SECONDS = 1800
SAME_MOMENT_SECONDS = 0.005  # first tokens closer than this came from one step


@dataclass
class Answer:
    """One request as its client saw it. Times are seconds since the round's start."""

    client: int
    start: float = 0.0
    pieces: list[float] = field(default_factory=list)  # when each piece of text came
    end: float = 0.0
    tokens: int = 0
    finish_reason: str | None = None

    @property
    def first_token(self) -> float:
        return self.pieces[0] - self.start


@dataclass
class Round:
    answers: list[Answer]
    newcomer: Answer | None = None

    @property
    def tokens_per_second(self) -> float:
        began, ended = min(a.start for a in self.answers), max(a.end for a in self.answers)
        return sum(a.tokens for a in self.answers) / (ended - began)

    def by_first_token(self) -> list[Answer]:
        return sorted(self.answers, key=lambda answer: answer.pieces[0])

    def moments(self) -> int:
        """At how many separate moments first tokens came."""
        times = [answer.pieces[0] for answer in self.by_first_token()]
        return 1 + sum(later - earlier > SAME_MOMENT_SECONDS for earlier, later in itertools.pairwise(times))

    def ended_before_last_first_token(self) -> int:
        last = max(answer.pieces[0] for answer in self.answers)
        return sum(answer.end < last for answer in self.answers)


def percentile(values: list[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


class Client:
    """Speaks one of the two endpoints of a server."""

    def __init__(self, session: aiohttp.ClientSession, url: str, endpoint: str, more_fields: dict):
        self.session, self.url, self.endpoint, self.more_fields = session, url, endpoint, more_fields

    async def count_tokens(self, text: str) -> int:
        """By hearth's and vLLM's endpoint, or by llama-cpp-python's."""
        for path, field_name in (("/tokenize", "prompt"), ("/extras/tokenize/count", "input")):
            async with self.session.post(self.url + path, json={field_name: text}) as response:
                if response.status == 200:
                    return (await response.json())["count"]
        raise RuntimeError(f"{self.url} counts tokens neither by /tokenize nor by /extras/tokenize/count")

    async def ask(self, client: int, prompt: str | list[int], max_tokens: int, round_start: float) -> Answer:
        body = {"max_tokens": max_tokens, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
        if self.endpoint == "chat":
            path, body["messages"] = "/v1/chat/completions", [{"role": "user", "content": prompt}]
        else:
            path, body["prompt"] = "/v1/completions", prompt
        answer = Answer(client, start=time.perf_counter() - round_start)
        async with self.session.post(self.url + path, json=body | self.more_fields) as response:
            if response.status != 200:
                raise RuntimeError(f"{self.url}{path} answered {response.status}: {(await response.text())[:500]}")
            usage = None
            async for line in response.content:
                if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                    continue
                event = json.loads(line[len(b"data: ") :])
                if "error" in event:
                    raise RuntimeError(f"{self.url}{path}: {event['error']}")
                usage = event.get("usage") or usage
                for choice in event["choices"]:
                    text = choice["delta"].get("content") if self.endpoint == "chat" else choice["text"]
                    # A token of random weights may be no text, so there every piece counts.
                    if text or isinstance(prompt, list):
                        answer.pieces.append(time.perf_counter() - round_start)
                    answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        answer.end = time.perf_counter() - round_start
        if not answer.pieces:
            raise RuntimeError(f"{self.url}{path} ended an answer without any text")
        # A server that does not count (the peer's) sends one piece for each token.
        answer.tokens = usage["completion_tokens"] if usage else len(answer.pieces)
        return answer


async def make_prompts(url: str, first: int, count: int, tokens: int) -> list[str]:
    """Prompts number first, first + 1 ..., of exactly `tokens` tokens by the server's own count."""
    async with aiohttp.ClientSession() as session:
        client = Client(session, url, "completions", {})
        loop = asyncio.get_running_loop()

        def count_tokens(text: str) -> int:
            return asyncio.run_coroutine_threadsafe(client.count_tokens(text), loop).result()

        return [await asyncio.to_thread(make_prompt, first + i, tokens, count_tokens) for i in range(count)]


@dataclass
class Newcomer:
    """A request that comes when the others are there."""

    prompt: str | list[int]
    after_seconds: float


async def run_round(
    url: str, endpoint: str, prompts: list, max_tokens: int, more_fields: dict, newcomer: Newcomer | None = None
) -> Round:
    """All prompts at once, one client each, after a short answer to a prompt of its own that warms the server up."""
    limits = aiohttp.ClientTimeout(total=TIME_LIMIT_SECONDS)
    async with aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(limit=0)) as session:
        client = Client(session, url, endpoint, more_fields)
        await client.ask(0, prompts[0][:8] if isinstance(prompts[0], list) else "Say something short.", 4, 0)
        start = time.perf_counter()

        async def come_later() -> Answer | None:
            if newcomer is None:
                return None
            await asyncio.sleep(newcomer.after_seconds)
            return await client.ask(len(prompts), newcomer.prompt, max_tokens, start)

        asked = (client.ask(number, prompt, max_tokens, start) for number, prompt in enumerate(prompts))
        *answers, late = await asyncio.gather(*asked, come_later())
        return Round(answers, late)


def summary(rounds: list[Round], max_tokens: int) -> dict:
    answers = [answer for each in rounds for answer in each.answers]
    first = [answer.first_token for answer in answers]
    between = [later - earlier for a in answers for earlier, later in itertools.pairwise(a.pieces)]
    ordered = rounds[-1].by_first_token()
    return {
        "requests": len(answers),
        "tokens": sum(answer.tokens for answer in answers),
        "ended_early": sum(answer.tokens < max_tokens for answer in answers),
        "tokens_per_second": percentile([each.tokens_per_second for each in rounds], 0.5),
        "time_to_first_token_ms": {"p50": percentile(first, 0.5) * 1e3, "p99": percentile(first, 0.99) * 1e3},
        "inter_token_latency_ms": {"p50": percentile(between, 0.5) * 1e3, "p99": percentile(between, 0.99) * 1e3},
        "newcomer_first_token_ms": percentile([r.newcomer.first_token for r in rounds if r.newcomer], 0.5) * 1e3,
        "last_round": {
            "first_token_ms": [answer.pieces[0] * 1e3 for answer in ordered],
            "clients": [answer.client for answer in ordered],
            "moments": rounds[-1].moments(),
            "ended_before_last_first_token": rounds[-1].ended_before_last_first_token(),
        },
    }


ROWS = (
    ("time to first token, p50", "ms", lambda s: s["time_to_first_token_ms"]["p50"]),
    ("time to first token, p99", "ms", lambda s: s["time_to_first_token_ms"]["p99"]),
    ("inter-token latency, p50", "ms", lambda s: s["inter_token_latency_ms"]["p50"]),
    ("inter-token latency, p99", "ms", lambda s: s["inter_token_latency_ms"]["p99"]),
    ("newcomer's first token", "ms", lambda s: s["newcomer_first_token_ms"]),
    ("tokens/s in sum", "", lambda s: s["tokens_per_second"]),
    ("answers ended early", "", lambda s: s["ended_early"]),
)


def print_summaries(summaries: dict[str, dict]):
    """One column for each server."""
    print(f"{'':<30}" + "".join(f"{name:>12}" for name in summaries))
    for title, unit, value in ROWS:
        if all(math.isnan(value(each)) for each in summaries.values()):
            continue
        label = f"{title} ({unit})" if unit else title
        print(f"{label:<30}" + "".join(f"{value(each):>12.1f}" for each in summaries.values()))
    for name, each in summaries.items():
        last = each["last_round"]
        times = " ".join(f"{ms:.0f}" for ms in last["first_token_ms"])
        clients = " ".join(map(str, last["clients"]))
        print(
            f"\n{name}: first tokens of the last round after {times} ms, of clients {clients}: at {last['moments']} "
            f"separate moments; {last['ended_before_last_first_token']} of {len(last['clients'])} answers had ended "
            "before the last of them"
        )


async def measure(options: argparse.Namespace) -> dict:
    rounds = []
    for number in range(options.rounds):
        first = options.first_prompt + number * (options.clients + 1)
        last = first + options.clients
        newcomer = None
        if options.vocabulary:
            prompts = [make_ids(i, options.prompt_tokens, options.vocabulary) for i in range(first, last)]
            late = make_ids(last, options.newcomer, options.vocabulary)
        else:
            prompts = await make_prompts(options.url, first, options.clients, options.prompt_tokens)
            late = await make_prompts(options.url, last, 1, options.newcomer) if options.newcomer else [""]
            late = late[0]
        if options.newcomer:
            newcomer = Newcomer(late, options.newcomer_after)
        rounds.append(
            await run_round(options.url, options.endpoint, prompts, options.max_tokens, options.fields, newcomer)
        )
    return summary(rounds, options.max_tokens)


def add_load_options(parser: argparse.ArgumentParser):
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--endpoint", choices=["completions", "chat"], default="completions")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="such as http://127.0.0.1:8080")
    add_load_options(parser)
    parser.add_argument("--first-prompt", type=int, default=1, help="another number, other prompts")
    parser.add_argument("--vocabulary", type=int, default=0, metavar="N", help="send token ids below N, not text")
    parser.add_argument("--newcomer", type=int, default=0, metavar="TOKENS", help="a prompt that comes later")
    parser.add_argument("--newcomer-after", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--fields", type=json.loads, default={}, help="more fields of every request, a JSON object")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    if options.vocabulary and options.endpoint == "chat":
        parser.error("token ids go to /v1/completions")
    try:
        result = asyncio.run(measure(options))
    except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
    if options.json:
        print(json.dumps(result))
    else:
        print_summaries({options.url: result})


if __name__ == "__main__":
    main()
