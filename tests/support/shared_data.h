// SPDX-License-Identifier: GPL-3.0-or-later
// Where tests find real models and golden vectors. They are never part of the repository.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace quantloupe::tests {

inline std::filesystem::path sharedFolder(const char* variable, const char* name)
{
    if (const char* set = std::getenv(variable); set && *set)
        return set;
    return std::filesystem::path(QUANTLOUPE_SOURCE_DIR).parent_path() / "shared" / name;
}

/// Real model files and text, MANIFEST.md describes them.
inline std::filesystem::path corpus()
{
    return sharedFolder("QUANTLOUPE_CORPUS", "corpus");
}

/// Results of the original implementations.
inline std::filesystem::path golden()
{
    return sharedFolder("QUANTLOUPE_GOLDEN", "golden");
}

}  // namespace quantloupe::tests

/// First line of a test that needs a file of the corpus or the golden set.
#define QUANTLOUPE_NEED(path)                                                                                          \
    do {                                                                                                               \
        if (!std::filesystem::exists(path))                                                                            \
            QSKIP("not present: set QUANTLOUPE_CORPUS and QUANTLOUPE_GOLDEN");                                         \
    } while (false)
