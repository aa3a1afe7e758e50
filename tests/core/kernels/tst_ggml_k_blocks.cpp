// SPDX-License-Identifier: GPL-3.0-or-later
// ggml's k-quants: the bytes of ggml itself, the same on every instruction set, and always finite.
#include "core/kernels/ggml_k_blocks.h"
#include "tests/support/kernel_sweep.h"
#include "tests/support/shared_data.h"
#include "tests/support/synthetic_activations.h"

#include <nlohmann/json.hpp>

#include <QCryptographicHash>

#include <fstream>
#include <functional>

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::GgmlBlock;
using nlohmann::json;

namespace {

constexpr std::size_t kSuperBlock = 256;

struct Named {
    const char* name;
    GgmlBlock block;
    std::uint32_t highestCode;
};
constexpr Named kBlocks[] = {{"q2_K", GgmlBlock::Q2_K, 3}, {"q3_K", GgmlBlock::Q3_K, 7}, {"q4_K", GgmlBlock::Q4_K, 15},
    {"q5_K", GgmlBlock::Q5_K, 31}, {"q6_K", GgmlBlock::Q6_K, 63}};

using Random = std::mt19937;

float normal(Random& random)
{
    return std::normal_distribution<float>()(random);
}

struct Distribution {
    const char* name;
    std::function<float(Random&, std::size_t)> draw;
};

// What weights look like, and what they should not look like.
std::vector<Distribution> distributions()
{
    const float infinity = std::numeric_limits<float>::infinity();
    const auto scaled = [](float size) { return [size](Random& r, std::size_t) { return size * normal(r); }; };
    return {
        {"normal", scaled(0.02F)},
        {"heavy tails", [](Random& r, std::size_t) { return 0.02F * std::pow(normal(r), 3.0F); }},
        {"heavier tails", [](Random& r, std::size_t) { return normal(r) * std::exp(3.0F * normal(r)); }},
        {"positive", [](Random& r, std::size_t) { return std::abs(normal(r)) + 0.1F; }},
        {"negative", [](Random& r, std::size_t) { return -std::abs(normal(r)); }},
        {"constant", [](Random&, std::size_t) { return 0.37F; }},
        {"negative constant", [](Random&, std::size_t) { return -0.37F; }},
        {"zero", [](Random&, std::size_t) { return 0.0F; }},
        {"minus zero", [](Random&, std::size_t) { return -0.0F; }},
        {"sparse", [](Random& r, std::size_t) { return r() % 20 == 0 ? normal(r) : 0.0F; }},
        {"zero groups of 16", [](Random& r, std::size_t i) { return i / 16 % 3 == 0 ? 0.0F : normal(r); }},
        {"zero groups of 32", [](Random& r, std::size_t i) { return i / 32 % 3 == 0 ? 0.0F : normal(r); }},
        {"whole", [](Random& r, std::size_t) { return float(int(r() % 15) - 7); }},
        {"two values", [](Random& r, std::size_t) { return r() % 2 ? 1.0F : -1.0F; }},
        {"ramp", [](Random&, std::size_t i) { return float(i % 32) * 0.1F - 1.5F; }},
        {"far below zero", [](Random& r, std::size_t) { return -100.0F + 1e-3F * normal(r); }},
        {"far above zero", [](Random& r, std::size_t) { return 100.0F + 1e-3F * normal(r); }},
        {"groups of any size",
            [](Random& r, std::size_t i) { return normal(r) * std::pow(10.0F, float(i / 16 * 7 % 11) - 8.0F); }},
        {"subnormal scales", scaled(1e-5F)},
        {"vanishing scales", scaled(1e-7F)},
        {"1e-12", scaled(1e-12F)},
        {"at the threshold", scaled(1e-15F)},
        {"below it", scaled(1e-18F)},
        {"reciprocals overflow", scaled(1e-37F)},
        {"subnormal", scaled(1e-42F)},
        {"large", scaled(1e5F)},
        {"scales overflow", scaled(1e9F)},
        {"largest", [](Random& r, std::size_t) { return r() % 3 ? 3.4e38F : -3.4e38F * float(r() % 2); }},
        {"not numbers",
            [=](Random& r, std::size_t) {
                const float specials[] = {std::nanf(""), infinity, -infinity, 1e-45F, 3.4e38F};
                return r() % 5 == 0 ? specials[r() % 5] : normal(r);
            }},
        {"rarely not numbers", [=](Random& r, std::size_t i) { return i % 97 == 5 ? -infinity : 0.02F * normal(r); }},
        {"any bits", [](Random& r, std::size_t) { return std::bit_cast<float>(std::uint32_t(r())); }},
    };
}

// 0: none; 1: usual; 2: many zeros, and sizes far apart; 3: so large in some groups that sums overflow.
std::vector<float> importanceOf(int kind, std::size_t columns, Random& random)
{
    std::vector<float> importance(kind == 0 ? 0 : columns);
    for (std::size_t i = 0; i < importance.size(); ++i) {
        const float g = normal(random);
        importance[i] = kind != 2 ? g * g + 1e-4F
            : random() % 4 == 0   ? 0.0F
                                  : std::abs(g) * std::exp(3.0F * normal(random));
        if (kind == 3 && i / 16 % 5 == 1)
            importance[i] = i / 16 % 2 == 0 ? 1e33F : 2e37F;
        if (kind == 3 && i / 256 % 2 == 1)
            importance[i] = 3e38F;
    }
    return importance;
}

std::vector<std::byte> encoded(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, decltype(kernels::ggmlEncodeK)* encode = kernels::ggmlEncodeK)
{
    std::vector<std::byte> bytes(rows.size() / kSuperBlock * kernels::ggmlBlockSize(block).bytes, std::byte(0x5a));
    encode(block, rows, columns, importance, bytes);
    return bytes;
}

std::string sha256(std::span<const std::byte> bytes)
{
    const QByteArrayView view(reinterpret_cast<const char*>(bytes.data()), qsizetype(bytes.size()));
    return QCryptographicHash::hash(view, QCryptographicHash::Sha256).toHex().toStdString();
}

}  // namespace

