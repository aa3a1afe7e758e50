// SPDX-License-Identifier: GPL-3.0-or-later
// Packed checkpoints built in memory, and the slow way to what they mean.
#pragma once

#include "tests/support/checkpoint_files.h"

#include "core/kernels/float_bits.h"

#include <cmath>
#include <functional>
#include <random>

namespace quantloupe::tests {

/// Each '%' of a text replaced by the next value.
inline std::string filled(std::string text, const std::vector<std::string>& values)
{
    std::size_t at = 0;
    for (const auto& value : values) {
        at = text.find('%', at);
        text.replace(at, 1, value);
        at += value.size();
    }
    return text;
}

/// A safetensors file put together tensor by tensor.
class SafetensorsBuilder
{
public:
    void add(const std::string& name, const std::string& dtype, const Shape& shape, const std::string& bytes)
    {
        std::string extents;
        for (const auto extent : shape)
            extents += (extents.empty() ? "" : ",") + std::to_string(extent);
        m_header += (m_header.empty() ? "\"" : ",\"") + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + extents
            + R"(],"data_offsets":[)" + std::to_string(m_data.size()) + ","
            + std::to_string(m_data.size() + bytes.size()) + "]}";
        m_data += bytes;
    }
    std::string file() const
    {
        const auto header = "{" + m_header + "}";
        return raw(std::uint64_t {header.size()}) + header + m_data;
    }

private:
    std::string m_header, m_data;
};

/// A long run of bits, filled code by code wherever a layout puts them.
class BitField
{
public:
    explicit BitField(std::size_t bytes)
        : m_bytes(bytes, '\0')
    {
    }
    /// Bit b of the code lands in bit `firstBit` + b, counted from the lowest bit of the first byte.
    void put(std::uint64_t firstBit, unsigned bits, std::uint32_t code)
    {
        for (unsigned b = 0; b < bits; ++b)
            if ((code >> b) & 1U) {
                auto& byte = m_bytes[(firstBit + b) / 8];
                byte = static_cast<char>(static_cast<unsigned char>(byte) | (1U << ((firstBit + b) % 8)));
            }
    }
    const std::string& bytes() const { return m_bytes; }

private:
    std::string m_bytes;
};

/// Numbers from a fixed seed.
class Draw
{
public:
    explicit Draw(unsigned seed)
        : m_random(seed)
    {
    }
    std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(m_random() % limit); }
    /// Positive and a value of an FP16, so that every float type holds it.
    float scale() { return static_cast<float>(1 + below(1000)) * 0x1p-12F; }

    std::vector<std::uint32_t> codes(std::size_t count, std::uint32_t limit)
    {
        std::vector<std::uint32_t> drawn(count);
        for (auto& code : drawn)
            code = below(limit);
        return drawn;
    }
    std::vector<float> scales(std::size_t count)
    {
        std::vector<float> drawn(count);
        for (auto& value : drawn)
            value = scale();
        return drawn;
    }

private:
    std::minstd_rand m_random;
};

/// FP16 of multiples of 2⁻¹² below 1/4, and of small whole numbers: what Draw::scale() gives.
inline std::uint16_t halfOf(float value)
{
    if (value == 0.0F)
        return 0;
    int exponent = 0;
    const float fraction = std::frexp(std::abs(value), &exponent);  // 0.5 … 1
    const auto mantissa = static_cast<std::uint16_t>((fraction * 2.0F - 1.0F) * 1024.0F);
    return static_cast<std::uint16_t>((value < 0 ? 0x8000 : 0) | ((exponent - 1 + 15) << 10) | mantissa);
}

inline std::string halves(const std::vector<float>& values)
{
    std::string bytes;
    for (const float value : values)
        bytes += raw(halfOf(value));
    return bytes;
}

template<class Number, class Values>
std::string numbers(const Values& values)
{
    std::string bytes;
    for (const auto value : values)
        bytes += raw(static_cast<Number>(value));
    return bytes;
}

/// "" when the tensor has this name, shape and packing, and decodes to `expected(row, column)` in one go and row by
/// row; else what is wrong.
inline std::string compareWeight(const Model& model, const std::string& name, const Shape& shape,
    const std::string& packing, const std::function<float(std::uint64_t, std::uint64_t)>& expected)
{
    const auto index = model.find(name);
    if (!index)
        return "no tensor " + name;
    const auto& tensor = model.tensors[*index];
    if (tensor.view.shape != shape)
        return "another shape";
    if (tensor.packing() != packing)
        return "packing is " + tensor.packing();
    if (!tensor.quantizable())
        return "is not quantizable";
    const auto [rows, columns] = matrixShape(tensor.view);
    std::vector<float> whole(rows * columns), part;
    decodeRows(tensor.view, 0, rows, whole);
    for (std::uint64_t row = 0; row < rows; ++row)
        for (std::uint64_t column = 0; column < columns; ++column)
            if (whole[row * columns + column] != expected(row, column))
                return "row " + std::to_string(row) + ", column " + std::to_string(column) + " is "
                    + std::to_string(whole[row * columns + column]) + ", not " + std::to_string(expected(row, column));
    for (const std::uint64_t count : {1U, 3U, 7U})
        for (std::uint64_t row = 0; row < rows; row += count) {
            const auto run = std::min(count, rows - row);
            part.assign(run * columns, NAN);
            decodeRows(tensor.view, row, run, part);
            if (!std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(row * columns)))
                return "rows from " + std::to_string(row) + " differ when decoded alone";
        }
    return {};
}

}  // namespace quantloupe::tests

/// A weight of a model that must have opened.
#define QUANTLOUPE_COMPARE_WEIGHT(model, name, shape, packing, ...)                                                    \
    do {                                                                                                               \
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());                                                 \
        const auto problem = quantloupe::tests::compareWeight(**model, name, shape, packing, __VA_ARGS__);             \
        QVERIFY2(problem.empty(), problem.c_str());                                                                    \
    } while (false)
