// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/double_quantization.h"
#include "core/number_formats/quantizer.h"
#include "core/number_formats/tensor_range_search.h"
#include "tests/support/shared_data.h"

#include <nlohmann/json.hpp>

#include <QTest>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>

using namespace quantloupe;

namespace {

constexpr float largest = std::numeric_limits<float>::max();
const float infinity = std::numeric_limits<float>::infinity();
const float notANumber = std::numeric_limits<float>::quiet_NaN();

// Everything that is built.
std::vector<std::string> builtSchemes()
{
    std::vector<std::string> schemes {
        "fp32", "fp16", "bf16", "ternary", "ternary:channel", "ternary:g32", "ternary:s32"};
    const auto granularities = {"tensor", "channel", "g1", "g32", "g43", "g1000"};
    const auto ranges = {"minmax", "p99.9", "p60", "mse"};
    for (const std::string granularity : granularities)
        for (const std::string range : ranges) {
            const std::string tail = ":" + range;
            for (const char* format :
                {"fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1", "nf4", "fp4_bnb", "pot3", "pot4", "pot5"})
                schemes.push_back(std::string(format).append(":").append(granularity).append(tail));
            for (const char* bits : {"2", "3", "4", "5", "6", "7", "8", "16"})
                for (const char* symmetry : {"sym", "symf", "asym", "asymf"})
                    schemes.push_back(std::string("int")
                                          .append(bits)
                                          .append(":")
                                          .append(granularity)
                                          .append(":")
                                          .append(symmetry)
                                          .append(tail));
        }
    for (const char* scheme : {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp4", "mxint8", "nvfp4",
             "lut2", "lut3:g32", "lut4:g20:s32", "lut3:sbf16", "int8:entropy", "int4:tensor:entropy",
             "int4:channel:asym:entropy", "int4:b2x16", "int8:b3x70:asym:mse", "nf4:b4x32:p99", "ternary:b2x35"})
        schemes.push_back(scheme);
    for (const char* storage : {"sbf16", "se8m0", "s8"})
        for (const char* format : {"int4", "int3:g32:asym", "int8:channel:symf:mse", "fp8_e4m3", "fp6_e2m3", "nf4",
                 "pot4", "ternary", "int5:tensor"})
            schemes.push_back(std::string(format).append(":").append(storage));
    schemes.push_back("int4:g32:asymf:sbf16");
    return schemes;
}

// Rows of 70 that are hard to get right, each of them tried alone and all of them as one matrix.
constexpr std::size_t columns = 70;
std::vector<float> awkwardRows()
{
    std::mt19937 random(4);
    std::normal_distribution<float> weight(0.0F, 0.02F);
    std::vector<float> rows;
    const auto row = [&](auto value) {
        for (std::size_t i = 0; i < columns; ++i)
            rows.push_back(value(i));
    };
    row([&](std::size_t) { return weight(random); });
    row([](std::size_t) { return 0.0F; });
    row([](std::size_t) { return -0.0F; });
    row([](std::size_t i) { return std::bit_cast<float>(std::uint32_t(i * 3)); });  // denormals
    row([](std::size_t i) { return i % 2 ? 1e-45F : -1e-45F; });
    row([](std::size_t) { return notANumber; });
    row([&](std::size_t i) {
        return i % 9 == 0 ? notANumber : i % 9 == 1 ? infinity : i % 9 == 2 ? -infinity : weight(random);
    });
    row([](std::size_t i) { return i % 2 ? infinity : -infinity; });
    row([](std::size_t i) { return i % 2 ? largest : -largest; });
    row([](std::size_t i) { return i % 2 ? largest : 0.0F; });
    row([](std::size_t i) { return -largest * float(i) / 70.0F; });
    row([&](std::size_t i) { return i == 33 ? 1e30F : weight(random); });
    row([](std::size_t i) { return 0.5F + float(i) / 1000.0F; });  // all positive
    row([](std::size_t i) { return -0.5F - float(i) / 1000.0F; });
    row([](std::size_t i) { return (float(i) - 35.0F) * 0.5F; });  // ties
    row([](std::size_t) { return 0.3F; });
    row([&](std::size_t) { return std::bit_cast<float>(std::uint32_t(random())); });
    return rows;
}

UnitGrid tensorGrid(const Quantizer& quantizer, std::span<const float> weights)
{
    float low = infinity, high = -infinity;
    std::uint64_t count = 0;
    for (const float w : weights)
        if (std::isfinite(w)) {
            low = std::min(low, w);
            high = std::max(high, w);
            ++count;
        }
    TensorRangeSearch search(quantizer, low, high, count);
    while (search.needsPass()) {
        auto part = search.emptyPartial();
        search.add(part, weights);
        search.finishPass(part);
    }
    return search.grid();
}

float largestSize(std::span<const float> weights)
{
    float size = 0.0F;
    for (const float w : weights)
        size = std::isfinite(w) ? std::max(size, std::abs(w)) : size;
    return size;
}

std::vector<UnitGrid> gridsOf(const Quantizer& quantizer, std::span<const float> weights, std::size_t rows)
{
    std::vector<UnitGrid> grids(quantizer.gridCount(rows));
    if (quantizer.wholeTensor())
        grids[0] = tensorGrid(quantizer, weights);
    else
        quantizer.fit(weights, rows, grids);
    if (quantizer.scheme().scales == ScaleStorage::Double8)
        quantizeScales(quantizer.scheme(), grids);
    return grids;
}

Quantizer make(const std::string& scheme, std::size_t width = columns)
{
    return Quantizer::create(*Scheme::parse(scheme), width).value();
}

}  // namespace

