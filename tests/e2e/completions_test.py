"""Text completions, through OpenAI's client."""

import openai
import pytest

from calls import ask, complete, tokens_of, user
from conftest import BASE, DEMO, DEVICE, LOGPROB_ERROR, SOFTWARE_GPU

PROMPT = "The capital of France is"


def test_texts_and_tokens_and_lists_of_either_say_the_same(client):
    text = complete(client, PROMPT).choices[0].text
    assert "Paris" in text
    tokens = tokens_of(client, PROMPT)
    assert complete(client, tokens).choices[0].text == text
    both = complete(client, [PROMPT, "One, two, three,"])
    assert [choice.index for choice in both.choices] == [0, 1]
    assert "Paris" in both.choices[0].text and "four" in both.choices[1].text
    assert all("Paris" in choice.text for choice in complete(client, [tokens, tokens]).choices)


def test_a_prompt_with_the_template_applied_is_the_chat(client):
    messages = user("What is gravity?")
    tokens = client.post("/../tokenize", cast_to=object, body={"messages": messages})["tokens"]
    prompt = client.post("/../detokenize", cast_to=object, body={"tokens": tokens})["prompt"]
    assert "<|im_start|>user" in prompt and tokens_of(client, prompt) == tokens
    # Both compute their prompts and take the same steps.
    answer = ask(client, messages, temperature=0, max_tokens=8, extra_body={"cache_salt": "chat"})
    completion = complete(client, prompt, extra_body={"cache_salt": "prompt"})
    assert completion.choices[0].text == answer.choices[0].message.content
    assert completion.usage.prompt_tokens == len(tokens)
    plain = complete(client, prompt, max_tokens=1, extra_body={"parse_special": False})
    assert plain.usage.prompt_tokens > len(tokens)


def test_a_stream_says_the_same(client):
    text = complete(client, PROMPT).choices[0].text
    assert "".join(chunk.choices[0].text for chunk in complete(client, PROMPT, stream=True)) == text


def test_echo_puts_the_prompt_first(client):
    text = complete(client, PROMPT).choices[0].text
    assert complete(client, PROMPT, echo=True).choices[0].text == PROMPT + text
    chunks = complete(client, PROMPT, echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == PROMPT + text


def test_a_score_is_what_generation_would_have_said(client):
    generated = complete(client, PROMPT, logprobs=1)
    text = PROMPT + generated.choices[0].text
    score = complete(client, text, echo=True, logprobs=1, max_tokens=0)
    assert score.choices[0].text == text and score.usage.completion_tokens == 0
    logprobs = score.choices[0].logprobs
    assert logprobs.token_logprobs[0] is None and logprobs.text_offset[0] == 0
    assert "".join(logprobs.tokens) == text
    for token, offset in zip(logprobs.tokens, logprobs.text_offset):
        assert text[offset:].startswith(token)
    count = len(generated.choices[0].logprobs.tokens)
    assert logprobs.tokens[-count:] == generated.choices[0].logprobs.tokens
    assert logprobs.token_logprobs[-count:] == pytest.approx(generated.choices[0].logprobs.token_logprobs, abs=LOGPROB_ERROR)


def test_a_prefix_is_computed_once(client):
    prompt = "Once upon a time there was a lighthouse keeper who counted ships. " * (3 if SOFTWARE_GPU else 8)
    first, second = complete(client, prompt, logprobs=1), complete(client, prompt, logprobs=1)
    assert second.choices[0].logprobs.token_logprobs[0] == pytest.approx(
        first.choices[0].logprobs.token_logprobs[0], abs=LOGPROB_ERROR)
    assert second.usage.prompt_tokens_details.cached_tokens > 0.7 * second.usage.prompt_tokens
    salted = complete(client, prompt, extra_body={"cache_salt": "mine"})
    assert salted.usage.prompt_tokens_details.cached_tokens == 0


@pytest.mark.skipif(DEVICE == "cpu", reason="the CPU is what others are compared with")
def test_greedy_texts_are_the_cpus_wherever_the_margin_decides(start_server, client):
    cpu = start_server(DEMO, "--served-model-name", "demo", "--context", 512, device="cpu").wait_until_ready().client()
    compared = 0
    for prompt in (PROMPT, "One, two, three,", "Water boils at a temperature of"):
        expected, found = (complete(one, prompt, logprobs=2).choices[0].logprobs for one in (cpu, client))
        for i, alternatives in enumerate(expected.top_logprobs):
            best, second = sorted(alternatives.values(), reverse=True)[:2]
            assert found.token_logprobs[i] == pytest.approx(best, abs=LOGPROB_ERROR) or best - second < LOGPROB_ERROR
            if best - second <= 2 * LOGPROB_ERROR:
                break  # from here on the texts may part
            assert found.tokens[i] == expected.tokens[i]
            compared += 1
    assert compared >= 8


def test_tokenize_and_detokenize_are_inverse(client):
    text = "Grüße, 世界! 👩‍🚀\n\tdef f(x): return x"
    tokens = tokens_of(client, text)
    assert client.post("/../detokenize", cast_to=object, body={"tokens": tokens})["prompt"] == text


def test_a_base_model_completes_and_does_not_chat(start_server):
    server = start_server(BASE, "--served-model-name", "base", "--context", 1024).wait_until_ready()
    client = server.client()
    answer = client.completions.create(model="base", prompt="Monday, Tuesday, Wednesday,", max_tokens=5, temperature=0)
    assert "Thursday" in answer.choices[0].text
    with pytest.raises(openai.BadRequestError, match="/v1/completions"):
        client.chat.completions.create(model="base", messages=[{"role": "user", "content": "hi"}])
    assert server.stop() == 0
