// SPDX-License-Identifier: GPL-3.0-or-later
// Sums of products for a few tokens and one panel of weights. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_TILES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_TILES_INL_H
#undef QUANTLOUPE_INTEGER_TILES_INL_H
#else
#define QUANTLOUPE_INTEGER_TILES_INL_H
#endif

#include "core/kernels/integer_tiles.h"

#include <hwy/highway.h>
#if HWY_ARCH_X86
#include <immintrin.h>  // Highway brings only what it needs itself
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

// Whether lanes are registers of x86 here: Highway's emulation of them has none.
#undef QUANTLOUPE_X86_LANES
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
#define QUANTLOUPE_X86_LANES 1
#else
#define QUANTLOUPE_X86_LANES 0
#endif

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

constexpr std::size_t tokensPerTile = 4;
constexpr bool takesWords(CodeWidth /*width*/)
{
    return false;
}

template<CodeWidth width, std::size_t tokens>
void SumTile(const TileWork& work)
{
    constexpr std::size_t outputs = PanelShape::outputsPerPanel;
    if (!work.continues)
        std::memset(work.sums, 0, tokens * outputs * sizeof(std::int32_t));
    for (std::size_t quad = 0; quad < 2 * work.steps; ++quad) {
        const std::size_t at = width == CodeWidth::Byte ? quad : quad / 2;
        const std::uint8_t* codes = work.panel + at * PanelShape::bytesPerQuad;
        for (std::size_t token = 0; token < tokens; ++token) {
            std::int8_t values[4];
            std::memcpy(values, work.activations + quad * tokens + token, sizeof values);
            for (std::size_t i = 0; i < PanelShape::bytesPerQuad; ++i) {
                const int code = width == CodeWidth::Byte ? codes[i] : quad % 2 == 0 ? codes[i] & 0xF : codes[i] >> 4;
                work.sums[token * outputs + i / 4] += code * values[i % 4];
            }
        }
    }
}

#else

using Bytes = hn::CappedTag<std::uint8_t, PanelShape::bytesPerQuad>;
using Words = hn::Repartition<std::int16_t, Bytes>;
using UnsignedWords = hn::Repartition<std::uint16_t, Bytes>;
using Sums = hn::Repartition<std::int32_t, Bytes>;
constexpr std::size_t vectorsPerQuad = PanelShape::bytesPerQuad / hn::MaxLanes(Bytes());
// As many sums as leave registers for what is added to them.
constexpr std::size_t tokensPerTile = 8 / vectorsPerQuad;

#if QUANTLOUPE_X86_LANES
// Two products of an unsigned and a signed byte each, in 16 bits: nibbles do not saturate.
inline hn::Vec<Words> PairsOfBytes(hn::Vec<Bytes> codes, hn::Vec<Bytes> activations)
{
#if HWY_TARGET <= HWY_AVX3
    return hn::Vec<Words> {_mm512_maddubs_epi16(codes.raw, activations.raw)};
#elif HWY_TARGET <= HWY_AVX2
    return hn::Vec<Words> {_mm256_maddubs_epi16(codes.raw, activations.raw)};
#else
    return hn::Vec<Words> {_mm_maddubs_epi16(codes.raw, activations.raw)};
#endif
}
#endif
constexpr bool takesWords(CodeWidth width)
{
    return width == CodeWidth::Byte || !QUANTLOUPE_X86_LANES;
}

// The value, computed here: GCC would put a tile's sums off in favour of products, and run out of registers.
template<class V>
HWY_INLINE V Now(V value)
{
#if QUANTLOUPE_X86_LANES && HWY_COMPILER_GCC
    asm("" : "+v"(value.raw));
#endif
    return value;
}

// sums + the products of neighbouring words, added in pairs.
inline hn::Vec<Sums> AddPairs(hn::Vec<Sums> sums, hn::Vec<Words> a, hn::Vec<Words> b)
{
    const Sums d;
#if QUANTLOUPE_X86_LANES
    auto unused = hn::Zero(d);
    return Now(hn::ReorderWidenMulAccumulate(d, a, b, sums, unused));
#else
    const auto low = [](hn::Vec<Words> v)
                         HWY_ATTR { return hn::ShiftRight<16>(hn::ShiftLeft<16>(hn::BitCast(Sums(), v))); };
    const auto high = [](hn::Vec<Words> v) HWY_ATTR { return hn::ShiftRight<16>(hn::BitCast(Sums(), v)); };
    return hn::Add(sums, hn::Add(hn::Mul(low(a), low(b)), hn::Mul(high(a), high(b))));
#endif
}

