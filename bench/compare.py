"""Measures hearth and the peer alternately on the same file with the same threads, and prints both and the ratio.

Each round runs `hearth bench` once and then bench/peer_speed.py once, so that what disturbs the machine meets both. A
figure is the median over the rounds; the peer's is that of its faster attention setting. The spread is (largest -
smallest) / median. Shares of the memory's bandwidth use the bytes that hearth counts and the bandwidth that it measures
in the same rounds, for both, since both read the same weights.

Ends with 1 when something fails, or when a ratio is below what --require asks: --require pp=2.5,tg=1.4,sum8=2.0
(pp: prompt; tg: one sequence; sumN: N sequences in sum).
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from disturbance import Disturbance
from peer_speed import numbers

HERE = Path(__file__).resolve().parent
TIME_LIMIT_SECONDS = 1800


@dataclass
class Rates:
    """tokens/s of one figure, one entry for each round."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        return (max(self.values) - min(self.values)) / self.median


@dataclass
class Figure:
    """A quantity as both measure it. `name` is pp, ppN, tg or sumN; `title` what the table shows."""

    name: str
    title: str
    hearth: Rates = field(default_factory=Rates)
    peer_by_setting: dict[str, Rates] = field(default_factory=dict)
    shares: list[float | None] = field(default_factory=list)
    bytes_per_step: float | None = None
    tokens_per_step: int = 0

    @property
    def peer_setting(self) -> str:
        return max(self.peer_by_setting, key=lambda setting: self.peer_by_setting[setting].median)

    @property
    def peer(self) -> Rates:
        return self.peer_by_setting[self.peer_setting]

    @property
    def ratio(self) -> float:
        return self.hearth.median / self.peer.median

    def peer_share(self, bandwidth: float) -> float | None:
        if not self.bytes_per_step or not bandwidth:
            return None
        share = self.bytes_per_step * self.peer.median / self.tokens_per_step / 1e9 / bandwidth
        return share if share <= 1 else None

    @property
    def hearth_share(self) -> float | None:
        return None if None in self.shares or not self.shares else statistics.median(self.shares)


class Comparison:
    """The figures of one model, filled round by round."""

    def __init__(self, options: argparse.Namespace):
        self.figures: dict[tuple[str, int], Figure] = {}
        self.bandwidths: list[float] = []
        for tokens in options.prompt:
            name = "pp" if len(options.prompt) == 1 else f"pp{tokens}"
            self.figures["prompt", tokens] = Figure(name, f"prompt of {tokens}")
        for sequences in options.sequences:
            one = sequences == 1
            title = "decode" if one else f"{sequences} sequences, sum"
            self.figures["decode", sequences] = Figure("tg" if one else f"sum{sequences}", title)

    @property
    def bandwidth(self) -> float:
        return statistics.median(self.bandwidths)

    def add_hearth(self, result: dict):
        self.bandwidths.append(result["bandwidth_gb_per_second"])
        for entry in result["prompt"]:
            self.figures["prompt", entry["tokens"]].hearth.values.append(entry["tokens_per_second"])
        for entry in result["decode"]:
            figure = self.figures["decode", entry["sequences"]]
            figure.hearth.values.append(entry["tokens_per_second"])
            figure.shares.append(entry["share_of_bandwidth"])
            figure.bytes_per_step = entry["bytes_per_step"]
            figure.tokens_per_step = entry["sequences"]

    def add_peer(self, result: dict):
        for setting, measured in result["by_setting"].items():
            for part, key in (("prompt", "tokens"), ("decode", "sequences")):
                for entry in measured[part]:
                    rates = self.figures[part, entry[key]].peer_by_setting.setdefault(setting, Rates())
                    rates.values.append(entry["tokens_per_second"])


