// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/schemes/format_traits.h"
#include "core/schemes/scheme.h"

#include <algorithm>

namespace quantloupe {
namespace {

constexpr std::uint64_t divideUp(std::uint64_t count, std::uint64_t unit)
{
    return count / unit + (count % unit != 0);
}

// Whole bytes of `count` codes side by side; count × bits is never formed, so no size overflows that its bytes do not.
constexpr std::uint64_t packedBytes(std::uint64_t count, std::uint64_t bits)
{
    return count / 8 * bits + divideUp(count % 8 * bits, 8);
}

std::uint64_t unitCount(const Granularity& granularity, const MatrixShape& shape)
{
    switch (granularity.kind) {
    case Granularity::Kind::Tensor: return 1;
    case Granularity::Kind::Channel:
    case Granularity::Kind::Token: return shape.rows;
    case Granularity::Kind::Group: return shape.rows * divideUp(shape.columns, granularity.columns);
    case Granularity::Kind::Block:
        return divideUp(shape.rows, granularity.rows) * divideUp(shape.columns, granularity.columns);
    case Granularity::Kind::Own: return 0;
    }
    return 0;
}

std::uint64_t scaleBytes(std::uint64_t count, ScaleStorage storage)
{
    switch (storage) {
    case ScaleStorage::Float32: return count * 4;
    case ScaleStorage::Float16:
    case ScaleStorage::BFloat16: return count * 2;
    case ScaleStorage::E8M0: return count;
    // Double quantization (QLoRA): a byte each, FP32 per 256 of them, one FP32 offset.
    case ScaleStorage::Double8: return count + 4 * divideUp(count, 256) + 4;
    }
    return 0;
}

// biascorr gives each output channel a factor and a shift, FP32.
std::uint64_t correctionBytes(std::span<const Algorithm> algorithms, const MatrixShape& shape)
{
    const bool corrects =
        std::find(algorithms.begin(), algorithms.end(), Algorithm::BiasCorrection) != algorithms.end();
    return corrects ? shape.rows * 8 : 0;
}

}  // namespace

std::uint64_t Scheme::storedBytes(const MatrixShape& shape) const
{
    if (shape.rows == 0 || shape.columns == 0)
        return 0;
    const FormatTraits& traits = traitsOf(format);
    const auto bits = static_cast<std::uint64_t>(traits.codeBits);
    switch (traits.family) {
    case FormatFamily::Block:
        return shape.rows * divideUp(shape.columns, traits.blockElements) * traits.blockBytes + traits.tensorBytes
            + correctionBytes(algorithms, shape);
    case FormatFamily::Plain: return shape.rows * shape.columns * (bits / 8);
    default: break;
    }
    const std::uint64_t units = unitCount(granularity, shape);
    // 3⁵ = 243 fits a byte: five ternary weights per byte.
    const std::uint64_t rowBytes =
        traits.family == FormatFamily::Ternary ? divideUp(shape.columns, 5) : packedBytes(shape.columns, bits);
    std::uint64_t bytes = shape.rows * rowBytes;
    if (traits.family == FormatFamily::LookUpTable)
        bytes += scaleBytes(units << bits, scales);
    else
        bytes += scaleBytes(units, scales);
    if (symmetry == Symmetry::Asymmetric)
        bytes += packedBytes(units, bits);
    else if (symmetry == Symmetry::AsymmetricFloat)
        bytes += scaleBytes(units, scales);
    return bytes + correctionBytes(algorithms, shape);
}

double Scheme::bitsPerWeight(const MatrixShape& shape) const
{
    if (shape.rows == 0 || shape.columns == 0)
        return 0.0;
    return static_cast<double>(storedBytes(shape)) * 8.0
        / (static_cast<double>(shape.rows) * static_cast<double>(shape.columns));
}

}  // namespace quantloupe
