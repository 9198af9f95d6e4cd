"""The program as its users type it: results, exit codes, one-line errors, and a conversation at a terminal."""

import json
import os
import pty
import resource
import select
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

HEARTH = os.environ["HEARTH"]
CACHE = Path(os.environ.get("HEARTH_CACHE", Path.home() / ".cache/hearth"))
DEMO = CACHE / "models/smollm2-135m-instruct.gguf"
BASE = CACHE / "models/gemma3-270m-q4_k_m.gguf"
GOLDENS = Path(__file__).parent / "golden"
COMMANDS = ["serve", "chat", "logits", "bench", "models", "doctor"]


def hearth(*arguments, **keywords):
    return subprocess.run([HEARTH, *map(str, arguments)], capture_output=True, text=True, timeout=120, **keywords)


def error_of(run):
    """The one line that a failed command says, behind progress and log lines."""
    lines = [line for line in run.stderr.splitlines() if line.startswith("hearth: ")]
    assert len(lines) == 1, run.stderr
    assert run.stdout == ""
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_help_with_an_example(command):
    run = hearth(command, "--help")
    assert run.returncode == 0
    assert f"Example: hearth {command}" in run.stdout


@pytest.mark.parametrize("arguments", [[], ["sing"], ["bench"], ["bench", "m", "--prompt", "0"], ["logits", "m"],
                                       ["serve", "m", "--port", "70000"], ["chat", "m", "--temperature", "9"]])
def test_wrong_usage_ends_with_2(arguments):
    run = hearth(*arguments)
    assert run.returncode == 2
    assert run.stdout == "" and run.stderr != ""


# So hard an attention that a cache in f16 changes half of the logits (src/model/golden_test.cc).
ONLY_ON_REFERENCE = {"gemma4_text", "gemma4_moe"}
GOLDEN_CASES = [
    (path.name, device, tolerance)
    for path in sorted(GOLDENS.iterdir())
    for device, tolerance in (("reference", 1e-4), ("cpu", 2e-2))
    if device == "reference" or path.name not in ONLY_ON_REFERENCE
]


@pytest.mark.parametrize("family,device,tolerance", GOLDEN_CASES)
def test_logits_agree_with_the_golden(family, device, tolerance, tmp_path):
    folder = GOLDENS / family
    facts = json.loads((folder / "golden.json").read_text())
    out = tmp_path / "logits.npy"
    run = hearth("logits", folder, "--ids", ",".join(map(str, facts["input_ids"])), "--out", out, "--device", device)
    assert run.returncode == 0, run.stderr
    ours, golden = np.load(out), np.load(folder / "logits.npy")
    assert ours.dtype == np.float32 and ours.shape == (len(facts["input_ids"]), golden.shape[1])
    ours = ours[facts["first_row"]:]
    assert np.linalg.norm(ours - golden) / np.linalg.norm(golden) < tolerance


def test_layers_on_several_devices_give_the_same_bits(tmp_path):
    runs = {}
    for device in ["cpu", "cpu+cpu", "cpu+cpu+cpu+cpu"]:
        out = tmp_path / f"{device}.npy"
        run = hearth("logits", GOLDENS / "gemma3_text", "--ids", "1,2,3,4,5", "--out", out, "--device", device)
        assert run.returncode == 0, run.stderr
        assert ("layers: " in run.stderr) == (device != "cpu")
        runs[device] = out.read_bytes()
    assert runs["cpu+cpu"] == runs["cpu"] == runs["cpu+cpu+cpu+cpu"]


def test_layers_for_a_gpu_need_one():
    run = hearth("logits", GOLDENS / "llama", "--ids", "1", "--out", "unused.npy", "--device", "cpu", "--gpu-layers", "2")
    assert run.returncode == 2
    assert "--device vulkan" in error_of(run)


def test_ids_from_a_file_are_the_same_ids(tmp_path):
    (tmp_path / "ids").write_text("1 2\n3\n")
    for name, arguments in (("a", ["--ids", "1,2,3"]), ("b", ["--ids-file", tmp_path / "ids"])):
        assert hearth("logits", GOLDENS / "llama", *arguments, "--out", tmp_path / name).returncode == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("ids,says", [("1,384", "384"), ("-1", "-1")])
def test_ids_outside_the_vocabulary_are_wrong_usage(ids, says, tmp_path):
    run = hearth("logits", GOLDENS / "llama", f"--ids={ids}", "--out", tmp_path / "x.npy")
    assert run.returncode == 2
    assert says in error_of(run)


