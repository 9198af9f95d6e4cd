"""Layers as the package compressed-tensors stores them, compressed and dequantized by the package itself."""
import torch
from compressed_tensors import __version__ as version
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import dequantize
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam


def int_args(bits, group=None, symmetric=True, **more):
    strategy = "group" if group else "channel"
    return QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy=strategy, group_size=group, **more)


def float_args(bits, strategy, **more):
    return QuantizationArgs(num_bits=bits, type="float", symmetric=True, strategy=strategy, **more)


PER_TOKEN_INT8 = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True)
PER_TOKEN_FP8 = float_args(8, "token", dynamic=True)
STATIC_FP8 = float_args(8, "tensor")
NVFP4 = float_args(4, "tensor_group", group_size=16, scale_dtype=torch.float8_e4m3fn)
NVFP4_INPUTS = float_args(4, "tensor_group", group_size=16, dynamic="local", scale_dtype=torch.float8_e4m3fn)
MXFP4 = float_args(4, "group", group_size=32, scale_dtype=torch.uint8)
MXFP8 = float_args(8, "group", group_size=32, scale_dtype=torch.uint8)


def scheme(form, weights, inputs=None, targets=("Linear",)):
    return QuantizationScheme(targets=list(targets), weights=weights, input_activations=inputs, format=form)


def extremes(weight, args, g_idx):
    """Smallest and largest value of every group, row, tensor or block, shaped as the scales are stored."""
    if args.strategy == "tensor":
        return weight.min().reshape(1), weight.max().reshape(1)
    if args.strategy == "channel":
        return weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    if args.strategy == "block":
        rows, columns = args.block_structure
        blocks = [[block for block in band.split(columns, 1)] for band in weight.split(rows, 0)]
        return tuple(torch.stack([torch.stack([getattr(block, end)() for block in band]) for band in blocks])
                     for end in ("min", "max"))
    ordered = weight if g_idx is None else weight[:, torch.argsort(g_idx, stable=True)]
    groups = ordered.unflatten(1, (-1, args.group_size))
    return groups.amin(2), groups.amax(2)


