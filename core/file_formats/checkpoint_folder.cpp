// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/checkpoint_folder.h"

#include "core/file_formats/safetensors.h"

#include <algorithm>

namespace quantloupe {
namespace {

struct Listing {
    std::vector<std::string> indexes, safetensors, modelFiles, gguf, graphs;  ///< plain names, sorted
};

bool isLaterShard(std::string_view name)
{
    // "-00002-of-00003.gguf": only the first stands for the whole.
    constexpr std::size_t kTail = std::string_view("-00002-of-00003.gguf").size();
    if (name.size() < kTail)
        return false;
    const auto tail = name.substr(name.size() - kTail);
    return tail.substr(6, 4) == "-of-" && tail.substr(0, 6) != "-00001";
}

Result<Listing> list(const std::filesystem::path& folder)
{
    Listing listing;
    std::error_code error;
    for (std::filesystem::directory_iterator i(folder, error), end; !error && i != end; i.increment(error)) {
        auto name = i->path().filename().string();
        if (name.ends_with(".safetensors.index.json"))
            listing.indexes.push_back(name);
        else if (name.ends_with(".gguf") && !isLaterShard(name))
            listing.gguf.push_back(name);
        else if (name.ends_with(".onnx") || name.ends_with(".tflite"))
            listing.graphs.push_back(name);
        if (!name.ends_with(".safetensors"))
            continue;
        if (name.starts_with("model"))
            listing.modelFiles.push_back(name);
        listing.safetensors.push_back(std::move(name));
    }
    if (error)
        return failure(ErrorCode::CannotOpen, folder.string(), error.message());
    for (auto* names : {&listing.indexes, &listing.safetensors, &listing.modelFiles, &listing.gguf, &listing.graphs})
        std::sort(names->begin(), names->end());
    return listing;
}

}  // namespace

Result<Model> openFolder(const std::filesystem::path& folder, Result<Model> (*openFile)(const std::filesystem::path&))
{
    const auto listing = list(folder);
    if (!listing)
        return tl::unexpected(listing.error());
    const auto has = [](const std::vector<std::string>& names, std::string_view name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    const auto ambiguous = [&](const std::vector<std::string>& names) {
        return failure(
            ErrorCode::NotThisFormat, folder.string(), "several models (" + listed(names) + "): open one of them");
    };
    if (has(listing->indexes, "model.safetensors.index.json"))
        return openFile(folder / "model.safetensors.index.json");
    if (has(listing->safetensors, "model.safetensors"))
        return openFile(folder / "model.safetensors");
    if (listing->indexes.size() == 1)
        return openFile(folder / listing->indexes[0]);
    if (listing->indexes.size() > 1)
        return ambiguous(listing->indexes);
    if (!listing->modelFiles.empty()) {
        std::vector<MappedFilePointer> files;
        for (const auto& name : listing->modelFiles) {
            auto file = openBeside(folder, name, folder.string(), 0);
            if (!file)
                return tl::unexpected(std::move(file.error()));
            files.push_back(std::move(*file));
        }
        return readSafetensorsFiles(files);
    }
    for (const auto* names : {&listing->safetensors, &listing->gguf, &listing->graphs}) {
        if (names->size() > 1)
            return ambiguous(*names);
        if (names->size() == 1)
            return openFile(folder / names->front());
    }
    return failure(ErrorCode::NotThisFormat, folder.string(), "the folder holds no file of a model that can be read");
}

}  // namespace quantloupe
