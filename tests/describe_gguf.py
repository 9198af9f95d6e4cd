"""Writes gguf.json beside a golden: how llama.cpp's converter wrote the same checkpoint as a GGUF file.

    describe_gguf.py GOLDEN FILE.gguf

The numbers are in the golden's model.safetensors already, so gguf.json only says where each tensor comes from and what
became of it on the way: rows of Q and K in another order, some rows or columns of a tensor, a norm's weight plus one, bf16 as f32, experts in one tensor. Tests build the file
again from both (src/model/testing/golden_gguf.h). Needs the packages gguf and numpy.
"""

import json
import struct
import sys
from pathlib import Path

import numpy
from gguf import GGUFReader, GGUFValueType


def read_safetensors(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "BF16", entry
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        bits = numpy.frombuffer(data[begin:end], numpy.uint16)
        tensors[name] = (bits.astype(numpy.uint32) << 16).view(numpy.float32).reshape(entry["shape"])
    return tensors


def permuted(rows, heads):
    """Of each head's rows, the halves that a rope turns together become neighbours."""
    shape = rows.shape
    return rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def rows_taken(values, tensor):
    """Where each row of `values` stands in `tensor`, as [first, count]; nothing where a row is not in it."""
    if tensor.shape[-1:] != values.shape[-1:]:
        return []
    places = {row.tobytes(): place for place, row in enumerate(numpy.ascontiguousarray(tensor.reshape(-1, tensor.shape[-1])))}
    ranges = []
    for row in numpy.ascontiguousarray(values.reshape(-1, values.shape[-1])):
        place = places.get(row.tobytes())
        if place is None:
            return []
        if ranges and sum(ranges[-1]) == place:
            ranges[-1][1] += 1
        else:
            ranges.append([place, 1])
    return ranges


def columns_taken(values, tensor):
    """How `values` are columns of the last dimension of `tensor`, all, a half or every second one, perhaps transposed."""
    if tensor.ndim != values.ndim or tensor.ndim < 2:
        return {}
    for turned in (False, True):
        turned_values = values.swapaxes(-1, -2) if turned else values
        half = tensor.shape[-1] // 2
        for columns in (slice(None), slice(0, None, 2), slice(1, None, 2), slice(half), slice(half, None)):
            if (turned or columns != slice(None)) and numpy.array_equal(tensor[..., columns], turned_values):
                first, end, step = columns.indices(tensor.shape[-1])
                return {"every": [first, end, step], "transposed": turned}
    return {}


def source_of(values, tensors, heads):
    """Where a GGUF's tensor comes from; its own numbers where it comes from nowhere."""
    for name, tensor in tensors.items():
        if tensor.size != values.size:
            continue
        if numpy.array_equal(tensor.reshape(values.shape), values):
            return {"from": name}
        if values.ndim == 1 and numpy.array_equal(tensor.reshape(values.shape) + 1, values):
            return {"from": name, "plus": 1}
        for count in heads:
            if tensor.shape == values.shape and tensor.shape[0] % (2 * count) == 0:
                if numpy.array_equal(permuted(tensor, count), values):
                    return {"from": name, "permuted_heads": count}
    for name, tensor in tensors.items():
        if taken := columns_taken(values, tensor):
            return {"from": name} | taken
    if values.ndim > 1:
        for name, tensor in tensors.items():
            if rows := rows_taken(values, tensor):
                return {"from": name, "rows": rows}
            if values.shape == tensor.shape and (columns := rows_taken(values.T, tensor.T)):
                return {"from": name, "columns": columns}
    if values.ndim == 3:
        sources = [source_of(expert, tensors, heads).get("from") for expert in values]
        pattern = sources[0].replace("experts.0.", "experts.{}.")
        assert sources == [pattern.format(expert) for expert in range(len(sources))], sources
        return {"from_experts": pattern}
    assert values.size <= 64, values.shape
    return {"values": [float(value) for value in values.reshape(-1)]}


def metadata_of(reader):
    fields = {}
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or (key.startswith("general.") and key != "general.architecture"):
            continue
        kind = field.types[0]
        entry = {"type": kind.name.lower(), "value": field.contents()}
        if kind == GGUFValueType.ARRAY:
            entry["of"] = field.types[-1].name.lower()
        fields[key] = entry
    return fields


def values_of(tensor):
    data, shape = numpy.array(tensor.data), [int(n) for n in reversed(tensor.shape)]
    if tensor.tensor_type.name == "BF16":
        data = (data.reshape(-1).view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
    return data.astype(numpy.float32).reshape(shape)


def main():
    golden, file = Path(sys.argv[1]), Path(sys.argv[2])
    tensors = read_safetensors(golden / "model.safetensors")
    config = json.loads((golden / "config.json").read_text())
    heads = {config["num_attention_heads"], config.get("num_key_value_heads", config["num_attention_heads"])}
    reader = GGUFReader(file)
    described = []
    for tensor in reader.tensors:
        values = values_of(tensor)
        entry = {"name": tensor.name, "type": int(tensor.tensor_type), "shape": list(values.shape)}
        described.append(entry | source_of(values, tensors, heads))
    text = json.dumps({"metadata": metadata_of(reader), "tensors": described}, indent=1)
    (golden / "gguf.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
