// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/safetensors_folder.h"

#include "core/base/text.h"
#include "core/recipes/strict_json.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace quantloupe {
namespace {

namespace fs = std::filesystem;

/// Files that tools look for beside the weights. Never code.
bool isCompanion(std::string_view name)
{
    static constexpr std::array<std::string_view, 9> kNames {"generation_config.json", "special_tokens_map.json",
        "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "preprocessor_config.json",
        "processor_config.json", "spiece.model"};
    if (std::find(kNames.begin(), kNames.end(), name) != kNames.end() || name.ends_with(".jinja"))
        return true;
    return name.starts_with("tokenizer") && (name.ends_with(".json") || name.ends_with(".model"));
}

/// The part of a name by which parts of a module stay together.
std::string_view moduleOf(std::string_view name)
{
    return name.substr(0, name.rfind('.'));
}

/// Stored tensors of each shard, in the order given.
std::vector<std::vector<std::size_t>> splitIntoShards(const CheckpointDraft& draft, std::uint64_t shardBytes)
{
    std::vector<std::vector<std::size_t>> shards(1);
    std::uint64_t filled = 0;
    for (std::size_t i = 0; i < draft.stored.size();) {
        std::uint64_t bytes = 0;
        auto end = i;
        for (; end < draft.stored.size() && moduleOf(draft.stored[end].name) == moduleOf(draft.stored[i].name); ++end)
            bytes += draft.stored[end].bytes;
        if (filled > 0 && filled + bytes > shardBytes) {
            shards.emplace_back();
            filled = 0;
        }
        filled += bytes;
        for (; i < end; ++i)
            shards.back().push_back(i);
    }
    return shards;
}

void layOutShard(CheckpointDraft& draft, std::string name, std::vector<std::size_t> members)
{
    const auto typeBytes = [&](std::size_t i) { return traitsOf(draft.stored[i].dtype).blockBytes; };
    std::sort(members.begin(), members.end(), [&](std::size_t left, std::size_t right) {
        return typeBytes(left) != typeBytes(right) ? typeBytes(left) > typeBytes(right)
                                                   : draft.stored[left].name < draft.stored[right].name;
    });
    nlohmann::ordered_json header {{"__metadata__", {{"format", "pt"}}}};
    std::uint64_t end = 0;
    for (const auto i : members) {
        const auto& tensor = draft.stored[i];
        draft.places[i] = {draft.files.size(), end};
        header[tensor.name] = {
            {"dtype", nameOf(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {end, end + tensor.bytes}}};
        end += tensor.bytes;
    }
    auto text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');
    std::string head(8, '\0');
    const std::uint64_t length = text.size();
    std::memcpy(head.data(), &length, sizeof length);
    head += text;
    for (const auto i : members)
        draft.places[i].offset += head.size();
    const auto size = head.size() + end;
    draft.files.push_back({.name = std::move(name), .size = size, .literals = {{0, std::move(head)}}});
}

std::string shardName(std::size_t number, std::size_t count)
{
    std::array<char, 64> name {};
    std::snprintf(name.data(), name.size(), "model-%05zu-of-%05zu.safetensors", number, count);
    return name.data();
}

}  // namespace

std::filesystem::path modelFolder(const Model& model)
{
    const auto parent = model.files.empty() ? model.path.parent_path() : model.files.front().parent_path();
    return parent.empty() ? fs::path(".") : parent;
}

std::size_t addStored(CheckpointDraft& draft, std::string name, DType dtype, Shape shape)
{
    const auto bytes = byteCount(elementCount(shape).value_or(0), dtype).value_or(0);
    draft.stored.push_back({std::move(name), dtype, std::move(shape), bytes});
    return draft.stored.size() - 1;
}

CheckpointDraft folderDraft(const CheckpointRequest& request)
{
    CheckpointDraft draft {.model = request.model, .folder = true};
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(modelFolder(*request.model), problem)) {
        const auto name = entry.path().filename().string();
        // Kept in memory of no one, so a size does not matter; a vocabulary is megabytes.
        if (entry.is_regular_file(problem) && isCompanion(name))
            draft.copies.push_back(entry.path());
    }
    std::sort(draft.copies.begin(), draft.copies.end());
    return draft;
}