def compress(weight, layer_scheme, scale_dtype, random):
    """The layer's stored tensors by suffix."""
    args, state = layer_scheme.weights, {"weight": weight}
    if args.actorder == "group":
        order = torch.from_numpy(random.permutation(weight.shape[1]))
        state["weight_g_idx"] = (order // args.group_size).to(torch.int32)
    if args.strategy == "tensor_group":
        state["weight_global_scale"] = generate_gparam(weight.min().float(), weight.max().float())
    low, high = extremes(weight.float(), args, state.get("weight_g_idx"))
    scale, zero_point = calculate_qparams(low, high, args, state.get("weight_global_scale"))
    state["weight_scale"] = scale if args.scale_dtype else scale.to(scale_dtype)
    state["weight_zero_point"] = zero_point
    # Quantized in float32: at bfloat16's width a code may be off by one, which is as good but not as instructive.
    state["weight"] = weight.float()
    stored = BaseCompressor.get_value_from_registry(layer_scheme.format).compress(state, layer_scheme)
    inputs = layer_scheme.input_activations
    if inputs is not None and inputs.strategy == "tensor_group":
        stored["input_global_scale"] = torch.tensor([312.0])
    elif inputs is not None and not inputs.dynamic:
        stored["input_scale"] = torch.tensor([0.0315], dtype=scale_dtype)
    return stored


def values(stored, layer_scheme):
    """What the stored tensors stand for, by the package's own unpacking and its dequantize."""
    args, zero_point = layer_scheme.weights, stored.get("weight_zero_point")
    if layer_scheme.format == "pack-quantized":
        shape, groups = tuple(stored["weight_shape"].tolist()), stored["weight_scale"].shape[1]
        codes = unpack_from_int32(stored["weight_packed"], args.num_bits, shape)
        if zero_point is not None:
            zero_point = unpack_from_int32(zero_point, args.num_bits, (shape[0], groups), packed_dim=0)
    elif "weight_packed" in stored:
        rows, columns = stored["weight_packed"].shape
        codes = unpack_fp4_from_uint8(stored["weight_packed"], rows, 2 * columns, dtype=torch.float32)
    else:
        codes = stored["weight"]
    scale = stored["weight_scale"]
    scale = torch.exp2(scale.float() - 127) if scale.dtype == torch.uint8 else scale.float()
    return dequantize(codes, scale, zero_point, args, torch.float32, stored.get("weight_g_idx"),
                      stored.get("weight_global_scale"))


def quantization_config(schemes, form, ignore):
    """As ModelCompressor.update_config writes it."""
    groups = {f"group_{index}": group for index, group in enumerate(schemes)}
    whole = QuantizationConfig(config_groups=groups, format=form, ignore=ignore, quantization_status="compressed")
    return {"version": version, "quant_method": "compressed-tensors", "sparsity_config": {}, "transform_config": {},
            **whole.model_dump(mode="json", exclude=["quant_method"])}


def uniform(layer_scheme, scale_dtype=torch.bfloat16, shape_dtype=torch.int64):
    def make(weights, random):
        stored, expected = {}, {}
        for layer, weight in weights.items():
            tensors = compress(weight, layer_scheme, scale_dtype, random)
            if "weight_shape" in tensors:
                tensors["weight_shape"] = tensors["weight_shape"].to(shape_dtype)
            stored |= {f"{layer}.{suffix}": tensor for suffix, tensor in tensors.items()}
            expected[layer + ".weight"] = values(tensors, layer_scheme)
        return quantization_config([layer_scheme], layer_scheme.format, ["lm_head"]), stored, expected, {}
    return make


def mixed(weights, random):
    """MLPs of 4 bits in groups, attention in FP8, and a plain layer that is ignored by its name."""
    four = scheme("pack-quantized", int_args(4, 128), targets=[r"re:.*mlp\.(gate|up|down)_proj$"])
    eight = scheme("float-quantized", float_args(8, "channel"), PER_TOKEN_FP8, [r"re:.*self_attn\.(q|k|v|o)_proj$"])
    stored, expected = {}, {}
    for layer, weight in weights.items():
        layer_scheme = four if "mlp" in layer else eight
        tensors = compress(weight, layer_scheme, torch.bfloat16, random)
        stored |= {f"{layer}.{suffix}": tensor for suffix, tensor in tensors.items()}
        expected[layer + ".weight"] = values(tensors, layer_scheme)
    head = torch.from_numpy(random.normal(0, 0.05, (8, 256))).to(torch.bfloat16)
    stored["lm_head.weight"] = expected["lm_head.weight"] = head
    return quantization_config([four, eight], "mixed-precision", ["lm_head"]), stored, expected, {}


FP8_BLOCK = scheme("float-quantized", float_args(8, "block", block_structure=[128, 128]),
                   float_args(8, "group", group_size=128, dynamic=True))
FORMATS = {
    "ct_int4_group": (uniform(scheme("pack-quantized", int_args(4, 128)), torch.float16), "layers"),
    # As in Kimi K2 Thinking, whose shapes are of 32 bits.
    "ct_int4_group32": (uniform(scheme("pack-quantized", int_args(4, 32)), shape_dtype=torch.int32), "layers"),
    "ct_int4_asym": (uniform(scheme("pack-quantized", int_args(4, 128, symmetric=False))), "layers"),
    "ct_int4_channel": (uniform(scheme("pack-quantized", int_args(4))), "layers"),
    "ct_int4_actorder": (uniform(scheme("pack-quantized", int_args(4, 128, actorder="group"))), "layers"),
    "ct_int8": (uniform(scheme("int-quantized", int_args(8), PER_TOKEN_INT8)), "layers"),
    "ct_int8_asym": (uniform(scheme("int-quantized", int_args(8, symmetric=False), PER_TOKEN_INT8)), "layers"),
    "ct_w8a16": (uniform(scheme("pack-quantized", int_args(8, 128))), "layers"),
    "ct_w8a16_channel": (uniform(scheme("pack-quantized", int_args(8))), "layers"),
    "ct_fp8_channel": (uniform(scheme("float-quantized", float_args(8, "channel"), PER_TOKEN_FP8)), "layers"),
    "ct_fp8_tensor": (uniform(scheme("float-quantized", STATIC_FP8, STATIC_FP8)), "layers"),
    "ct_fp8_block": (uniform(FP8_BLOCK), "blocks"),
    "ct_nvfp4": (uniform(scheme("nvfp4-pack-quantized", NVFP4, NVFP4_INPUTS)), "layers"),
    "ct_mxfp4": (uniform(scheme("mxfp4-pack-quantized", MXFP4)), "layers"),
    "ct_mxfp8": (uniform(scheme("mxfp8-quantized", MXFP8)), "layers"),
    "ct_mixed": (mixed, "layers"),
}
