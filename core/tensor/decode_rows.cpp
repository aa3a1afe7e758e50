// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/float_bits.h"
#include "core/kernels/half_floats.h"
#include "core/tensor/element_order.h"
#include "core/tensor/ggml_block_types.h"
#include "core/tensor/tensor_view.h"

#include <array>
#include <cassert>
#include <cstring>
#include <type_traits>

namespace quantloupe {
namespace {

/// Reads `count` elements from `source`, `stride` elements apart, and converts each. memcpy: nothing in a file is
/// aligned by right.
template<class Stored, class Convert>
void decodeRun(const std::byte* source, std::size_t stride, std::size_t count, float* out, Convert convert)
{
    for (std::size_t i = 0; i < count; ++i) {
        Stored stored;
        std::memcpy(&stored, source + i * stride * sizeof(Stored), sizeof(Stored));
        out[i] = convert(stored);
    }
}

template<class Stored>
void decodeNumbers(const std::byte* source, std::size_t stride, std::size_t count, float* out)
{
    decodeRun<Stored>(source, stride, count, out, [](Stored value) { return static_cast<float>(value); });
}

/// Values of all 256 patterns of an 8-bit float, built once.
template<float (*decode)(std::uint8_t)>
const std::array<float, 256>& table()
{
    static const auto values = [] {
        std::array<float, 256> made {};
        for (unsigned code = 0; code < 256; ++code)
            made[code] = decode(static_cast<std::uint8_t>(code));
        return made;
    }();
    return values;
}

template<float (*decode)(std::uint8_t)>
void decodeByTable(const std::byte* source, std::size_t stride, std::size_t count, float* out)
{
    const auto& values = table<decode>();
    decodeRun<std::uint8_t>(source, stride, count, out, [&](std::uint8_t code) { return values[code]; });
}

/// Both values of all 256 bytes.
const std::array<std::array<float, 2>, 256>& float4Pairs()
{
    static const auto pairs = [] {
        std::array<std::array<float, 2>, 256> made {};
        for (unsigned byte = 0; byte < 256; ++byte)
            made[byte] = {float4ToFloat(static_cast<std::uint8_t>(byte & 0xfU)),
                float4ToFloat(static_cast<std::uint8_t>(byte >> 4U))};
        return made;
    }();
    return pairs;
}

/// Elements of `bits` bits, the first of a byte in its lowest ones. `convert` takes the bits.
template<class Convert>
void decodeParts(unsigned bits, const std::byte* source, std::size_t first, std::size_t stride, std::size_t count,
    float* out, Convert convert)
{
    const unsigned perByte = 8 / bits, mask = (1U << bits) - 1U;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t element = first + i * stride;
        const auto byte = std::to_integer<unsigned>(source[element / perByte]);
        out[i] = convert((byte >> (element % perByte * bits)) & mask);
    }
}

/// Two values to a byte.
void decodeFloat4(const std::byte* source, std::size_t first, std::size_t stride, std::size_t count, float* out)
{
    if (stride != 1 || first % 2 != 0 || count % 2 != 0)
        return decodeParts(4, source, first, stride, count, out,
            [](unsigned code) { return float4ToFloat(static_cast<std::uint8_t>(code)); });
    const auto& pairs = float4Pairs();
    for (std::size_t i = 0; i < count; i += 2)
        std::memcpy(out + i, pairs[std::to_integer<std::size_t>(source[(first + i) / 2])].data(), 2 * sizeof(float));
}

void decodeBlocks(DType dtype, const std::byte* data, std::size_t first, std::size_t count, float* out)
{
    const auto& traits = traitsOf(dtype);
    assert(first % traits.blockElements == 0 && count % traits.blockElements == 0);
    const auto bytesOf = [&](std::size_t elements) { return elements / traits.blockElements * traits.blockBytes; };
    kernels::ggmlDecode(ggmlBlockOf(dtype), {data + bytesOf(first), bytesOf(count)}, {out, count});
}

/// Two's complement of `bits` bits.
template<unsigned bits>
float signedPart(unsigned code)
{
    return static_cast<float>(code) - (code >> (bits - 1U) ? static_cast<float>(1U << bits) : 0.0F);
}

}  // namespace

