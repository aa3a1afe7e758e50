// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/checkpoint_folder.h"

#include "core/base/text.h"
#include "core/file_formats/model_assembly.h"
#include "core/file_formats/pytorch.h"
#include "core/file_formats/safetensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

namespace quantloupe {
namespace {

using Names = std::vector<std::string>;

/// Files of a kind that may come in shards, by plain names, sorted.
struct ShardedFiles {
    std::string_view index;  ///< what the usual index is called
    std::string_view whole;  ///< what the usual single file is called
    Result<Model> (*read)(std::span<const MappedFilePointer>);
    Names indexes {};
    Names shards {};  ///< of the usual name
    Names all {};
};

struct Listing {
    ShardedFiles safetensors {"model.safetensors.index.json", "model.safetensors", readSafetensorsFiles};
    ShardedFiles torch {"pytorch_model.bin.index.json", "pytorch_model.bin", readTorchFiles};
    Names gguf {};
    std::string foreign {};  ///< one of what people take for a model
    Names others {};
};

/// What lies beside weights and is none: PyTorch writes everything alike.
bool isCompanion(std::string_view name)
{
    constexpr std::array kCompanions {"optimizer", "scheduler", "scaler", "rng_state", "training_args", "tokenizer"};
    return std::any_of(
        kCompanions.begin(), kCompanions.end(), [&](const char* start) { return name.starts_with(start); });
}

bool endsWithOneOf(std::string_view name, std::initializer_list<std::string_view> endings)
{
    return std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) { return name.ends_with(ending); });
}

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
    auto& [safetensors, torch, gguf, foreign, others] = listing;
    std::error_code error;
    for (std::filesystem::directory_iterator i(folder, error), end; !error && i != end; i.increment(error)) {
        auto name = i->path().filename().string();
        if (name.ends_with(".safetensors.index.json"))
            safetensors.indexes.push_back(name);
        else if (name.ends_with(".bin.index.json"))
            torch.indexes.push_back(name);
        else if (name.ends_with(".gguf") && !isLaterShard(name))
            gguf.push_back(name);
        else if (endsWithOneOf(name, {".npz", ".onnx", ".tflite", ".keras", ".h5", ".hdf5"}))
            others.push_back(name);
        else if (!foreignKindByName(name).empty())
            foreign = name;
        if (name.ends_with(".safetensors")) {
            if (name.starts_with("model"))
                safetensors.shards.push_back(name);
            safetensors.all.push_back(std::move(name));
        } else if (endsWithOneOf(name, {".bin", ".pt", ".pth", ".ckpt"}) && !isCompanion(name)) {
            if (name.starts_with("pytorch_model") && name.ends_with(".bin"))
                torch.shards.push_back(name);
            torch.all.push_back(std::move(name));
        }
    }
    if (error)
        return failure(ErrorCode::CannotOpen, folder.string(), error.message());
    for (auto* names : {&safetensors.indexes, &safetensors.shards, &safetensors.all, &torch.indexes, &torch.shards,
             &torch.all, &gguf, &others})
        std::sort(names->begin(), names->end());
    return listing;
}

/// Chooses among the files of a folder.
class FolderOpener
{
public:
    FolderOpener(const std::filesystem::path& folder, const FileOpener& openFile)
        : m_folder(folder)
        , m_openFile(openFile)
    {
    }

    /// nullopt where there is no such file.
    std::optional<Result<Model>> openSharded(const ShardedFiles& files) const
    {
        const auto has = [](const Names& names, std::string_view name) {
            return std::find(names.begin(), names.end(), name) != names.end();
        };
        for (const auto& [names, usual] : {std::pair(&files.indexes, files.index), std::pair(&files.all, files.whole)})
            if (has(*names, usual))
                return m_openFile(m_folder / usual);
        if (auto indexed = openOnly(files.indexes))
            return indexed;
        if (files.shards.empty())
            return openOnly(files.all);
        std::vector<MappedFilePointer> shards;
        for (const auto& name : files.shards) {
            auto file = openBeside(m_folder, name, m_folder.string(), 0);
            if (!file)
                return tl::unexpected(std::move(file.error()));
            shards.push_back(std::move(*file));
        }
        return files.read(shards);
    }

    std::optional<Result<Model>> openOnly(const Names& names) const
    {
        if (names.empty())
            return std::nullopt;
        if (names.size() == 1)
            return m_openFile(m_folder / names[0]);
        return failure(
            ErrorCode::NotThisFormat, m_folder.string(), "several models (" + listed(names) + "): open one of them");
    }

private:
    const std::filesystem::path& m_folder;
    const FileOpener& m_openFile;
};

}  // namespace

Result<Model> openFolder(const std::filesystem::path& folder, const FileOpener& openFile)
{
    const auto listing = list(folder);
    if (!listing)
        return tl::unexpected(listing.error());
    const FolderOpener opener(folder, openFile);
    if (auto model = opener.openSharded(listing->safetensors))
        return std::move(*model);
    if (auto model = opener.openOnly(listing->gguf))
        return std::move(*model);
    if (auto model = opener.openSharded(listing->torch))
        return std::move(*model);
    if (auto model = opener.openOnly(listing->others))
        return std::move(*model);
    const auto foreign = listing->foreign.empty()
        ? std::string()
        : ": " + inQuotes(listing->foreign) + " is " + std::string(foreignKindByName(listing->foreign));
    return failure(
        ErrorCode::NotThisFormat, folder.string(), "the folder holds no file of a model that can be read" + foreign);
}

}  // namespace quantloupe
