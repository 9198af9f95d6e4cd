"""LangChain's OpenAI classes: what chains ask of a model, and what of it hearth refuses by name."""

import asyncio

import openai
import pytest

from conftest import DEVICE

if DEVICE != "cpu":
    pytest.skip("what a client makes of answers does not depend on the device", allow_module_level=True)

from langchain_core.exceptions import ContextOverflowError  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings  # noqa: E402

TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"title": "Answer", "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.fixture(scope="module")
def to_server(server):
    return {"model": "demo", "base_url": server.url + "/v1", "api_key": "none", "max_retries": 0}


@pytest.fixture(scope="module")
def chat(to_server):
    return lambda **options: ChatOpenAI(**{"temperature": 0, "max_tokens": 8, **to_server, **options})


@pytest.fixture(scope="module")
def llm(to_server):
    return lambda **options: OpenAI(**{"temperature": 0, "max_tokens": 8, **to_server, **options})


def test_a_message_a_stream_and_a_batch_say_the_same(chat):
    question = "What is gravity?"
    message = chat().invoke(question)
    assert message.content and message.response_metadata["finish_reason"] == "length"
    chunks = list(chat(stream_usage=True).stream(question))
    assert "".join(chunk.content for chunk in chunks) == message.content
    usages = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    assert [usage["output_tokens"] for usage in usages] == [message.usage_metadata["output_tokens"]] == [8]
    assert [one.content for one in chat().batch([question] * 3)] == [message.content] * 3
    assert asyncio.run(chat().ainvoke(question)).content == message.content


def test_logprobs_and_stops_and_efforts_reach_the_model(chat):
    message = chat(logprobs=True, top_logprobs=2).invoke("hi")
    tokens = message.response_metadata["logprobs"]["content"]
    assert len(tokens) == 8 and all(len(token["top_logprobs"]) == 2 for token in tokens)
    first = message.content.split()[0]
    assert first not in chat().invoke("hi", stop=[first]).content
    assert chat(reasoning_effort="low").invoke("hi").content == message.content  # no variable of this template


def test_texts_are_completed(llm):
    prompts = ["The capital of France is", "One, two, three,"]
    generations = [one[0] for one in llm(logprobs=2).generate(prompts).generations]
    assert "Paris" in generations[0].text and "four" in generations[1].text
    assert all(len(top) == 2 for top in generations[0].generation_info["logprobs"]["top_logprobs"])
    assert "".join(llm().stream(prompts[0])) == generations[0].text


def test_a_context_that_is_exceeded_is_known_as_that(chat, llm):
    with pytest.raises(ContextOverflowError, match="maximum context length is 2048 tokens"):
        chat().invoke("word " * 3000)
    with pytest.raises(openai.BadRequestError, match="maximum context length is 2048 tokens"):
        llm().invoke("word " * 3000)


def test_what_is_not_supported_is_refused_by_name(chat):
    with pytest.raises(openai.BadRequestError, match="tools is not supported"):
        chat().bind_tools([TOOL]).invoke("hi")
    for method in ("json_schema", "json_mode"):
        with pytest.raises(openai.BadRequestError, match="response_format is not supported"):
            chat().with_structured_output(SCHEMA, method=method).invoke("hi")


def test_what_is_not_there_is_404(chat, to_server):
    with pytest.raises(openai.NotFoundError, match="/v1/responses"):
        chat(use_responses_api=True).invoke("hi")
    with pytest.raises(openai.NotFoundError, match="/v1/embeddings"):
        OpenAIEmbeddings(**to_server, check_embedding_ctx_length=False).embed_query("hi")
