// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/mapped_file.h"
#include "core/tokenizers/added_tokens.h"
#include "core/tokenizers/merge_bpe.h"
#include "core/tokenizers/score_bpe.h"
#include "core/tokenizers/text_steps.h"
#include "core/tokenizers/unigram.h"
#include "core/tokenizers/vocabulary.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace quantloupe {

/// A way to cut words into pieces.
using SegmentationModel = std::variant<MergeBpe, ScoreBpe, Unigram>;

/// What the readers of tokenizer files give: the steps from a text to token ids, in order, and back.
struct TokenizerParts {
    std::string description {};
    Vocabulary vocabulary {};
    AddedTokens added {};
    std::vector<RewriteStep> normalizer {};  ///< before added tokens that are normalized are looked for
    std::vector<RewriteStep> rewriter {};    ///< after that
    std::vector<SplitStep> splitter {};
    SegmentationModel model = MergeBpe(MergeBpe::Options {});
    std::vector<TokenId> prefix {}, suffix {};
    std::optional<TokenId> bos {}, eos {};
    std::string spaceSymbol {};       ///< what stands for a space in pieces; empty: nothing does
    bool stripsLeadingSpace = false;  ///< when decoding
    bool malformedBytesAsIs = false;  ///< the model takes any bytes; the splitter has safe boundaries at most
    bool spellsEverything = false;    ///< every byte has a token
    bool wordsRepeat = false;         ///< words are short: worth remembering
};

/// Puts a boundary before every `spaceSymbol` that no piece could reach across. @pre the vocabulary is complete
SplitStep safeBoundaryBefore(const std::string& spaceSymbol, const Vocabulary& vocabulary);

/// Readers of the kinds of files. `where` names the file in errors; `file` is the whole of it.
Result<TokenizerParts> readTokenizerJson(Bytes file, const std::string& where);
Result<TokenizerParts> readSentencePieceModel(Bytes file, const std::string& where);
Result<TokenizerParts> readGgufVocabulary(Bytes file, const std::string& where);
Result<TokenizerParts> readLlama2cTokenizer(Bytes file, const std::string& where);

}  // namespace quantloupe