class TestQuantizer : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void law_data();
    void law();
    void nonFiniteDoNotMoveGrids_data() { law_data(); }
    void nonFiniteDoNotMoveGrids();
    void errorBound_data() { law_data(); }
    void errorBound();
    void refused_data();
    void refused();
    void unitsOfRaggedRows();
    void edgeCasesOfTheOriginals();
    void clampedAreCounted();
    void levels();
    void emptyMatrices();
};

void TestQuantizer::law_data()
{
    QTest::addColumn<std::string>("scheme");
    for (const auto& scheme : builtSchemes())
        QTest::addRow("%s", scheme.c_str()) << scheme;
}

void TestQuantizer::law()
{
    QFETCH(const std::string, scheme);
    Quantizer quantizer = make(scheme);
    const std::vector<float> matrix = awkwardRows();
    const bool keepsSpecials = !quantizer.hasScale();
    const auto check = [&](std::span<const float> weights) {
        const std::size_t rows = weights.size() / columns;
        quantizer.setTensorAbsMax(largestSize(weights));
        const auto grids = gridsOf(quantizer, weights, rows);
        std::vector<float> quantized(weights.size()), decoded(weights.size());
        std::vector<std::uint32_t> codes(weights.size());
        quantizer.fakeQuantize(weights, rows, grids, quantized);
        quantizer.encode(weights, rows, grids, codes);
        if (quantizer.hasGrids()) {
            quantizer.decode(codes, rows, grids, decoded);
        } else {
            std::vector<std::byte> bytes(rows * quantizer.packedRowBytes());
            quantizer.pack(weights, rows, bytes);
            quantizer.unpack(bytes, rows, decoded);
            QCOMPARE(std::uint64_t(bytes.size()), quantizer.scheme().storedBytes({rows, columns}));
            for (std::size_t i = 0; i < codes.size(); i += 13)
                QCOMPARE(quantizer.levelsAt(weights.subspan(i / columns * columns, columns), i % columns)[codes[i]],
                    decoded[i]);
        }
        for (std::size_t i = 0; i < weights.size(); ++i) {
            QCOMPARE(std::bit_cast<quint32>(quantized[i]), std::bit_cast<quint32>(decoded[i]));
            QVERIFY(quantizer.codeCount() == 0 || codes[i] < quantizer.codeCount());
            QVERIFY(keepsSpecials || std::isfinite(quantized[i]));
            if (!keepsSpecials)
                continue;
            QVERIFY(std::isnan(weights[i]) == std::isnan(quantized[i]));
            QVERIFY(!std::isinf(weights[i]) || quantized[i] == weights[i]);
        }
        for (const UnitGrid& grid : grids)
            QVERIFY(std::isfinite(grid.scale) && grid.scale >= 0.0F && std::isfinite(grid.zero));
    };
    check(matrix);
    for (std::size_t row = 0; row < matrix.size() / columns; ++row)
        check(std::span(matrix).subspan(row * columns, columns));
}

