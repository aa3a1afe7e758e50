// SPDX-License-Identifier: GPL-3.0-or-later
// As many super-blocks at a time as there are lanes, eight at least: what comes before and after the searches of ggml's
// k-quants. Included once per instruction set, after hwy/foreach_target.h.
#if defined(QUANTLOUPE_GGML_K_CHUNK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_GGML_K_CHUNK_INL_H
#undef QUANTLOUPE_GGML_K_CHUNK_INL_H
#else
#define QUANTLOUPE_GGML_K_CHUNK_INL_H
#endif

#include "core/kernels/ggml_k_lanes_inl.h"
#include "core/kernels/ggml_k_rows.h"

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE::k_quants {

using ggml::kSuperBlock;
using ggml::SmallScales;
inline constexpr std::size_t kChunk = HWY_MAX(8, kLanes);  // super-blocks

struct KChunk {
    HWY_ALIGN float values[kChunk * kSuperBlock];
    HWY_ALIGN float importance[kChunk * kSuperBlock];
    HWY_ALIGN float sigmas[kChunk];  // 1/256 of each super-block's sum of squares, times 2 but for Q2_K
    std::size_t count = 0;           // super-blocks; those behind are zero
};

HWY_INLINE void LoadChunk(const KRows& rows, std::size_t first, KChunk& chunk)
{
    const FloatLanes d;
    chunk.count = HWY_MIN(kChunk, rows.blocks - first);
    const std::size_t size = chunk.count * kSuperBlock;
    const float* from = rows.weights + first * kSuperBlock;
    const auto least = hn::Set(d, -ggml::kLargestWeight), largest = hn::Set(d, ggml::kLargestWeight);
    for (std::size_t i = 0; i < size; i += kLanes) {
        const auto weight = hn::LoadU(d, from + i);
        const auto finite = hn::Le(hn::Abs(weight), hn::Set(d, std::numeric_limits<float>::max()));
        const auto value = hn::IfThenElseZero(finite, weight);
        hn::Store(hn::Min(hn::Max(value, least), largest), d, chunk.values + i);
    }
    std::memset(chunk.values + size, 0, sizeof chunk.values - size * sizeof(float));
    if (!rows.importance)
        return;
    for (std::size_t b = 0; b < chunk.count; ++b)
        std::memcpy(chunk.importance + b * kSuperBlock, rows.importance + (first + b) % rows.blocksPerRow * kSuperBlock,
            kSuperBlock * sizeof(float));
    std::memset(chunk.importance + size, 0, sizeof chunk.importance - size * sizeof(float));
}

// Sums of 256 squares, each from the first to the last: a super-block per lane.
HWY_INLINE void SumSquares(float factor, KChunk& chunk)
{
    const FloatLanes d;
    HWY_ALIGN float part[32 * kLanes];
    for (std::size_t first = 0; first < kChunk; first += kLanes) {
        auto sum = hn::Zero(d);
        for (std::size_t i = 0; i < kSuperBlock; i += 32) {
            TransposeIntoLanes(chunk.values + first * kSuperBlock + i, kSuperBlock, 32, kLanes, part);
            for (std::size_t j = 0; j < 32 * kLanes; j += kLanes) {
                const auto value = hn::Load(d, part + j);
                sum = hn::Add(sum, hn::Mul(value, value));
            }
        }
        const auto sigma = hn::Div(hn::Mul(hn::Set(d, factor), sum), hn::Set(d, 256.0F));
        hn::Store(sigma, d, chunk.sigmas + first);
    }
}

// As many groups as `Lanes` has lanes, from group `first` of the chunk on, into lanes.
template<class Lanes>
HWY_INLINE void LoadGroups(const float* from, std::size_t first, std::size_t length, float* out)
{
    for (std::size_t lane = 0; lane < Lanes::lanes; lane += kLanes)
        TransposeIntoLanes(from + (first + lane) * length, length, length, Lanes::lanes, out + lane);
}

// Importance · √(sigma + x²), in place.
template<class Lanes>
HWY_INLINE void WeighByImportance(
    const KChunk& chunk, std::size_t first, std::size_t length, const float* x, float* importance)
{
    HWY_ALIGN float spread[Lanes::lanes];
    for (std::size_t lane = 0; lane < Lanes::lanes; ++lane)
        spread[lane] = chunk.sigmas[(first + lane) * length / kSuperBlock];
    const auto sigma = Lanes::load(spread);
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
        const auto value = Lanes::load(x + i);
        Lanes::store(Mul(Lanes::load(importance + i), Sqrt(Add(sigma, Mul(value, value)))), importance + i);
    }
}

