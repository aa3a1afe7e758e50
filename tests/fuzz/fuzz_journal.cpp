// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/journal.h"
#include "tests/fuzz/memory_file.h"

using namespace quantloupe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const tests::MemoryFile input(data, size);
    const auto content = Journal::read(input.path());
    if (content && content->goodBytes > size)
        std::abort();
    return 0;
}