def bad_models(folder):
    """Files that are no models, each with what the error must name."""
    whole = DEMO.read_bytes()
    (folder / "truncated.gguf").write_bytes(whole[: len(whole) // 2])
    (folder / "header.gguf").write_bytes(whole[:1000])
    (folder / "empty.gguf").write_bytes(b"")
    (folder / "garbage.gguf").write_bytes(bytes(range(256)) * 64)
    (folder / "counts.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60))
    (folder / "directory").mkdir()
    (folder / "config").mkdir()
    (folder / "config/config.json").write_text('{"model_type": "llama"')
    return ["missing.gguf", "truncated.gguf", "header.gguf", "empty.gguf", "garbage.gguf", "counts.gguf", "directory",
            "config"]


def test_bad_models_are_one_line_that_names_them(tmp_path):
    for name in bad_models(tmp_path):
        run = hearth("logits", tmp_path / name, "--ids", "1", "--out", tmp_path / "x.npy")
        assert run.returncode == 1, name
        assert name in error_of(run)
        assert not (tmp_path / "x.npy").exists()


def test_serve_ends_when_its_model_cannot_be_loaded(tmp_path):
    run = hearth("serve", tmp_path / "missing.gguf", "--port", "0")
    assert run.returncode == 1
    assert "missing.gguf" in error_of(run)


# MiB of address space: too little for a thread, for the tokenizer, for the weights, for a cache; and enough.
@pytest.mark.parametrize("limit", [60, 120, 150, 190, 250, 300, 1500])
def test_a_limited_address_space_is_used_or_refused_in_a_sentence(limit):
    bytes_ = limit << 20
    process = subprocess.Popen([HEARTH, "serve", str(DEMO), "--port", "0", "--device", "cpu"], text=True,
                               stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_)))
    lines = []
    for line in process.stderr:
        lines.append(line)
        if " is ready on " in line:
            process.terminate()
    code = process.wait(timeout=120)
    if limit >= 1000:
        assert code == 0 and any(" is ready on " in line for line in lines), lines
    elif code != 0:
        assert code == 1, lines
        assert [line for line in lines if line.startswith("hearth: ")] == lines[-1:], lines


def test_bench_prints_one_object():
    run = hearth("bench", GOLDENS / "llama", "--prompt", "16,32", "--decode", "16", "--sequences", "1,3", "--repeat", "2",
                 "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert set(result) == {"model", "device", "threads", "prompt", "decode", "bandwidth_gb_per_second"}
    assert [row["tokens"] for row in result["prompt"]] == [16, 32]
    assert [row["sequences"] for row in result["decode"]] == [1, 3]
    for row in result["prompt"]:
        seconds = row["time_to_first_token_ms"] / 1e3
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] / seconds)
    for row in result["decode"]:
        assert row["gb_per_second"] == pytest.approx(
            row["bytes_per_step"] * row["tokens_per_second"] / row["sequences"] / 1e9)
        assert row["share_of_bandwidth"] is None or 0 < row["share_of_bandwidth"] <= 1


def test_bench_explains_a_device_with_one_way():
    run = hearth("bench", GOLDENS / "llama", "--explain", "--device", "cpu")
    assert run.returncode == 0, run.stderr
    assert "one way for every operation" in run.stdout
    run = hearth("bench", GOLDENS / "llama", "--explain", "--device", "cpu", "--json")
    assert json.loads(run.stdout)["choices"] == []


def test_bench_profiles_every_operation():
    run = hearth("bench", GOLDENS / "llama", "--prompt", "16", "--sequences", "1,3", "--context", "20", "--repeat", "2",
                 "--profile", "--json")
    assert run.returncode == 0, run.stderr
    steps = json.loads(run.stdout)["steps"]
    assert [(step["sequences"], step["tokens"], step["context"]) for step in steps] == [(1, 16, 0), (1, 1, 20), (3, 1, 20)]
    for step in steps:
        assert "attention" in [row["name"] for row in step["operations"]]
        for row in step["operations"]:
            assert row["gb_per_second"] == pytest.approx(row["bytes"] / row["seconds"] / 1e9)
            assert row["share_of_step"] == pytest.approx(row["seconds"] / step["seconds"])
            assert row["share_of_bandwidth"] is None or 0 <= row["share_of_bandwidth"] <= 1
    table = hearth("bench", GOLDENS / "llama", "--prompt", "16", "--sequences", "1", "--profile", "--repeat", "1")
    assert table.returncode == 0, table.stderr
    assert "prompt of 16 tokens" in table.stdout and "decoding 1 sequence behind 0 tokens:" in table.stdout


