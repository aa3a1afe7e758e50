// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/float_bits.h"
#include "core/kernels/ggml_blocks.h"
#include "core/kernels/ggml_fits.h"
#include "tests/support/kernel_sweep.h"
#include "tests/support/npy_file.h"
#include "tests/support/shared_data.h"
#include "tests/support/synthetic_layer.h"

#include <nlohmann/json.hpp>

#include <fstream>

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::GgmlBlock;

namespace {

using BlockBytes = std::vector<std::byte>;

struct NamedBlock {
    const char* name;
    GgmlBlock block;
};
constexpr NamedBlock kBlocks[] = {{"q4_0", GgmlBlock::Q4_0}, {"q4_1", GgmlBlock::Q4_1}, {"q5_0", GgmlBlock::Q5_0},
    {"q5_1", GgmlBlock::Q5_1}, {"q8_0", GgmlBlock::Q8_0}, {"iq4_nl", GgmlBlock::Iq4Nl}, {"iq4_xs", GgmlBlock::Iq4Xs}};

std::size_t bytesOf(GgmlBlock block, std::size_t elements)
{
    return elements / kernels::ggmlBlockSize(block).elements * kernels::ggmlBlockSize(block).bytes;
}

BlockBytes encoded(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance)
{
    BlockBytes out(bytesOf(block, rows.size()));
    kernels::ggmlEncode(block, rows, columns, importance, out);
    return out;
}

// Weights that are hard to get right, one kind each.
enum class Kind {
    Ordinary,
    HeavyTailed,
    Positive,
    Negative,
    Constant,
    Zero,
    Sparse,
    ZeroBlocks,
    Signs,
    SignedZeros,
    Whole,
    Narrow,
    Tiny,
    Tinier,
    Subnormal,
    Loud,
    Huge,
    Awkward,
    Count
};

std::vector<float> weightsOf(Kind kind, std::size_t count)
{
    std::mt19937 random(71U + unsigned(kind));
    std::normal_distribution<float> normal;
    std::vector<float> weights(count);
    if (kind == Kind::Awkward)
        std::ranges::copy(Samples(int(count), 0, Content::Awkward).values(), weights.begin());
    else
        for (std::size_t i = 0; i < count; ++i) {
            const float g = normal(random);
            const auto dice = random();
            switch (kind) {
            case Kind::HeavyTailed: weights[i] = 0.02F * g * g * g; break;
            case Kind::Positive: weights[i] = dice % 8 == 0 ? (dice % 16 == 0 ? 0.0F : -0.0F) : std::fabs(g); break;
            case Kind::Negative: weights[i] = -0.5F - std::fabs(g); break;
            case Kind::Constant: weights[i] = i / 32 % 2 == 0 ? 0.37F : -0.37F; break;
            case Kind::Zero: weights[i] = 0.0F; break;
            case Kind::Sparse: weights[i] = dice % 16 == 0 ? g : 0.0F; break;
            case Kind::ZeroBlocks: weights[i] = i / 32 % 3 == 0 ? 0.0F : g; break;
            case Kind::Signs: weights[i] = dice % 2 == 0 ? 0.25F : -0.25F; break;
            case Kind::SignedZeros: weights[i] = dice % 2 == 0 ? 0.0F : -0.0F; break;
            case Kind::Whole: weights[i] = std::nearbyint(4.0F * g); break;
            case Kind::Narrow: weights[i] = -5.0F + 1e-4F * g; break;
            case Kind::Tiny: weights[i] = 1e-14F * g; break;
            case Kind::Tinier: weights[i] = 1e-18F * g; break;
            case Kind::Subnormal: weights[i] = 1e-39F * g; break;
            case Kind::Loud: weights[i] = dice % 64 == 0 ? 300.0F * g : g; break;
            case Kind::Huge: weights[i] = 1e7F * g * g * g * g * g * (dice % 64 == 0 ? 1e24F : 1.0F); break;
            default: weights[i] = 0.02F * g;
            }
        }
    return weights;
}

// One value ≥ 0 for each column, very uneven, some zero.
std::vector<float> importanceOf(std::size_t columns)
{
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::vector<float> importance(columns);
    for (auto& value : importance)
        value = random() % 16 == 0 ? 0.0F : std::exp(2.0F * normal(random));
    return importance;
}

std::string contentOf(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), {});
}

}  // namespace

