"""What the tests ask a served model through OpenAI's client, and what they make of its answers."""

import re

QUESTIONS = ["What is gravity?", "Why is the sky blue?", "How do birds fly?", "What do bees eat?",
             "Why do we sleep?", "What is a river?", "How does a clock work?", "What is bread made of?"]

# Words that any English paragraph is full of.
COMMON = set("the of and to in a is that it for as are with be on by this from or an at which can was have not has "
             "they their its you your we our also such into more other these when there how what who will one like "
             "between through about called make help because only both but than then very some many most up out so if".split())


def user(text):
    return [{"role": "user", "content": text}]


def ask(client, messages, **options):
    return client.chat.completions.create(model="demo", messages=messages, **options)


def streamed(client, messages, **options):
    """The text, and the chunks that it came in."""
    chunks = list(ask(client, messages, stream=True, **options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return text, chunks


def is_english(text):
    words = re.findall(r"[a-z']+", text.lower())
    return len(words) > 15 and sum(word in COMMON for word in words) / len(words) > 0.2


def complete(client, prompt, **options):
    """A text completion, greedy and short unless the options say otherwise."""
    return client.completions.create(model="demo", prompt=prompt, **{"temperature": 0, "max_tokens": 8, **options})


def tokens_of(client, text):
    return client.post("/../tokenize", cast_to=object, body={"prompt": text})["tokens"]
