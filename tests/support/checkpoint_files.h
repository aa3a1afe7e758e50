// SPDX-License-Identifier: GPL-3.0-or-later
// Checkpoints built in memory by tests: valid ones, and ones broken in one chosen place.
#pragma once

#include "core/file_formats/file_format.h"
#include "tests/support/file_bytes.h"

#include <QTemporaryDir>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace quantloupe::tests {

/// Files in a folder of their own that goes away with the test.
class CheckpointFolder
{
public:
    std::filesystem::path path() const { return m_folder.path().toStdString(); }

    std::filesystem::path write(const std::string& name, std::string_view content) const
    {
        const auto file = path() / name;
        std::filesystem::remove(file);  // ext4 writes through when a file is cut to nothing and filled again
        std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
        return file;
    }

private:
    QTemporaryDir m_folder;
};

}  // namespace quantloupe::tests
