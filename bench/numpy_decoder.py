"""A decoder in NumPy, float64 over the dequantised weights of a GGUF file: an oracle that shares nothing with hearth.

Files are read and dequantised by the package gguf. Families: llama and gemma3. Sources: the families' papers and the
GGUF metadata. In llama files the rows of Q and K are permuted so that a rotation turns neighbouring elements; in gemma3
files a rotation turns element i with i + head_dim / 2, and norm weights already contain their + 1.
"""

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np

GEMMA3_LOCAL_ROPE_THETA = 1e4
GEMMA3_GLOBAL_EVERY = 6  # five windowed layers, then one that sees all


class NumpyDecoder:
    def __init__(self, path: Path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.family = self.reader.fields["general.architecture"].contents()
        if self.family not in ("llama", "gemma3"):
            raise ValueError(f"{path}: family {self.family!r} is neither llama nor gemma3")
        self.layers = self.field("block_count")
        self.hidden = self.field("embedding_length")
        self.heads = self.field("attention.head_count")
        self.kv_heads = self.field("attention.head_count_kv")
        self.epsilon = self.field("attention.layer_norm_rms_epsilon")
        self.rope_theta = self.field("rope.freq_base", 1e4)
        self.head_dim = self.field("attention.key_length", self.hidden // self.heads)
        self.window = self.field("attention.sliding_window", 0)
        if any(".rope.scaling." in name for name in self.reader.fields):
            raise ValueError(f"{path}: scaled rotary embeddings are not evaluated here")

    def field(self, name: str, default=None):
        field = self.reader.fields.get(f"{self.family}.{name}")
        if field is None and default is None:
            raise ValueError(f"the file has no {self.family}.{name}")
        return default if field is None else field.contents()

    def weight(self, name: str) -> np.ndarray:
        """float64 [rows, columns] or [columns]: y = weight @ x."""
        tensor = self.tensors[name + ".weight"]
        return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.epsilon) * self.weight(name)

    def is_windowed(self, layer: int) -> bool:
        return self.family == "gemma3" and (layer + 1) % GEMMA3_GLOBAL_EVERY != 0

    def rotate(self, x: np.ndarray, theta: float) -> np.ndarray:
        """Rotary position embedding of x [tokens, heads, head_dim] at positions 0, 1, 2 ..."""
        half = self.head_dim // 2
        angles = np.arange(len(x))[:, None] * theta ** (-np.arange(half) / half)
        cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
        out = np.empty_like(x)
        if self.family == "llama":
            first, second = np.s_[..., 0::2], np.s_[..., 1::2]
        else:
            first, second = np.s_[..., :half], np.s_[..., half:]
        out[first] = x[first] * cos - x[second] * sin
        out[second] = x[first] * sin + x[second] * cos
        return out

    def attention(self, x: np.ndarray, layer: int) -> np.ndarray:
        tokens, prefix = len(x), f"blk.{layer}."
        q = (x @ self.weight(prefix + "attn_q").T).reshape(tokens, self.heads, self.head_dim)
        k = (x @ self.weight(prefix + "attn_k").T).reshape(tokens, self.kv_heads, self.head_dim)
        v = (x @ self.weight(prefix + "attn_v").T).reshape(tokens, self.kv_heads, self.head_dim)
        if self.family == "gemma3":
            q, k = self.norm(q, prefix + "attn_q_norm"), self.norm(k, prefix + "attn_k_norm")
        theta = GEMMA3_LOCAL_ROPE_THETA if self.is_windowed(layer) else self.rope_theta
        q, k = self.rotate(q, theta), self.rotate(k, theta)

        distance = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
        seen = distance >= 0
        if self.is_windowed(layer):
            seen &= distance < self.window
        out = np.empty((tokens, self.heads, self.head_dim))
        for head in range(self.heads):
            kv_head = head * self.kv_heads // self.heads
            scores = np.where(seen, q[:, head] @ k[:, kv_head].T / np.sqrt(self.head_dim), -np.inf)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[:, head] = weights / weights.sum(axis=-1, keepdims=True) @ v[:, kv_head]
        return out.reshape(tokens, -1) @ self.weight(prefix + "attn_output").T

    def feed_forward(self, x: np.ndarray, layer: int) -> np.ndarray:
        prefix = f"blk.{layer}."
        gate, up = x @ self.weight(prefix + "ffn_gate").T, x @ self.weight(prefix + "ffn_up").T
        if self.family == "gemma3":
            activated = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        else:
            activated = gate / (1 + np.exp(-gate))
        return (activated * up) @ self.weight(prefix + "ffn_down").T

    def logits(self, ids: list[int], chunk: int = 64) -> Iterator[np.ndarray]:
        """float64 [tokens, vocabulary] of the whole sequence, a few rows at a time."""
        embedding = self.weight("token_embd")
        x = embedding[np.asarray(ids)]
        if self.family == "gemma3":
            x = x * np.sqrt(self.hidden)
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            mixed = self.attention(self.norm(x, prefix + "attn_norm"), layer)
            x = x + (self.norm(mixed, prefix + "post_attention_norm") if self.family == "gemma3" else mixed)
            fed = self.feed_forward(self.norm(x, prefix + "ffn_norm"), layer)
            x = x + (self.norm(fed, prefix + "post_ffw_norm") if self.family == "gemma3" else fed)
        head = self.weight("output") if "output.weight" in self.tensors else embedding
        x = self.norm(x, "output_norm")
        for first in range(0, len(ids), chunk):
            yield x[first : first + chunk] @ head.T
