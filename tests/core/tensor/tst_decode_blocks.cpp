// SPDX-License-Identifier: GPL-3.0-or-later
// Every block type of ggml against its definition, one weight at a time.
#include "core/kernels/ggml_grids.h"
#include "core/tensor/tensor_view.h"
#include "tests/support/kernel_sweep.h"

#include <bit>
#include <cmath>
#include <map>
#include <string>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// Bytes of one block, little-endian.
struct Block {
    const std::uint8_t* bytes;

    unsigned u8(std::size_t at) const { return bytes[at]; }
    int i8(std::size_t at) const { return static_cast<std::int8_t>(bytes[at]); }
    unsigned u16(std::size_t at) const { return u8(at) + 256 * u8(at + 1); }
    std::uint32_t u32(std::size_t at) const { return u16(at) + 65536U * u16(at + 2); }
    unsigned bit(std::size_t at, std::size_t number) const { return u8(at + number / 8) >> number % 8 & 1U; }
    /// Of a row of `width`-bit numbers, the first in the lowest bits of the first byte.
    unsigned field(std::size_t at, std::size_t number, unsigned width) const
    {
        return u8(at + number * width / 8) >> number * width % 8 & ((1U << width) - 1U);
    }
    /// Of 2·half weights the first half lies in the low nibbles.
    unsigned nibble(std::size_t at, std::size_t j, std::size_t half) const
    {
        return j < half ? u8(at + j) & 15U : u8(at + j - half) >> 4U;
    }
    /// Weights of a run of 128 lie in planes of `width` bits, 32 bytes wide.
    unsigned plane(std::size_t at, std::size_t j) const
    {
        return u8(at + j / 128 * 32 + j % 32) >> 2 * (j % 128 / 32) & 3U;
    }
    float half(std::size_t at) const { return halfOf(u16(at)); }

    static float halfOf(unsigned code)
    {
        const double sign = code >> 15U ? -1.0 : 1.0;
        const int exponent = int(code >> 10U & 31U), mantissa = int(code & 1023U);
        if (exponent == 31)
            return float(mantissa ? std::nan("") : sign * INFINITY);
        return float(sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25)));
    }
};

