"""Layers of AWQ, GPTQ and AutoRound: codes in 32-bit words, inputs as rows.

AutoAWQ packs and dequantizes its own (awq.utils.packing_utils.dequantize_gemm), GPTQModel those of GPTQ (TorchLinear),
AutoRound packs its own and multiplies the identity matrix by them.
"""
import functools

import torch
from auto_round_extension.torch import qlinear_torch, qlinear_torch_zp
from awq.modules.linear.gemm import WQLinear_GEMM
from awq.utils.packing_utils import dequantize_gemm
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization.config import QuantizeConfig
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module, convert_gptq_v2_to_v1_format_module


def grid(weight, bits, group, symmetric, g_idx):
    """Scales and zeros [outputs, groups] that span every group's values, float16 being what is stored."""
    outputs, inputs = weight.shape
    ordered = weight[:, torch.argsort(g_idx, stable=True)].unflatten(1, (-1, inputs if group == -1 else group))
    most = 2**bits - 1
    if symmetric:
        scale = ordered.abs().amax(2) * 2 / most
        return scale.half().float(), torch.full_like(scale, 2**(bits - 1))
    low, high = ordered.amin(2).clamp(max=0), ordered.amax(2).clamp(min=0)
    scale = ((high - low) / most).half().float()
    # From 1 on: tools disagree about how "gptq" stores a zero of 0 minus one.
    return scale, torch.round(-low / scale).clamp(1, most)


def linear(weight):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    return layer


def in_order(inputs, group):
    return torch.arange(inputs) // (inputs if group == -1 else group)


def every_layer(pack, config, weights, random):
    stored, expected = {}, {}
    for layer, weight in weights.items():
        tensors, expected[layer + ".weight"] = pack(weight.float(), random)
        stored |= {f"{layer}.{suffix}": tensor for suffix, tensor in tensors.items()}
    return config, stored, expected, {}


# ---- AWQ

def awq_layer(weight, random, group=128):
    scale, zero = grid(weight, 4, group, False, in_order(weight.shape[1], group))
    packed = WQLinear_GEMM.from_linear(linear(weight), 4, group, scales=scale.T.contiguous(), zeros=zero.T.contiguous())
    value = dequantize_gemm(packed.qweight, packed.qzeros, packed.scales.float(), 4, group).T
    return {"qweight": packed.qweight, "qzeros": packed.qzeros, "scales": packed.scales}, value


AWQ = {"bits": 4, "group_size": 128, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
       "zero_point": True}


# ---- GPTQ

def gptq_layer(weight, random, bits, group, symmetric, form, act_order, bias):
    outputs, inputs = weight.shape
    g_idx = in_order(inputs, group)
    if act_order:
        g_idx = g_idx[torch.from_numpy(random.permutation(inputs))]
    scale, zero = grid(weight, bits, group, symmetric, g_idx)
    packed = TorchLinear(bits=bits, group_size=group, sym=symmetric, desc_act=act_order, in_features=inputs,
                         out_features=outputs, bias=bias)
    source = linear(weight)
    if bias:
        source.bias = torch.nn.Parameter(torch.from_numpy(random.normal(0, 0.1, outputs)).float())
    packed.pack_block(source, scale, zero, g_idx.to(torch.int32))
    if form == "gptq":
        convert_gptq_v2_to_v1_format_module(packed, QuantizeConfig(bits=bits, group_size=group))
    stored = {name: getattr(packed, name).clone() for name in ("qweight", "qzeros", "scales", "g_idx")}
    if bias:
        stored["bias"] = packed.bias.clone()
    if form == "gptq":
        convert_gptq_v1_to_v2_format_module(packed, bits, torch.int32)
    packed.scales = packed.scales.float()
    packed.post_init()
    return stored, packed.dequantize_weight().T


def gptq(bits=4, group=128, symmetric=True, form="gptq", act_order=False, bias=False):
    config = {"bits": bits, "checkpoint_format": form, "damp_percent": 0.01, "desc_act": act_order, "group_size": group,
              "lm_head": False, "meta": {"quantizer": ["gptqmodel:1.4.0"]}, "pack_dtype": "int32",
              "quant_method": "gptq", "static_groups": False, "sym": symmetric, "true_sequential": True}
    if form == "gptq_v2":  # as from GPTQModel 6 on
        config |= {"format": form, "method": "gptq"}
    pack = functools.partial(gptq_layer, bits=bits, group=group, symmetric=symmetric, form=form, act_order=act_order,
                             bias=bias)

    def make(weights, random):
        config_, stored, expected, metadata = every_layer(pack, config, weights, random)
        for name in [name for name in stored if name.endswith(".bias")]:
            expected[name] = stored[name]
        return config_, stored, expected, metadata
    return make


# ---- AutoRound

def auto_round_layer(weight, random, module, symmetric, group=128):
    outputs, inputs = weight.shape
    scale, zero = grid(weight, 4, group, symmetric, in_order(inputs, group))
    packed = module.QuantLinear(4, group, inputs, outputs, False)
    packed.device = "cpu"
    packed.pack(linear(weight), scale, zero.clone(), device="cpu")
    stored = {name: getattr(packed, name).clone() for name in ("qweight", "qzeros", "scales")}
    packed.scales = packed.scales.float()
    return stored, packed(torch.eye(inputs)).T


def auto_round(packing, module, symmetric):
    config = {"autoround_version": "0.8.0", "bits": 4, "block_name_to_quantize": "model.layers", "data_type": "int",
              "group_size": 128, "packing_format": packing, "quant_method": "auto-round", "sym": symmetric}
    return functools.partial(every_layer, functools.partial(auto_round_layer, module=module, symmetric=symmetric),
                             config)


FORMATS = {
    "awq_gemm": (functools.partial(every_layer, awq_layer, AWQ), "words"),
    "gptq_sym": (gptq(bias=True), "words"),
    "gptq_asym": (gptq(symmetric=False), "words"),
    "gptq_actorder": (gptq(act_order=True), "words"),
    "gptq_8bit": (gptq(8, -1), "words"),
    "gptq_3bit": (gptq(3, symmetric=False), "words"),
    "gptq_2bit": (gptq(2, 64, symmetric=False), "words"),
    "gptq_v2": (gptq(symmetric=False, form="gptq_v2"), "words"),
    "autoround": (auto_round("auto_round:auto_gptq", qlinear_torch_zp, True), "words"),
    # Without ":auto_gptq" the zeros are stored as they are.
    "autoround_asym": (auto_round("auto_round", qlinear_torch, False), "words"),
    "autoround_awq": (functools.partial(every_layer, awq_layer, {
        "autoround_version": "0.8.0", "bits": 4, "block_name_to_quantize": "model.layers", "data_type": "int",
        "group_size": 128, "packing_format": "auto_round:auto_awq", "quant_method": "auto-round", "sym": False}),
        "words"),
}
