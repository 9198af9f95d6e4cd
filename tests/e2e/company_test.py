"""The law of company: an answer is the same whatever else runs, however its prompt is cut, with a cached prefix or not.

The CPU keeps it always, a GPU with --batch-invariant. Of a GPU without it other files ask that answers make sense and
logprobs are near.
"""

from concurrent.futures import ThreadPoolExecutor

from calls import QUESTIONS, ask, complete, is_english, streamed, tokens_of, user
from conftest import SOFTWARE_GPU

# A software GPU takes minutes for 32 conversations. Eight of half the length make steps of one token and of many, of
# prompts beside answers and behind cached prefixes as well; each count of tokens is batch_invariance_test's concern.
CONVERSATIONS, COMPARED, TURN_TOKENS, SAMPLED_TOKENS = (8, 2, 24, 16) if SOFTWARE_GPU else (32, 4, 48, 32)


def converse(client, topic):
    """Two turns, the second of which needs the first."""
    messages = user(topic)
    first, _ = streamed(client, messages, temperature=0, max_tokens=TURN_TOKENS)
    messages += [{"role": "assistant", "content": first}, {"role": "user", "content": "Tell me more about that."}]
    second, _ = streamed(client, messages, temperature=0, max_tokens=TURN_TOKENS)
    return first, second


def test_conversations_at_once_are_coherent_and_the_same_as_alone(batch_invariant_client):
    topics = [f"{question} Explain it to a {person}."
              for question in QUESTIONS for person in ("child", "farmer", "pilot", "cook")][::32 // CONVERSATIONS]
    with ThreadPoolExecutor(CONVERSATIONS) as pool:
        together = list(pool.map(lambda topic: converse(batch_invariant_client, topic), topics))
    for first, second in together:
        assert is_english(first + " " + second), (first, second)
    assert len(set(together)) > CONVERSATIONS * 7 // 8, "every topic has an answer of its own"
    for topic, answers in list(zip(topics, together))[::CONVERSATIONS // COMPARED]:
        assert converse(batch_invariant_client, topic) == answers


def sampled(choice):
    """Its tokens and their logprobs, which tell more than a text whether anything moved."""
    return tuple((token.token, token.logprob) for token in choice.logprobs.content)


def test_a_seed_repeats_an_answer_whatever_else_runs(batch_invariant_client):
    def sample(seed):
        return sampled(ask(batch_invariant_client, user("Tell me a story."), seed=seed, temperature=1.0,
                           max_tokens=SAMPLED_TOKENS, logprobs=True).choices[0])

    alone = sample(7)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(sample, [7, 1, 7, 2, 7, 3, 7, 4]))
    assert together[::2] == [alone] * 4
    assert len(set(together)) == 5


def test_choices_repeat(batch_invariant_client):
    first, second = (ask(batch_invariant_client, user("Tell me a story."), n=3, seed=5, temperature=1.0,
                         max_tokens=SAMPLED_TOKENS, logprobs=True).choices for _ in range(2))
    assert len(set(map(sampled, first))) == 3
    assert list(map(sampled, second)) == list(map(sampled, first))


def test_a_prompt_in_a_list_is_answered_as_alone(batch_invariant_client):
    prompts = ["The capital of France is", "One, two, three,", "Water boils at a temperature of"]
    alone = [complete(batch_invariant_client, prompt).choices[0].text for prompt in prompts]
    assert [choice.text for choice in complete(batch_invariant_client, prompts).choices] == alone
    tokens = tokens_of(batch_invariant_client, prompts[0])
    assert [choice.text for choice in complete(batch_invariant_client, [tokens, tokens]).choices] == [alone[0]] * 2


def test_a_cached_prefix_changes_no_bit(batch_invariant_client):
    prompt = "A lighthouse keeper counted the ships that passed, and wrote their names into a book. " * 3
    first, second = (complete(batch_invariant_client, prompt, logprobs=1) for _ in range(2))
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens_details.cached_tokens > 0.7 * second.usage.prompt_tokens
    assert second.choices[0].text == first.choices[0].text
    assert second.choices[0].logprobs.token_logprobs == first.choices[0].logprobs.token_logprobs
