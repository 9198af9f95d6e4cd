#!/usr/bin/env python3
"""Writes the golden files beside this script: token ids by Python's tokenizers, rendered chats by jinja2.

Needs the packages tokenizers, jinja2 and gguf, and the files that tools/fetch_tokenizers.sh and the set-up put into
the cache ($HEARTH_CACHE, else ~/.cache/hearth). Run it again when the cases below change.
"""

import json
import os
import pathlib
import random

import jinja2
import jinja2.ext
import jinja2.sandbox
import tokenizers
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = pathlib.Path(__file__).parent
CACHE = pathlib.Path(os.environ.get("HEARTH_CACHE") or pathlib.Path.home() / ".cache" / "hearth")

TEXTS = [
    "",
    "a",
    "Hello, world!",
    " leading space",
    "trailing space ",
    "  two  spaces   three    four",
    "tabs\tand\t\ttabs\n\tindented",
    "\n",
    "\n\n\n\n\n",
    "line\r\nline\rline\n",
    " \n \n\n  x",
    "def f(x):\n    if x > 10:\n        return x ** 2  # comment\n    return None\n",
    "I'm you'RE they'll WE'D it's O'Brien 'quoted'",
    "1 12 123 1234 12345 3.14159 1,000,000 0x1F 2024-05-17",
    "½ ² ① Ⅷ 一二三 ٣٤٥ ७८९",
    "Grüße aus Köln, schöne Straße! Ça va? naïve façade",
    "e\u0301 vs \u00e9; A\u030a vs \u00c5; q\u0323\u0307 vs q\u0307\u0323; \u1100\u1161\u11a8 vs \uac01",
    "Zalgo: H\u0335\u0321\u0353e\u0334\u0347l\u0338\u0359p\u0337",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff01",
    "\u3053\u3093\u306b\u3061\u306f\u3001\u4e16\u754c\u3002\u30ab\u30bf\u30ab\u30ca\uff8a\uff9d\uff76\uff78",
    "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4",
    "\u0421\u044a\u0435\u0448\u044c \u0435\u0449\u0451 \u044d\u0442\u0438\u0445 \u043c\u044f\u0433\u043a\u0438\u0445 \u0431\u0443\u043b\u043e\u043a",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\U0001f600\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "\U00012000\U0001d54f\U0010fffd \ue000 \ufffd\ufffd end\ufffd",
    "zero\u200bwidth\u200djoiner\ufeffbom\u00adhyphen\u00a0nbsp\u3000ideographic\u2028line",
    "nul\x00 bell\x07 escape\x1b[0m delete\x7f c1\x85",
    "https://example.org/a/b?c=d&e=%20f#g user@host.example C:\\dir\\file.txt",
    '{"key": [1, 2.5, null, true], "text": "a\\nb\\u00e9"}',
    "<html><body><table><tr><td>x</td></tr></table></body></html><h1>t</h1><i>i</i>",
    "=" * 40 + "-" * 33 + "#" * 17 + "." * 9,
    " " * 70 + "x" + "\n" * 40 + "y" + "\t" * 40,
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "<|im_start|>user\nhi<|im_end|>\n",
    "a<|im_end|>b <|im_end|> c<|im_end|>",
    "<start_of_turn>user\nhi<end_of_turn>\n<eos><bos>",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|><|end_of_text|>",
    "<|endoftext|><|fim_prefix|>x<|fim_suffix|>y<|fim_middle|><repo_name><file_sep>",
    "<think>\nhm\n</think>\n\n<tool_call>\n{}\n</tool_call><tool_response>\n</tool_response>",
    "<pad><unk><mask><unused5>[multimodal]<unk>",
    "<|im_end|<|im_end|>> <|im_|im_end|>end|> < |im_end|> <|IM_END|> <|im_end |>",
    "<0x41><0x0A> <0xFF>",
    "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs.",
]

ALPHABET = [" ", "  ", "\n", "\t", "a", "The", "ing", "'s", "9", "42", "é", "e\u0301", "ß", "你", "世界", "カ", "한",
            "\u0915\u094d", "😀", "👩\u200d🚀", "\u200d", "\ufe0f", "\u00a0", ".", ",", "(", "}", "<", ">", "|", "<|",
            "|>", "_", "-", "/", "\\", '"', "im_end", "\U00012000", "\x00", "\ufffd", "$", "№"]

TOOLS = [{
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather for a city, \"quoted\" & <b>bold</b> – ünïcode",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name"},
                "days": {"type": "integer", "minimum": 1, "default": 3.0, "enum": [1, 2.5, 1e20, -0.00001]},
            },
            "required": ["city"],
            "additionalProperties": False,
            "nothing": None,
        },
    },
}]

