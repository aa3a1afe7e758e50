// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/packed_layouts/stored_parts.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

/// What all decoders of packed weights share: the parts, kept readable as long as the decoder lives, and the words.
class PackedDecoder : public RowDecoder
{
public:
    PackedDecoder(std::vector<TensorView> parts, std::string description)
        : m_parts(std::move(parts))
        , m_description(std::move(description))
    {
    }
    void release() const override;
    std::vector<Bytes> storedBytes() const override;
    std::string description() const override { return m_description; }

private:
    std::vector<TensorView> m_parts;
    std::string m_description;
};

/// Writes the codes of whole rows as numbers.
using RowCodes = std::function<void(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> codes)>;
/// Writes a figure of each group of one row.
using GroupFigures = std::function<void(std::uint64_t row, std::span<float> figures)>;

/// Weights in groups along the rows: w = (code − zero)·scale, or code·scale + bias, in this order in float32.
struct GroupedWeights {
    MatrixShape matrix {};
    std::uint64_t groups = 1;       ///< in a row
    std::uint64_t groupLength = 0;  ///< columns; the last group of a row may be shorter
    /// Where groups are not runs of columns: that of each column, below `groups`.
    std::vector<std::uint32_t> groupOfColumn {};
    RowCodes codes {};
    GroupFigures scales {};
    GroupFigures zeros {};   ///< empty: 0
    GroupFigures biases {};  ///< empty: 0
};

/// @pre everything `weights` reads has been checked against the sizes of the parts
std::shared_ptr<const RowDecoder> makeGroupedDecoder(
    std::vector<TensorView> parts, std::string description, GroupedWeights weights);

/// Rows of elements of a decodable dtype that lie one after the other. @pre rank ≥ 2 or one row
RowCodes plainCodes(const TensorView& codes);
/// Rows that are bit streams, each of whole bytes: the first code in the lowest bits. @pre 1 ≤ bits ≤ 8
RowCodes streamCodes(const TensorView& codes, unsigned bits, std::uint64_t columns);
/// Rows of 32-bit words of ⌊32 / bits⌋ codes each, the first in the lowest bits; none straddles words.
RowCodes wordCodes(const TensorView& codes, unsigned bits, std::uint64_t columns);
/// As streamCodes() along columns: code i of row r is in word column r of [words, rows]. @pre bits 2, 3, 4 or 8
RowCodes columnCodes(const TensorView& codes, unsigned bits, std::uint64_t columns);

/// Row r of [rows, groups].
GroupFigures rowFigures(const TensorView& figures, std::uint64_t groups);
/// Column r of [groups, rows].
GroupFigures columnFigures(const TensorView& figures, std::uint64_t rows);
/// The same for every group.
GroupFigures constantFigure(float value);

/// Word i of little-endian 32-bit words, wherever they lie.
std::uint32_t wordAt(const std::byte* words, std::uint64_t i);

/// "int4:g128:asym" in the notation of schemes; a group as long as a row is "channel", absent symmetry is left out.
std::string gridText(std::string_view format, std::uint64_t groupLength, std::uint64_t columns,
    std::optional<bool> symmetric = std::nullopt);

}  // namespace quantloupe
