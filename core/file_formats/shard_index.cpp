// SPDX-License-Identifier: GPL-3.0-or-later
// *.index.json: {"metadata": {"total_size": n}, "weight_map": {tensor: file}}.
#include "core/file_formats/shard_index.h"

#include "core/base/json_events.h"
#include "core/base/text.h"
#include "core/file_formats/pytorch.h"
#include "core/file_formats/safetensors.h"

#include <algorithm>
#include <map>

namespace quantloupe {
namespace {

constexpr std::size_t kMaxFiles = 10'000;

struct IndexEntry {
    std::string tensor;
    std::size_t file;      ///< into ShardIndex::files
    std::uint64_t offset;  ///< where the index names the tensor
};

struct ShardIndex {
    std::vector<IndexEntry> entries;
    std::map<std::string, std::pair<std::size_t, std::uint64_t>, std::less<>> files;  ///< name → number, first mention
    std::optional<std::uint64_t> totalSize;
    bool hasMap = false;
};

Result<void> visitIndex(ShardIndex& index, const JsonEvent& event, const std::string& where)
{
    const auto& path = event.path;
    const bool container = event.kind == JsonEvent::Kind::BeginObject || event.kind == JsonEvent::Kind::EndObject;
    if (path.empty() && !container)
        return failure(ErrorCode::Malformed, where, "not a JSON object", event.offset);
    if (path.size() == 2 && path[0] == "metadata" && path[1] == "total_size" && event.kind == JsonEvent::Kind::Unsigned)
        index.totalSize = event.number;
    if (path.empty() || path[0] != "weight_map")
        return {};
    if (path.size() == 1) {
        index.hasMap = true;
        if (!container)
            return failure(ErrorCode::Malformed, where, "weight_map is not an object", event.offset);
        return {};
    }
    if (event.kind != JsonEvent::Kind::Text)
        return failure(
            ErrorCode::Malformed, where, "the file of tensor " + inQuotes(path[1]) + " is not text", event.offset);
    auto file = index.files.find(event.text);
    if (file == index.files.end()) {
        if (index.files.size() == kMaxFiles)
            return failure(ErrorCode::Malformed, where, "more than 10,000 shard files", event.offset);
        file = index.files.try_emplace(std::string(event.text), index.files.size(), event.offset).first;
    }
    index.entries.push_back({path[1], file->second.first, event.keyOffset});
    return {};
}

/// Every tensor of the index must be in the file it names; tensors the index does not know are worth a warning.
Result<void> compare(
    ShardIndex& index, const std::vector<std::size_t>& modelFile, Model& model, const std::string& where)
{
    std::sort(index.entries.begin(), index.entries.end(),
        [](const IndexEntry& a, const IndexEntry& b) { return a.tensor < b.tensor; });
    const auto order = orderByName(model.tensors);
    auto position = order.begin();
    std::vector<std::string> strangers;
    const auto skipUntil = [&](const std::string* name) {
        for (; position != order.end() && (!name || model.tensors[*position].name < *name); ++position)
            strangers.push_back(model.tensors[*position].name);
    };
    for (const auto& entry : index.entries) {
        skipUntil(&entry.tensor);
        bool found = false;
        for (; position != order.end() && model.tensors[*position].name == entry.tensor; ++position)
            found |= model.tensors[*position].file == modelFile[entry.file];
        if (!found) {
            return failure(ErrorCode::Malformed, where,
                "tensor " + inQuotes(entry.tensor) + " is not in "
                    + inQuotes(model.files[modelFile[entry.file]].filename().string()),
                entry.offset);
        }
    }
    skipUntil(nullptr);
    if (!strangers.empty()) {
        model.warnings.push_back("Tensors in the shards that the index does not name: " + listed(strangers) + ".");
    }
    return {};
}

}  // namespace

Result<Model> openShardIndex(const MappedFilePointer& file)
{
    const auto where = file->path().string();
    const auto folder = file->path().parent_path();
    const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
    ShardIndex index;
    auto read = readJson(text, where, 0, [&](const JsonEvent& event) { return visitIndex(index, event, where); });
    if (!read)
        return tl::unexpected(std::move(read.error()));
    if (!index.hasMap)
        return failure(ErrorCode::Malformed, where, "no weight_map");
    if (index.entries.empty())
        return failure(ErrorCode::Malformed, where, "weight_map names no tensor");

    // In the order of their names, which is that of their numbers.
    std::vector<MappedFilePointer> shards;
    std::vector<std::size_t> modelFile(index.files.size());
    bool torch = false;
    for (const auto& [name, place] : index.files) {
        torch |= name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth");
        auto shard = openBeside(folder, name, where, place.second);
        if (!shard)
            return tl::unexpected(std::move(shard.error()));
        modelFile[place.first] = shards.size();
        shards.push_back(std::move(*shard));
    }
    auto model = torch ? readTorchFiles(shards) : readSafetensorsFiles(shards);
    if (!model)
        return model;
    if (auto fits = compare(index, modelFile, *model, where); !fits)
        return tl::unexpected(std::move(fits.error()));
    if (index.totalSize && *index.totalSize != model->bytes()) {
        model->warnings.push_back("The index says " + std::to_string(*index.totalSize)
            + " bytes of tensors, the shards hold " + std::to_string(model->bytes()) + ".");
    }
    return model;
}

}  // namespace quantloupe
