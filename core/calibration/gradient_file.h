// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/calibration/gradient_figures.h"
#include "core/calibration/second_moments.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

/// The large parts of what one backward pass taught about a linear layer.
struct GatheredGradients {
    GradientFigures figures {};
    SecondMoments moments {0};  ///< Σ g·gᵀ over the tokens; empty where there are too many outputs
    std::vector<float> fisher {};  ///< Σ (∂loss/∂W)² over the windows, [outputs × inputs]; empty where not asked for
};

/// The same in a file of their own:
///
///     8 bytes   "QLGRADS1"
///     6 × u64   outputs, inputs, predictions, numbers of the moments (0: none), numbers of the Fisher diagonal
///               (0: none), 0
///     f32 …     Σ g·gᵀ in the order of MomentLayout
///     f32 …     Σ (∂loss/∂W)², row by row
///     32 bytes  XXH3-128 of everything before, hexadecimal
///
/// all little-endian.
class GradientFile
{
public:
    /// Maps and checks one. Errors: CannotOpen, Truncated, Malformed (damaged), Conflict (a whole file, but another
    /// than the reference says), Cancelled.
    static Result<GradientFile> open(
        const std::filesystem::path& folder, const InputFileReference& reference, const std::stop_token& stop);

    std::uint64_t outputs() const { return m_outputs; }
    std::uint64_t columns() const { return m_columns; }
    std::uint64_t predictions() const { return m_predictions; }
    std::span<const float> moments() const { return m_moments; }  ///< in the order of MomentLayout
    std::span<const float> fisher() const { return m_fisher; }

private:
    std::shared_ptr<const MappedFile> m_file {};
    std::uint64_t m_outputs = 0, m_columns = 0, m_predictions = 0;
    std::span<const float> m_moments {}, m_fisher {};
};

/// Writes such a file, as a whole or not at all; a file of that name is replaced.
/// Errors: CannotWrite, Cancelled, Malformed (gradients whose squares overflow float32).
Result<InputFileReference> writeGradientFile(const std::filesystem::path& folder, const std::string& name,
    const GatheredGradients& gathered, const std::stop_token& stop);

}  // namespace quantloupe
