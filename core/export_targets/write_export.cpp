// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/atomic_file.h"
#include "core/export_targets/emission.h"
#include "core/export_targets/export_target.h"

namespace quantloupe {

std::string defaultExportName(const ExportTarget& target, const ModelCatalog& model)
{
    auto path = std::filesystem::path(model.path);
    if (!path.has_filename())
        path = path.parent_path();  // a folder, named with its slash
    auto stem = path.filename().string();
    // Only what is known to be a suffix: "Llama-3.1-8B" is the whole name of a folder.
    for (const std::string_view suffix : {".index.json", ".safetensors", ".gguf"})
        if (stem.ends_with(suffix))
            stem.resize(stem.size() - suffix.size());
    return (stem.empty() ? std::string("model") : stem) + std::string(target.suffix);
}

ExportResult renamed(
    ExportResult result, const ExportTarget& target, const ModelCatalog& model, const std::filesystem::path& path)
{
    const auto replace = [](std::string& text, const std::string& from, const std::string& to) {
        for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
            text.replace(at, from.size(), to);
    };
    if (result.command.empty())
        return result;
    auto command = result.command;
    replace(command, shellQuoted(defaultExportName(target, model)), shellQuoted(path.filename().string()));
    // The main file is what the command reads; the others may tell of it.
    for (std::size_t i = 1; i < result.files.size(); ++i)
        replace(result.files[i].content, result.command, command);
    result.command = std::move(command);
    return result;
}

Result<std::vector<std::filesystem::path>> writeExport(
    const ExportResult& result, const std::filesystem::path& path, bool overwrite)
{
    std::vector<std::filesystem::path> paths;
    for (const auto& file : result.files) {
        auto target = path;
        target += file.name;
        paths.push_back(std::move(target));
    }
    // All before any: a conflict leaves nothing half written. A dangling link counts as existing.
    std::error_code ignored;
    if (!overwrite)
        for (const auto& target : paths)
            if (std::filesystem::exists(std::filesystem::symlink_status(target, ignored)))
                return failure(ErrorCode::Conflict, target.string(), "the file exists already");
    for (std::size_t i = 0; i < paths.size(); ++i)
        if (auto written = writeFileAtomically(paths[i], result.files[i].content); !written)
            return tl::unexpected<Error>(written.error());
    return paths;
}

}  // namespace quantloupe
