// SPDX-License-Identifier: GPL-3.0-or-later
// llama.cpp's importance matrix, as GGUF or in the form before it.
#include "core/calibration/importance_matrix.h"
#include "tests/fuzz/memory_file.h"

#include <cmath>

using namespace quantloupe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const tests::MemoryFile input(data, size);
    const auto matrix = readImportanceMatrix(input.path());
    if (!matrix && (matrix.error().reason.empty() || matrix.error().code == ErrorCode::Internal))
        std::abort();
    if (matrix)
        for (const auto& entry : matrix->entries)
            for (const float mean : entry.means())
                if (!(mean >= 0.0F && std::isfinite(mean)))
                    std::abort();
    return 0;
}
