"""Layers as torchao flattens its tensors into safetensors, every one of them described in the file's metadata.

Int8Tensor, IntxUnpackedToInt8Tensor and Float8Tensor are made and dequantized by torchao. Int4Tensor is only made on
GPUs and has no dequantize: here its codes and the formula, code times scale plus zero point, are those of the quantizer
that it calls there (mslk's int4_row_quantize_zp, which finds the code of w as round((w - zero point) / scale)).
"""
import json

import torch
from torchao.core.config import config_to_dict
from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
from torchao.quantization import (Float8WeightOnlyConfig, Int4Tensor, Int4WeightOnlyConfig,
                                  Int8DynamicActivationIntxWeightConfig, Int8WeightOnlyConfig, PerGroup, quantize_)


def int4_tensor(weight, group=128):
    groups = weight.float().unflatten(1, (-1, group))
    low, high = groups.amin(2), groups.amax(2)
    scale = (high - low).clamp(min=1e-6) / 15
    codes = ((groups - low[..., None]) / scale[..., None]).round().clamp(0, 15).flatten(1).to(torch.int8) - 8
    zero_point = low + 8 * scale
    packed = (codes[:, ::2] & 15) | (codes[:, 1::2] << 4)
    scale, zero_point = scale.T.contiguous().bfloat16(), zero_point.T.contiguous().bfloat16()
    spread = [stored.float().T.repeat_interleave(group, 1) for stored in (scale, zero_point)]
    return Int4Tensor(packed, scale, zero_point, [1, group], weight.shape), codes * spread[0] + spread[1]


def quantized(weight, config):
    """The tensor that torchao puts in place of a linear layer's weight, and its values."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    layer.weight = torch.nn.Parameter(weight.clone())
    quantize_(layer, config)
    coded = layer.weight.detach()
    # Its dequantize computes at the scales' width, and these are stored at the weight's.
    if coded.scale.dtype == torch.bfloat16:
        wide = type(coded)(coded.qdata, coded.scale.float(), coded.zero_point, coded.target_dtype, coded.block_size,
                           torch.float32, coded.activation_quantization)
        return coded, wide.dequantize()
    return coded, coded.dequantize(output_dtype=torch.float32)


def torchao(config, code):
    def make(weights, random):
        coded = {layer: code(weight) for layer, weight in weights.items()}
        tensors = {layer + ".weight": tensor for layer, (tensor, _) in coded.items()}
        stored, metadata = flatten_tensor_state_dict(tensors)
        # The plain tensor that is stored beside these is described as well.
        metadata["tensor_names"] = json.dumps(json.loads(metadata["tensor_names"]) + ["model.norm.weight"])
        metadata["model.norm.weight"] = json.dumps({"_type": "Tensor"})
        whole = {"include_input_output_embeddings": False, "modules_to_not_convert": None, "quant_method": "torchao",
                 "quant_type": {"default": config_to_dict(config)}, "untie_embedding_weights": False}
        return whole, stored, {layer + ".weight": value for layer, (_, value) in coded.items()}, metadata
    return make


def by(config):
    return torchao(config, lambda weight: quantized(weight, config))


INT4_IN_INT8 = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerGroup(32))
FORMATS = {
    "torchao_int4": (torchao(Int4WeightOnlyConfig(group_size=128), int4_tensor), "layers"),
    "torchao_int8": (by(Int8WeightOnlyConfig()), "layers"),
    "torchao_intx": (by(INT4_IN_INT8), "layers"),
    "torchao_fp8": (by(Float8WeightOnlyConfig()), "layers"),
}
