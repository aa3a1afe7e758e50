// SPDX-License-Identifier: GPL-3.0-or-later
// llama2.c's tokenizer.bin: the longest piece (i32), then for every piece score (f32), length (i32) and bytes. Spaces
// stand as they are; token 1 is BOS, 2 EOS, 3 to 258 are the bytes. Source: karpathy/llama2.c, run.c and tokenizer.py.
#include "core/base/byte_cursor.h"
#include "core/base/text.h"
#include "core/tokenizers/tokenizer_parts.h"

#include <cmath>

namespace quantloupe {
namespace {

constexpr TokenId kLlama2cBos = 1, kLlama2cEos = 2, kFirstByte = 3;

Result<TokenizerParts> buildLlama2c(TokenizerParts parts, const std::vector<float>& scores, const std::string& where)
{
    auto& vocabulary = parts.vocabulary;
    if (vocabulary.size() < kFirstByte + 256)
        return failure(ErrorCode::NotThisFormat, where,
            "only " + std::to_string(vocabulary.size()) + " pieces: not a llama2.c tokenizer", 0);
    vocabulary.setKind(0, PieceKind::Unknown);
    vocabulary.setKind(kLlama2cBos, PieceKind::Control);
    vocabulary.setKind(kLlama2cEos, PieceKind::Control);
    UnspelledRule unspelled {.toBytes = true};
    for (TokenId byte = 0; byte < 256; ++byte) {
        const auto id = kFirstByte + byte;
        if (byteOfPiece(vocabulary.text(id)) != byte)
            return failure(ErrorCode::Malformed, where,
                "token " + std::to_string(id) + " is " + inQuotes(vocabulary.text(id)) + ", not that of a byte", 0);
        vocabulary.setKind(id, PieceKind::Byte);
        unspelled.bytes[byte] = id;
    }
    if (const auto twins = vocabulary.index()) {
        return failure(ErrorCode::Malformed, where,
            "tokens " + std::to_string(twins->first) + " and " + std::to_string(twins->second) + " are both "
                + inQuotes(vocabulary.text(twins->first)),
            0);
    }
    parts.model = ScoreBpe(vocabulary, scores, std::vector<bool>(vocabulary.size(), true), {}, unspelled);
    parts.normalizer = {{.kind = RewriteStep::Kind::Prepend, .to = " "}};
    if (vocabulary.find(" ") != kNoToken)
        parts.splitter = {safeBoundaryBefore(" ", vocabulary)};
    parts.wordsRepeat = !parts.splitter.empty();
    parts.stripsLeadingSpace = true;
    parts.malformedBytesAsIs = true;
    parts.spellsEverything = true;
    parts.bos = kLlama2cBos;
    parts.eos = kLlama2cEos;
    parts.prefix = {kLlama2cBos};
    for (const auto& [id, content] : {std::pair {kLlama2cBos, "<s>"}, std::pair {kLlama2cEos, "</s>"}})
        parts.added.add({.content = content, .id = id, .special = true});
    parts.added.finish();
    parts.description = "SentencePiece BPE (llama2.c)";
    return parts;
}

}  // namespace

Result<TokenizerParts> readLlama2cTokenizer(Bytes file, const std::string& where)
{
    ByteCursor cursor(file);
    const auto longest = cursor.read<std::int32_t>();
    if (!longest || *longest < 1)
        return failure(ErrorCode::NotThisFormat, where, "no length of the longest piece: not a llama2.c tokenizer", 0);
    TokenizerParts parts;
    std::vector<float> scores;
    while (cursor.remaining() > 0) {
        const auto id = static_cast<TokenId>(scores.size());
        const auto named = "token " + std::to_string(id);
        const auto offset = cursor.offset();
        const auto score = cursor.read<float>();
        const auto length = cursor.read<std::int32_t>();
        if (!score || !length)
            return failure(ErrorCode::Truncated, where, "the file ends inside " + named, offset);
        if (*length < 0 || *length > *longest)
            return failure(ErrorCode::Malformed, where,
                named + " of " + std::to_string(*length) + " bytes, where the longest has " + std::to_string(*longest),
                offset);
        const auto bytes = cursor.take(static_cast<std::uint64_t>(*length));
        if (!bytes)
            return failure(ErrorCode::Truncated, where, "the file ends inside " + named, offset);
        if (std::isnan(*score))
            return failure(ErrorCode::Malformed, where, "the score of " + named + " is not a number", offset);
        const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
        if (auto wrong = parts.vocabulary.place(id, text, PieceKind::Normal); !wrong.empty())
            return failure(ErrorCode::Malformed, where, std::move(wrong), offset);
        scores.push_back(*score);
    }
    return buildLlama2c(std::move(parts), scores, where);
}

}  // namespace quantloupe
