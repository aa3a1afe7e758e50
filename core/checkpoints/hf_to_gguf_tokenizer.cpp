// SPDX-License-Identifier: GPL-3.0-or-later
// tokenizer.json as tokenizer.ggml.*: byte-level BPE as "gpt2" with its merges; BPE that falls back to bytes, which is
// what converters made of SentencePiece models, as "llama", whose scores then order pieces as the merges did.
#include "core/checkpoints/hf_to_gguf.h"
#include "core/checkpoints/safetensors_folder.h"
#include "core/recipes/strict_json.h"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace quantloupe {
namespace {

using nlohmann::json;

/// Kinds of tokens, by llama.cpp's numbers.
enum TokenKind : std::int32_t { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

struct Tokens {
    std::vector<std::string> texts {};
    std::vector<std::int32_t> kinds {};
};

/// A null value where there is no such file.
Result<json> jsonBeside(const Model& model, const char* name)
{
    const auto path = modelFolder(model) / name;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
        return json();
    const auto file = MappedFile::open(path);
    if (!file)
        return tl::unexpected(file.error());
    const auto bytes = (*file)->bytes();
    return parseStrictJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

/// Whether a part of the tokenizer, or one inside it, has this type.
bool holdsType(const json& value, std::string_view type)
{
    if (value.is_array())
        return std::any_of(value.begin(), value.end(), [&](const json& part) { return holdsType(part, type); });
    if (!value.is_object())
        return false;
    const auto own = value.find("type");
    if (own != value.end() && own->is_string() && own->get_ref<const std::string&>() == type)
        return true;
    return std::any_of(
        value.begin(), value.end(), [&](const json& part) { return part.is_structured() && holdsType(part, type); });
}

/// The first pattern by which text is split before BPE; empty where there is none.
std::string splitPattern(const json& value)
{
    if (value.is_array() || value.is_object())
        for (const auto& [key, part] : value.items()) {
            if (key == "Regex" && part.is_string())
                return part.get<std::string>();
            if (auto found = splitPattern(part); !found.empty())
                return found;
        }
    return {};
}

/// What llama.cpp calls the way in which text is split; nullopt where it has a name we do not know.
std::optional<std::string_view> splitName(const std::string& pattern)
{
    static constexpr std::string_view kHead = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
    static constexpr std::string_view kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    if (pattern.empty())
        return "gpt-2";
    if (pattern == std::string(kHead) + R"(\p{N}{1,3})" + std::string(kTail))
        return "llama-bpe";
    if (pattern == std::string(kHead) + R"(\p{N})" + std::string(kTail))
        return "qwen2";
    return std::nullopt;
}

bool isByteToken(const std::string& text)
{
    return text.size() == 6 && text.starts_with("<0x") && text.ends_with('>');
}

Result<Tokens> readTokens(const json& tokenizer, std::uint64_t count, const std::string& where)
{
    Tokens tokens {.texts = std::vector<std::string>(static_cast<std::size_t>(count)),
        .kinds = std::vector<std::int32_t>(static_cast<std::size_t>(count), Unused)};
    const auto put = [&](const json& id, const std::string& text, std::int32_t kind) -> Result<void> {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= count)
            return failure(ErrorCode::Malformed, where, "a token has an id beyond the rows of the embedding");
        tokens.texts[id.get<std::size_t>()] = text;
        tokens.kinds[id.get<std::size_t>()] = kind;
        return {};
    };
    for (const auto& [text, id] : tokenizer["model"]["vocab"].items())
        if (auto done = put(id, text, isByteToken(text) ? Byte : Normal); !done)
            return tl::unexpected(done.error());
    if (const auto added = tokenizer.find("added_tokens"); added != tokenizer.end() && added->is_array())
        for (const auto& token : *added) {
            if (!token.is_object() || !token.contains("id") || !token.contains("content")
                || !token["content"].is_string())
                return failure(ErrorCode::Malformed, where, "an added token has no id and content");
            const bool special = token.value("special", false);
            if (auto done = put(token["id"], token["content"].get<std::string>(), special ? Control : UserDefined);
                !done)
                return tl::unexpected(done.error());
        }
    if (const auto unknown = tokenizer["model"].find("unk_token");
        unknown != tokenizer["model"].end() && unknown->is_string()) {
        const auto at = std::find(tokens.texts.begin(), tokens.texts.end(), unknown->get_ref<const std::string&>());
        if (at != tokens.texts.end())
            tokens.kinds[static_cast<std::size_t>(at - tokens.texts.begin())] = Unknown;
    }
    for (std::size_t i = 0; i < tokens.texts.size(); ++i)
        if (tokens.kinds[i] == Unused)
            tokens.texts[i] = "[PAD" + std::to_string(i) + "]";
    return tokens;
}

/// "left right" of each merge, whichever way the file has it.
std::vector<std::string> readMerges(const json& model)
{
    std::vector<std::string> merges;
    const auto found = model.find("merges");
    if (found == model.end() || !found->is_array())
        return merges;
    for (const auto& merge : *found) {
        if (merge.is_string())
            merges.push_back(merge.get<std::string>());
        else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
            merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    }
    return merges;
}

/// Minus the rank of the first merge that makes each token: the highest score is merged first.
std::vector<float> scoresOf(const Tokens& tokens, const std::vector<std::string>& merges)
{
    std::unordered_map<std::string, std::size_t> ranks;
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
        auto joined = merges[rank];
        joined.erase(std::min(joined.find(' '), joined.size() - 1), 1);
        ranks.emplace(std::move(joined), rank);
    }
    std::vector<float> scores;
    for (std::size_t i = 0; i < tokens.texts.size(); ++i) {
        const auto rank = ranks.find(tokens.texts[i]);
        const bool normal = tokens.kinds[i] == Normal;
        scores.push_back(!normal      ? 0.0F
                : rank == ranks.end() ? -static_cast<float>(merges.size())
                                      : -static_cast<float>(rank->second));
    }
    return scores;
}

void addSpecialTokens(GgufFields& fields, const json& config, const json& settings)
{
    static constexpr std::array<std::pair<const char*, const char*>, 3> kIds {{
        {"bos_token_id", "tokenizer.ggml.bos_token_id"},
        {"eos_token_id", "tokenizer.ggml.eos_token_id"},
        {"pad_token_id", "tokenizer.ggml.padding_token_id"},
    }};
    for (const auto& [key, field] : kIds) {
        auto id = config.is_object() ? config.value(key, json()) : json();
        if (id.is_array() && !id.empty())
            id = json(id[0]);
        if (id.is_number_unsigned())
            fields.set(ggufWhole(field, id.get<std::uint64_t>()));
    }
    if (!settings.is_object())
        return;
    for (const auto* key : {"add_bos_token", "add_eos_token"})
        if (const auto flag = settings.find(key); flag != settings.end() && flag->is_boolean())
            fields.set(ggufBool(std::string("tokenizer.ggml.") + key, flag->get<bool>()));
    if (const auto chat = settings.find("chat_template"); chat != settings.end() && chat->is_string())
        fields.set(ggufText("tokenizer.chat_template", chat->get_ref<const std::string&>()));
}

std::uint64_t embeddingRows(const Model& model)
{
    for (const auto& tensor : model.tensors)
        if (tensor.parts.role == TensorRole::Embedding)
            return matrixShape(tensor.view).rows;
    return 0;
}

}  // namespace

