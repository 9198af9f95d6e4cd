"""What `hearth plan` says is what `hearth serve` takes, and about as quick as `hearth bench` measures."""

import json
import re
import subprocess

import pytest

from conftest import DEMO, DEVICE, HEARTH, SOFTWARE_GPU

SIZES = ["--context", "2048", "--max-sequences", "4", "--max-batched-tokens", "256"]


def run_json(*arguments):
    done = subprocess.run([HEARTH, *map(str, arguments), "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_server_takes_what_was_planned(start_server):
    plan = run_json("plan", DEMO, "--device", DEVICE, "--no-measure", *SIZES)
    metrics = start_server(DEMO, *SIZES).wait_until_ready().get("/metrics")[1]
    used = {owner: float(value) for owner, value in
            re.findall(r'^hearth:device_memory_bytes{.*owner="([^"]+)".*} (\S+)$', metrics, re.MULTILINE)}
    memory = plan["memories"][0]
    assert used["weights"] == pytest.approx(sum(memory["weights"].values()), rel=0.01)
    assert used["cache"] == pytest.approx(memory["cache_bytes"], rel=0.01)
    assert used["activations"] == pytest.approx(memory["activation_bytes"], rel=0.01)


def test_machines_that_are_not_here_are_planned_for():
    plan = run_json("plan", DEMO, "--what-if", "780m-64gb", "--context", "8192")
    assert "780M" in plan["device"]
    assert plan["speed"]["basis"] == "limits"
    one = plan["speed"]["decode"][0]
    assert one["sequences"] == 1
    read = one["tokens_per_second"] * plan["weight_bytes_read_per_step"]
    assert read <= plan["speed"]["read_gb_per_second"] * 1e9 * 1.0001


def test_doctor_describes_a_machine_to_plan_for(tmp_path):
    described = tmp_path / "here.json"
    described.write_text(subprocess.run([HEARTH, "doctor", "--json"], capture_output=True, text=True).stdout)
    here = run_json("plan", DEMO, "--device", DEVICE, "--no-measure", *SIZES)
    there = run_json("plan", DEMO, "--device", DEVICE, "--what-if", described, *SIZES)
    for key in ("weights", "cache_bytes"):
        assert there["memories"][0][key] == here["memories"][0][key]


@pytest.mark.skipif(SOFTWARE_GPU, reason="a software GPU takes minutes for it")
def test_speeds_are_about_those_that_bench_measures():
    """Within a factor, as others use the machine; docs/memory.md has what quiet machines gave."""
    for attempt in range(3):
        plan = run_json("plan", DEMO, "--device", DEVICE, *SIZES)["speed"]
        assert plan["basis"] == "measured"
        bench = run_json("bench", DEMO, "--device", DEVICE, "--sequences", "1,8", "--prompt", "512", "--decode", "64", "--repeat", "1")
        planned = {each["sequences"]: each["tokens_per_second"] for each in plan["decode"]}
        ratios = [planned[each["sequences"]] / each["tokens_per_second"] for each in bench["decode"]]
        ratios.append(plan["prompt_tokens_per_second"] / bench["prompt"][0]["tokens_per_second"])
        if all(0.5 < ratio < 2 for ratio in ratios):
            return
    raise AssertionError(ratios)


def test_what_does_not_fit_names_what_does():
    done = subprocess.run([HEARTH, "plan", str(DEMO), "--device", "cpu", "--context", "8192", "--kv-cache-mb", "32"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "these fit:" in done.stderr
    suggested = next(line for line in done.stderr.splitlines() if "hearth serve" in line).split()
    options = suggested[suggested.index("--device"):]
    again = subprocess.run([HEARTH, "plan", str(DEMO), "--no-measure", *options], capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
