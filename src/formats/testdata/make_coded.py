#!/usr/bin/env python3
"""Writes coded/<name>/: small checkpoints in the formats of quantized Hugging Face models, and what they stand for.

    pip install numpy torch safetensors transformers compressed-tensors==0.18.0 torchao nvidia-modelopt
    pip install --no-deps gptqmodel autoawq auto-round   # and what their imports then miss
    python3 make_coded.py [NAME ...]

config.json            sizes of the model and the quantization_config that the format's tool writes
model.safetensors      the stored tensors of one or two linear layers, and plain ones
expected.safetensors   the same weights [outputs, inputs] as float32, plain tensors too

The values are computed in float32 from the stored codes and scales, by the package that wrote them where it can do so
on a CPU (with the scales widened to float32, for at their own width it rounds every product); coded_*.py says where a
plain evaluation of the documented formula stands in for it. Each is one float32 product of a code less its zero and
a scale, to which a tensor's second scale was applied before, so that a reader that does the same gets the same bits.
"""
import json
import pathlib
import sys
import zlib

import numpy as np
import torch
from safetensors.torch import save

import coded_compressed_tensors
import coded_floats
import coded_packed_words
import coded_torchao

HERE = pathlib.Path(__file__).parent
# Two layers read the same 256 inputs: two groups of 128, and three rows of packed words at the least.
LAYERS = {"model.layers.0.mlp.up_proj": (16, 256), "model.layers.0.self_attn.k_proj": (8, 256)}
# AWQ and GPTQ pack along outputs, and their tools want whole words of every width: multiples of 32.
WORDS = {"model.layers.0.mlp.up_proj": (32, 256)}
# One block and a bit in both directions, and a layer that has fewer rows than a block.
BLOCKS = {"model.layers.0.mlp.up_proj": (136, 144), "model.layers.0.self_attn.k_proj": (8, 144)}
FORMATS = coded_compressed_tensors.FORMATS | coded_packed_words.FORMATS | coded_floats.FORMATS | coded_torchao.FORMATS


def random_weights(name, shapes):
    """Normal numbers; every row and every 32 inputs have a scale and a middle of their own, so that a swap is seen."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    weights = {}
    for layer, (outputs, inputs) in shapes.items():
        spread = np.exp(random.normal(0, 0.4, (outputs, inputs // 16)))
        middle = random.normal(0, 0.02, (outputs, inputs // 16))
        normal = random.normal(0, 0.05, (outputs, inputs // 16, 16))
        values = (normal + middle[..., None]) * spread[..., None]
        weights[layer] = torch.from_numpy(values.reshape(outputs, inputs)).to(torch.bfloat16)
    norm = torch.from_numpy(random.normal(1, 0.1, next(iter(shapes.values()))[1])).to(torch.bfloat16)
    return weights, {"model.norm.weight": norm}, random


def config(shapes, quantization_config):
    """A llama of the layers' sizes: heads of eight, one of them for keys and values."""
    up_outputs, hidden = shapes["model.layers.0.mlp.up_proj"]
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
            "intermediate_size": up_outputs, "num_hidden_layers": 1, "num_attention_heads": hidden // 8,
            "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
            "max_position_embeddings": 64, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
            "quantization_config": quantization_config}


def save_file(tensors, path, metadata):
    """As safetensors.torch.save_file, but with the metadata in order: a second run writes the same bytes."""
    data = save({key: tensor.contiguous() for key, tensor in tensors.items()})
    header_bytes = int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items()))} | json.loads(data[8:8 + header_bytes])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + header_bytes:])


def write(name):
    make, sizes = FORMATS[name]
    shapes = {"layers": LAYERS, "words": WORDS, "blocks": BLOCKS}[sizes]
    weights, plain, random = random_weights(name, shapes)
    quantization_config, stored, expected, metadata = make(weights, random)
    for layer, shape in shapes.items():
        assert tuple(expected[layer + ".weight"].shape) == shape
        # The codes are of these weights: a formula that were wrong by a factor or an order would be far off.
        error = (expected[layer + ".weight"] - weights[layer].float()).norm() / weights[layer].float().norm()
        assert error < 0.5, f"{name}: {layer} is off by {error:.3f}"
    folder = HERE / "coded" / name
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config(shapes, quantization_config), indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    save_file(stored | plain, folder / "model.safetensors", {"format": "pt"} | metadata)
    expected = {key: tensor.float() for key, tensor in (expected | plain).items()}
    save_file(expected, folder / "expected.safetensors", {"format": "pt"})


if __name__ == "__main__":
    torch.manual_seed(0)
    for chosen in sys.argv[1:] or FORMATS:
        write(chosen)
