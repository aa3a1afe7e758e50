// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/checkpoint_folder.h"
#include "core/file_formats/file_format.h"
#include "core/file_formats/model_assembly.h"
#include "core/file_formats/shard_index.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>

namespace quantloupe {
namespace file_formats {
#define QUANTLOUPE_ENTRY(name) extern const FileFormat name;
#include "core/file_formats/registry.inc"  // written by CMake from the one list
#undef QUANTLOUPE_ENTRY
}  // namespace file_formats

namespace {

constexpr std::size_t kHead = 4096;

bool hasExtension(const FileFormat& format, const std::filesystem::path& path)
{
    auto extension = path.extension().string();
    if (extension.size() < 2)
        return false;
    std::transform(extension.begin(), extension.end(), extension.begin(),
        [](char character) { return static_cast<char>(std::tolower(static_cast<unsigned char>(character))); });
    std::istringstream known {std::string(format.extensions)};
    for (std::string one; known >> one;)
        if (extension.compare(1, std::string::npos, one) == 0)
            return true;
    return false;
}

Result<Model> openFile(const std::filesystem::path& path, const std::stop_token& stop)
{
    auto file = MappedFile::open(path);
    if (!file)
        return tl::unexpected(std::move(file.error()));
    if (path.filename().string().ends_with(".index.json"))
        return openShardIndex(*file);
    const auto head = (*file)->bytes().first(std::min(kHead, (*file)->bytes().size()));
    for (const auto* format : fileFormats())
        if (format->matches(head))
            return format->open(*file, stop);
    if (const auto kind = foreignKind(head); !kind.empty())
        return failure(ErrorCode::NotThisFormat, path.string(), "the file is " + std::string(kind), 0);
    // Broken so badly that its content is not recognised: the reader its name asks for says best what is wrong.
    for (const auto* format : fileFormats())
        if (hasExtension(*format, path))
            if (auto model = format->open(*file, stop); model || model.error().code != ErrorCode::NotThisFormat)
                return model;
    if (const auto kind = foreignKindByName(path.filename().string()); !kind.empty())
        return failure(ErrorCode::NotThisFormat, path.string(), "the file is " + std::string(kind), 0);
    std::string known;
    for (const auto* format : fileFormats())
        known += (known.empty() ? "" : ", ") + std::string(format->description);
    return failure(ErrorCode::NotThisFormat, path.string(), "none of the formats that can be read (" + known + ")", 0);
}

}  // namespace

std::span<const FileFormat* const> fileFormats()
{
#define QUANTLOUPE_ENTRY(name) &file_formats::name,
    static constexpr std::array table {
#include "core/file_formats/registry.inc"
    };
#undef QUANTLOUPE_ENTRY
    return table;
}

Result<ModelPointer> openModel(const std::filesystem::path& path, const std::stop_token& stop)
{
    std::error_code ignored;
    auto model = std::filesystem::is_directory(path, ignored)
        ? openFolder(path, [&](const std::filesystem::path& file) { return openFile(file, stop); })
        : openFile(path, stop);
    if (!model)
        return tl::unexpected(std::move(model.error()));
    model->path = path;
    if (auto completed = completeModel(*model); !completed)
        return tl::unexpected(std::move(completed.error()));
    return std::make_shared<const Model>(std::move(*model));
}

}  // namespace quantloupe