CHATS = [
    {"messages": [{"role": "user", "content": "Hello!"}]},
    {"messages": [{"role": "user", "content": "Hello!"}], "add_generation_prompt": False},
    {"messages": [{"role": "user", "content": "  trimmed \n"}, {"role": "assistant", "content": " yes\n"},
                  {"role": "user", "content": "\n\nand\n\nnow?\t"}]},
    {"messages": [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": "Wer bist du? 你是谁？ 🙂"},
                  {"role": "assistant", "content": "Ich bin hearth."}, {"role": "user", "content": "1234 + 5678 = ?"}]},
    {"messages": [{"role": "user", "content": ""}]},
    {"messages": [{"role": "user", "content": "Think."},
                  {"role": "assistant", "content": "<think>\nhm, 'so' \"that\"\n</think>\n\nDone."},
                  {"role": "user", "content": "Again."}]},
    {"messages": [{"role": "user", "content": "Think."}], "variables": {"enable_thinking": False}},
    {"messages": [{"role": "user", "content": "Weather in Köln?"},
                  {"role": "assistant", "content": "", "tool_calls": [
                      {"id": "call_1", "type": "function",
                       "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}},
                      {"id": "call_2", "type": "function",
                       "function": {"name": "get_weather", "arguments": "{\"city\": \"Bonn\"}"}}]},
                  {"role": "tool", "content": "{\"rain\": true}"}, {"role": "tool", "content": "sun & <wind>"},
                  {"role": "assistant", "content": "Rain."}, {"role": "user", "content": "Thanks!"}], "tools": TOOLS},
    {"messages": [{"role": "system", "content": "Use tools."}, {"role": "user", "content": "Hi"}], "tools": TOOLS},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": " first "}, {"type": "text", "text": "second"}]}]},
    {"messages": [{"role": "assistant", "content": "I speak first."}]},
    {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
]


def looks_like_control(token):
    text = token["content"]
    return (token["special"] or (text.startswith("<|") and text.endswith("|>")) or text in ("<pad>", "<mask>") or
            (text.startswith("<unused") and text.endswith(">")))


def to_json(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment(extensions):
    """As transformers makes it."""
    jinja = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    jinja.filters["tojson"] = to_json
    jinja.globals["raise_exception"] = raise_exception
    return jinja


def render(source, chat, bos, eos):
    tokens = {name: text for name, text in (("bos_token", bos), ("eos_token", eos)) if text is not None}
    try:
        return environment([jinja2.ext.loopcontrols]).from_string(source).render(
            messages=chat["messages"], tools=chat.get("tools"), documents=None,
            add_generation_prompt=chat.get("add_generation_prompt", True), **chat.get("variables", {}), **tokens)
    except (jinja2.exceptions.TemplateError, TypeError):
        return None


def from_cache(name):
    """A tokenizer.json as it is, without its control tokens, and its tokenizer_config.json."""
    folder = CACHE / "tokenizers" / name
    source = json.loads((folder / "tokenizer.json").read_text())
    full = Tokenizer.from_str(json.dumps(source))
    source["added_tokens"] = [token for token in source["added_tokens"] if not looks_like_control(token)]
    source["post_processor"] = None
    config = json.loads((folder / "tokenizer_config.json").read_text())
    return full, Tokenizer.from_str(json.dumps(source)), config


def smollm2():
    """SmolLM2's tokenizer.json, rebuilt from its GGUF: the `smollm` pre-tokenizer is Digits and ByteLevel."""
    fields = GGUFReader(CACHE / "models" / "smollm2-135m-instruct.gguf").fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]

    def build(with_control):
        tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        tokenizer.decoder = decoders.ByteLevel()
        if with_control:
            tokenizer.add_special_tokens([AddedToken(tokens[i], special=True, normalized=False)
                                          for i, kind in enumerate(types) if kind == 3])
        return tokenizer

    config = {"chat_template": fields["tokenizer.chat_template"].contents(),
              "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"].contents()],
              "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"].contents()]}
    return build(True), build(False), config


def random_texts(count):
    choose = random.Random(7)
    return ["".join(choose.choice(ALPHABET) for _ in range(choose.randrange(1, 40))) for _ in range(count)]


def goldens(full, plain, config):
    texts = []
    for text in TEXTS + random_texts(24):
        ids = full.encode(text, add_special_tokens=False).ids
        case = {"text": text, "ids": ids}
        # Without the control tokens, other added tokens get other ids.
        plain_ids = [full.token_to_id(plain.id_to_token(id)) for id in plain.encode(text, add_special_tokens=False).ids]
        if plain_ids != ids:
            case["plain_ids"] = plain_ids
        texts.append(case)
    hello = "Hello, world!"
    bos, eos = config.get("bos_token"), config.get("eos_token")
    chats = []
    for chat in CHATS:
        rendered = render(config["chat_template"], chat, bos, eos)
        ids = None if rendered is None else full.encode(rendered, add_special_tokens=False).ids
        chats.append({**chat, "rendered": rendered, "ids": ids})
    return {"hello_with_special": full.encode(hello).ids, "texts": texts, "chats": chats}


def main():
    sources = {name: from_cache(name) for name in ("gemma3", "llama3", "qwen3")} | {"smollm2": smollm2()}
    for name, source in sources.items():
        text = json.dumps(goldens(*source), ensure_ascii=True, separators=(",", ":"))
        text = text.replace('{"text"', '\n{"text"').replace('{"messages"', '\n{"messages"')
        (HERE / f"{name}.json").write_text(text + "\n")
        print(f"{name}.json: {len(text)} bytes, tokenizers {tokenizers.__version__}, jinja2 {jinja2.__version__}")


if __name__ == "__main__":
    main()