template<std::size_t tokens>
struct TileSums {
    hn::Vec<Sums> lanes[tokens][vectorsPerQuad];

    explicit HWY_INLINE TileSums(const TileWork& work)
    {
        const Sums d;
#pragma GCC unroll 8
        for (std::size_t token = 0; token < tokens; ++token)
#pragma GCC unroll 8
            for (std::size_t v = 0; v < vectorsPerQuad; ++v)
                lanes[token][v] = work.continues
                    ? hn::LoadU(d, work.sums + token * PanelShape::outputsPerPanel + v * hn::Lanes(d))
                    : hn::Zero(d);
    }
    HWY_INLINE void store(std::int32_t* sums) const
    {
        const Sums d;
#pragma GCC unroll 8
        for (std::size_t token = 0; token < tokens; ++token)
#pragma GCC unroll 8
            for (std::size_t v = 0; v < vectorsPerQuad; ++v)
                hn::StoreU(lanes[token][v], d, sums + token * PanelShape::outputsPerPanel + v * hn::Lanes(d));
    }
};

// Activations are words (inputs 0, 2, 1, 3 of each quad): codes widen to words without a shuffle that way, even bytes
// by a mask, odd ones by a shift.
template<std::size_t tokens>
HWY_INLINE void AddQuadOfWords(TileSums<tokens>& sums, const hn::Vec<Bytes>* codes, const std::int32_t* activations)
{
    const UnsignedWords du;
    const Words dw;
    const Sums d;
    hn::Vec<Words> even[vectorsPerQuad], odd[vectorsPerQuad];
#pragma GCC unroll 8
    for (std::size_t v = 0; v < vectorsPerQuad; ++v) {
        const auto words = hn::BitCast(du, codes[v]);
        even[v] = hn::BitCast(dw, hn::And(words, hn::Set(du, 0xFF)));
        odd[v] = hn::BitCast(dw, hn::ShiftRight<8>(words));
    }
#pragma GCC unroll 8
    for (std::size_t token = 0; token < tokens; ++token) {
        const auto first = hn::BitCast(dw, hn::Set(d, activations[2 * token]));
#pragma GCC unroll 8
        for (std::size_t v = 0; v < vectorsPerQuad; ++v)
            sums.lanes[token][v] = AddPairs(sums.lanes[token][v], even[v], first);
        const auto second = hn::BitCast(dw, hn::Set(d, activations[2 * token + 1]));
#pragma GCC unroll 8
        for (std::size_t v = 0; v < vectorsPerQuad; ++v)
            sums.lanes[token][v] = AddPairs(sums.lanes[token][v], odd[v], second);
    }
}

template<CodeWidth width, std::size_t tokens>
void SumTileOfWords(const TileWork& work)
{
    const Bytes d;
    const UnsignedWords du;
    TileSums<tokens> sums(work);
    const std::uint8_t* panel = work.panel;
    const std::int32_t* activations = work.activations;
    for (std::size_t step = 0; step < work.steps; ++step) {
        hn::Vec<Bytes> first[vectorsPerQuad], second[vectorsPerQuad];
#pragma GCC unroll 8
        for (std::size_t v = 0; v < vectorsPerQuad; ++v) {
            const auto codes = hn::LoadU(d, panel + v * hn::Lanes(d));
            if constexpr (width == CodeWidth::Byte) {
                first[v] = codes;
                second[v] = hn::LoadU(d, panel + PanelShape::bytesPerQuad + v * hn::Lanes(d));
            } else {
                const auto mask = hn::Set(d, 0x0F);
                first[v] = hn::And(codes, mask);
                second[v] = hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(du, codes))), mask);
            }
        }
        AddQuadOfWords<tokens>(sums, first, activations);
        AddQuadOfWords<tokens>(sums, second, activations + 2 * tokens);
        panel += (width == CodeWidth::Byte ? 2 : 1) * PanelShape::bytesPerQuad;
        activations += 4 * tokens;
    }
    sums.store(work.sums);
}

