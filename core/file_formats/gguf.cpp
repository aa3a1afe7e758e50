// SPDX-License-Identifier: GPL-3.0-or-later
// GGUF: one file, or the shards of a split one. Source: interop notes, section 3.
#include "core/base/text.h"
#include "core/file_formats/gguf_decoder_settings.h"
#include "core/file_formats/gguf_header.h"
#include "core/file_formats/model_assembly.h"
#include "core/model/model_config.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace quantloupe {
namespace file_formats {
namespace {

/// A file with its header, as shards are held until all are checked.
struct Shard {
    MappedFilePointer file;
    GgufHeader header;
};

Result<Shard> readShard(const MappedFilePointer& file)
{
    auto header = readGgufHeader(file->bytes(), file->path().string());
    if (!header)
        return tl::unexpected(std::move(header.error()));
    return Shard {file, std::move(*header)};
}

std::optional<std::uint64_t> number(const GgufHeader& header, std::string_view key)
{
    const auto* value = header.find(key);
    return value ? wholeNumber(*value) : std::nullopt;
}

ModelConfig configOf(const GgufHeader& header, std::vector<std::string>& warnings)
{
    ModelConfig config;
    const auto* architecture = header.find("general.architecture");
    if (architecture && textOf(*architecture))
        config.architecture = shortened(*textOf(*architecture), 60);
    else
        warnings.emplace_back(
            "The file does not name its architecture (general.architecture): its figures are unknown.");

    const auto figure = [&](std::string_view name) -> std::optional<std::uint64_t> {
        const auto key = config.architecture + "." + std::string(name);
        const auto* value = config.architecture.empty() ? nullptr : header.find(key);
        if (!value)
            return std::nullopt;
        if (value->type == GgufType::Array)
            warnings.push_back(key + " differs between blocks: the largest value counts.");
        return largestNumber(*value);
    };
    config.hiddenSize = figure("embedding_length");
    config.layers = figure("block_count");
    config.heads = figure("attention.head_count");
    config.keyValueHeads = figure("attention.head_count_kv");
    config.headDimension = figure("attention.key_length");
    config.intermediateSize = figure("feed_forward_length");
    config.vocabulary = figure("vocab_size");
    config.contextLength = figure("context_length");
    config.experts = figure("expert_count");
    config.expertsPerToken = figure("expert_used_count");
    config.slidingWindow = figure("attention.sliding_window");
    const auto* tokens = header.find("tokenizer.ggml.tokens");
    if (!config.vocabulary && tokens && tokens->type == GgufType::Array)
        config.vocabulary = tokens->count;
    completeModelConfig(config);
    return config;
}

void addTensors(Model& model, Shard& shard)
{
    const auto number = static_cast<std::uint32_t>(model.files.size());
    model.files.push_back(shard.file->path());
    if (shard.header.trailingBytes > 0) {
        model.warnings.push_back(shard.file->path().filename().string() + ": "
            + std::to_string(shard.header.trailingBytes) + " bytes after the last tensor belong to none.");
    }
    for (auto& described : shard.header.tensors) {
        ModelTensor tensor;
        tensor.parts = readName(described.name);
        tensor.name = std::move(described.name);
        tensor.view = {.dtype = described.dtype,
            .shape = std::move(described.shape),
            .bytes = shard.file->bytes().subspan(described.begin, described.bytes),
            .owner = shard.file};
        tensor.file = number;
        tensor.offset = described.begin;
        model.tensors.push_back(std::move(tensor));
    }
}

void checkBlockNumbers(Model& model)
{
    const auto beyond = [&](const ModelTensor& tensor) {
        return model.config.layers && tensor.parts.block && *tensor.parts.block >= *model.config.layers;
    };
    const auto count = std::count_if(model.tensors.begin(), model.tensors.end(), beyond);
    if (count > 0) {
        model.warnings.push_back("Tensors beyond the " + std::to_string(*model.config.layers)
            + " blocks that the file says it has: " + std::to_string(count) + ".");
    }
}

/// "name-00002-of-00005.gguf" without its number; nullopt when the name is not of this form or has another number.
std::optional<std::string> splitPrefix(const std::string& name, std::uint64_t position, std::uint64_t count)
{
    std::array<char, 32> tail;
    std::snprintf(
        tail.data(), tail.size(), "-%05u-of-%05u.gguf", static_cast<unsigned>(position), static_cast<unsigned>(count));
    if (!name.ends_with(tail.data()))
        return std::nullopt;
    return name.substr(0, name.size() - std::strlen(tail.data()));
}

std::string splitName(const std::string& prefix, std::uint64_t position, std::uint64_t count)
{
    std::array<char, 32> tail;
    std::snprintf(
        tail.data(), tail.size(), "-%05u-of-%05u.gguf", static_cast<unsigned>(position), static_cast<unsigned>(count));
    return prefix + tail.data();
}

/// Checks what a shard says of itself. `position` is 0-based.
Result<void> checkShard(const Shard& shard, std::uint64_t position, std::uint64_t count, std::uint64_t tensors)
{
    const auto expected = std::array {
        std::pair {"split.no", position}, std::pair {"split.count", count}, std::pair {"split.tensors.count", tensors}};
    for (const auto& [key, wanted] : expected) {
        const auto* value = shard.header.find(key);
        if (!value || wholeNumber(*value) != wanted) {
            return failure(ErrorCode::Malformed, shard.file->path().string(),
                std::string(key) + " is " + (value ? displayed(*value) : "absent") + ", not " + std::to_string(wanted)
                    + " as the other shards have it",
                value ? value->offset : 0);
        }
    }
    return {};
}

/// Reads all shards of the split file that `opened` is one of.
Result<std::vector<Shard>> readShards(Shard opened)
{
    const auto where = opened.file->path().string();
    const auto* countValue = opened.header.find("split.count");
    const auto count = countValue ? wholeNumber(*countValue) : std::nullopt;
    if (countValue && (!count || *count > 99'999))
        return failure(ErrorCode::Malformed, where, "split.count is " + displayed(*countValue), countValue->offset);
    std::vector<Shard> shards;
    if (count.value_or(0) < 2) {
        shards.push_back(std::move(opened));
        return shards;
    }
    const auto own = number(opened.header, "split.no");
    const auto tensors = number(opened.header, "split.tensors.count");
    if (!own || *own >= *count || !tensors)
        return failure(ErrorCode::Malformed, where, "split.no or split.tensors.count does not fit split.count",
            countValue->offset);
    const auto prefix = splitPrefix(opened.file->path().filename().string(), *own + 1, *count);
    if (!prefix) {
        return failure(ErrorCode::Malformed, where,
            "shard " + std::to_string(*own + 1) + " of " + std::to_string(*count)
                + " by its content, but its name does not end in '" + splitName({}, *own + 1, *count) + "'",
            countValue->offset);
    }
    for (std::uint64_t i = 0; i < *count; ++i) {
        if (i == *own) {
            shards.push_back(opened);
        } else {
            auto shard = openBeside(
                opened.file->path().parent_path(), splitName(*prefix, i + 1, *count), where, countValue->offset)
                             .and_then(readShard);
            if (!shard)
                return tl::unexpected(std::move(shard.error()));
            shards.push_back(std::move(*shard));
        }
        if (auto checked = checkShard(shards.back(), i, *count, *tensors); !checked)
            return tl::unexpected(std::move(checked.error()));
    }
    std::uint64_t sum = 0;
    for (const auto& shard : shards)
        sum += shard.header.tensors.size();
    if (sum != *tensors) {
        return failure(ErrorCode::Malformed, where,
            "split.tensors.count is " + std::to_string(*tensors) + ", the shards hold " + std::to_string(sum),
            opened.header.find("split.tensors.count")->offset);
    }
    return shards;
}

Result<Model> makeModel(std::vector<Shard> shards)
{
    Model model;
    model.format = "gguf";
    model.naming = NamingWorld::Gguf;
    const auto& first = shards.front().header;
    for (const auto& entry : first.metadata)
        model.metadata.emplace_back(shortened(entry.key, 200), displayed(entry.value));
    const auto* synthetic = first.find("quantloupe.synthetic");
    model.synthetic = synthetic && displayed(*synthetic) == "true";
    model.config = configOf(first, model.warnings);
    model.settings = decoderSettingsOf(first, model.config.architecture);
    for (auto& shard : shards)
        addTensors(model, shard);
    const auto has = [&](TensorRole role) {
        return std::any_of(model.tensors.begin(), model.tensors.end(),
            [&](const ModelTensor& tensor) { return tensor.parts.role == role; });
    };
    model.config.tiedEmbeddings = has(TensorRole::Embedding) && !has(TensorRole::LmHead);
    checkBlockNumbers(model);
    return model;
}

/// Magic numbers of the formats before GGUF, in either byte order.
std::string_view formerFormat(Bytes head)
{
    static constexpr std::array<std::string_view, 4> kNames {"ggml", "ggmf", "ggjt", "ggla"};
    if (head.size() < 4)
        return {};
    const std::string_view magic(reinterpret_cast<const char*>(head.data()), 4);
    for (const auto name : kNames)
        if (magic == name || std::equal(name.rbegin(), name.rend(), magic.begin()))
            return name;
    return {};
}

bool matches(Bytes head)
{
    return (head.size() >= 4 && std::memcmp(head.data(), "GGUF", 4) == 0) || !formerFormat(head).empty();
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& /*stop*/)
{
    const auto where = file->path().string();
    if (const auto former = formerFormat(file->bytes()); !former.empty()) {
        return failure(ErrorCode::Unsupported, where,
            "a '" + std::string(former) + "' file from before GGUF: convert the model again with a current llama.cpp",
            0);
    }
    if (!matches(file->bytes()))
        return failure(ErrorCode::NotThisFormat, where, "the file does not begin with 'GGUF'", 0);
    return readShard(file).and_then(readShards).and_then(makeModel);
}

}  // namespace

extern const FileFormat gguf;
const FileFormat gguf {"gguf", "GGUF", "gguf", matches, open};

}  // namespace file_formats
}  // namespace quantloupe