constexpr int kIq4[] {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int kFloat4[] {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// Seven sign bits; the eighth makes their number even.
unsigned evenSigns(unsigned bits)
{
    unsigned count = 0;
    for (unsigned i = 0; i < 7; ++i)
        count += bits >> i & 1U;
    return bits | (count % 2) << 7U;
}

int levelOf(std::uint64_t entry, std::size_t j)
{
    return static_cast<std::int8_t>(entry >> 8 * j & 255U);
}

float signedLevel(float scale, int level, unsigned signs, std::size_t j)
{
    return scale * float(level) * ((signs >> j % 8 & 1U) != 0 ? -1.0F : 1.0F);
}

/// Six-bit scale (or minimum) of a group of Q4_K and Q5_K.
unsigned sixBits(const Block& b, std::size_t group, bool minimum)
{
    const std::size_t s = 4;
    if (group < 4)
        return b.u8(s + group + (minimum ? 4 : 0)) & 63U;
    const unsigned low = b.u8(s + group + 4);
    return (minimum ? low >> 4U : low & 15U) | b.u8(s + group - 4 + (minimum ? 4 : 0)) >> 6U << 4U;
}

float affineK(const Block& b, std::size_t j, unsigned code)
{
    const auto group = j / 32;
    return b.half(0) * float(sixBits(b, group, false)) * float(code) - b.half(2) * float(sixBits(b, group, true));
}

unsigned q4KCode(const Block& b, std::size_t at, std::size_t j)
{
    const unsigned pair = b.u8(at + j / 64 * 32 + j % 32);
    return j % 64 < 32 ? pair & 15U : pair >> 4U;
}

float q3K(const Block& b, std::size_t j)
{
    const auto group = j / 16;
    const unsigned low = group < 8 ? b.u8(96 + group) & 15U : b.u8(96 + group - 8) >> 4U;
    const unsigned high = b.u8(96 + 8 + group % 4) >> 2 * (group / 4) & 3U;
    const unsigned code = b.plane(32, j) | (b.u8(j % 32) >> j / 32 & 1U) << 2U;
    return b.half(108) * float(int(low | high << 4U) - 32) * float(int(code) - 4);
}

float q6K(const Block& b, std::size_t j)
{
    const auto half = j / 128, k = j % 128 / 32, l = j % 32;
    const unsigned byte = b.u8(64 * half + 32 * (k & 1U) + l);
    const unsigned code = (k < 2 ? byte & 15U : byte >> 4U) | (b.u8(128 + 32 * half + l) >> 2 * k & 3U) << 4U;
    return b.half(208) * float(b.i8(192 + j / 16)) * float(int(code) - 32);
}

float iq4Xs(const Block& b, std::size_t j)
{
    const auto group = j / 32;
    const unsigned steps = b.field(4, group, 4) | (b.u16(2) >> 2 * group & 3U) << 4U;
    return b.half(0) * float(int(steps) - 32) * float(kIq4[b.nibble(8 + 16 * group, j % 32, 16)]);
}

float nvfp4(const Block& b, std::size_t j)
{
    const unsigned code = b.u8(j / 16), exponent = code >> 3U & 15U, mantissa = code & 7U;
    double scale = exponent == 0 ? mantissa / 512.0 : std::ldexp(1.0 + mantissa / 8.0, int(exponent) - 7);
    if (code == 0x7f)
        scale = 0.0;
    return float(kFloat4[b.nibble(4 + j / 16 * 8, j % 16, 8)]) * float(scale * 0.5);
}

float mxfp4(const Block& b, std::size_t j)
{
    return float(kFloat4[b.nibble(1, j, 16)]) * float(std::ldexp(1.0, int(b.u8(0)) - 128));
}

float tq1(const Block& b, std::size_t j)
{
    std::size_t at = 0, digit = 0;
    if (j < 160)
        at = j % 32, digit = j / 32;
    else if (j < 240)
        at = 32 + (j - 160) % 16, digit = (j - 160) / 16;
    else
        at = 48 + (j - 240) % 4, digit = (j - 240) / 4;
    unsigned rest = b.u8(at);
    for (; digit > 0; --digit)
        rest = rest * 3 % 256;
    return float(int(rest * 3 / 256) - 1) * b.half(52);
}

float iq2Xxs(const Block& b, std::size_t j)
{
    const auto at = 2 + j / 32 * 8, l = j % 32 / 8;
    const auto signs = b.u32(at + 4);
    const float scale = b.half(0) * (0.5F + float(signs >> 28U)) * 0.25F;
    return signedLevel(
        scale, levelOf(kernels::ggml::kIq2XxsGrid[b.u8(at + l)], j % 8), evenSigns(signs >> 7 * l & 127U), j);
}

float iq2Xs(const Block& b, std::size_t j)
{
    const unsigned code = b.u16(2 + j / 8 * 2);
    const float scale = b.half(0) * (0.5F + float(b.field(66, j / 16, 4))) * 0.25F;
    return signedLevel(scale, levelOf(kernels::ggml::kIq2XsGrid[code & 511U], j % 8), evenSigns(code >> 9U), j);
}

float iq2S(const Block& b, std::size_t j)
{
    const unsigned index = b.u8(2 + j / 8) | b.field(66, j / 8, 2) << 8U;
    const float scale = b.half(0) * (0.5F + float(b.field(74, j / 16, 4))) * 0.25F;
    return signedLevel(scale, levelOf(kernels::ggml::kIq2SGrid[index], j % 8), b.u8(34 + j / 8), j);
}

float iq3Xxs(const Block& b, std::size_t j)
{
    const auto signs = b.u32(66 + j / 32 * 4);
    const float scale = b.half(0) * (0.5F + float(signs >> 28U)) * 0.5F;
    return signedLevel(scale, levelOf(kernels::ggml::kIq3XxsGrid[b.u8(2 + j / 4)], j % 4),
        evenSigns(signs >> 7 * (j % 32 / 8) & 127U), j);
}

float iq3S(const Block& b, std::size_t j)
{
    const unsigned index = b.u8(2 + j / 4) | b.bit(66, j / 4) << 8U;
    const float scale = b.half(0) * float(1 + 2 * int(b.field(106, j / 32, 4)));
    return signedLevel(scale, levelOf(kernels::ggml::kIq3SGrid[index], j % 4), b.u8(74 + j / 8), j);
}

float iq1(float scale, unsigned index, bool down, std::size_t j)
{
    return scale * (float(levelOf(kernels::ggml::kIq1Grid[index], j % 8) / 8) + (down ? -0.125F : 0.125F));
}

float iq1S(const Block& b, std::size_t j)
{
    const unsigned high = b.u16(34 + j / 32 * 2);
    const float scale = b.half(0) * float(2 * (high >> 12U & 7U) + 1);
    return iq1(scale, b.u8(2 + j / 8) | (high >> 3 * (j % 32 / 8) & 7U) << 8U, high >> 15U != 0, j);
}

float iq1M(const Block& b, std::size_t j)
{
    unsigned d = 0;
    for (std::size_t i = 0; i < 4; ++i)
        d |= (b.u16(48 + 2 * i) >> 12U) << 4 * i;
    const unsigned steps = b.u16(48 + j / 64 * 2) >> 3 * (j % 64 / 16) & 7U;
    const unsigned own = b.field(32, j / 8, 4);
    return iq1(Block::halfOf(d) * float(2 * steps + 1), b.u8(j / 8) | (own & 7U) << 8U, (own & 8U) != 0, j);
}

float q5Code(const Block& b, std::size_t high, std::size_t j)
{
    return float(b.nibble(high + 4, j, 16) | b.bit(high, j) << 4U);
}

using Definition = float (*)(const Block&, std::size_t);

const std::map<std::string, Definition> kDefinitions {
    {"q4_0", [](const Block& b, std::size_t j) { return (float(b.nibble(2, j, 16)) - 8) * b.half(0); }},
    {"q4_1", [](const Block& b, std::size_t j) { return float(b.nibble(4, j, 16)) * b.half(0) + b.half(2); }},
    {"q5_0", [](const Block& b, std::size_t j) { return (q5Code(b, 2, j) - 16) * b.half(0); }},
    {"q5_1", [](const Block& b, std::size_t j) { return q5Code(b, 4, j) * b.half(0) + b.half(2); }},
    {"q8_0", [](const Block& b, std::size_t j) { return float(b.i8(2 + j)) * b.half(0); }},
    {"q8_1", [](const Block& b, std::size_t j) { return float(b.i8(4 + j)) * b.half(0); }},
    {"q2_K",
        [](const Block& b, std::size_t j) {
            const unsigned scales = b.u8(j / 16);
            return b.half(80) * float(scales & 15U) * float(b.plane(16, j)) - b.half(82) * float(scales >> 4U);
        }},
    {"q3_K", q3K},
    {"q4_K", [](const Block& b, std::size_t j) { return affineK(b, j, q4KCode(b, 16, j)); }},
    {"q5_K",
        [](const Block& b, std::size_t j) {
            return affineK(b, j, q4KCode(b, 48, j) | (b.u8(16 + j % 32) >> j / 32 & 1U) << 4U);
        }},
    {"q6_K", q6K},
    {"q8_K", [](const Block& b, std::size_t j) { return std::bit_cast<float>(b.u32(0)) * float(b.i8(4 + j)); }},
    {"iq1_s", iq1S},
    {"iq1_m", iq1M},
    {"iq2_xxs", iq2Xxs},
    {"iq2_xs", iq2Xs},
    {"iq2_s", iq2S},
    {"iq3_xxs", iq3Xxs},
    {"iq3_s", iq3S},
    {"iq4_nl", [](const Block& b, std::size_t j) { return b.half(0) * float(kIq4[b.nibble(2, j, 16)]); }},
    {"iq4_xs", iq4Xs},
    {"tq1_0", tq1},
    {"tq2_0", [](const Block& b, std::size_t j) { return (float(b.plane(0, j)) - 1) * b.half(64); }},
    {"mxfp4", mxfp4},
    {"nvfp4", nvfp4},
    {"q1_0", [](const Block& b, std::size_t j) { return b.bit(2, j) ? b.half(0) : -b.half(0); }},
    {"q2_0", [](const Block& b, std::size_t j) { return (float(b.field(2, j, 2)) - 1) * b.half(0); }},
};

/// Entries as integers in hexadecimal, the level's number of the first weight in the lowest bits, all one after the
/// other: the CRC-32 of that text is known.
template<std::size_t size>
std::uint32_t checksum(
    const std::array<std::uint64_t, size>& grid, const std::vector<int>& levels, std::size_t weights, unsigned bits)
{
    std::uint32_t crc = 0xffffffffU;
    for (const auto entry : grid) {
        unsigned packed = 0;
        for (std::size_t j = 0; j < weights; ++j) {
            const auto at = std::find(levels.begin(), levels.end(), levelOf(entry, j)) - levels.begin();
            packed |= unsigned(at) << bits * j;
        }
        const auto text = QByteArray::number(packed, 16).rightJustified(int(weights * bits / 4), '0');
        for (const char c : text) {
            crc ^= static_cast<std::uint8_t>(c);
            for (int bit = 0; bit < 8; ++bit)
                crc = crc >> 1U ^ (crc & 1U ? 0xedb88320U : 0U);
        }
    }
    return ~crc;
}

}  // namespace

class TestDecodeBlocks : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void gridsAreTheKnownOnes()
    {
        using namespace kernels::ggml;
        QCOMPARE(checksum(kIq2XxsGrid, {8, 25, 43}, 8, 2), 0x757ee0ccU);
        QCOMPARE(checksum(kIq2XsGrid, {8, 25, 43}, 8, 2), 0x0ee9db97U);
        QCOMPARE(checksum(kIq2SGrid, {8, 25, 43}, 8, 2), 0x86810c0eU);
        QCOMPARE(checksum(kIq3XxsGrid, {4, 12, 20, 28, 36, 44, 52, 62}, 4, 3), 0xd4e0a9ccU);
        QCOMPARE(checksum(kIq3SGrid, {1, 3, 5, 7, 9, 11, 13, 15}, 4, 3), 0xb012af85U);
        QCOMPARE(checksum(kIq1Grid, {-8, 0, 8}, 8, 2), 0x776605f5U);
    }

    void everyTypeOnEveryTarget_data()
    {
        QTest::addColumn<qint64>("target");
        QTest::addColumn<int>("dtype");
        for (const auto target : hwy::SupportedAndGeneratedTargets())
            for (int type = int(DType::Q4_0); type <= int(DType::Q2_0); ++type)
                QTest::addRow("%s %s", hwy::TargetName(target), nameOf(DType(type)).data()) << qint64(target) << type;
    }

    // Bytes without a pattern, so that every code, every sign and every scale occurs, NaN and infinity too; at an odd
    // address; rows in the midst.
    void everyTypeOnEveryTarget()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, dtype);
        const TargetScope scope(target);
        const auto& traits = traitsOf(DType(dtype));
        QVERIFY(traits.decodable);
        const auto definition = kDefinitions.at(std::string(traits.name));
        constexpr std::size_t rows = 70, blocksPerRow = 3;
        const auto columns = blocksPerRow * traits.blockElements, rowBytes = blocksPerRow * traits.blockBytes;
        std::vector<std::uint8_t> bytes(1 + rows * rowBytes);
        std::mt19937 random(unsigned(dtype) + 7);
        for (auto& byte : bytes)
            byte = static_cast<std::uint8_t>(random());
        const TensorView view {DType(dtype), {rows, columns}, std::as_bytes(std::span(bytes)).subspan(1), nullptr};
        QCOMPARE(byteCount(rows * columns, DType(dtype)), std::optional(std::uint64_t(view.bytes.size())));
        std::vector<float> out((rows - 2) * columns);
        decodeRows(view, 1, rows - 2, out);
        for (std::size_t i = 0; i < out.size(); ++i) {
            const Block block {bytes.data() + 1 + rowBytes + i / traits.blockElements * traits.blockBytes};
            const float expected = definition(block, i % traits.blockElements);
            const bool same = std::isnan(expected)
                ? std::isnan(out[i])
                : std::bit_cast<std::uint32_t>(expected) == std::bit_cast<std::uint32_t>(out[i]);
            if (!same)
                QFAIL(qPrintable(QString("weight %1: %2, not %3").arg(i).arg(out[i]).arg(expected)));
        }
    }

    void scalesWithoutANumber()
    {
        std::vector<std::uint8_t> bytes(2 * 34, 1);
        bytes[0] = 0, bytes[1] = 0x7e;        // NaN
        bytes[34] = 0, bytes[34 + 1] = 0xfc;  // −infinity
        const TensorView view {DType::Q8_0, {2, 32}, std::as_bytes(std::span(bytes)), nullptr};
        std::vector<float> out(64);
        decodeRows(view, 0, 2, out);
        QVERIFY(std::isnan(out[0]) && std::isnan(out[31]));
        QCOMPARE(out[32], -INFINITY);
        QCOMPARE(out[63], -INFINITY);
    }
};

QTEST_APPLESS_MAIN(TestDecodeBlocks)
#include "tst_decode_blocks.moc"
