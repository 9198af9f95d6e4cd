"""Fetches wheels of Python packages: where they are is pip's answer, so the machine's own index settings hold."""

import contextlib
import hashlib
import json
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20
STALL_SECONDS = 60
ATTEMPTS = 6


class FetchError(Exception):
    """One line for the person at the terminal: what, where, what to do."""


@dataclass(frozen=True)
class Wheel:
    url: str
    sha256: str | None  # None where the index gives no hash

    @property
    def name(self) -> str:
        return urllib.request.unquote(self.url.rsplit("/", 1)[-1].split("#")[0])


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        advice = "check the network and pip's index settings, then run this again"
        raise FetchError(f"pip {arguments[0]} failed: {reason}; {advice}")
    return done.stdout


def resolve(requirements: list[str]) -> list[Wheel]:
    """The wheels of the pinned `requirements` ("name==version"), in their order."""
    # With fast-deps a dry run reads a wheel's metadata and not the whole wheel. The pip of tools/requirements.txt can.
    options = ("--quiet", "--use-feature", "fast-deps", "--dry-run", "--ignore-installed", "--no-deps")
    sources = ("--only-binary", ":all:", "--report", "-")
    wheels = {}
    for item in json.loads(_pip("install", *options, *sources, *requirements))["install"]:
        info = item["download_info"]
        key = (_normalised(item["metadata"]["name"]), item["metadata"]["version"])
        wheels[key] = Wheel(info["url"], info.get("archive_info", {}).get("hashes", {}).get("sha256"))
    pins = [requirement.split("==") for requirement in requirements]
    return [wheels[_normalised(name), version] for name, version in pins]


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class Downloader:
    """Downloads files with pip's certificate and proxy settings.

    `progress.add(bytes)` hears of every chunk, `progress.skip(bytes)` of what an earlier run left: negative when it is
    dropped.
    """

    def __init__(self, progress) -> None:
        self._progress = progress
        settings = dict(re.findall(r"^\S*\.(cert|proxy)='(.*)'$", _pip("config", "list"), re.MULTILINE))
        handlers = [urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=settings.get("cert")))]
        if "proxy" in settings:
            handlers.append(urllib.request.ProxyHandler({"http": settings["proxy"], "https": settings["proxy"]}))
        self._opener = urllib.request.build_opener(*handlers)

    def fetch(self, wheel: Wheel, folder: Path) -> Path:
        """`wheel` as a verified file in `folder`; continues what a stopped run left there."""
        target = folder / wheel.name
        if target.exists():
            self._progress.skip(target.stat().st_size)
            return target
        partial = folder / (wheel.name + ".partial")
        resumed = partial.exists()
        self._fill(wheel, partial)
        if wheel.sha256 and _sha256(partial) != wheel.sha256:
            self._progress.skip(-partial.stat().st_size)
            partial.unlink()
            if resumed:  # what was there before may have been damaged: once more, from the start
                return self.fetch(wheel, folder)
            advice = "deleted; run this again, or check the index"
            raise FetchError(f"{wheel.name} came with a wrong sha256 and was {advice}")
        partial.rename(target)
        return target

    def _fill(self, wheel: Wheel, partial: Path) -> None:
        start = partial.stat().st_size if partial.exists() else 0
        self._progress.skip(start)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if self._continue(wheel, partial):
                    return
                reason = "the connection ended early"
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code not in (408, 429):
                    reason = f"the index answered {error.code} {error.reason}"
                    raise FetchError(f"{wheel.name}: {reason}; run this again later") from error
                reason = f"{error.code} {error.reason}"
            except (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError) as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt < ATTEMPTS:
                time.sleep(min(2**attempt, 15))
        advice = "what was fetched is kept, run this again to continue"
        raise FetchError(f"{wheel.name}: {reason}, {ATTEMPTS} times; {advice}")

    def _continue(self, wheel: Wheel, partial: Path) -> bool:
        """Appends what is missing. True when the file has all the bytes that the server announced."""
        have = partial.stat().st_size if partial.exists() else 0
        request = urllib.request.Request(wheel.url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            response = self._opener.open(request, timeout=STALL_SECONDS)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing lies beyond what is here
                return True
            raise
        with contextlib.closing(response):
            if have and response.status != 206:  # the server starts over
                self._progress.skip(-have)
                have = 0
            length = response.headers.get("Content-Length")
            with open(partial, "ab" if have else "wb") as file:
                while chunk := response.read(CHUNK_BYTES):
                    file.write(chunk)
                    self._progress.add(len(chunk))
            return length is None or partial.stat().st_size == have + int(length)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
