// SPDX-License-Identifier: GPL-3.0-or-later
// Weights to measure speed on, shared by both benchmark programs.
#pragma once

#include "core/model/model.h"

#include <cstdint>
#include <vector>

namespace quantloupe {

/// A tensor in memory, bell-shaped about zero, from a fixed seed. The view points into the object: not to be copied.
class BenchmarkTensor
{
public:
    /// @pre dtype is F32, BF16 or F16
    BenchmarkTensor(std::uint64_t rows, std::uint64_t columns, DType dtype);
    BenchmarkTensor(const BenchmarkTensor&) = delete;
    BenchmarkTensor& operator=(const BenchmarkTensor&) = delete;

    const ModelTensor& tensor() const { return m_tensor; }

private:
    std::vector<std::uint32_t> m_storage;
    ModelTensor m_tensor;
};

}  // namespace quantloupe