def run_json(command: list[str]) -> dict:
    """The object that a command prints. Its stderr is shown only when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"error: {error}")
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(model: Path, options: argparse.Namespace) -> Comparison:
    settings = ["--threads", str(options.threads), "--decode", str(options.decode), "--context", str(options.context)]
    settings += ["--prompt", ",".join(map(str, options.prompt)), "--sequences", ",".join(map(str, options.sequences))]
    settings += ["--repeat", "1"]
    hearth = [str(options.hearth), "bench", str(model), "--device", "cpu", "--json", *settings]
    peer = [sys.executable, str(HERE / "peer_speed.py"), str(model), *settings]
    comparison = Comparison(options)
    for round_number in range(1, options.rounds + 1):
        comparison.add_hearth(run_json(hearth))
        comparison.add_peer(run_json(peer))
        print(f"{model.name}: round {round_number} of {options.rounds}", file=sys.stderr)
    return comparison


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f} %"


def print_table(model: Path, comparison: Comparison, options: argparse.Namespace):
    print(
        f"{model.name}, {options.threads} threads, {options.rounds} rounds; "
        f"memory reads {comparison.bandwidth:.1f} GB/s"
    )
    print(
        f"{'tokens/s':<18} {'hearth':>9} {'spread':>7} {'of bus':>7}   {'peer':>9} {'spread':>7} {'of bus':>7} "
        f"{'attention':>9}   {'ratio':>6}"
    )
    for figure in comparison.figures.values():
        print(
            f"{figure.title:<18} {figure.hearth.median:>9.1f} {percent(figure.hearth.spread):>7} "
            f"{percent(figure.hearth_share):>7}   {figure.peer.median:>9.1f} {percent(figure.peer.spread):>7} "
            f"{percent(figure.peer_share(comparison.bandwidth)):>7} {figure.peer_setting:>9}   {figure.ratio:>5.2f}x"
        )
    print()


def as_json(model: Path, comparison: Comparison) -> dict:
    return {
        "model": str(model),
        "bandwidth_gb_per_second": comparison.bandwidth,
        "figures": [
            {
                "name": figure.name,
                "title": figure.title,
                "ratio": figure.ratio,
                "hearth": {
                    "tokens_per_second": figure.hearth.median,
                    "rounds": figure.hearth.values,
                    "share_of_bandwidth": figure.hearth_share,
                },
                "peer": {
                    "tokens_per_second": figure.peer.median,
                    "rounds_by_setting": {setting: rates.values for setting, rates in figure.peer_by_setting.items()},
                    "flash_attention": figure.peer_setting,
                    "share_of_bandwidth": figure.peer_share(comparison.bandwidth),
                },
            }
            for figure in comparison.figures.values()
        ],
    }


def requirements(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in (part.split("=") for part in text.split(","))}


def unmet(model: Path, comparison: Comparison, required: dict[str, float]) -> list[str]:
    by_name = {figure.name: figure for figure in comparison.figures.values()}
    return [
        f"{model.name}: {name} is {by_name[name].ratio:.2f}x the peer's, required {least:.2f}x"
        for name, least in required.items()
        if by_name[name].ratio < least
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="GGUF files")
    parser.add_argument("--hearth", type=Path, default=HERE.parent / "build/release/bin/hearth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=numbers, default=[512], help="prompt lengths (default 512)")
    parser.add_argument("--decode", type=int, default=128, help="tokens to decode (default 128)")
    parser.add_argument("--sequences", type=numbers, default=[1, 2, 4, 8], help="side by side (default 1,2,4,8)")
    parser.add_argument("--context", type=int, default=0, help="tokens in the cache before decoding")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--require", type=requirements, default={}, help="least ratios, such as pp=2.5,tg=1.4,sum8=2.0")
    options = parser.parse_args()
    measured_names = {figure.name for figure in Comparison(options).figures.values()}
    for name in options.require:
        if name not in measured_names:
            parser.error(f"--require: {name!r} is not measured; there are {', '.join(sorted(measured_names))}")

    disturbance = Disturbance()
    results = [(model, measure(model, options)) for model in options.models]
    others = disturbance.warn()
    if options.json:
        print(
            json.dumps(
                {
                    "threads": options.threads,
                    "rounds": options.rounds,
                    "cores_taken_by_others": others,
                    "models": [as_json(*result) for result in results],
                }
            )
        )
    else:
        for model, comparison in results:
            print_table(model, comparison, options)
    failures = [line for model, comparison in results for line in unmet(model, comparison, options.require)]
    for line in failures:
        print(line, file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
