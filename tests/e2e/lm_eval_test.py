"""lm-evaluation-harness: a text's bits per byte through the server are those of the model's logits, however it is sent."""

import functools
import json
import math
import os
import subprocess

import numpy
import pytest

from calls import ask, user
from conftest import BASE, CACHE, DEVICE, HEARTH

if DEVICE != "cpu":
    pytest.skip("what a client makes of answers does not depend on the device", allow_module_level=True)

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"  # all it needs is here
import datasets  # noqa: E402
import lm_eval  # noqa: E402
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

TEXTS = ["The lighthouse keeper counted the ships that passed, and wrote their names into a book.",
         "Grüße aus Zürich: 7 × 6 = 42.\n\tdef f(x): return x"]

ROLLING_TASK = """
task: rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte}}]
"""

CHOICE_TASK = """
task: choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: " "
metric_list: [{{metric: acc}}]
"""

QUESTION_TASK = """
task: question
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["!"], max_gen_toks: 16, temperature: 0}}
metric_list: [{{metric: exact_match}}]
"""


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm_eval")
    datasets.config.HF_DATASETS_CACHE = str(folder / "cache")

    def evaluate(model, name, task, rows, **options):
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"{name}.yaml").write_text(task.format(data=data))
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        return lm_eval.simple_evaluate(model, tasks=[name], task_manager=manager, bootstrap_iters=0, **options)

    return evaluate


OPTIONS = {"num_concurrent": 1, "max_retries": 1, "timeout": 120, "max_length": 512}


@pytest.fixture(scope="module")
def base_url(start_server):
    """Of a model whose texts begin with a token that lm_eval puts there itself."""
    return start_server(BASE, "--served-model-name", "base", "--context", 512).wait_until_ready().url


@pytest.fixture(scope="module", params=["token ids", "strings"])
def base_model(base_url, request):
    return LocalCompletionsAPI(base_url=base_url + "/v1/completions", model="base", tokenizer_backend="huggingface",
                               tokenizer=str(CACHE / "tokenizers/gemma3"),
                               tokenized_requests=request.param == "token ids", **OPTIONS)


@pytest.fixture(scope="module")
def bits_of(tmp_path_factory):
    """The bits of a text from the logits of its tokens, outside the server."""
    out = tmp_path_factory.mktemp("logits") / "logits.npy"

    @functools.cache
    def bits_of(ids):
        subprocess.run([HEARTH, "logits", str(BASE), "--device", "cpu", "--out", str(out), "--ids",
                        ",".join(map(str, ids))], check=True, capture_output=True, timeout=120)
        logits = numpy.load(out).astype(numpy.float64)[:-1]
        logits -= logits.max(axis=1, keepdims=True)
        logprobs = logits[numpy.arange(len(ids) - 1), ids[1:]] - numpy.log(numpy.exp(logits).sum(axis=1))
        return -logprobs.sum() / math.log(2)

    return bits_of


def test_bits_per_byte_are_those_of_the_logits(base_model, evaluate, bits_of):
    results = evaluate(base_model, "rolling", ROLLING_TASK, [{"text": text} for text in TEXTS])
    ids = [tuple(base_model.tokenizer(text).input_ids) for text in TEXTS]
    assert all(some[0] == base_model.tokenizer.bos_token_id for some in ids)
    expected = sum(map(bits_of, ids)) / sum(len(text.encode()) for text in TEXTS)
    assert 0.3 < expected < 8
    assert results["results"]["rolling"]["bits_per_byte,none"] == pytest.approx(expected, rel=1e-4)


def test_the_likelier_choice_is_taken(base_model, evaluate):
    rows = [{"question": "The capital of France is", "choices": ["Paris", "seven"], "answer": 0},
            {"question": "Monday, Tuesday,", "choices": ["France", "Wednesday"], "answer": 1}]
    assert evaluate(base_model, "choice", CHOICE_TASK, rows)["results"]["choice"]["acc,none"] == 1


def test_a_chat_answers(server, client, evaluate):
    question = "What is gravity?"
    model = LocalChatCompletion(base_url=server.url + "/v1/chat/completions", model="demo", **OPTIONS)
    results = evaluate(model, "question", QUESTION_TASK, [{"question": question, "answer": "none"}],
                       apply_chat_template=True, log_samples=True)
    answer = ask(client, user(question), temperature=0, max_tokens=16, stop=["!"])
    assert results["samples"]["question"][0]["resps"] == [[answer.choices[0].message.content]]