class TestGgmlBlocks : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data()
    {
        QTest::addColumn<qint64>("target");
        QTest::addColumn<int>("block");
        for (const auto target : hwy::SupportedAndGeneratedTargets())
            for (const auto& [name, block] : kBlocks)
                QTest::addRow("%s %s", hwy::TargetName(target), name) << qint64(target) << int(block);
    }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, block);
        const TargetScope scope(target);
        const auto type = static_cast<GgmlBlock>(block);
        const std::size_t elements = kernels::ggmlBlockSize(type).elements;
        for (int kind = 0; kind < int(Kind::Count); ++kind)
            for (const std::size_t columns : {elements, 3 * elements, 512 + elements})
                for (const std::size_t rowCount : {1U, 11U})
                    for (const bool weighted : {false, true}) {
                        const std::size_t shift = rowCount % 4;  // off their alignment
                        const auto storage = weightsOf(Kind(kind), rowCount * columns + shift);
                        const auto rows = std::span(storage).subspan(shift);
                        const auto weights = importanceOf(columns + shift);
                        const auto importance = weighted ? std::span(weights).subspan(shift) : std::span<const float>();
                        BlockBytes expected(bytesOf(type, rows.size()));
                        kernels::ggmlEncodeReference(type, rows, columns, importance, expected);
                        const BlockBytes bytes = encoded(type, rows, columns, importance);
                        const auto [at, other] = std::ranges::mismatch(bytes, expected);
                        QVERIFY2(at == bytes.end(),
                            qPrintable(QString("kind %1, %2 x %3, weighted %4: byte %5")
                                           .arg(kind)
                                           .arg(rowCount)
                                           .arg(columns)
                                           .arg(weighted)
                                           .arg(at - bytes.begin())));
                        std::vector<float> decoded(rows.size()), expectedValues(rows.size());
                        kernels::ggmlDecode(type, bytes, decoded);
                        kernels::ggmlDecodeReference(type, bytes, expectedValues);
                        QCOMPARE(firstDifference(decoded, expectedValues), -1);
                        QVERIFY(std::ranges::all_of(decoded, [](float value) { return std::isfinite(value); }));
                    }
    }

    // Any bytes of a file with finite scales.
    void decodesAnyBytes_data() { matchesReference_data(); }
    void decodesAnyBytes()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, block);
        const TargetScope scope(target);
        const auto type = static_cast<GgmlBlock>(block);
        const auto [elements, size] = kernels::ggmlBlockSize(type);
        std::mt19937 random(3);
        BlockBytes bytes(300 * size);
        std::ranges::generate(bytes, [&] { return std::byte(random()); });
        for (std::size_t at = 0; at < bytes.size(); at += size)
            for (const std::size_t high : {1U, 3U})  // of the scale, and of the minimum where there is one
                bytes[at + high] &= std::byte {0xbf};
        std::vector<float> decoded(300 * elements), expected(decoded.size());
        kernels::ggmlDecode(type, bytes, decoded);
        kernels::ggmlDecodeReference(type, bytes, expected);
        QCOMPARE(firstDifference(decoded, expected), -1);
    }

    // In a group, values rise (or fall, with a negative scale) with the codes, and equal codes mean equal values.
    void codesOrderValues_data() { blocks(); }
    void codesOrderValues()
    {
        QFETCH(const int, block);
        const auto type = static_cast<GgmlBlock>(block);
        const auto weights = weightsOf(Kind::Ordinary, 4096);
        const BlockBytes bytes = encoded(type, weights, 512, {});
        std::vector<float> values(weights.size());
        std::vector<std::uint32_t> codes(weights.size());
        kernels::ggmlDecode(type, bytes, values);
        kernels::ggmlCodes(type, bytes, codes);
        const auto bits = type == GgmlBlock::Q8_0 ? 8 : type == GgmlBlock::Q5_0 || type == GgmlBlock::Q5_1 ? 5 : 4;
        QVERIFY(*std::ranges::max_element(codes) == (1U << bits) - 1 || type == GgmlBlock::Q8_0);
        for (std::size_t start = 0; start < weights.size(); start += 32) {
            std::vector<std::pair<int, float>> pairs;
            for (std::size_t i = start; i < start + 32; ++i) {
                const int code = type == GgmlBlock::Q8_0 ? std::int8_t(codes[i]) : int(codes[i]);
                pairs.emplace_back(code, values[i]);
            }
            std::ranges::sort(pairs);
            const bool rises = pairs.front().second < pairs.back().second;
            for (std::size_t i = 1; i < pairs.size(); ++i) {
                const auto [code, value] = pairs[i - 1];
                const auto [nextCode, nextValue] = pairs[i];
                QCOMPARE(code == nextCode, value == nextValue);
                QVERIFY(code == nextCode || (value < nextValue) == rises);
            }
        }
    }

    // A block of zeros has the bytes that the original gives it.
    void zeros_data()
    {
        QTest::addColumn<int>("block");
        QTest::addColumn<bool>("weighted");
        QTest::addColumn<QByteArray>("head");
        QTest::addColumn<int>("rest");  // each further byte
        const auto row = [](const char* name, GgmlBlock block, bool weighted, const char* head, int rest) {
            QTest::addRow("%s%s", name, weighted ? " weighted" : "")
                << int(block) << weighted << QByteArray::fromHex(head) << rest;
        };
        row("q4_0", GgmlBlock::Q4_0, false, "0080", 0x88);
        row("q4_0", GgmlBlock::Q4_0, true, "0000", 0x00);
        row("q4_1", GgmlBlock::Q4_1, false, "00000000", 0x00);
        row("q4_1", GgmlBlock::Q4_1, true, "00000000", 0x00);
        row("q5_0", GgmlBlock::Q5_0, false, "0080ffffffff", 0x00);
        row("q5_0", GgmlBlock::Q5_0, true, "0000", 0x00);
        row("q8_0", GgmlBlock::Q8_0, true, "0000", 0x00);
        row("iq4_nl", GgmlBlock::Iq4Nl, false, "0000", 0x88);
        row("iq4_nl", GgmlBlock::Iq4Nl, true, "0000", 0x88);
        row("iq4_xs", GgmlBlock::Iq4Xs, false, "0080aaaa00000000", 0x88);
    }
    void zeros()
    {
        QFETCH(const int, block);
        QFETCH(const bool, weighted);
        QFETCH(const QByteArray, head);
        QFETCH(const int, rest);
        const auto type = static_cast<GgmlBlock>(block);
        const auto [elements, size] = kernels::ggmlBlockSize(type);
        const std::vector<float> weights(elements), importance(weighted ? elements : 0, 1.0F);
        const BlockBytes bytes = encoded(type, weights, elements, importance);
        QByteArray expected = head;
        expected.append(qsizetype(size) - head.size(), char(rest));
        QCOMPARE(QByteArray(reinterpret_cast<const char*>(bytes.data()), qsizetype(bytes.size())), expected);
    }

    // What has no number counts as zero, in its own block and in what its row weighs.
    void notNumbers_data() { blocks(); }
    void notNumbers()
    {
        QFETCH(const int, block);
        const auto type = static_cast<GgmlBlock>(block);
        auto broken = weightsOf(Kind::Ordinary, 4096);
        auto mended = broken;
        const float infinity = std::numeric_limits<float>::infinity();
        for (std::size_t i = 5; i < broken.size(); i += 97) {
            broken[i] = i % 3 == 0 ? infinity : i % 3 == 1 ? -infinity : std::nanf("");
            mended[i] = 0.0F;
        }
        const auto importance = importanceOf(512);
        QVERIFY(encoded(type, broken, 512, {}) == encoded(type, mended, 512, {}));
        QVERIFY(encoded(type, broken, 512, importance) == encoded(type, mended, 512, importance));
    }

    // A scale beyond binary16 saturates.
    void saturates()
    {
        std::vector<float> weights(32, 1.0F);
        weights[7] = 3e38F;
        for (const GgmlBlock type : {GgmlBlock::Q4_0, GgmlBlock::Q8_0, GgmlBlock::Q4_1, GgmlBlock::Iq4Nl}) {
            const BlockBytes bytes = encoded(type, weights, 32, {});
            const unsigned scale = unsigned(bytes[0]) | unsigned(bytes[1]) << 8U;
            QCOMPARE(scale & 0x7fffU, 0x7bffU);
        }
    }

    void halves()
    {
        using kernels::ggml::saturatedHalf;
        for (unsigned half = 0; half < 0x7c00U; ++half) {
            const float value = halfToFloat(std::uint16_t(half));
            QCOMPARE(saturatedHalf(value), half);
            QCOMPARE(saturatedHalf(-value), half | 0x8000U);
            if (half == 0x7bffU)
                continue;
            // Halfway to the next one: to the even neighbour; a little off: to the nearer.
            const float middle = 0.5F * (value + halfToFloat(std::uint16_t(half + 1)));
            QCOMPARE(saturatedHalf(middle), half + half % 2);
            QCOMPARE(saturatedHalf(std::nextafter(middle, 0.0F)), half);
            QCOMPARE(saturatedHalf(std::nextafter(middle, 1e9F)), half + 1);
        }
        QCOMPARE(saturatedHalf(1e30F), 0x7bff);
        QCOMPARE(saturatedHalf(-std::numeric_limits<float>::infinity()), 0xfbff);
        QCOMPARE(saturatedHalf(std::nanf("")), 0);
    }

    void reproducesGolden_data() { blocks(); }
    void reproducesGolden();