def test_a_base_model_does_not_chat():
    run = hearth("chat", BASE, input="Hello\n")
    assert run.returncode == 1
    assert "base model" in error_of(run)


def test_a_piped_conversation_is_answered_and_a_seed_repeats_it():
    talk = "Say hello.\nNow say goodbye.\n"
    runs = [hearth("chat", DEMO, "--seed", "7", "--max-tokens", "24", input=talk) for _ in range(2)]
    assert runs[0].returncode == 0, runs[0].stderr
    assert len(runs[0].stdout.strip()) > 10
    assert runs[0].stdout == runs[1].stdout


class Terminal:
    """hearth chat behind a pseudo-terminal."""

    def __init__(self, *arguments, state):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(XDG_STATE_HOME=str(state), TERM="xterm")
            os.execv(HEARTH, [HEARTH, "chat", *map(str, arguments)])
        self.seen = ""

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def wait_for(self, condition, seconds=60):
        """Reads until condition(what was printed since the last wait) holds, and returns that."""
        end = time.monotonic() + seconds
        while not condition(self.seen):
            assert time.monotonic() < end, self.seen
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
        seen, self.seen = self.seen, ""
        return seen

    def exit_code(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_doctor_tells_what_is_there():
    run = hearth("doctor", "--json")
    assert run.returncode == 0
    report = json.loads(run.stdout)
    assert report["cpu"]["usable_cores"] == len(os.sched_getaffinity(0))
    assert "generic" in " ".join(report["cpu"]["instruction_sets"])
    assert 0 < report["memory"]["free_bytes"] <= report["memory"]["total_bytes"]
    assert report["gpus"] or report["gpu_error"]
    for gpu in report["gpus"]:
        assert gpu["usable"] == (gpu["obstacle"] is None)
        assert {"name", "type", "driver", "subgroup_size", "heaps", "cooperative_matrices", "timestamp_ns"} <= gpu.keys()
    text = hearth("doctor").stdout
    assert all(word in text for word in ("CPU:", "Memory:", "GPU", "NPU"))
    assert all(gpu["name"] in text for gpu in report["gpus"])


def test_doctor_measures_memory_and_a_models_disk(tmp_path):
    report = json.loads(hearth("doctor", DEMO, "--json").stdout)
    assert report["disk"]["file"] == str(DEMO) and report["disk"]["gb_per_second"] > 0
    assert report["memory"]["read_gb_per_second"] is None or report["memory"]["read_gb_per_second"] > 0
    text = hearth("doctor", tmp_path).stdout
    assert f"Disk of {tmp_path}" in text and "not measured" in text


def test_doctor_says_when_there_is_no_gpu(tmp_path):
    nothing = {**os.environ, "VK_DRIVER_FILES": str(tmp_path / "none"), "VK_ICD_FILENAMES": str(tmp_path / "none")}
    run = hearth("doctor", "--json", env=nothing)
    assert run.returncode == 0
    report = json.loads(run.stdout)
    assert report["gpus"] == [] and report["gpu_error"]
    assert "GPU: none" in hearth("doctor", env=nothing).stdout


def test_without_a_gpu_or_a_loader_a_sentence_says_what_to_do(tmp_path):
    """A loader that is no library stands for one that is not there."""
    loaders = tmp_path / "loaders"
    loaders.mkdir()
    for name in ("libvulkan.so", "libvulkan.so.1"):
        (loaders / name).write_text("no library")
    none = str(tmp_path / "none")
    for environment, word in (({"VK_DRIVER_FILES": none, "VK_ICD_FILENAMES": none}, "driver"),
                              ({"LD_LIBRARY_PATH": str(loaders)}, "loader")):
        run = hearth("logits", GOLDENS / "llama", "--ids", "1,2", "--out", tmp_path / "logits.npy", "--device", "vulkan",
                     env={**os.environ, **environment})
        assert run.returncode == 1
        if "built without" not in run.stderr:
            assert word in run.stderr and "--device cpu" in run.stderr, run.stderr


def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path):
    terminal = Terminal(DEMO, "--temperature", "0", state=tmp_path)
    terminal.wait_for(lambda seen: "> " in seen)
    terminal.send("Write a very long story about a river.\n")
    terminal.wait_for(lambda seen: len(seen) > 200)
    terminal.send("\x03")
    terminal.wait_for(lambda seen: seen.endswith("> "))
    terminal.send("half a line\x03")
    terminal.wait_for(lambda seen: seen.endswith("> "))
    terminal.send("/exit\n")
    assert terminal.exit_code() == 0
    history = (tmp_path / "hearth/chat_history").read_text()
    assert "river" in history and "half" not in history