void decodeElements(
    DType dtype, const std::byte* data, std::size_t first, std::size_t stride, std::size_t count, float* out)
{
    if (isBlockType(dtype))
        return decodeBlocks(dtype, data, first, count, out);
    const auto number = [](unsigned code) { return static_cast<float>(code); };
    switch (dtype) {
    case DType::F4: return decodeFloat4(data, first, stride, count, out);
    case DType::U4: return decodeParts(4, data, first, stride, count, out, number);
    case DType::I4: return decodeParts(4, data, first, stride, count, out, signedPart<4>);
    case DType::U2: return decodeParts(2, data, first, stride, count, out, number);
    case DType::I2: return decodeParts(2, data, first, stride, count, out, signedPart<2>);
    default: break;
    }
    const std::byte* source = data + first * traitsOf(dtype).blockBytes;
    switch (dtype) {
    case DType::F32:
        if (stride == 1)
            std::memcpy(out, source, count * sizeof(float));
        else
            decodeNumbers<float>(source, stride, count, out);
        return;
    case DType::F16:
        if (stride == 1)
            return kernels::widenHalves({source, 2 * count}, {out, count});
        return decodeRun<std::uint16_t>(source, stride, count, out, halfToFloat);
    case DType::BF16:
        if (stride == 1)
            return kernels::widenBrainHalves({source, 2 * count}, {out, count});
        return decodeRun<std::uint16_t>(source, stride, count, out, bfloat16ToFloat);
    case DType::F64: return decodeNumbers<double>(source, stride, count, out);
    case DType::F8_E4M3: return decodeByTable<float8E4M3ToFloat>(source, stride, count, out);
    case DType::F8_E5M2: return decodeByTable<float8E5M2ToFloat>(source, stride, count, out);
    case DType::F8_E8M0: return decodeByTable<float8E8M0ToFloat>(source, stride, count, out);
    case DType::Bool:
        return decodeRun<std::uint8_t>(source, stride, count, out, [](std::uint8_t b) { return b ? 1.0F : 0.0F; });
    case DType::U8: return decodeNumbers<std::uint8_t>(source, stride, count, out);
    case DType::I8: return decodeNumbers<std::int8_t>(source, stride, count, out);
    case DType::U16: return decodeNumbers<std::uint16_t>(source, stride, count, out);
    case DType::I16: return decodeNumbers<std::int16_t>(source, stride, count, out);
    case DType::U32: return decodeNumbers<std::uint32_t>(source, stride, count, out);
    case DType::I32: return decodeNumbers<std::int32_t>(source, stride, count, out);
    case DType::U64: return decodeNumbers<std::uint64_t>(source, stride, count, out);
    case DType::I64: return decodeNumbers<std::int64_t>(source, stride, count, out);
    default: break;
    }
    assert(false && "dtype that traitsOf() calls decodable without a decoder");
}

void decodeColumns(DType dtype, const std::byte* data, std::uint64_t first, std::uint64_t stride, std::uint64_t columns,
    std::span<float> out)
{
    constexpr std::size_t channelsAtOnce = 64;
    const auto rows = out.size() / columns;
    std::array<float, channelsAtOnce> run;
    for (std::size_t begin = 0; begin < rows; begin += channelsAtOnce) {
        const auto count = std::min(channelsAtOnce, rows - begin);
        for (std::uint64_t column = 0; column < columns; ++column) {
            decodeElements(dtype, data, first + column * stride + begin, 1, count, run.data());
            for (std::size_t i = 0; i < count; ++i)
                out[(begin + i) * columns + column] = run[i];
        }
    }
}

void decodeRows(const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out)
{
    assert(view.decodable() && firstRow + rowCount <= matrixShape(view).rows
        && out.size() == rowCount * matrixShape(view).columns);
    if (out.empty())
        return;  // an empty tensor has no bytes to point at
    if (view.decoder)
        return view.decoder->decodeRows(firstRow, rowCount, out);
    const auto held = view.deferred ? view.deferred->held() : nullptr;
    assert(!view.deferred || held);
    const auto* data = held ? held->bytes().data() : view.bytes.data();
    ElementOrder::of(view).collectRows(
        firstRow, rowCount, out, [&](std::uint64_t first, std::size_t count, float* values) {
            decodeElements(view.dtype, data, first, 1, count, values);
        });
}

std::span<const float> rowsOf(
    const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount, std::vector<float>& buffer)
{
    const auto columns = matrixShape(view).columns;
    const auto count = static_cast<std::size_t>(rowCount * columns);
    if (view.dtype == DType::F32 && !view.transposed && !view.decoder && !view.deferred) {
        const auto* stored = view.bytes.data() + firstRow * columns * sizeof(float);
        if (reinterpret_cast<std::uintptr_t>(stored) % alignof(float) == 0)
            return {reinterpret_cast<const float*>(stored), count};
    }
    buffer.resize(count);
    decodeRows(view, firstRow, rowCount, buffer);
    return buffer;
}

}  // namespace quantloupe
