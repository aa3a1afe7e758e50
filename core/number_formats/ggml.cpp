// SPDX-License-Identifier: GPL-3.0-or-later
// ggml's block formats, byte for byte as ggml's own quantizer writes them, with and without an importance matrix.
// ggml refuses rows that are no whole number of blocks; here the last block is filled up with zeros of no importance,
// so that every matrix can be looked at, and the size counts the whole block.
#include "core/kernels/ggml_blocks.h"
#include "core/number_formats/number_format.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantloupe::number_formats {
namespace {

using kernels::GgmlBlock;

constexpr std::array formats {Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::Q8_0, Format::Q2_K,
    Format::Q3_K, Format::Q4_K, Format::Q5_K, Format::Q6_K, Format::Iq4Nl, Format::Iq4Xs};

GgmlBlock blockOf(const Scheme& scheme)
{
    switch (scheme.format) {
    case Format::Q4_0: return GgmlBlock::Q4_0;
    case Format::Q4_1: return GgmlBlock::Q4_1;
    case Format::Q5_0: return GgmlBlock::Q5_0;
    case Format::Q5_1: return GgmlBlock::Q5_1;
    case Format::Q8_0: return GgmlBlock::Q8_0;
    case Format::Q2_K: return GgmlBlock::Q2_K;
    case Format::Q3_K: return GgmlBlock::Q3_K;
    case Format::Q4_K: return GgmlBlock::Q4_K;
    case Format::Q5_K: return GgmlBlock::Q5_K;
    case Format::Q6_K: return GgmlBlock::Q6_K;
    case Format::Iq4Nl: return GgmlBlock::Iq4Nl;
    default: return GgmlBlock::Iq4Xs;
    }
}

std::size_t wholeColumns(const Scheme& scheme, std::size_t columns)
{
    const std::size_t elements = kernels::ggmlBlockSize(blockOf(scheme)).elements;
    return (columns + elements - 1) / elements * elements;
}

std::string refusal(const Scheme&)
{
    return {};
}

std::size_t rowBytes(const Scheme& scheme, std::size_t columns)
{
    const auto size = kernels::ggmlBlockSize(blockOf(scheme));
    return wholeColumns(scheme, columns) / size.elements * size.bytes;
}

void pack(const Scheme& scheme, std::size_t columns, std::span<const float> rows, std::span<const float> importance,
    std::span<std::byte> bytes)
{
    const std::size_t whole = wholeColumns(scheme, columns);
    if (whole == columns)
        return kernels::ggmlEncode(blockOf(scheme), rows, columns, importance, bytes);
    std::vector<float> row(whole), weights(importance.empty() ? 0 : whole);
    std::copy(importance.begin(), importance.end(), weights.begin());
    const std::size_t size = rowBytes(scheme, columns);
    for (std::size_t r = 0; r * columns < rows.size(); ++r) {
        std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(r * columns), columns, row.begin());
        kernels::ggmlEncode(blockOf(scheme), row, whole, weights, bytes.subspan(r * size, size));
    }
}

/// Decodes row by row where rows end inside a block: each(whole row of bytes, out of whole columns).
template<class T, class Decode>
void decodeRows(
    const Scheme& scheme, std::size_t columns, std::span<const std::byte> bytes, std::span<T> out, const Decode& decode)
{
    const std::size_t whole = wholeColumns(scheme, columns);
    if (whole == columns)
        return decode(bytes, out);
    std::vector<T> row(whole);
    const std::size_t size = rowBytes(scheme, columns);
    for (std::size_t r = 0; r * columns < out.size(); ++r) {
        decode(bytes.subspan(r * size, size), std::span<T>(row));
        std::copy_n(row.begin(), columns, out.begin() + static_cast<std::ptrdiff_t>(r * columns));
    }
}

void unpack(const Scheme& scheme, std::size_t columns, std::span<const std::byte> bytes, std::span<float> rows)
{
    decodeRows(scheme, columns, bytes, rows, [&scheme](std::span<const std::byte> in, std::span<float> out) {
        kernels::ggmlDecode(blockOf(scheme), in, out);
    });
}

void codesOf(
    const Scheme& scheme, std::size_t columns, std::span<const std::byte> bytes, std::span<std::uint32_t> codes)
{
    decodeRows(scheme, columns, bytes, codes, [&scheme](std::span<const std::byte> in, std::span<std::uint32_t> out) {
        kernels::ggmlCodes(blockOf(scheme), in, out);
    });
}

std::size_t codeCount(const Scheme& scheme)
{
    return std::size_t {1} << static_cast<unsigned>(codeBits(scheme.format));
}

// Weights of a group share a small scale: 16 in q2_k, q3_k and q6_k, 32 in the others.
std::size_t groupLength(const Scheme& scheme)
{
    return scheme.format == Format::Q2_K || scheme.format == Format::Q3_K || scheme.format == Format::Q6_K ? 16 : 32;
}

std::size_t unitLength(const Scheme& scheme, std::size_t columns)
{
    return std::max<std::size_t>(1, std::min(groupLength(scheme), columns));
}

// A group is ŵ = scale·number(code) + minimum with numbers known beforehand: two codes that differ tell both. A group
// with one code in use says only that one.
std::vector<float> levels(const Scheme& scheme, std::size_t columns, std::span<const std::byte> row, std::size_t column)
{
    constexpr std::array<float, 16> uneven {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    const bool isUneven = scheme.format == Format::Iq4Nl || scheme.format == Format::Iq4Xs;
    const auto numberOf = [&](std::uint32_t code) {
        if (isUneven)
            return static_cast<double>(uneven[code]);
        // Bytes of q8_0 are signed.
        return scheme.format == Format::Q8_0 && code > 127 ? static_cast<double>(code) - 256.0
                                                           : static_cast<double>(code);
    };
    std::vector<float> values(columns);
    std::vector<std::uint32_t> codes(columns);
    unpack(scheme, columns, row, values);
    codesOf(scheme, columns, row, codes);
    const std::size_t begin = column / groupLength(scheme) * groupLength(scheme);
    const std::size_t end = std::min(begin + groupLength(scheme), columns);
    std::size_t low = begin, high = begin;
    for (std::size_t i = begin; i < end; ++i) {
        low = numberOf(codes[i]) < numberOf(codes[low]) ? i : low;
        high = numberOf(codes[i]) > numberOf(codes[high]) ? i : high;
    }
    const double span = numberOf(codes[high]) - numberOf(codes[low]);
    const double scale =
        span == 0.0 ? 0.0 : (static_cast<double>(values[high]) - static_cast<double>(values[low])) / span;
    std::vector<float> result(codeCount(scheme));
    for (std::uint32_t code = 0; code < result.size(); ++code)
        result[code] =
            static_cast<float>(static_cast<double>(values[low]) + scale * (numberOf(code) - numberOf(codes[low])));
    // What the group does hold, to the last bit.
    for (std::size_t i = begin; i < end; ++i)
        result[codes[i]] = values[i];
    return result;
}

// The searches may leave a weight further away than rounding would: at worst it becomes any value of its group. Scales
// that overflow binary16 leave weights beyond 65,504 times the largest code where they are.
double worstCaseError(const Scheme&, double absMax)
{
    return 2.0 * absMax;
}

constexpr RowMethods methods {rowBytes, pack, unpack, codesOf, levels, unitLength};

}  // namespace

extern const NumberFormat ggml;
const NumberFormat ggml {formats, refusal, codeCount, worstCaseError, nullptr, &methods};

}  // namespace quantloupe::number_formats
