#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes recorded_tokens.json: small tokenizers and the ids that the original libraries give with them.

Needs the Python packages tokenizers, sentencepiece and protobuf. With the path of a GGUF file whose vocabulary is of the
kind "llama", adds what SentencePiece gives with that vocabulary. Run again only to add cases: training is not promised
to give the same pieces with other versions.
"""
import io
import json
import random
import struct
import sys

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Regex

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = QWEN2.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
START, SUFFIX = r"[^\r\n\p{L}\p{N}]?", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
GPT4O = f"{START}{UPPER}*{LOWER}+{SUFFIX}|{START}{UPPER}+{LOWER}*{SUFFIX}|" + r"\p{N}{1,3}|" + TAIL
TEKKEN = f"{START}{UPPER}*{LOWER}+|{START}{UPPER}+{LOWER}*|" + r"\p{N}|" + TAIL

TRAINING = """The quantizer maps every weight to the nearest level of its grid, and the error is what remains.
I'm sure they'll say that it's done; we've seen 1024 rows, 4096 columns and 65,536 blocks of 32 weights each.
Größere Blöcke sparen Platz, kleinere Blöcke sparen Fehler. Où est la différence ? Elle est là-bas, à côté.
Матрица весов хранится по строкам, и каждая строка делится на группы. 量化把权重变成整数。重みは整数になる。
for (int i = 0; i < n; ++i) {
    sum += w[i] * x[i];\t// one product
}
The error of a group is the largest where the largest weight is; the scale follows the largest weight of the group.
"""

TEXTS = [
    "", " ", "  ", "   ", "\n", "\r\n", " \n ", "\t\n\t\n  x", "a", " a", "  a", "a ", "a  ", "a\n\nb", "a \n \n b", "\r\r\n\n",
    "The error of the largest group", "  The  error   of", "I'm sure they'LL say it's DON'T we'Ve 'tis 'S's 's't",
    "x'\u017f it'\u017fx 'R're 'ree 'v 'l ''s '''", "1 12 123 1234 12345 1234567 3.14159 1,024 v2.0 a1b22c333",
    "\u00b2 \u00bd\u2167 \u0661\u0662\u0663\u0664 \u0967\u0968 \u4e09\u4e8c", "CamelCaseWords HTTPServer iPhone XMLhttp ABCdef aBC A b C",
    "\u01c5\u01c5a \u02b0\u02b0x A\u02b0B Ab\u0301C \u0301\u0301 e\u0301\u0301e A\u0301B\u0301c", "caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m A\u030angstro\u0308m \ufb01n",
    "\u91cf\u5316\u628a\u6743\u91cd\u53d8\u6210\u6574\u6570\u3002\u65e5\u672c\u8a9e\u306e\u6587\u3001\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f\U0001f642!", "nbsp\u00a0here\u2003em\u2028line\u2029par\u3000wide\u1680og\u202fnn",
    "\u0085x \x0b\x0cx \x1c\x1dx \x00x \x7f", "a/b//c /\n/ path/to/file\r\n//\n", "!!! ??? ...\n\n ;;\n --\n", "foo(bar)[0]{1};\n\treturn -1;\n",
    "__init__ snake_case a_b _ _x", "\u2581 \u2581\u2581a \u2581b", "\u200bzero\u2060width\ufeffbom", "\ue000\uf8ff \U000f0000 \U0010ffff \ufffd",
    "\u00aa\u00ba \u0294 \u01bb \u1d2c \u3005\u3006", "<s> </s> <unk> <0x41> <|end|> <tool> x<tool>y", "  leading and trailing  ", "\t\ttabs\t\tinside\t",
    "a\u0301 \u0301b \u200d\u0301", "\u2160\u2161 \u24b6\u24d0 \u0345 \u20dd", "\u1e9e \u00df SS \u0130\u0131", "$100 \u20ac5 <=> ^~|` +-=", "\u2018s \u2019s \u02bcs \uff07s",
]


def random_texts(count, seed):
    rng = random.Random(seed)
    alphabet = list(" \t\n\r'/.,-_()0123sStTlLdDeErRvVmMabAB") + [
        " ", "  ", "\n", "'", "\u00e9", "\u0301", "\u0928\u0947", "\u91cf", "\u2581", "\u00a0", "\u2028", "\u00b2", "\u0663", "\u01c5", "\u02b0", "\u017f",
        "\u0416", "\u0436", "\U0001f642", "\u200d", "\u3000", "$", "+", "the", " the", " error", "<tool>", "\u00c5", "\ufb01", "\u24b6", "\x85", "\x1f"]
    return ["".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 22))) for _ in range(count)]


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(use_regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def byte_level_cases():
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = byte_level(True)
    trainer = trainers.BpeTrainer(vocab_size=480, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    trained.train_from_iterator(TRAINING.splitlines(True) * 2, trainer)
    model = json.loads(trained.to_str())["model"]
    sequence = pre_tokenizers.Sequence
    for name, pre in [
            ("gpt-2", byte_level(True)), ("gpt-2 by split", sequence([split(GPT2), byte_level()])),
            ("llama-3", sequence([split(LLAMA3), byte_level()])), ("cl100k", sequence([split(CL100K, "removed", True), byte_level()])),
            ("qwen-2", sequence([split(QWEN2), byte_level()])), ("qwen-3.5", sequence([split(QWEN35), byte_level()])),
            ("gpt-4o", sequence([split(GPT4O), byte_level()])), ("tekken", sequence([split(TEKKEN), byte_level()])),
            ("smollm", sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)])),
            ("digits together", sequence([pre_tokenizers.Digits(individual_digits=False), byte_level(True)])),
            ("prefix space", pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True))]:
        tokenizer = Tokenizer(models.BPE(vocab=dict(model["vocab"]), merges=[tuple(m) for m in model["merges"]], ignore_merges=name == "llama-3"))
        tokenizer.pre_tokenizer = pre
        tokenizer.decoder = decoders.ByteLevel()
        if name == "qwen-2":
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.add_tokens([AddedToken("<tool>", normalized=name == "tekken", lstrip=name == "gpt-4o", rstrip=name == "cl100k", single_word=name == "smollm")])
        tokenizer.add_special_tokens([AddedToken("<|end|>", special=True, normalized=False)])
        if name == "llama-3":
            tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single="<|end|> $A <tool>", special_tokens=[("<|end|>", 481), ("<tool>", 480)])])
        yield name, tokenizer


def spaced_cases():
    """BPE over characters with a symbol for spaces, as Llama 2, Mistral and Gemma have it, and Unigram."""
    spaced = TRAINING.replace(" ", "\u2581")
    trainer = trainers.BpeTrainer(vocab_size=520, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], show_progress=False)
    trained = Tokenizer(models.BPE())
    trained.train_from_iterator(["\u2581" + word for line in spaced.splitlines(True) for word in line.split("\u2581")] * 2, trainer)
    model = json.loads(trained.to_str())["model"]
    vocab, merges = {}, [tuple(m) for m in model["merges"]]
    for piece, i in model["vocab"].items():
        vocab[piece] = i
    llama = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    strip = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    keep = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    for name, normalizer, pre, decoder, fallback, fuse in [
            ("llama-2", llama, None, strip, True, True),
            ("mistral", None, pre_tokenizers.Metaspace("\u2581", "first", False), strip, True, True),
            ("metaspace", None, pre_tokenizers.Metaspace("\u2581", "always", True), decoders.Metaspace("\u2581", "always", True), True, False),
            ("gemma", normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split(" ", "merged_with_previous"), keep, True, True),
            ("unknown fused", llama, None, strip, False, True), ("unknown each", llama, None, strip, False, False)]:
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=fallback, fuse_unk=fuse))
        if normalizer:
            tokenizer.normalizer = normalizer
        if pre:
            tokenizer.pre_tokenizer = pre
        tokenizer.decoder = decoder
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
        tokenizer.add_tokens([AddedToken("<tool>", normalized=name == "unknown each")])
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        yield name, tokenizer
    for fallback in (False, True):
        trained = Tokenizer(models.Unigram())
        trained.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", "always", False)
        trained.train_from_iterator(TRAINING.splitlines() * 2, trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", show_progress=False))
        pieces = [tuple(p) for p in json.loads(trained.to_str())["model"]["vocab"] if not p[0].startswith("<")]
        vocab = [("<unk>", 0.0)] + ([(f"<0x{b:02X}>", 0.0) for b in range(256)] if fallback else []) + pieces
        tokenizer = Tokenizer(models.Unigram(vocab, 0, fallback))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", "always", False)
        tokenizer.decoder = decoders.Metaspace("\u2581", "always", False)
        yield "unigram with bytes" if fallback else "unigram", tokenizer


def sentencepiece_cases():
    for name, options in [
            ("bpe", dict(model_type="bpe", byte_fallback=True, remove_extra_whitespaces=False)),
            ("bpe, spaces collapsed", dict(model_type="bpe", user_defined_symbols=["<tool>", "of the"])),
            ("unigram", dict(model_type="unigram", byte_fallback=True, remove_extra_whitespaces=False)),
            ("unigram, no prefix", dict(model_type="unigram", user_defined_symbols=["<tool>"], add_dummy_prefix=False))]:
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TRAINING.splitlines() * 2), model_writer=model,
            vocab_size=500 if options.get("byte_fallback") else 240, normalization_rule_name="identity", hard_vocab_limit=False, minloglevel=2, **options)
        yield name, model.getvalue()


def gguf_vocabulary(path):
    data = open(path, "rb").read()
    at = 24
    scalar = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d"}

    def value(kind):
        nonlocal at
        if kind == 8:
            length = struct.unpack_from("<Q", data, at)[0]
            at += 8 + length
            return data[at - length:at].decode()
        if kind == 9:
            inner, count = struct.unpack_from("<IQ", data, at)
            at += 12
            return [value(inner) for _ in range(count)]
        result = struct.unpack_from(scalar[kind], data, at)[0]
        at += struct.calcsize(scalar[kind])
        return result

    keys = {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        key = value(8)
        kind = struct.unpack_from("<I", data, at)[0]
        at += 4
        keys[key] = value(kind)
    model = proto.ModelProto()
    for text, score, kind in zip(keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.scores"], keys["tokenizer.ggml.token_type"]):
        model.pieces.add(piece=text, score=score, type=kind)
    model.trainer_spec.model_type = 2
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.remove_extra_whitespaces = False
    return model.SerializeToString()


def main():
    texts = TEXTS + random_texts(60, 1)
    record = {"texts": texts, "tokenizer_json": [], "sentencepiece": []}
    for name, tokenizer in list(byte_level_cases()) + list(spaced_cases()):
        record["tokenizer_json"].append({"name": name, "document": json.loads(tokenizer.to_str()), "ids": [tokenizer.encode(t).ids for t in texts]})
    # The byte-level cases share one model.
    shared = record["tokenizer_json"][0]["document"]["model"]
    record["byte_level_vocab"], record["byte_level_merges"] = shared["vocab"], shared["merges"]
    spaced = next(c for c in record["tokenizer_json"] if c["name"] == "llama-2")["document"]["model"]
    record["spaced_vocab"], record["spaced_merges"] = spaced["vocab"], spaced["merges"]
    for case in record["tokenizer_json"]:
        model = case["document"]["model"]
        if model["type"] == "BPE":
            kind = "byte_level" if model["vocab"] == record["byte_level_vocab"] else "spaced"
            model["vocab"], model["merges"] = kind + "_vocab", kind + "_merges"
    for name, model in sentencepiece_cases():
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        record["sentencepiece"].append({"name": name, "model": model.hex(), "ids": [processor.encode(t) for t in texts]})
    if len(sys.argv) > 1:
        processor = sentencepiece.SentencePieceProcessor(model_proto=gguf_vocabulary(sys.argv[1]))
        record["gguf_llama"] = [processor.encode(t) for t in texts]
    with open("recorded_tokens.json", "w") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in record.items()) + "\n}\n")


if __name__ == "__main__":
    main()
