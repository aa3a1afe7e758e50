// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/resources.h"

#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

namespace quantloupe {

Result<std::filesystem::path> resourceFolder(std::string_view executablePath)
{
    std::vector<std::filesystem::path> places;
    std::error_code ignored;
    if (const char* chosen = std::getenv("QUANTLOUPE_RESOURCES"); chosen && *chosen) {
        places.emplace_back(chosen);
    } else {
        // Through links, so that /usr/local/bin may link to where the program really is.
        const auto executable = std::filesystem::weakly_canonical(std::filesystem::path(executablePath), ignored);
        places.push_back(executable.parent_path().parent_path() / "share" / "quantloupe");
        places.emplace_back(QUANTLOUPE_SOURCE_RESOURCES);
    }
    std::string tried;
    for (const auto& place : places) {
        if (std::filesystem::is_directory(place, ignored))
            return place;
        tried += (tried.empty() ? "" : ", ") + place.string();
    }
    return failure(ErrorCode::CannotOpen, "bundled data", "no folder at " + tried + "; set QUANTLOUPE_RESOURCES");
}

std::filesystem::path sampleModel(const std::filesystem::path& resources)
{
    return resources / "samples" / "quantloupe-sample" / "model.safetensors";
}

std::filesystem::path sampleText(const std::filesystem::path& resources)
{
    return sampleModel(resources).replace_filename("text.txt");
}

std::filesystem::path deviceFolder(const std::filesystem::path& resources)
{
    return resources / "devices";
}

}  // namespace quantloupe