private:
    static void blocks()
    {
        QTest::addColumn<int>("block");
        for (const auto& [name, block] : kBlocks)
            QTest::addRow("%s", name) << int(block);
    }
};

// The bytes of the original: all of them without importance; with it, its own compilation may have fused an operation,
// which now and then decides for another candidate.
void TestGgmlBlocks::reproducesGolden()
{
    QUANTLOUPE_NEED(golden() / "index.json");
    QFETCH(const int, block);
    const auto type = static_cast<GgmlBlock>(block);
    const std::string method = std::string("ggml_") + QTest::currentDataTag();
    std::size_t plain = 0;
    for (const auto& entry : nlohmann::json::parse(contentOf(golden() / "index.json"))) {
        const bool weighted = entry.at("method") == method + "_im";
        if (entry.at("method") != method && !weighted)
            continue;
        const std::string layer = entry.at("case");
        const auto folder = golden() / layer;
        std::vector<float> weights, importance;
        std::size_t columns = 512;
        if (layer == "syn512") {
            if (weighted)
                continue;  // its importance is not stored
            const auto synthetic = nlohmann::json::parse(contentOf(golden() / "synthetic.json")).at("syn512");
            weights = syntheticWeights(512, columns, synthetic.at("seed"));
        } else {
            auto array = readNpy(folder / "W.npy");
            auto own = readNpy(folder / "imatrix.npy");
            QVERIFY2(array && own, layer.c_str());
            columns = array->shape.at(1);
            weights = std::move(array->values);
            if (weighted)
                importance = std::move(own->values);
        }
        const BlockBytes bytes = encoded(type, weights, columns, importance);
        const auto& array = entry.at("arrays").at("bytes");
        const std::string data = contentOf(folder / "data.bin");
        const std::string stored = data.substr(array.at("offset"), array.at("nbytes"));
        QVERIFY(!stored.empty() && stored.size() <= bytes.size());
        const std::size_t size = kernels::ggmlBlockSize(type).bytes;
        std::size_t different = 0;
        for (std::size_t at = 0; at < stored.size(); at += size)
            // The last one may be stored in part.
            different += std::memcmp(stored.data() + at, bytes.data() + at, std::min(size, stored.size() - at)) != 0;
        QVERIFY2(different <= (weighted ? stored.size() / size / 20 : 0),
            qPrintable(QString("%1 %2: %3 of %4 blocks differ")
                           .arg(layer.c_str(), entry.at("method").get<std::string>().c_str())
                           .arg(different)
                           .arg(stored.size() / size)));
        plain += weighted ? 0 : 1;
    }
    QVERIFY(plain > 0);
}

QTEST_APPLESS_MAIN(TestGgmlBlocks)
#include "tst_ggml_blocks.moc"