class TestGgmlKBlocks : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data()
    {
        QTest::addColumn<qint64>("target");
        QTest::addColumn<int>("format");
        for (const auto target : hwy::SupportedAndGeneratedTargets())
            for (int format = 0; format < int(std::size(kBlocks)); ++format)
                QTest::addRow("%s %s", hwy::TargetName(target), kBlocks[format].name) << qint64(target) << format;
    }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, format);
        const TargetScope scope(target);
        const auto [name, block, highestCode] = kBlocks[format];
        Random random(3);
        // Less than a chunk of eight or sixteen super-blocks, more than one, rows that end within one.
        constexpr std::pair<std::size_t, std::size_t> kShapes[] = {{1, 1}, {3, 7}, {1, 17}};
        for (const Distribution& distribution : distributions())
            for (const auto& [rowCount, blocksPerRow] : kShapes)
                for (const int kind : {0, 1, 2, 3}) {
                    const std::size_t columns = blocksPerRow * kSuperBlock;
                    std::vector<float> storage(rowCount * columns + 1);
                    for (std::size_t i = 0; i < storage.size(); ++i)
                        storage[i] = distribution.draw(random, i);
                    const auto rows = std::span<const float>(storage).subspan(1);  // off their alignment
                    const auto importance = importanceOf(kind, columns, random);
                    const auto bytes = encoded(block, rows, columns, importance);
                    const auto expected = encoded(block, rows, columns, importance, kernels::ggmlEncodeKReference);
                    QVERIFY2(bytes == expected,
                        qPrintable(QString("%1, %2 blocks a row, importance %3")
                                       .arg(distribution.name)
                                       .arg(blocksPerRow)
                                       .arg(kind)));
                    std::vector<float> decoded(rows.size());
                    kernels::ggmlDecodeK(block, bytes, decoded);
                    for (const float value : decoded)
                        QVERIFY2(std::isfinite(value), distribution.name);
                }
    }

    void decodesAsReference_data() { matchesReference_data(); }
    void decodesAsReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, format);
        const TargetScope scope(target);
        const auto [name, block, highestCode] = kBlocks[format];
        Random random(4);
        constexpr std::size_t kCount = 300;
        std::vector<std::byte> bytes(kCount * kernels::ggmlBlockSize(block).bytes);
        for (std::byte& byte : bytes)
            byte = std::byte(random());
        std::vector<float> decoded(kCount * kSuperBlock), expected(decoded.size());
        kernels::ggmlDecodeK(block, bytes, decoded);
        kernels::ggmlDecodeKReference(block, bytes, expected);
        for (std::size_t i = 0; i < decoded.size(); ++i) {
            // Any bytes: also scales that are not numbers. Which NaN is up to the processor.
            const bool same = std::bit_cast<std::uint32_t>(decoded[i]) == std::bit_cast<std::uint32_t>(expected[i]);
            QVERIFY2(same || (std::isnan(decoded[i]) && std::isnan(expected[i])), qPrintable(QString::number(i)));
        }
    }

    // In each group weights are an affine function of their codes, rising with the sign of the scale.
    void codesBelongToValues_data()
    {
        QTest::addColumn<int>("format");
        for (int format = 0; format < int(std::size(kBlocks)); ++format)
            QTest::addRow("%s", kBlocks[format].name) << format;
    }
    void codesBelongToValues()
    {
        QFETCH(const int, format);
        const auto [name, block, highestCode] = kBlocks[format];
        Random random(5);
        std::vector<float> rows(64 * kSuperBlock), decoded(rows.size());
        for (float& weight : rows)
            weight = normal(random);
        const auto bytes = encoded(block, rows, kSuperBlock, {});
        std::vector<std::uint32_t> codes(rows.size());
        kernels::ggmlCodesK(block, bytes, codes);
        kernels::ggmlDecodeK(block, bytes, decoded);
        const std::size_t length = block == GgmlBlock::Q4_K || block == GgmlBlock::Q5_K ? 32 : 16;
        std::vector<bool> used(highestCode + 1);
        double noise = 0.0;
        for (std::size_t group = 0; group < rows.size(); group += length)
            for (std::size_t i = group; i < group + length; ++i) {
                QVERIFY(codes[i] <= highestCode);
                used[codes[i]] = true;
                const std::size_t j = group + (i + 5) % length, k = group + (i + 9) % length;
                const double slopes = (double(decoded[j]) - double(decoded[i])) * (double(codes[k]) - double(codes[i]));
                const double other = (double(decoded[k]) - double(decoded[i])) * (double(codes[j]) - double(codes[i]));
                QVERIFY(std::abs(slopes - other) <= 1e-4 * double(highestCode));
                noise += std::pow(double(decoded[i]) - double(rows[i]), 2);
            }
        QVERIFY(std::find(used.begin(), used.end(), false) == used.end());
        QVERIFY(std::sqrt(noise / double(rows.size())) < 1.3 / double(highestCode));
    }

    // A number beside what is none is quantized as if that were zero.
    void notNumbersCountAsZero()
    {
        Random random(6);
        std::vector<float> rows(2 * kSuperBlock), clean;
        for (std::size_t i = 0; i < rows.size(); ++i)
            rows[i] = i % 7 == 3 ? (i % 2 ? std::nanf("") : -std::numeric_limits<float>::infinity()) : normal(random);
        for (const float weight : rows)
            clean.push_back(std::isfinite(weight) ? weight : 0.0F);
        for (const Named& format : kBlocks)
            QVERIFY(encoded(format.block, rows, kSuperBlock, {}) == encoded(format.block, clean, kSuperBlock, {}));
    }

    // Importance is one row's; which rows are encoded together does not matter.
    void rowsAreIndependent()
    {
        Random random(7);
        constexpr std::size_t kColumns = 3 * kSuperBlock, kRows = 5;
        std::vector<float> rows(kRows * kColumns);
        for (float& weight : rows)
            weight = normal(random);
        for (const Named& format : kBlocks)
            for (const int kind : {0, 1}) {
                const auto importance = importanceOf(kind, kColumns, random);
                std::vector<std::byte> joined;
                for (std::size_t row = 0; row < kRows; ++row) {
                    const auto part =
                        encoded(format.block, std::span(rows).subspan(row * kColumns, kColumns), kColumns, importance);
                    joined.insert(joined.end(), part.begin(), part.end());
                }
                QVERIFY(joined == encoded(format.block, rows, kColumns, importance));
            }
    }

    // More importance on some columns makes those more exact.
    void importanceMatters()
    {
        Random random(8);
        constexpr std::size_t kColumns = 4 * kSuperBlock;
        std::vector<float> rows(8 * kColumns), importance(kColumns), flat(kColumns, 1.0F);
        for (float& weight : rows)
            weight = normal(random);
        for (std::size_t i = 0; i < kColumns; ++i)
            importance[i] = i % 8 == 0 ? 100.0F : 1.0F;
        for (const Named& format : kBlocks) {
            const auto errorOf = [&](std::span<const float> weighting) {
                std::vector<float> decoded(rows.size());
                kernels::ggmlDecodeK(format.block, encoded(format.block, rows, kColumns, weighting), decoded);
                double error = 0.0;
                for (std::size_t i = 0; i < rows.size(); ++i)
                    error += double(importance[i % kColumns]) * std::pow(double(decoded[i]) - double(rows[i]), 2);
                return error;
            };
            QVERIFY2(errorOf(importance) < errorOf(flat), format.name);
        }
    }

    // The bytes that ggml wrote for the synthetic layer.
    void golden_data()
    {
        QTest::addColumn<QString>("method");
        QTest::addColumn<int>("format");
        QTest::addColumn<bool>("important");
        for (int format = 0; format < int(std::size(kBlocks)); ++format)
            for (const bool important : {false, true}) {
                const QString method = QString("ggml_%1%2").arg(kBlocks[format].name, important ? "_im" : "");
                QTest::addRow("%s", qPrintable(method)) << method << format << important;
            }
    }
    void golden()
    {
        QUANTLOUPE_NEED(tests::golden() / "index.json");
        QFETCH(const QString, method);
        QFETCH(const int, format);
        QFETCH(const bool, important);
        constexpr std::size_t kRows = 512, kColumns = 512, kTokens = 2048;
        std::ifstream file(tests::golden() / "index.json");
        const auto index = json::parse(file);
        const auto entry = std::find_if(index.begin(), index.end(), [&](const json& candidate) {
            return candidate.at("case") == "syn512" && candidate.at("method") == method.toStdString();
        });
        QVERIFY(entry != index.end());
        static const std::vector<float> weights = syntheticWeights(kRows, kColumns, 11);
        static const std::vector<float> inputs = syntheticActivations(kTokens, kColumns, 11);
        std::vector<float> importance;
        for (std::size_t i = 0; important && i < kColumns; ++i) {
            double sum = 0.0;
            for (std::size_t t = 0; t < kTokens; ++t)
                sum += double(inputs[t * kColumns + i]) * double(inputs[t * kColumns + i]);
            importance.push_back(float(sum / double(kTokens)));
        }
        const GgmlBlock block = kBlocks[format].block;
        const auto bytes = encoded(block, weights, kColumns, importance);
        QVERIFY(bytes == encoded(block, weights, kColumns, importance, kernels::ggmlEncodeKReference));
        QCOMPARE(sha256(bytes), entry->at("arrays").at("bytes").at("sha256").get<std::string>());
        std::vector<float> decoded(weights.size());
        kernels::ggmlDecodeK(block, bytes, decoded);
        for (float& value : decoded)
            value += 0.0F;
        QCOMPARE(sha256(std::as_bytes(std::span(decoded))), entry->at("sha256_wq_f32").get<std::string>());
    }
};

QTEST_APPLESS_MAIN(TestGgmlKBlocks)
#include "tst_ggml_k_blocks.moc"