void TestQuantizer::nonFiniteDoNotMoveGrids()
{
    QFETCH(const std::string, scheme);
    if (scheme.find(":channel") == std::string::npos && scheme.find(":tensor") == std::string::npos && scheme != "lut2")
        return;
    std::vector<float> clean, broken;
    std::mt19937 random(5);
    std::normal_distribution<float> weight(0.0F, 0.02F);
    for (std::size_t i = 0; i < 100; ++i) {
        clean.push_back(weight(random));
        broken.push_back(clean.back());
        if (i % 3 == 0)
            broken.push_back(i % 2 ? notANumber : i % 4 ? infinity : -infinity);
    }
    const Quantizer ofClean = make(scheme, clean.size());
    const Quantizer ofBroken = make(scheme, broken.size());
    const auto a = gridsOf(ofClean, clean, 1);
    const auto b = gridsOf(ofBroken, broken, 1);
    if (a.empty()) {
        QVERIFY(ofClean.levelsAt(clean, 0) == ofBroken.levelsAt(broken, 0));
        return;
    }
    if (scheme.find("mse") == std::string::npos && scheme.find("ternary") == std::string::npos) {
        QVERIFY(a == b);
    } else {
        // Sums in another order may choose the neighbour among near ties.
        QVERIFY(std::abs(a[0].scale - b[0].scale) <= 0.0101F * a[0].scale);
    }
    // NaN becomes what lies nearest to zero.
    std::vector<float> quantized(broken.size());
    ofBroken.fakeQuantize(broken, 1, b, quantized);
    float nearest = infinity;
    for (const float level : ofBroken.levels(b[0]))
        nearest = std::min(nearest, std::abs(level));
    for (std::size_t i = 0; i < broken.size(); ++i)
        if (std::isnan(broken[i]) && ofBroken.codeCount() <= 256)
            QCOMPARE(std::abs(quantized[i]), nearest);
}

void TestQuantizer::errorBound()
{
    QFETCH(const std::string, scheme);
    if (scheme.find(":p") != std::string::npos || scheme.find("mse") != std::string::npos
        || scheme.find("entropy") != std::string::npos || scheme.find(":s8") != std::string::npos
        || scheme.find(":b") != std::string::npos)
        return;
    Quantizer quantizer = make(scheme, 96);
    std::mt19937 random(6);
    std::normal_distribution<float> weight(0.001F, 0.02F);
    std::vector<float> weights(96 * 20);
    for (float& w : weights)
        w = weight(random);
    // Every unit of symf has something negative; see the bound's documentation.
    const std::size_t length = quantizer.unitLength();
    for (std::size_t i = 0; i < weights.size(); i += length)
        weights[i] = -std::abs(weights[i]);
    quantizer.setTensorAbsMax(largestSize(weights));
    const auto grids = gridsOf(quantizer, weights, 20);
    std::vector<float> quantized(weights.size());
    quantizer.fakeQuantize(weights, 20, grids, quantized);
    for (std::size_t row = 0; row < 20; ++row)
        for (std::size_t unit = 0; unit * length < 96; ++unit) {
            const std::size_t begin = row * 96 + unit * length;
            const std::size_t end = row * 96 + std::min<std::size_t>(96, (unit + 1) * length);
            double absMax = 0.0, error = 0.0;
            for (std::size_t i = begin; i < end; ++i) {
                absMax = std::max(absMax, double(std::abs(weights[i])));
                error = std::max(error, std::abs(double(weights[i]) - double(quantized[i])));
            }
            if (quantizer.wholeTensor() || quantizer.needsTensorAbsMax())
                absMax = double(std::abs(*std::max_element(
                    weights.begin(), weights.end(), [](float a, float b) { return std::abs(a) < std::abs(b); })));
            QVERIFY2(error <= quantizer.worstCaseError(absMax),
                qPrintable(QString("%1 > %2").arg(error).arg(quantizer.worstCaseError(absMax))));
        }
}

