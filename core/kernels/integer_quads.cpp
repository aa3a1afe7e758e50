// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_tiles.h"

#include <hwy/base.h>
#include <hwy/targets.h>

#include <array>
#include <cstring>

#if HWY_ARCH_X86
#include <immintrin.h>
#endif

namespace quantloupe::kernels {
namespace {

namespace emulated_quads {

struct Lanes {
    static constexpr std::string_view name = "emulated VNNI";
    static constexpr std::size_t count = 8, tokens = 4;
    using Vector = std::array<std::uint8_t, 4 * count>;
    using Sums = std::array<std::int32_t, count>;

    static Vector load(const std::uint8_t* from)
    {
        Vector v;
        std::memcpy(v.data(), from, sizeof v);
        return v;
    }
    static Sums loadSums(const std::int32_t* from)
    {
        Sums sums;
        std::memcpy(sums.data(), from, sizeof sums);
        return sums;
    }
    static void storeSums(std::int32_t* to, const Sums& sums) { std::memcpy(to, sums.data(), sizeof sums); }
    static Sums zero() { return {}; }
    static Vector lowNibbles(Vector v)
    {
        for (auto& byte : v)
            byte &= 0xFU;
        return v;
    }
    static Vector highNibbles(Vector v)
    {
        for (auto& byte : v)
            byte = static_cast<std::uint8_t>(byte >> 4U);
        return v;
    }
    static std::array<std::int8_t, 4> spread(std::int32_t quad)
    {
        std::array<std::int8_t, 4> values {};
        std::memcpy(values.data(), &quad, sizeof quad);
        return values;
    }
    static Sums addQuads(Sums sums, const Vector& codes, const std::array<std::int8_t, 4>& activations)
    {
        for (std::size_t i = 0; i < codes.size(); ++i)
            sums[i / 4] += codes[i] * activations[i % 4];
        return sums;
    }
};

#include "core/kernels/integer_quads_inl.h"

}  // namespace emulated_quads
}  // namespace
}  // namespace quantloupe::kernels

#if HWY_ARCH_X86

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vnni")
namespace quantloupe::kernels {
namespace {
namespace vnni_512 {

struct Lanes {
    static constexpr std::string_view name = "VNNI 512";
    static constexpr std::size_t count = 16, tokens = 12;
    using Vector = __m512i;
    using Sums = __m512i;

    static Vector load(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
    static Sums loadSums(const std::int32_t* from) { return _mm512_loadu_si512(from); }
    static void storeSums(std::int32_t* to, Sums sums) { _mm512_storeu_si512(to, sums); }
    static Sums zero() { return _mm512_setzero_si512(); }
    static Vector lowNibbles(Vector v) { return _mm512_and_si512(v, _mm512_set1_epi8(0xF)); }
    static Vector highNibbles(Vector v) { return lowNibbles(_mm512_srli_epi16(v, 4)); }
    static Vector spread(std::int32_t quad) { return _mm512_set1_epi32(quad); }
    static Sums addQuads(Sums sums, Vector codes, Vector activations)
    {
        return _mm512_dpbusd_epi32(sums, codes, activations);
    }
};

#include "core/kernels/integer_quads_inl.h"

}  // namespace vnni_512
}  // namespace
}  // namespace quantloupe::kernels
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx2,avxvnni")
namespace quantloupe::kernels {
namespace {
namespace vnni_256 {

struct Lanes {
    static constexpr std::string_view name = "VNNI 256";
    static constexpr std::size_t count = 8, tokens = 4;
    using Vector = __m256i;
    using Sums = __m256i;

    static Vector load(const std::uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
    static Sums loadSums(const std::int32_t* from)
    {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    }
    static void storeSums(std::int32_t* to, Sums sums) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sums); }
    static Sums zero() { return _mm256_setzero_si256(); }
    static Vector lowNibbles(Vector v) { return _mm256_and_si256(v, _mm256_set1_epi8(0xF)); }
    static Vector highNibbles(Vector v) { return lowNibbles(_mm256_srli_epi16(v, 4)); }
    static Vector spread(std::int32_t quad) { return _mm256_set1_epi32(quad); }
    static Sums addQuads(Sums sums, Vector codes, Vector activations)
    {
        return _mm256_dpbusd_avx_epi32(sums, codes, activations);
    }
};

#include "core/kernels/integer_quads_inl.h"

}  // namespace vnni_256
}  // namespace
}  // namespace quantloupe::kernels
HWY_POP_ATTRIBUTES

#endif  // HWY_ARCH_X86

namespace quantloupe::kernels {
namespace {

/// Targets that a test has switched off stay off.
bool hasVnni512()
{
#if HWY_ARCH_X86
    return (hwy::SupportedTargets() & (HWY_AVX3 | HWY_AVX3_DL)) != 0 && __builtin_cpu_supports("avx512vnni") != 0;
#else
    return false;
#endif
}

bool hasVnni256()
{
#if HWY_ARCH_X86
    return (hwy::SupportedTargets() & HWY_AVX2) != 0 && __builtin_cpu_supports("avxvnni") != 0;
#else
    return false;
#endif
}

}  // namespace

bool hasVnni()
{
    return hasVnni512() || hasVnni256();
}

TileKernel tilesOfQuads(CodeWidth width)
{
#if HWY_ARCH_X86
    if (hasVnni512())
        return vnni_512::tilesFor(width);
    if (hasVnni256())
        return vnni_256::tilesFor(width);
#endif
    return emulated_quads::tilesFor(width);
}

TileKernel bestTiles(CodeWidth width)
{
    return hasVnni() ? tilesOfQuads(width) : tilesOfTarget(width);
}

}  // namespace quantloupe::kernels
