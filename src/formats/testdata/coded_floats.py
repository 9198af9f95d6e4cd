"""Layers of FP8 and FP4 with the names of fine-grained FP8 (DeepSeek, Qwen), per-tensor FP8, fbgemm and ModelOpt.

FP8's formula, code times scale, is evaluated here: transformers dequantizes whole blocks only, and the others on GPUs
only. NVFP4 is written and dequantized by ModelOpt (NVFP4QTensor).
"""
import torch
from modelopt.torch.export.convert_hf_config import convert_hf_quant_config_format
from modelopt.torch.quantization.qtensor import NVFP4QTensor

MOST = 448.0  # of E4M3


def scaled(weight, scale):
    """The codes of weight / scale, and what they stand for; scale must broadcast."""
    codes = (weight.float() / scale.float()).clamp(-MOST, MOST).to(torch.float8_e4m3fn)
    return codes, codes.float() * scale.float()


def every_layer(config, code, weights):
    stored, expected = {}, {}
    for layer, weight in weights.items():
        tensors, expected[layer + ".weight"] = code(weight)
        stored |= {f"{layer}.{suffix}": tensor for suffix, tensor in tensors.items()}
    return config, stored, expected, {}


def whole_blocks(weight, dtype):
    """Largest magnitude of every 128x128 block, as a scale of the type stored and spread to the weight's shape."""
    bands = [band.split(128, 1) for band in weight.float().abs().split(128, 0)]
    most = torch.stack([torch.stack([block.max() for block in band]) for band in bands])
    scale = most / MOST
    if dtype == torch.float8_e8m0fnu:
        scale = torch.exp2(torch.ceil(torch.log2(scale)))
    scale = scale.to(dtype)
    rows, columns = torch.arange(weight.shape[0]) // 128, torch.arange(weight.shape[1]) // 128
    return scale, scale.float()[rows][:, columns]


def fp8_block(dtype, **more):
    config = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
              "weight_block_size": [128, 128], **more}

    def code(weight):
        scale, spread = whole_blocks(weight, dtype)
        codes, value = scaled(weight, spread)
        return {"weight": codes, "weight_scale_inv": scale}, value
    return lambda weights, random: every_layer(config, code, weights)


def fp8_tensor(weights, random):
    def code(weight):
        scale = weight.float().abs().max() / MOST
        codes, value = scaled(weight, scale)
        return {"weight": codes, "weight_scale": scale, "input_scale": torch.tensor(0.0315)}, value
    config = {"activation_scheme": "static", "ignored_layers": ["lm_head"], "quant_method": "fp8"}
    return every_layer(config, code, weights)


def fbgemm_fp8(weights, random):
    def code(weight):
        scale = weight.float().abs().amax(1, keepdim=True) / MOST
        codes, value = scaled(weight, scale)
        return {"weight": codes, "weight_scale": scale}, value
    config = {"activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"], "quant_method": "fbgemm_fp8"}
    return every_layer(config, code, weights)


# ---- ModelOpt

def modelopt_config(algorithm, **more):
    return convert_hf_quant_config_format({
        "producer": {"name": "modelopt", "version": "0.37.0"},
        "quantization": {"quant_algo": algorithm, "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"],
                         **more}})


def cache_scales():
    """An FP8 cache's, which say nothing about the weights."""
    return {f"model.layers.0.self_attn.{part}_proj.{part}_scale": torch.tensor(0.25) for part in "kv"}


def modelopt_fp8(weights, random):
    def code(weight):
        scale = weight.float().abs().max() / MOST
        codes, value = scaled(weight, scale)
        return {"weight": codes, "weight_scale": scale, "input_scale": torch.tensor(0.0315)}, value
    config, stored, expected, metadata = every_layer(modelopt_config("FP8"), code, weights)
    return config, stored | cache_scales(), expected, metadata


def modelopt_nvfp4(weights, random):
    def code(weight):
        packed, scale, scale_2 = NVFP4QTensor.quantize(weight.float(), 16)
        value = packed.dequantize(torch.float32, scale=scale, double_scale=scale_2, block_sizes={-1: 16})
        return {"weight": packed._quantized_data, "weight_scale": scale, "weight_scale_2": scale_2.reshape(()),
                "input_scale": torch.tensor(0.0012)}, value
    config, stored, expected, metadata = every_layer(modelopt_config("NVFP4", group_size=16), code, weights)
    return config, stored | cache_scales(), expected, metadata


FORMATS = {
    "fp8_block": (fp8_block(torch.float32), "blocks"),
    "fp8_block_bf16": (fp8_block(torch.bfloat16), "layers"),  # as of Qwen3
    "fp8_block_e8m0": (fp8_block(torch.float8_e8m0fnu, scale_fmt="ue8m0"), "layers"),
    "fp8_tensor": (fp8_tensor, "layers"),
    "fbgemm_fp8": (fbgemm_fp8, "layers"),
    "modelopt_fp8": (modelopt_fp8, "layers"),
    "modelopt_nvfp4": (modelopt_nvfp4, "layers"),
}