void TestQuantizer::refused_data()
{
    QTest::addColumn<std::string>("scheme");
    QTest::addColumn<QString>("reason");
    const auto row = [](const char* scheme, const char* reason) {
        QTest::newRow(scheme) << std::string(scheme) << QString(reason);
    };
    row("int8:token", "weights have no tokens");
    row("int4:entropy", "a group has too few weights");
    row("nf4:channel:entropy", "nf4 takes minmax, pN or mse");
    row("int16:entropy", "at most eight bits");
    row("int4:asymf:se8m0", "asymf takes s32, s16 or sbf16");
    row("int4:asymf:s8", "asymf takes s32, s16 or sbf16");
    row("lut4:tensor", "use channel or gN");
    row("lut4:b2x2", "use channel or gN");
    row("lut4:s8", "stored as s32, s16 or sbf16");
}

void TestQuantizer::refused()
{
    QFETCH(const std::string, scheme);
    QFETCH(const QString, reason);
    const auto quantizer = Quantizer::create(*Scheme::parse(scheme), 64);
    QVERIFY(!quantizer);
    QCOMPARE(quantizer.error().code, ErrorCode::Unsupported);
    QCOMPARE(quantizer.error().where, "scheme '" + scheme + "'");
    QVERIFY2(QString::fromStdString(quantizer.error().reason).contains(reason), quantizer.error().reason.c_str());
}

void TestQuantizer::unitsOfRaggedRows()
{
    const Quantizer grouped = make("int4:g32", 70);
    QCOMPARE(grouped.unitLength(), std::size_t(32));
    QCOMPARE(grouped.unitsPerRow(), std::size_t(3));
    QCOMPARE(grouped.gridCount(5), std::size_t(15));
    QCOMPARE(make("int4:g128", 70).unitsPerRow(), std::size_t(1));
    QCOMPARE(make("int4:g128", 70).unitLength(), std::size_t(70));
    QCOMPARE(make("int8", 70).gridCount(5), std::size_t(5));
    const Quantizer whole = make("int8:tensor", 70);
    QVERIFY(whole.wholeTensor());
    QCOMPARE(whole.gridCount(5), std::size_t(1));
    QVERIFY(!make("bf16").hasScale());
    // The last, short group has a scale of its own.
    std::vector<float> row(70, 0.07F);
    std::fill(row.begin() + 64, row.end(), 0.7F);
    std::vector<UnitGrid> grids(3);
    grouped.fit(row, 1, grids);
    QCOMPARE(grids[0].scale, 0.07F / 7.0F);
    QCOMPARE(grids[2].scale, 0.7F / 7.0F);
    std::vector<float> quantized(70);
    grouped.fakeQuantize(row, 1, grids, quantized);
    QVERIFY(std::abs(quantized[69] - 0.7F) < 1e-7F && std::abs(quantized[0] - 0.07F) < 1e-8F);
}

// Single rows on which implementations diverge: all zero, all of one sign, one outlier.
void TestQuantizer::edgeCasesOfTheOriginals()
{
    QUANTLOUPE_NEED(tests::golden() / "misc" / "misc.json");
    std::ifstream file(tests::golden() / "misc" / "misc.json");
    const auto misc = nlohmann::json::parse(file);
    int compared = 0;
    for (const char* name : {"row_all_zero", "row_all_pos", "row_all_neg", "row_one_outlier"}) {
        const auto weights = misc.at(name).at("in").at(0).get<std::vector<float>>();
        for (const std::string symmetry : {"symn", "symf", "asym"})
            for (const std::string bits : {"2", "4"}) {
                const auto& expected = misc.at(name).at(symmetry + bits);
                const Quantizer quantizer =
                    make("int" + bits + ":channel:" + (symmetry == "symn" ? "sym" : symmetry), weights.size());
                std::vector<UnitGrid> grids(1);
                quantizer.fit(weights, 1, grids);
                std::vector<std::uint32_t> codes(weights.size());
                quantizer.encode(weights, 1, grids, codes);
                const int offset = symmetry == "symn" ? 1 << (std::stoi(bits) - 1) : 0;
                std::vector<int> signedCodes;
                for (const std::uint32_t code : codes)
                    signedCodes.push_back(int(code) - offset);
                QCOMPARE(signedCodes, expected.at("codes").at(0).get<std::vector<int>>());
                QCOMPARE(grids[0].scale, expected.at("scale").get<float>());
                if (expected.contains("zero"))
                    QCOMPARE(grids[0].zero, expected.at("zero").get<float>() + 0.0F);
                ++compared;
            }
    }
    QCOMPARE(compared, 24);
}

