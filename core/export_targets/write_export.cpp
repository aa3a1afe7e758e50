// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/atomic_file.h"
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
