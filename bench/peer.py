"""The peer: llama.cpp through the C API that llama-cpp-python exposes, as directly as its own benchmark uses it."""

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np

FLASH_ATTENTION = {
    "auto": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
}
MICRO_BATCH = 512
CELL_PADDING = 256  # contexts are rounded up to this, or the peer does it with a warning


class PeerError(RuntimeError):
    pass


@llama_cpp.llama_log_callback
def _drop_log(level, text, user_data):
    pass


def silence_log():
    llama_cpp.llama_log_set(_drop_log, ctypes.c_void_p(0))


class PeerModel:
    """A GGUF file as the peer loads it by default: memory-mapped, weights repacked where the peer does that."""

    def __init__(self, path: Path, vocabulary_only: bool = False):
        silence_log()
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = vocabulary_only
        params.n_gpu_layers = 0
        self.handle = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise PeerError(f"{path}: the peer cannot load it")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocabulary_size = llama_cpp.llama_vocab_n_tokens(self.vocabulary)

    def tokenize(self, text: str) -> list[int]:
        """Ids of plain text, with the tokens that the model wants in front (a BOS, for some)."""
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self.vocabulary, data, len(data), ids, len(ids), True, False)
        if count < 0:
            raise PeerError(f"the peer cannot tokenize a text of {len(data)} bytes")
        return list(ids[:count])

    def close(self):
        llama_cpp.llama_model_free(self.handle)


class PeerContext:
    """KV cache (f16) and threads for up to `sequences` sequences of `context` tokens each, every one with its own part
    of the cache, which is the faster of the peer's two layouts."""

    def __init__(self, model: PeerModel, sequences: int, context: int, threads: int, flash_attention: str = "auto"):
        padded = (context + CELL_PADDING - 1) // CELL_PADDING * CELL_PADDING
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = padded * sequences
        params.n_batch = max(2048, sequences)
        params.n_ubatch = MICRO_BATCH
        params.n_seq_max = sequences
        params.n_threads = threads
        params.n_threads_batch = threads
        params.flash_attn_type = FLASH_ATTENTION[flash_attention]
        params.swa_full = False  # windowed layers keep their window only, as in the peer's own benchmark
        self.model = model
        self.batch_limit = params.n_batch
        self.handle = llama_cpp.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise PeerError(f"the peer cannot make a context of {sequences} x {context} tokens")
        self.batch = llama_cpp.llama_batch_init(self.batch_limit, 0, 1)
        self.lengths = [0] * sequences

    def append(self, tokens: list[tuple[int, int]], logits: str = "last"):
        """Runs one batch of (sequence, token id) in the order given and waits for it. Logits are computed for the
        "last" token of the batch or for "all" of them."""
        if len(tokens) > self.batch_limit:
            raise PeerError(f"a batch of {len(tokens)} tokens is larger than {self.batch_limit}")
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, (sequence, token) in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = self.lengths[sequence]
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = logits == "all" or i == len(tokens) - 1
            self.lengths[sequence] += 1
        status = llama_cpp.llama_decode(self.handle, batch)
        if status != 0:
            raise PeerError(f"the peer's llama_decode answered {status} to a batch of {len(tokens)} tokens")
        llama_cpp.llama_synchronize(self.handle)

    def logits(self, index: int) -> np.ndarray:
        """float32 [vocabulary] of the batch's token `index`, whose logits were asked for."""
        row = llama_cpp.llama_get_logits_ith(self.handle, index)
        return np.ctypeslib.as_array(row, shape=(self.model.vocabulary_size,)).copy()

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.handle), False)
        self.lengths = [0] * len(self.lengths)

    def close(self):
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.handle)
