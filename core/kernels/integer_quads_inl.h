// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles by an instruction that adds the products of four unsigned and four signed bytes to each 32-bit sum. Included
// once per such instruction, within a namespace that has `Lanes`: Vector, Sums, count, load(), loadSums(), storeSums(),
// zero(), lowNibbles(), highNibbles(), spread(), addQuads(). No include guard.

constexpr std::size_t vectorsOfQuad = PanelShape::outputsPerPanel / Lanes::count;
constexpr std::size_t tokensOfTile = Lanes::tokens;

template<CodeWidth width, std::size_t tokens>
void sumQuads(const TileWork& work)
{
    constexpr std::size_t outputs = PanelShape::outputsPerPanel;
    typename Lanes::Sums sums[tokens][vectorsOfQuad];
#pragma GCC unroll 16
    for (std::size_t token = 0; token < tokens; ++token)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < vectorsOfQuad; ++v)
            sums[token][v] =
                work.continues ? Lanes::loadSums(work.sums + token * outputs + v * Lanes::count) : Lanes::zero();
    const std::uint8_t* panel = work.panel;
    const std::int32_t* activations = work.activations;
    for (std::size_t step = 0; step < work.steps; ++step) {
        typename Lanes::Vector first[vectorsOfQuad], second[vectorsOfQuad];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < vectorsOfQuad; ++v) {
            const auto codes = Lanes::load(panel + v * 4 * Lanes::count);
            if constexpr (width == CodeWidth::Byte) {
                first[v] = codes;
                second[v] = Lanes::load(panel + PanelShape::bytesPerQuad + v * 4 * Lanes::count);
            } else {
                first[v] = Lanes::lowNibbles(codes);
                second[v] = Lanes::highNibbles(codes);
            }
        }
#pragma GCC unroll 16
        for (std::size_t token = 0; token < tokens; ++token) {
            const auto low = Lanes::spread(activations[token]), high = Lanes::spread(activations[tokens + token]);
#pragma GCC unroll 16
            for (std::size_t v = 0; v < vectorsOfQuad; ++v)
                sums[token][v] = Lanes::addQuads(Lanes::addQuads(sums[token][v], first[v], low), second[v], high);
        }
        panel += (width == CodeWidth::Byte ? 2 : 1) * PanelShape::bytesPerQuad;
        activations += 2 * tokens;
    }
#pragma GCC unroll 16
    for (std::size_t token = 0; token < tokens; ++token)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < vectorsOfQuad; ++v)
            Lanes::storeSums(work.sums + token * outputs + v * Lanes::count, sums[token][v]);
}

template<CodeWidth width, std::size_t tokens = tokensOfTile>
void sumTilesOfQuads(std::size_t count, TileWork work)
{
    for (; count >= tokens; count -= tokens) {
        TileWork tile = work;
        tile.activations += work.firstStep * 2 * tokens;
        sumQuads<width, tokens>(tile);
        work.activations += tokens * work.tokenSize;
        work.sums += tokens * PanelShape::outputsPerPanel;
    }
    if constexpr (tokens > 1)
        if (count > 0)
            sumTilesOfQuads<width, tokens - 1>(count, work);
}

inline TileKernel tilesFor(CodeWidth width)
{
    return {.name = Lanes::name,
        .tokens = tokensOfTile,
        .words = false,
        .sum = width == CodeWidth::Byte ? &sumTilesOfQuads<CodeWidth::Byte> : &sumTilesOfQuads<CodeWidth::Nibble>};
}
