// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/calibration/gathered_input.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

/// The large parts of what is known about some inputs, in a file of their own:
///
///     8 bytes   "QLINPUT1"
///     5 × u64   columns, tokens, sampled tokens, numbers of the moments (0: none), 0
///     u64 …     numbers of the sampled tokens, ascending
///     f32 …     their inputs, token by token
///     f32 …     Σ x·xᵀ in the order of MomentLayout
///     32 bytes  XXH3-128 of everything before, hexadecimal
///
/// all little-endian. Float32 holds the moments as closely as the products that they are sums of were computed.
class InputFile
{
public:
    /// Maps and checks one. Errors: CannotOpen, Truncated, Malformed (damaged), Conflict (a whole file, but another
    /// than the reference says), Cancelled.
    static Result<InputFile> open(
        const std::filesystem::path& folder, const InputFileReference& reference, const std::stop_token& stop = {});

    std::uint64_t columns() const { return m_columns; }
    std::uint64_t tokens() const { return m_tokens; }
    /// In the order of MomentLayout; empty where they were not gathered.
    std::span<const float> moments() const { return m_moments; }
    std::span<const std::uint64_t> sampleNumbers() const { return m_numbers; }
    std::span<const float> sample() const { return m_sample; }

private:
    std::shared_ptr<const MappedFile> m_file;
    std::uint64_t m_columns = 0, m_tokens = 0;
    std::span<const std::uint64_t> m_numbers;
    std::span<const float> m_sample, m_moments;
};

/// Writes such a file, as a whole or not at all; a file of that name is replaced. The sample must be settled.
/// Errors: CannotWrite, Cancelled, Malformed (moments too large for float32: the model's activations overflow).
Result<InputFileReference> writeInputFile(const std::filesystem::path& folder, const std::string& name,
    std::uint64_t tokens, const SecondMoments& moments, const TokenSample& sample, std::stop_token stop);

}  // namespace quantloupe
