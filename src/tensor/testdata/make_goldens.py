#!/usr/bin/env python3
"""Writes the goldens of src/tensor: what the Python package gguf decodes from random blocks, and what numpy narrows.

    pip install numpy gguf ml_dtypes
    python3 make_goldens.py [--ggml LIBGGML_BASE.so]

<format>.bin      encoded blocks, then the decoded values as float32; 8-bit floats are ml_dtypes', every byte once
narrowing.bin     float32 values, then their f16 bits, then their bf16 bits
goldens.json      counts, and the error that other quantizers reach on pseudo_normal(); with --ggml, ggml's own C code
"""
import argparse
import ctypes
import json
import pathlib

import gguf
import ml_dtypes
import numpy as np

HERE = pathlib.Path(__file__).parent
BLOCKS = {"q4_0": 24, "q4_1": 24, "q5_0": 24, "q5_1": 24, "q8_0": 24, "q4_k": 6, "q5_k": 6, "q6_k": 6,
          "mxfp4": 24,
          # Only decoded: found in files.
          "q2_k": 4, "q3_k": 4, "iq1_s": 4, "iq1_m": 4, "iq2_xxs": 4, "iq2_xs": 4, "iq2_s": 4, "iq3_xxs": 4, "iq3_s": 4,
          "iq4_nl": 12, "iq4_xs": 4, "tq1_0": 4, "tq2_0": 4}
ENCODED = list(BLOCKS)[:9]
# Where a block keeps its f16 factors.
SCALES = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q4_k": [0, 2], "q5_k": [0, 2],
          "q6_k": [208], "mxfp4": [], "q2_k": [80, 82], "q3_k": [108], "iq1_s": [0], "iq1_m": [], "iq2_xxs": [0],
          "iq2_xs": [0], "iq2_s": [0], "iq3_xxs": [0], "iq3_s": [0], "iq4_nl": [0], "iq4_xs": [0], "tq1_0": [52],
          "tq2_0": [64]}
EIGHT_BITS = {"f8_e4m3": ml_dtypes.float8_e4m3fn, "f8_e5m2": ml_dtypes.float8_e5m2,
              "f8_e8m0": ml_dtypes.float8_e8m0fnu}
ROW = 256 * 64  # values of the quantizers' contest


def kind(name):
    return gguf.GGMLQuantizationType[name.upper()]


def pseudo_normal(count):
    """Sums of twelve uniform numbers from a 64-bit linear congruential generator: the test computes the same ones."""
    state, values = 1, np.empty(count, np.float32)
    for i in range(count):
        total = 0
        for _ in range(12):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            total += state >> 40
        values[i] = np.float32(total - 6 * 2**24) * np.float32(2.0**-24)
    return values


def random_blocks(name, random):
    _, block_bytes = gguf.GGML_QUANT_SIZES[kind(name)]
    blocks = random.integers(0, 256, (BLOCKS[name], block_bytes), dtype=np.uint8)
    for place in SCALES[name]:
        factors = random.normal(0, 0.05, BLOCKS[name]).astype(np.float16)
        factors[0] = 0
        factors[1] = np.float16(3e-7)  # a subnormal
        factors[2] = np.float16(-65504)
        blocks[:, place:place + 2] = factors.view(np.uint8).reshape(-1, 2)
    if name == "mxfp4":  # up to the largest exponent whose numbers are all finite
        blocks[:, 0] = random.integers(0, 253, BLOCKS[name])
        blocks[:3, 0] = [0, 1, 252]
    if name == "iq1_m":  # four bits of the scale in each of four words
        factors = random.normal(0, 0.05, BLOCKS[name]).astype(np.float16).view(np.uint16)
        words = blocks[:, 48:].view(np.uint16)
        for word in range(4):
            words[:, word] = (words[:, word] & 0xFFF) | ((factors >> 4 * word & 15) << 12)
    return blocks


def narrowing(random):
    edges = [0.0, -0.0, 1.0, 65504, 65519.996, 65520, 65536, 1e38, 3.4e38, 2**-14, 2**-24, 2**-25, 2**-25 * 1.0000001,
             2**-149, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, np.inf]
    values = np.concatenate([np.float32(edges), -np.float32(edges),
                             random.integers(0, 2**32, 1500, dtype=np.uint32).view(np.float32),
                             random.normal(0, 1, 300).astype(np.float32),
                             (random.integers(0, 4096, 300) * 2.0**-26).astype(np.float32)])
    values = values[~np.isnan(values)]
    with np.errstate(over="ignore"):
        half = values.astype(np.float16).view(np.uint16)
    bfloat = gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16).reshape(-1).view(np.uint16)
    (HERE / "narrowing.bin").write_bytes(values.tobytes() + half.tobytes() + bfloat.tobytes())
    return len(values)


def error_of(encoded, name, values):
    decoded = gguf.quants.dequantize(encoded, kind(name)).reshape(-1)
    return float(np.sqrt(np.mean((decoded - values).astype(np.float64)**2)))


def ggml_errors(library, values):
    ggml = ctypes.CDLL(library)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [
        ctypes.c_void_p]
    errors = {}
    for name in ENCODED:
        block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind(name)]
        out = np.zeros(len(values) // block_values * block_bytes, np.uint8)
        ggml.ggml_quantize_chunk(int(kind(name)), values.ctypes.data, out.ctypes.data, 0, 1, len(values), None)
        errors[name] = error_of(out, name, values)
    return errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ggml", help="libggml-base.so, to measure its quantizers")
    options = parser.parse_args()
    random = np.random.default_rng(20240917)
    goldens = {"formats": {}, "narrowing": narrowing(random)}
    for name in BLOCKS:
        blocks = random_blocks(name, random)
        decoded = gguf.quants.dequantize(blocks.reshape(-1), kind(name)).astype(np.float32).reshape(-1)
        (HERE / f"{name}.bin").write_bytes(blocks.tobytes() + decoded.tobytes())
        goldens["formats"][name] = {"encoded_bytes": blocks.size, "values": len(decoded)}
    every_byte = np.arange(256, dtype=np.uint8)
    for name, kind8 in EIGHT_BITS.items():
        decoded = every_byte.view(kind8).astype(np.float32)
        (HERE / f"{name}.bin").write_bytes(every_byte.tobytes() + decoded.tobytes())
        goldens["formats"][name] = {"encoded_bytes": 256, "values": 256}
    values = pseudo_normal(ROW)
    goldens["pseudo_normal"] = {"count": ROW, "sum": float(values.astype(np.float64).sum())}
    # The package's quantizer of mxfp4 is ggml's.
    mxfp4_error = error_of(gguf.quants.quantize(values, kind("mxfp4")), "mxfp4", values)
    if options.ggml:
        goldens["ggml_rms_error"] = ggml_errors(options.ggml, values)
    elif (HERE / "goldens.json").exists():
        goldens["ggml_rms_error"] = json.loads((HERE / "goldens.json").read_text()).get("ggml_rms_error", {})
    goldens["ggml_rms_error"]["mxfp4"] = mxfp4_error
    (HERE / "goldens.json").write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    main()
