"""How far hearth's and the peer's logits are from a float evaluation of the same dequantised weights.

Takes the first --tokens tokens of a real English text and prints for each the Kullback-Leibler divergence KL(oracle ||
x) of the next-token distributions, in nats, mean and maximum over all positions, and how often the most likely token is
the same. Oracle: NumPy in float64 (bench/numpy_decoder.py), or `hearth logits --device reference`; the other one is
measured against it as well, so two independent float evaluations vouch for each other.

--require fails (1) when hearth's mean on the CPU is above --limit (3e-3) or above the peer's.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy_decoder import NumpyDecoder
from peer import PeerContext, PeerModel

HERE = Path(__file__).resolve().parent
CHUNK = 32  # rows compared at a time: a row of Gemma's is 2 MB in float64
TIME_LIMIT_SECONDS = 3600


@dataclass
class Distance:
    mean_kl: float
    max_kl: float
    top1_agreement: float


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def distance(oracle: np.ndarray, other: np.ndarray) -> Distance:
    if oracle.shape != other.shape:
        sys.exit(f"error: logits of shape {other.shape} stand against {oracle.shape}")
    divergences, same = [], 0
    for first in range(0, len(oracle), CHUNK):
        p, q = (log_softmax(logits[first : first + CHUNK]) for logits in (oracle, other))
        divergences.append((np.exp(p) * (p - q)).sum(axis=-1))
        same += int((p.argmax(axis=-1) == q.argmax(axis=-1)).sum())
    kl = np.concatenate(divergences)
    return Distance(float(kl.mean()), float(kl.max()), same / len(kl))


class Evaluations:
    """Runs the implementations; each leaves its logits, float32 [tokens, vocabulary], in a file of `folder`."""

    def __init__(self, options: argparse.Namespace, ids: list[int], folder: Path):
        self.options, self.ids, self.folder = options, ids, folder

    def numpy(self) -> np.ndarray:
        return self.collect("numpy", NumpyDecoder(self.options.model).logits(self.ids))

    def peer(self) -> np.ndarray:
        model = PeerModel(self.options.model)
        context = PeerContext(model, 1, len(self.ids), self.options.threads)
        context.append([(0, token) for token in self.ids], logits="all")
        logits = self.collect("peer", (context.logits(i)[None] for i in range(len(self.ids))))
        context.close()
        model.close()
        return logits

    def hearth(self, device: str) -> np.ndarray:
        ids_file, out = self.folder / "ids", self.folder / f"hearth-{device}.npy"
        ids_file.write_text(" ".join(map(str, self.ids)))
        command = [str(self.options.hearth), "logits", str(self.options.model), "--ids-file", str(ids_file)]
        command += ["--out", str(out), "--device", device, "--threads", str(self.options.threads)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS)
        if done.returncode != 0:
            sys.exit(f"error: {' '.join(command)} ended with {done.returncode}\n{done.stderr.strip()}")
        return np.load(out, mmap_mode="r")

    def collect(self, name: str, rows) -> np.ndarray:
        """Chunks of rows in a file: all logits of a text are larger than the model."""
        path, shape = self.folder / f"{name}.f32", None
        with open(path, "wb") as file:
            for chunk in rows:
                file.write(chunk.astype(np.float32).tobytes())
                shape = (len(self.ids), chunk.shape[-1])
        return np.memmap(path, np.float32, "r", shape=shape)


def write_ids(options: argparse.Namespace):
    ids = PeerModel(options.model, vocabulary_only=True).tokenize(options.text.read_text())
    options.write_ids.write_text(" ".join(map(str, ids)) + "\n")


def read_ids(options: argparse.Namespace) -> list[int]:
    if options.ids_file:
        ids = [int(word) for word in options.ids_file.read_text().split()]
    else:
        ids = PeerModel(options.model, vocabulary_only=True).tokenize(options.text.read_text())
    if len(ids) < options.tokens:
        sys.exit(f"error: the text has {len(ids)} tokens, --tokens asks for {options.tokens}")
    return ids[: options.tokens]


def measure(options: argparse.Namespace) -> dict[str, Distance]:
    ids = read_ids(options)
    with tempfile.TemporaryDirectory() as folder:
        evaluations = Evaluations(options, ids, Path(folder))
        runs = {
            "numpy float64": evaluations.numpy,
            "hearth reference": lambda: evaluations.hearth("reference"),
            "hearth cpu": lambda: evaluations.hearth("cpu"),
            "peer": evaluations.peer,
        }
        oracle_name = {"numpy": "numpy float64", "reference": "hearth reference"}[options.oracle]
        if options.without_hearth:
            runs = {name: run for name, run in runs.items() if not name.startswith("hearth")}
        print(f"{options.model.name}, {len(ids)} tokens of {options.text.name}; oracle: {oracle_name}")
        print(f"{'':<18} {'mean KL':>10} {'max KL':>10} {'same top-1':>11}")
        oracle = runs.pop(oracle_name)()
        results = {}
        for name, run in runs.items():
            result = results[name] = distance(oracle, run())
            print(
                f"{name:<18} {result.mean_kl:>10.3e} {result.max_kl:>10.2e} {result.top1_agreement * 100:>9.1f} %",
                flush=True,
            )
        return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a GGUF file of family llama or gemma3")
    parser.add_argument("--text", type=Path, default=HERE / "data/alice.txt")
    parser.add_argument(
        "--ids-file", type=Path, help="token ids of the text (default: the peer's tokenizer makes them)"
    )
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--oracle", choices=["numpy", "reference"], default="numpy")
    parser.add_argument("--hearth", type=Path, default=HERE.parent / "build/release/bin/hearth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=3e-3, help="nats, for --require (default 3e-3)")
    parser.add_argument("--require", action="store_true", help="fail above the limit or the peer")
    parser.add_argument("--without-hearth", action="store_true", help="only NumPy and the peer")
    parser.add_argument(
        "--write-ids", type=Path, help="write the ids of the whole text to this file, and do nothing else"
    )
    options = parser.parse_args()
    if options.without_hearth and (options.require or options.oracle == "reference"):
        parser.error("--without-hearth leaves nothing to require and no reference")
    if options.write_ids:
        return write_ids(options)

    results = measure(options)
    if options.require:
        mean, peers = results["hearth cpu"].mean_kl, results["peer"].mean_kl
        if mean > options.limit or mean > peers:
            sys.exit(f"hearth's mean KL {mean:.3e} is above {min(options.limit, peers):.3e}")


if __name__ == "__main__":
    main()