Result<void> addGgufTokenizer(GgufFields& fields, const Model& model, std::vector<std::string>& warnings)
{
    const auto tokenizer = jsonBeside(model, "tokenizer.json");
    const auto config = jsonBeside(model, "config.json");
    const auto settings = jsonBeside(model, "tokenizer_config.json");
    for (const auto* file : {&tokenizer, &config, &settings})
        if (!*file)
            return tl::unexpected(file->error());
    const auto where = (modelFolder(model) / "tokenizer.json").string();
    const bool isBpe = tokenizer->is_object() && tokenizer->contains("model") && (*tokenizer)["model"].is_object()
        && (*tokenizer)["model"].contains("vocab") && (*tokenizer)["model"]["vocab"].is_object();
    if (!isBpe) {
        warnings.emplace_back("There is no tokenizer.json with a BPE vocabulary beside the model: the file has no "
                              "tokenizer, and llama.cpp will not load it.");
        return {};
    }
    const auto tokens = readTokens(*tokenizer, embeddingRows(model), where);
    if (!tokens)
        return tl::unexpected(tokens.error());
    const auto merges = readMerges((*tokenizer)["model"]);
    const bool byteLevel = holdsType(tokenizer->value("pre_tokenizer", json()), "ByteLevel")
        || holdsType(tokenizer->value("decoder", json()), "ByteLevel");
    fields.set(ggufText("tokenizer.ggml.model", byteLevel ? "gpt2" : "llama"));
    if (byteLevel) {
        const auto name = splitName(splitPattern(tokenizer->value("pre_tokenizer", json())));
        if (!name)
            warnings.emplace_back("How the tokenizer splits text has no name that is known here: tokenizer.ggml.pre is "
                                  "'default', and llama.cpp may split text differently.");
        fields.set(ggufText("tokenizer.ggml.pre", name.value_or("default")));
    } else {
        fields.set(ggufText("tokenizer.ggml.pre", "default"));
    }
    fields.set(ggufTexts("tokenizer.ggml.tokens", tokens->texts));
    if (!byteLevel)
        fields.set(ggufReals("tokenizer.ggml.scores", scoresOf(*tokens, merges)));
    fields.set(ggufWholes("tokenizer.ggml.token_type", tokens->kinds));
    if (const auto unknown = std::find(tokens->kinds.begin(), tokens->kinds.end(), Unknown);
        unknown != tokens->kinds.end())
        fields.set(
            ggufWhole("tokenizer.ggml.unknown_token_id", static_cast<std::uint64_t>(unknown - tokens->kinds.begin())));
    if (byteLevel)
        fields.set(ggufTexts("tokenizer.ggml.merges", merges));
    addSpecialTokens(fields, *config, *settings);
    return {};
}

}  // namespace quantloupe