// clamp(nearest((x + added) / scale)) + zero, a byte each.
HWY_INLINE void StoreGroupCodes(const float* x, std::size_t length, float added, float scale, int lowest, int highest,
    int zero, std::uint8_t* codes)
{
    const FloatLanes d;
    const hn::RebindToSigned<FloatLanes> di;
    const hn::Rebind<std::uint8_t, FloatLanes> bytes;
    const auto addend = hn::Set(d, added), divisor = hn::Set(d, scale);
    for (std::size_t i = 0; i < length; i += kLanes) {
        const auto position = hn::Div(hn::Add(hn::Load(d, x + i), addend), divisor);
        const auto bits = hn::BitCast(di, hn::Add(position, hn::Set(d, kRounder)));
        const auto nearest = hn::Sub(hn::And(bits, hn::Set(di, 0x7fffff)), hn::Set(di, 0x400000));
        const auto code = hn::Min(hn::Max(nearest, hn::Set(di, lowest)), hn::Set(di, highest));
        hn::StoreU(hn::DemoteTo(bytes, hn::Add(code, hn::Set(di, zero))), bytes, codes + i);
    }
}

HWY_INLINE bool AreFinite(const float* values, std::size_t count)
{
    float sum = 0.0F;  // of zeros, unless one is not
    for (std::size_t i = 0; i < count; ++i)
        sum += values[i] - values[i];
    return sum == 0.0F;
}

using ByteLanes = hn::CappedTag<std::uint8_t, 16>;

// 64 codes of 4 bits into 32 bytes: the lower half from the first 32. Bits above the fourth are left out.
HWY_INLINE void PackNibbles(const std::uint8_t* low, const std::uint8_t* high, std::uint8_t* out)
{
    const ByteLanes d;
    const auto mask = hn::Set(d, std::uint8_t(15));
    for (std::size_t i = 0; i < 32; i += hn::Lanes(d)) {
        const auto lower = hn::And(hn::LoadU(d, low + i), mask);
        const auto upper = hn::And(hn::LoadU(d, high + i), mask);
        hn::StoreU(hn::Or(lower, hn::ShiftLeft<4>(upper)), d, out + i);
    }
}

// Bits `shift` and up of 128 codes, two of each, into 32 bytes.
template<int shift>
HWY_INLINE void PackPairs(const std::uint8_t* codes, std::uint8_t* out)
{
    const ByteLanes d;
    const auto mask = hn::Set(d, std::uint8_t(3));
    for (std::size_t i = 0; i < 32; i += hn::Lanes(d)) {
        const auto pair = [&](std::size_t quarter) HWY_ATTR {
            return hn::And(hn::ShiftRight<shift>(hn::LoadU(d, codes + 32 * quarter + i)), mask);
        };
        const auto lower = hn::Or(pair(0), hn::ShiftLeft<2>(pair(1)));
        const auto upper = hn::Or(hn::ShiftLeft<4>(pair(2)), hn::ShiftLeft<6>(pair(3)));
        hn::StoreU(hn::Or(lower, upper), d, out + i);
    }
}

// One bit of each of 256 codes into 32 bytes: bit g of byte l from code 32 g + l.
HWY_INLINE void PackBits(const std::uint8_t* codes, std::uint8_t bit, std::uint8_t* out)
{
    const ByteLanes d;
    const auto wanted = hn::Set(d, bit);
    for (std::size_t i = 0; i < 32; i += hn::Lanes(d)) {
        auto bits = hn::Zero(d);
        for (std::size_t g = 0; g < 8; ++g) {
            const auto set = hn::Eq(hn::And(hn::LoadU(d, codes + 32 * g + i), wanted), wanted);
            bits = hn::Or(bits, hn::IfThenElseZero(set, hn::Set(d, static_cast<std::uint8_t>(1U << g))));
        }
        hn::StoreU(bits, d, out + i);
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE::k_quants
HWY_AFTER_NAMESPACE();

#endif  // included once per instruction set
