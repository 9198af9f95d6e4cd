"""Models by the names under which other tools have downloaded them, as users type them."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

HEARTH = os.environ["HEARTH"]
CACHE = Path(os.environ.get("HEARTH_CACHE", Path.home() / ".cache/hearth"))
DEMO = CACHE / "models/smollm2-135m-instruct.gguf"
GOLDEN = Path(__file__).parent / "golden/llama"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Home:
    """A user's home with the folders of Hugging Face's tools, LM Studio and Ollama."""

    def __init__(self, folder):
        self.folder = folder
        self.hub = folder / ".cache/huggingface/hub"

    def run(self, *arguments):
        moves = ("HF_", "HUGGINGFACE_", "XDG_CACHE", "OLLAMA_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(moves)}
        environment["HOME"] = str(self.folder)
        return subprocess.run([HEARTH, *map(str, arguments)], env=environment, cwd=self.folder, capture_output=True,
                              text=True, timeout=120)

    def add_to_hub(self, name, files):
        """Links to bytes in blobs, as huggingface_hub makes them."""
        repository = self.hub / f"models--{name.replace('/', '--')}"
        snapshot = repository / "snapshots" / COMMIT
        for folder in (snapshot, repository / "blobs", repository / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        (repository / "refs/main").write_text(COMMIT)
        for file in files:
            blob = hashlib.sha1(file.name.encode()).hexdigest()
            (repository / "blobs" / blob).symlink_to(file)
            (snapshot / file.name).symlink_to(f"../../blobs/{blob}")
        return repository

    def add_to_ollama(self, name, tag, file):
        models = self.folder / ".ollama/models"
        digest = hashlib.sha256(name.encode()).hexdigest()
        for folder in (models / "blobs", models / f"manifests/registry.ollama.ai/library/{name}"):
            folder.mkdir(parents=True, exist_ok=True)
        (models / f"blobs/sha256-{digest}").symlink_to(file)
        (models / f"manifests/registry.ollama.ai/library/{name}/{tag}").write_text(json.dumps({"layers": [
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{sha256}", "size": size}
            for kind, sha256, size in [("model", digest, file.stat().st_size), ("template", "0" * 64, 1)]]}))

    def logits(self, model):
        out = self.folder / "logits.npy"
        run = self.run("logits", model, "--ids", "1,2,3", "--out", out, "--device", "cpu")
        assert run.returncode == 0, run.stderr
        return np.load(out), run.stderr


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_a_name_is_the_model_that_a_tool_has_downloaded(home):
    repository = home.add_to_hub("org/tiny", list(GOLDEN.iterdir()))
    by_path, _ = home.logits(GOLDEN)
    by_name, log = home.logits("org/tiny")
    assert np.array_equal(by_path, by_name)
    assert f"org/tiny is {repository / 'snapshots' / COMMIT} of the Hugging Face cache" in log
    assert np.array_equal(home.logits(f"hf:org/tiny@{COMMIT[:8]}")[0], by_path)


def test_what_lies_on_the_disk_wins(home):
    home.add_to_hub("org/tiny", [GOLDEN / "config.json"])
    (home.folder / "org").mkdir()
    (home.folder / "org/tiny").symlink_to(GOLDEN)
    assert "Hugging Face" not in home.logits("org/tiny")[1]


def test_every_command_takes_names(home):
    home.add_to_ollama("smollm2", "135m", DEMO)
    for arguments in (["inspect", "smollm2:135m"], ["plan", "ollama:smollm2:135m", "--no-measure"],
                      ["bench", "smollm2:135m", "--prompt", "4", "--decode", "2", "--sequences", "1", "--repeat", "1"]):
        run = home.run(*arguments)
        assert run.returncode == 0, run.stderr
        assert "has in Ollama besides, and hearth does not use: template" in run.stderr
    for command in ("serve", "chat", "inspect", "plan", "bench"):
        run = home.run(command, "smollm2:136m")
        assert run.returncode == 1
        assert "no model of that name in" in run.stderr and "the nearest is smollm2:135m" in run.stderr


def test_what_is_missing_is_named(home):
    repository = home.add_to_hub("org/half", [GOLDEN / "config.json"])
    (repository / "snapshots" / COMMIT / "model.safetensors.index.json").write_text(json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))
    (repository / "blobs/abc.incomplete").write_bytes(b"x" * 100_000_000)
    run = home.run("serve", "org/half")
    assert run.returncode == 1
    assert ("org/half is not whole in the Hugging Face cache: model-00001-of-00002.safetensors, "
            "model-00002-of-00002.safetensors are missing; 1 unfinished download has 0.1 GB so far") in run.stderr


def test_one_of_several_files_must_be_named(home):
    folder = home.folder / ".lmstudio/models/org/smol-GGUF"
    folder.mkdir(parents=True)
    for quantization in ("Q4_1", "Q8_0"):
        (folder / f"smol-{quantization}.gguf").symlink_to(DEMO)
    run = home.run("inspect", "org/smol-GGUF")
    assert run.returncode == 2
    assert "say which: org/smol-GGUF:Q4_1 (0.1 GB), org/smol-GGUF:Q8_0 (0.1 GB)" in run.stderr
    assert home.run("inspect", "org/smol-GGUF:q4_1").returncode == 0
    assert home.run("inspect", "org/smol-GGUF:smol-Q8_0.gguf").returncode == 0


def test_all_that_is_there_is_listed(home):
    assert "no models were found" in home.run("models").stdout
    home.add_to_hub("org/tiny", list(GOLDEN.iterdir()))
    home.add_to_hub("org/half", [GOLDEN / "config.json"])
    home.add_to_ollama("smollm2", "135m", DEMO)
    report = json.loads(home.run("models", "--json").stdout)
    assert [(model["name"], model["format"], model["whole"]) for model in report["models"]] == [
        ("org/half", "safetensors", False), ("org/tiny", "safetensors", True), ("smollm2:135m", "GGUF", True)]
    assert report["models"][2]["bytes"] == DEMO.stat().st_size
    text = home.run("models").stdout
    assert len(text.splitlines()) == 3 and "lacks model.safetensors" in text