#if QUANTLOUPE_X86_LANES
// Eight sums of two products of a nibble and an activation, 15·128 at most, fit in 16 bits: four steps. The sums in 32
// bits stay in memory, for there are no registers left.
template<std::size_t tokens>
void SumTileOfNibbles(const TileWork& work)
{
    constexpr std::size_t stepsOfWords = 4;
    const Bytes d;
    const UnsignedWords du;
    const Words dw;
    const Sums ds;
    const auto mask = hn::Set(d, 0x0F);
    const std::uint8_t* panel = work.panel;
    const std::int32_t* activations = work.activations;
    if (!work.continues)
        std::memset(work.sums, 0, tokens * PanelShape::outputsPerPanel * sizeof(std::int32_t));
    for (std::size_t begin = 0; begin < work.steps; begin += stepsOfWords) {
        hn::Vec<Words> words[tokens][vectorsPerQuad];
#pragma GCC unroll 8
        for (std::size_t token = 0; token < tokens; ++token)
#pragma GCC unroll 8
            for (std::size_t v = 0; v < vectorsPerQuad; ++v)
                words[token][v] = hn::Zero(dw);
        for (std::size_t step = begin; step < HWY_MIN(begin + stepsOfWords, work.steps); ++step) {
            hn::Vec<Bytes> low[vectorsPerQuad], high[vectorsPerQuad];
#pragma GCC unroll 8
            for (std::size_t v = 0; v < vectorsPerQuad; ++v) {
                const auto codes = hn::LoadU(d, panel + v * hn::Lanes(d));
                low[v] = hn::And(codes, mask);
                high[v] = hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(du, codes))), mask);
            }
#pragma GCC unroll 8
            for (std::size_t token = 0; token < tokens; ++token) {
                const auto first = hn::BitCast(d, hn::Set(ds, activations[token]));
#pragma GCC unroll 8
                for (std::size_t v = 0; v < vectorsPerQuad; ++v)
                    words[token][v] = Now(hn::Add(words[token][v], PairsOfBytes(low[v], first)));
                const auto second = hn::BitCast(d, hn::Set(ds, activations[tokens + token]));
#pragma GCC unroll 8
                for (std::size_t v = 0; v < vectorsPerQuad; ++v)
                    words[token][v] = Now(hn::Add(words[token][v], PairsOfBytes(high[v], second)));
            }
            panel += PanelShape::bytesPerQuad;
            activations += 2 * tokens;
        }
#pragma GCC unroll 8
        for (std::size_t token = 0; token < tokens; ++token)
#pragma GCC unroll 8
            for (std::size_t v = 0; v < vectorsPerQuad; ++v) {
                auto* to = work.sums + token * PanelShape::outputsPerPanel + v * hn::Lanes(ds);
                hn::StoreU(AddPairs(hn::LoadU(ds, to), words[token][v], hn::Set(dw, 1)), ds, to);
            }
    }
}
#endif

template<CodeWidth width, std::size_t tokens>
void SumTile(const TileWork& work)
{
#if QUANTLOUPE_X86_LANES
    if constexpr (width == CodeWidth::Nibble)
        return SumTileOfNibbles<tokens>(work);
#endif
    return SumTileOfWords<width, tokens>(work);
}

#endif  // HWY_TARGET != HWY_SCALAR

// Tile by tile; the last has as many tokens as are left.
template<CodeWidth width, std::size_t tokens = tokensPerTile>
void SumTiles(std::size_t count, TileWork work)
{
    for (; count >= tokens; count -= tokens) {
        TileWork tile = work;
        tile.activations += work.firstStep * (takesWords(width) ? 4 : 2) * tokens;
        SumTile<width, tokens>(tile);
        work.activations += tokens * work.tokenSize;
        work.sums += tokens * PanelShape::outputsPerPanel;
    }
    if constexpr (tokens > 1)
        if (count > 0)
            SumTiles<width, tokens - 1>(count, work);
}

inline TileKernel TilesOf(CodeWidth width)
{
    return {.name = hwy::TargetName(HWY_TARGET),
        .tokens = tokensPerTile,
        .words = takesWords(width),
        .sum = width == CodeWidth::Byte ? &SumTiles<CodeWidth::Byte> : &SumTiles<CodeWidth::Nibble>};
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