void TestQuantizer::clampedAreCounted()
{
    // Sixteen values; the range is cut at 80 % of the largest: 0.9 and 1.0 and −1.0 leave it.
    std::vector<float> row;
    for (int i = 0; i <= 10; ++i)
        row.push_back(float(i) / 10.0F);
    row.insert(row.end(), {-1.0F, -0.2F, infinity, -infinity, notANumber});
    const Quantizer quantizer = make("int8:channel", row.size());
    std::vector<float> quantized(row.size());
    const UnitGrid grid {0.8F / 127.0F, 128.0F};
    QCOMPARE(quantizer.fakeQuantize(row, 1, {&grid, 1}, quantized), std::uint64_t(3));
    std::vector<UnitGrid> fitted(1);
    quantizer.fit(row, 1, fitted);
    QCOMPARE(quantizer.fakeQuantize(row, 1, fitted, quantized), std::uint64_t(0));
    const UnitGrid half {0.5F, 2.0F};
    QCOMPARE(make("nf4:channel", row.size()).fakeQuantize(row, 1, {&half, 1}, quantized), std::uint64_t(6));
    const UnitGrid narrow {1.0F / 640.0F, 640.0F};
    QCOMPARE(make("fp8_e4m3", row.size()).fakeQuantize(row, 1, {&narrow, 1}, quantized), std::uint64_t(4));
    const std::vector<float> loud {65504.0F, 65520.0F, -1e6F, infinity};
    std::vector<float> halves(4);
    QCOMPARE(make("fp16", 4).fakeQuantize(loud, 1, {}, halves), std::uint64_t(2));
}

void TestQuantizer::levels()
{
    const auto ofInt = make("int3:channel:asym").levels({0.5F, 3.0F});
    QCOMPARE(ofInt, (std::vector<float> {-1.5F, -1.0F, -0.5F, 0.0F, 0.5F, 1.0F, 1.5F, 2.0F}));
    QCOMPARE(
        make("int3:channel:asymf").levels({0.5F, -1.0F}), (std::vector<float> {-1, -0.5F, 0, 0.5F, 1, 1.5F, 2, 2.5F}));
    QCOMPARE(make("ternary").levels({0.25F, 1.0F}), (std::vector<float> {-0.25F, 0.0F, 0.25F}));
    const auto nf4 = make("nf4").levels({2.0F, 0.5F});
    QCOMPARE(nf4.size(), std::size_t(16));
    QCOMPARE(nf4.front(), -2.0F);
    QCOMPARE(nf4[7], 0.0F);
    QVERIFY(std::is_sorted(nf4.begin(), nf4.end()));
    const auto fp8 = make("fp8_e4m3").levels({2.0F, 0.5F});
    QCOMPARE(fp8.size(), std::size_t(256));
    QCOMPARE(fp8[0x7E], 896.0F);
    QVERIFY(std::isnan(fp8[0x7F]));
    QVERIFY(make("fp16").levels({}).empty());
    QCOMPARE(make("fp16").codeCount(), std::size_t(65536));
    QCOMPARE(make("fp32").codeCount(), std::size_t(0));
    QCOMPARE(make("int16").codeCount(), std::size_t(65536));
}

void TestQuantizer::emptyMatrices()
{
    for (const auto& scheme : builtSchemes()) {
        const Quantizer noColumns = make(scheme, 0);
        std::vector<UnitGrid> grids(noColumns.gridCount(3));
        if (!noColumns.wholeTensor())
            noColumns.fit({}, 3, grids);
        QCOMPARE(noColumns.fakeQuantize({}, 3, grids, {}), std::uint64_t(0));
        const Quantizer noRows = make(scheme, 5);
        QCOMPARE(noRows.gridCount(0), std::size_t(noRows.wholeTensor() ? 1 : 0));
        if (noRows.wholeTensor())
            QVERIFY(std::isfinite(tensorGrid(noRows, {}).scale));
    }
}

QTEST_APPLESS_MAIN(TestQuantizer)
#include "tst_quantizer.moc"
