// SPDX-License-Identifier: GPL-3.0-or-later
// *.index.json, in a folder where none of the files it names exists.
#include "core/file_formats/shard_index.h"
#include "tests/fuzz/memory_file.h"

using namespace quantloupe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const tests::MemoryFile input(data, size);
    const auto file = MappedFile::open(input.path());
    if (!file || openShardIndex(*file))
        std::abort();
    return 0;
}