Result<nlohmann::ordered_json> configBeside(const Model& model)
{
    const auto path = modelFolder(model) / "config.json";
    std::error_code ignored;
    if (!fs::exists(path, ignored))
        return nlohmann::ordered_json::object();
    const auto file = MappedFile::open(path);
    if (!file)
        return tl::unexpected(file.error());
    const auto bytes = (*file)->bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    // Checked by the strict reader, then read again with the order of its keys.
    if (auto strict = parseStrictJson(text, path.string()); !strict)
        return tl::unexpected(strict.error());
    auto json = nlohmann::ordered_json::parse(text, nullptr, false);
    if (!json.is_object())
        return failure(ErrorCode::Malformed, path.string(), "is not a JSON object");
    return json;
}

void addTextFile(CheckpointDraft& draft, std::string name, std::string text)
{
    const auto size = std::uint64_t {text.size()};
    draft.files.push_back({.name = std::move(name), .size = size, .literals = {{0, std::move(text)}}});
}

void layOutSafetensors(CheckpointDraft& draft, std::uint64_t shardBytes)
{
    draft.places.resize(draft.stored.size());
    auto shards = splitIntoShards(draft, shardBytes);
    if (shards.size() == 1)
        return layOutShard(draft, "model.safetensors", std::move(shards.front()));
    std::uint64_t total = 0;
    std::map<std::string, std::string> files;  // sorted, as the reference writes it
    for (std::size_t shard = 0; shard < shards.size(); ++shard) {
        const auto name = shardName(shard + 1, shards.size());
        for (const auto i : shards[shard]) {
            files.emplace(draft.stored[i].name, name);
            total += draft.stored[i].bytes;
        }
        layOutShard(draft, name, std::move(shards[shard]));
    }
    const nlohmann::ordered_json index {{"metadata", {{"total_size", total}}}, {"weight_map", files}};
    addTextFile(draft, "model.safetensors.index.json", index.dump(2) + "\n");
}

void addKept(CheckpointDraft& draft, const CheckpointRequest& request, std::size_t tensor, std::string why)
{
    const auto& source = request.model->tensors[tensor];
    const auto& view = source.view;
    const bool plain = !view.decoder && !view.deferred && !isBlockType(view.dtype);
    const bool isFloat = view.dtype == DType::F32 || view.dtype == DType::F16 || view.dtype == DType::BF16;
    if (plain && (!request.floats || !isFloat || request.floats == view.dtype)) {
        const auto stored = addStored(draft, source.name, view.dtype, view.shape);
        draft.tensors.push_back({.source = tensor, .copy = stored, .readBack = {.name = source.name}});
        return;
    }
    const auto type = request.floats.value_or(plain && isFloat ? view.dtype : DType::BF16);
    const auto stored = addStored(draft, source.name, type, view.shape);
    draft.tensors.push_back(floatTensor(tensor, view, source.name, stored, type, Scheme::of(plainFormat(type))));
    if (!plain || !why.empty())
        draft.changes.push_back({source.name, "as stored (" + source.storedAs() + ")", std::string(nameOf(type)),
            why.empty() ? "is written as plain values, its packing does not travel" : std::move(why)});
}

void addFloats(CheckpointDraft& draft, const CheckpointRequest& request, std::size_t tensor, const Scheme& scheme)
{
    const auto& source = request.model->tensors[tensor];
    const auto type = plainType(scheme.format);
    const auto stored = addStored(draft, source.name, type, source.view.shape);
    draft.tensors.push_back(floatTensor(tensor, source.view, source.name, stored, type, scheme));
}

std::string_view moduleOfWeight(std::string_view tensorName)
{
    static constexpr std::string_view kSuffix = ".weight";
    return tensorName.ends_with(kSuffix) ? tensorName.substr(0, tensorName.size() - kSuffix.size())
                                         : std::string_view {};
}

}  // namespace quantloupe
