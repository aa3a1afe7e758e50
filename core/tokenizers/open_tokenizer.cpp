// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/json_events.h"
#include "core/base/mapped_file.h"
#include "core/base/text.h"
#include "core/tokenizers/tokenizer.h"

#include <array>
#include <cstring>

namespace quantloupe {
namespace {

std::string_view textOfFile(Bytes file)
{
    return {reinterpret_cast<const char*>(file.data()), file.size()};
}

/// Names of the files beside a checkpoint, in the order in which they are looked for.
std::vector<std::string> namesBeside(std::optional<std::uint64_t> vocabulary)
{
    std::vector<std::string> names {"tokenizer.json", "tokenizer.model", "tokenizer.bin"};
    if (vocabulary)
        names.push_back("tok" + std::to_string(*vocabulary) + ".bin");
    return names;
}

Result<TokenizerParts> readByContent(Bytes file, const std::string& where)
{
    const auto text = textOfFile(file);
    if (text.starts_with("GGUF"))
        return readGgufVocabulary(file, where);
    const auto first = text.find_first_not_of(" \t\r\n", text.starts_with("\xEF\xBB\xBF") ? 3 : 0);
    if (first != std::string_view::npos && text[first] == '{')
        return readTokenizerJson(file, where);
    // llama2.c begins with a small number of 32 bits; a message whose third byte is 0 would hold a field 0.
    if (file.size() > 4 && file[2] == std::byte {0} && file[3] == std::byte {0})
        return readLlama2cTokenizer(file, where);
    if (!text.empty() && text[0] == '\x0A')
        return readSentencePieceModel(file, where);
    return failure(ErrorCode::NotThisFormat, where,
        "neither tokenizer.json nor a SentencePiece model, a GGUF or llama2.c's tokenizer.bin", 0);
}

/// What tokenizer_config.json says beside the vocabulary: names of the special tokens, and whether BOS is added.
struct TokenizerConfig {
    std::string bos, eos;
    std::optional<bool> addsBos, addsEos;
};

Result<TokenizerConfig> readTokenizerConfig(const std::filesystem::path& folder)
{
    TokenizerConfig config;
    const auto path = folder / "tokenizer_config.json";
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
        return config;
    const auto file = MappedFile::open(path);
    if (!file)
        return tl::unexpected(file.error());
    auto read = readJson(textOfFile((*file)->bytes()), path.string(), 0, [&](const JsonEvent& event) -> Result<void> {
        const auto& keys = event.path;
        // A token stands as a text, or as an object with its content.
        const bool named = keys.size() == 1 || (keys.size() == 2 && keys[1] == "content");
        if (named && event.kind == JsonEvent::Kind::Text) {
            if (keys[0] == "bos_token")
                config.bos = event.text;
            else if (keys[0] == "eos_token")
                config.eos = event.text;
        }
        if (keys.size() == 1 && event.kind == JsonEvent::Kind::Boolean) {
            if (keys[0] == "add_bos_token")
                config.addsBos = event.number != 0;
            else if (keys[0] == "add_eos_token")
                config.addsEos = event.number != 0;
        }
        return {};
    });
    if (!read)
        return tl::unexpected(std::move(read.error()));
    return config;
}

/// tokenizer.json has a template of its own for what is added; a SentencePiece model leaves it to this file.
void applyConfig(TokenizerParts& parts, const TokenizerConfig& config, bool hasTemplate)
{
    const auto named = [&](const std::string& name, std::optional<TokenId>& token) {
        const auto& added = parts.added.all();
        const auto found = std::find_if(
            added.begin(), added.end(), [&](const AddedToken& one) { return !name.empty() && one.content == name; });
        const auto id = found != added.end() ? found->id : name.empty() ? kNoToken : parts.vocabulary.find(name);
        if (id != kNoToken)
            token = id;
    };
    named(config.bos, parts.bos);
    named(config.eos, parts.eos);
    if (hasTemplate)
        return;
    if (config.addsBos)
        parts.prefix = *config.addsBos && parts.bos ? std::vector {*parts.bos} : std::vector<TokenId> {};
    if (config.addsEos.value_or(false) && parts.eos)
        parts.suffix = {*parts.eos};
}

Result<TokenizerPointer> openFile(const std::filesystem::path& path)
{
    const auto file = MappedFile::open(path);
    if (!file)
        return tl::unexpected(file.error());
    const auto bytes = (*file)->bytes();
    auto parts = readByContent(bytes, path.string());
    if (!parts)
        return tl::unexpected(std::move(parts.error()));
    const bool json =
        textOfFile(bytes.first(std::min<std::size_t>(bytes.size(), 64))).find('{') != std::string_view::npos
        && !textOfFile(bytes).starts_with("GGUF");
    const bool piecesOnly = bytes[0] == std::byte {0x0A};
    if (json || piecesOnly) {
        const auto config = readTokenizerConfig(path.parent_path());
        if (!config)
            return tl::unexpected(config.error());
        applyConfig(*parts, *config, json);
    }
    return std::make_shared<const Tokenizer>(std::move(*parts));
}

/// nullopt inside: no such file in the folder.
Result<std::optional<TokenizerPointer>> openInFolder(
    const std::filesystem::path& folder, std::optional<std::uint64_t> vocabulary)
{
    for (const auto& name : namesBeside(vocabulary)) {
        std::error_code ignored;
        if (std::filesystem::exists(folder / name, ignored))
            return openFile(folder / name);
    }
    return std::nullopt;
}

}  // namespace

Result<TokenizerPointer> openTokenizer(const std::filesystem::path& path)
{
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored))
        return openFile(path);
    return openInFolder(path, std::nullopt)
        .and_then([&](std::optional<TokenizerPointer> found) -> Result<TokenizerPointer> {
            if (found)
                return std::move(*found);
            return failure(ErrorCode::NotThisFormat, path.string(),
                "the folder holds no tokenizer.json, tokenizer.model or tokenizer.bin");
        });
}

Result<TokenizerPointer> openTokenizer(const Model& model)
{
    if (model.files.empty())
        return failure(ErrorCode::NotThisFormat, model.path.string(), "a model without files has no tokenizer");
    const auto& first = model.files.front();
    auto tokenizer = [&]() -> Result<TokenizerPointer> {
        if (model.format == "gguf") {
            auto inside = openFile(first);
            if (inside || inside.error().code != ErrorCode::NotThisFormat)
                return inside;
        }
        return openInFolder(first.parent_path(), model.config.vocabulary)
            .and_then([&](std::optional<TokenizerPointer> found) -> Result<TokenizerPointer> {
                if (found)
                    return std::move(*found);
                return failure(ErrorCode::NotThisFormat, first.string(),
                    "no tokenizer belongs to the model: neither tokenizer.json nor tokenizer.model or tokenizer.bin is "
                    "beside it");
            });
    }();
    if (!tokenizer)
        return tokenizer;
    const auto rows = model.config.vocabulary;
    if (rows && (*tokenizer)->vocabularySize() > *rows) {
        return failure(ErrorCode::Conflict, first.string(),
            "the tokenizer has " + std::to_string((*tokenizer)->vocabularySize()) + " tokens, the model only "
                + std::to_string(*rows));
    }
    return tokenizer;
}

}  // namespace quantloupe
