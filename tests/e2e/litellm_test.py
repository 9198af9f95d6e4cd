"""LiteLLM's client, which knows an OpenAI server by the words of its errors: the calls that broke, and what each must show."""

import os

import pytest

from calls import user
from conftest import DEVICE

if DEVICE != "cpu":
    pytest.skip("what a client makes of answers does not depend on the device", allow_module_level=True)

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or the import fetches a list of prices
import litellm  # noqa: E402

litellm.suppress_debug_info = True
pytestmark = pytest.mark.filterwarnings("ignore")  # its own, of its own packages


@pytest.fixture(scope="module")
def to_server(server):
    return {"api_base": server.url + "/v1", "api_key": "none", "num_retries": 0}


@pytest.fixture(scope="module")
def ask(to_server):
    def ask(messages, provider="openai", model="demo", **options):
        return litellm.completion(model=f"{provider}/{model}", messages=messages,
                                  **{"temperature": 0, "max_tokens": 8, **to_server, **options})

    return ask


@pytest.fixture(scope="module")
def complete(to_server):
    def complete(prompt, **options):
        return litellm.text_completion(model="text-completion-openai/demo", prompt=prompt,
                                       **{"temperature": 0, "max_tokens": 8, **to_server, **options})

    return complete


def test_a_stream_says_the_same_as_an_answer_in_one_piece(ask):
    whole = ask(user("What is gravity?"))
    chunks = list(ask(user("What is gravity?"), stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text and text == whole.choices[0].message.content
    usages = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    assert usages[-1].completion_tokens == whole.usage.completion_tokens == 8


def test_texts_and_tokens_complete(complete, client):
    prompt = "The capital of France is"
    answer = complete(prompt, logprobs=2)
    assert "Paris" in answer.choices[0].text
    assert all(len(top) == 2 for top in answer.choices[0].logprobs.top_logprobs)
    tokens = client.post("/../tokenize", cast_to=object, body={"prompt": prompt})["tokens"]
    assert complete([tokens]).choices[0].text == answer.choices[0].text


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_a_context_that_is_exceeded_is_known_as_that(ask, provider):
    with pytest.raises(litellm.ContextWindowExceededError, match="maximum context length is 2048 tokens"):
        ask(user("word " * 3000), provider)


def test_top_logprobs_of_zero_ask_for_nothing(ask):
    assert ask(user("hi"), logprobs=False, top_logprobs=0).choices[0].message.content
    tokens = ask(user("hi"), logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert all(len(token.top_logprobs) == 2 for token in tokens)


@pytest.mark.parametrize("options,named", [
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]},
     "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"extra_body": {"grammar": 'root ::= "a"'}}, "grammar")])
def test_what_is_not_supported_is_refused_by_name(ask, options, named):
    with pytest.raises(litellm.BadRequestError, match=f"{named} is not supported"):
        ask(user("hi"), **options)


def test_what_is_not_there_is_404(ask, to_server):
    with pytest.raises(litellm.NotFoundError, match="not served here"):
        ask(user("hi"), model="other")
    with pytest.raises(litellm.NotFoundError, match="/v1/embeddings"):
        litellm.embedding(model="openai/demo", input=["hi"], **to_server)
    with pytest.raises(litellm.NotFoundError, match="/v1/responses"):
        litellm.responses(model="openai/demo", input="hi", api_base=to_server["api_base"], api_key="none")
