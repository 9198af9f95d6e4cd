"""Prompts with an exact number of tokens, no two of which begin alike (no prefix cache helps): real English, or ids."""

import random
from collections.abc import Callable
from pathlib import Path

WORDS = (Path(__file__).resolve().parent / "data/alice.txt").read_text().split()
FILLER = " very"  # a token of its own in every vocabulary met so far


def make_prompt(number: int, tokens: int, count_tokens: Callable[[str], int]) -> str:
    """Prompt `number`: a stretch of the text from a place of its own, cut to exactly `tokens` tokens."""
    first = number * 37 % len(WORDS)
    words = [f"Story {number}.", *(WORDS[(first + i) % len(WORDS)] for i in range(tokens))]
    # The longest stretch that fits, by bisection: every word has at least one token.
    fits, too_long = 0, len(words) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if count_tokens(" ".join(words[:middle])) <= tokens:
            fits = middle
        else:
            too_long = middle
    prompt = " ".join(words[:fits])
    prompt += FILLER * (tokens - count_tokens(prompt))
    if count_tokens(prompt) != tokens:
        raise ValueError(f"cannot make a prompt of exactly {tokens} tokens in this vocabulary")
    return prompt


def make_ids(number: int, tokens: int, vocabulary: int) -> list[int]:
    """Prompt `number`: token ids at random, for models without a tokenizer and servers of any kind."""
    return random.Random(number).choices(range(vocabulary), k=tokens)
