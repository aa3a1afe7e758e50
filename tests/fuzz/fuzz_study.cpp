// SPDX-License-Identifier: GPL-3.0-or-later
// A study file as a whole. What its seal does not fit is refused before the HDF5 library sees it.
#include "core/study/study.h"
#include "tests/fuzz/memory_file.h"

using namespace quantloupe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const tests::MemoryFile input(data, size);
    const auto study = Study::read(input.path());
    if (!study && study.error().reason.empty())
        std::abort();
    return 0;
}
