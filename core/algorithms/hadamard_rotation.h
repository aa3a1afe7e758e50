// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/kernels/hadamard.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

/// The smallest block that is worth rotating where a row length allows nothing larger.
constexpr std::size_t smallestHadamardBlock = 16;

/// Rotation of rows by an orthogonal Hadamard matrix R: outliers spread over the row before it is quantized. Quantized
/// weights that are rotated back, Q(W·R)·Rᵀ, are what the layer computes with when its input is rotated at run time;
/// a checkpoint holds Q(W·R) and needs a runtime that does that. R is built, never stored.
///
/// Rows of n = 2^k, or n = K·2^k with K an order of hadamardMatrix(), are rotated as one; the smallest such K is 4
/// times the odd part of n. Other lengths are rotated in blocks of the largest power of two that divides them, if that
/// is at least smallestHadamardBlock. A value: cheap to copy, safe to share between threads. Source: QuaRot, arXiv
/// 2404.00456.
class HadamardRotation
{
public:
    /// Errors: Unsupported, for row lengths that nothing of this fits.
    static Result<HadamardRotation> create(std::size_t columns);

    std::size_t columns() const { return m_shape.columns(); }
    const kernels::HadamardShape& shape() const { return m_shape; }
    /// "172 × 64", "4096", "148 blocks of 16": how the row is rotated.
    std::string description() const;

    /// out = rows · R. Weights that are not finite count as 0: they would reach the whole row. out may be rows.
    /// `scratch` is enlarged where needed, for use again.
    void apply(std::span<const float> rows, std::vector<double>& scratch, std::span<float> out) const;
    /// out = rows · Rᵀ
    void undo(std::span<const float> rows, std::vector<double>& scratch, std::span<float> out) const;

private:
    struct Signs {
        std::vector<double> forward, backward;
    };
    HadamardRotation() = default;
    void rotate(std::span<const float> rows, std::span<const double> signs, std::vector<double>& scratch,
        std::span<float> out) const;
    kernels::HadamardShape m_shape;
    std::shared_ptr<const Signs> m_signs;
};

}  // namespace quantloupe
