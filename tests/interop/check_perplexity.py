# SPDX-License-Identifier: GPL-3.0-or-later
"""Perplexity of a GGUF file in llama.cpp, by the procedure of its perplexity program: windows that do not overlap, each
begun with BOS, of which the second half is scored. Against what `quantloupe-cli evaluate --json` said of the same text."""
import argparse
import ctypes as c
import json
import math
import pathlib
import sys

import numpy as np
import xllamacpp  # a build of llama.cpp that exports its C interface


class Opaque(c.Structure):
    """A structure of llama.h that is passed on as it came; longer than any version of it."""
    _fields_ = [("bytes", c.c_char * 1024)]


class ContextParameters(c.Structure):
    _fields_ = [("n_ctx", c.c_uint32), ("n_batch", c.c_uint32), ("n_ubatch", c.c_uint32), ("rest", c.c_char * 1012)]


class Batch(c.Structure):
    _fields_ = [("n_tokens", c.c_int32), ("token", c.POINTER(c.c_int32)), ("embd", c.c_void_p),
                ("pos", c.POINTER(c.c_int32)), ("n_seq_id", c.POINTER(c.c_int32)),
                ("seq_id", c.POINTER(c.POINTER(c.c_int32))), ("logits", c.POINTER(c.c_int8))]


SIGNATURES = {
    "llama_backend_init": (None, []),
    "llama_model_default_params": (Opaque, []),
    "llama_context_default_params": (ContextParameters, []),
    "llama_model_load_from_file": (c.c_void_p, [c.c_char_p, Opaque]),
    "llama_init_from_model": (c.c_void_p, [c.c_void_p, ContextParameters]),
    "llama_model_get_vocab": (c.c_void_p, [c.c_void_p]),
    "llama_vocab_n_tokens": (c.c_int32, [c.c_void_p]),
    "llama_vocab_bos": (c.c_int32, [c.c_void_p]),
    "llama_tokenize": (c.c_int32, [c.c_void_p, c.c_char_p, c.c_int32, c.POINTER(c.c_int32), c.c_int32, c.c_bool,
                                   c.c_bool]),
    "llama_batch_init": (Batch, [c.c_int32, c.c_int32, c.c_int32]),
    "llama_batch_free": (None, [Batch]),
    "llama_get_memory": (c.c_void_p, [c.c_void_p]),
    "llama_memory_clear": (None, [c.c_void_p, c.c_bool]),
    "llama_decode": (c.c_int32, [c.c_void_p, Batch]),
    "llama_get_logits_ith": (c.POINTER(c.c_float), [c.c_void_p, c.c_int32]),
}
lib = c.CDLL(str(next(pathlib.Path(xllamacpp.__file__).parent.glob("xllamacpp*.so"))))
for name, (result, arguments) in SIGNATURES.items():
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments


def open_model(path, context):
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    if not model:
        sys.exit(f"{path}: llama.cpp does not load it")
    settings = lib.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = context
    return model, lib.llama_init_from_model(model, settings)


def tokenize(vocabulary, text):
    data = text.encode()
    tokens = (c.c_int32 * (len(data) + 8))()
    count = lib.llama_tokenize(vocabulary, data, len(data), tokens, len(tokens), True, False)
    return list(tokens[:count])


def window_loss(runtime, tokens, vocabulary_size):
    """Sum of -ln p over the second half of a window, and how many predictions that are."""
    batch = lib.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for position, token in enumerate(tokens):
        batch.token[position] = token
        batch.pos[position] = position
        batch.n_seq_id[position] = 1
        batch.seq_id[position][0] = 0
        batch.logits[position] = 1
    lib.llama_memory_clear(lib.llama_get_memory(runtime), True)
    if lib.llama_decode(runtime, batch) != 0:
        sys.exit("llama.cpp does not compute the window")
    loss, first = 0.0, len(tokens) // 2
    for position in range(first, len(tokens) - 1):
        row = np.ctypeslib.as_array(lib.llama_get_logits_ith(runtime, position), (vocabulary_size,)).astype(np.float64)
        top = row.max()
        loss += top + math.log(np.exp(row - top).sum()) - row[tokens[position + 1]]
    lib.llama_batch_free(batch)
    return loss, len(tokens) - 1 - first


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("evaluation", help="JSON of `evaluate`")
    parser.add_argument("--tolerance", type=float, default=0.005)
    arguments = parser.parse_args()
    with open(arguments.evaluation, encoding="utf-8") as file:
        ours = json.load(file)
    with open(arguments.text, encoding="utf-8") as file:
        text = file.read()
    context = ours["context"]
    model, runtime = open_model(arguments.model, context)
    vocabulary = lib.llama_model_get_vocab(model)
    size, bos = lib.llama_vocab_n_tokens(vocabulary), lib.llama_vocab_bos(vocabulary)
    tokens = tokenize(vocabulary, text)
    loss, predictions = 0.0, 0
    for begin in range(0, len(tokens) - context + 1, context):
        window = [bos] + tokens[begin + 1:begin + context]
        more, count = window_loss(runtime, window, size)
        loss, predictions = loss + more, predictions + count
    theirs = math.exp(loss / predictions)
    off = theirs / ours["perplexity"] - 1.0
    print(f"perplexity {theirs:.5f} in llama.cpp, {ours['perplexity']:.5f} here ({100.0 * off:+.3f} %), "
          f"{predictions} and {ours['scored_tokens']} predictions")
    return 0 if predictions == ours["scored_tokens"] and abs(off) < arguments.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
