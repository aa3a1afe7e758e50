// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/hqq.h"
#include "tests/core/algorithms/golden_set.h"

#include <QTest>

#include <limits>

using namespace quantloupe;

namespace {

Quantizer quantizerOf(const std::string& scheme, std::size_t columns)
{
    return Quantizer::create(*Scheme::parse(scheme), columns).value();
}

/// Runs the search over tiles of some rows each.
HalfQuadraticSearch searched(const Quantizer& quantizer, std::span<const float> weights, std::size_t tileRows)
{
    HalfQuadraticSearch search(quantizer);
    const std::size_t step = tileRows * quantizer.columns();
    while (search.needsPass()) {
        auto total = search.emptyPartial();
        for (std::size_t start = 0; start < weights.size(); start += step) {
            auto part = search.emptyPartial();
            search.add(part, weights.subspan(start, std::min(step, weights.size() - start)));
            total += part;
        }
        search.finishPass(total);
    }
    return search;
}

}  // namespace

class TestHqq : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void golden_data()
    {
        m_golden.emplace("hqq_64flat_");
        QVERIFY(m_golden->addRows(18));
    }
    void golden()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& entry = m_golden->entries[std::size_t(index)];
        const tests::GoldenLayer& layer = m_golden->layers.at(entry.at("case"));
        const std::string method = entry.at("method");
        // The original's groups run over row ends where 64 does not divide a row: rows of one group each are the same.
        const std::size_t columns = layer.columns % 64 == 0 ? layer.columns : 64;
        const std::size_t rows = layer.weights.size() / columns;
        const Quantizer quantizer = quantizerOf("int" + method.substr(method.size() - 1) + ":g64:asymf:s32", columns);
        const HalfQuadraticSearch search = searched(quantizer, layer.weights, 7);
        std::vector<UnitGrid> grids(quantizer.gridCount(rows));
        search.fit(layer.weights, grids);
        std::vector<std::uint32_t> codes(layer.weights.size());
        quantizer.encode(layer.weights, rows, grids, codes);
        std::vector<float> out(layer.weights.size());
        quantizer.fakeQuantize(layer.weights, rows, grids, out);

        const auto expectedCodes = m_golden->stored<std::uint8_t>(entry, "codes");
        const auto scales = m_golden->stored<float>(entry, "scale");
        const auto zeros = m_golden->stored<float>(entry, "zero");
        QCOMPARE(scales.size(), grids.size());
        QCOMPARE(zeros.size(), grids.size());
        std::size_t differentCodes = 0;
        for (std::size_t i = 0; i < expectedCodes.size(); ++i)
            differentCodes += expectedCodes[i] != codes[i] ? 1U : 0U;
        std::size_t farMinimums = 0;
        for (std::size_t u = 0; u < grids.size(); ++u) {
            QCOMPARE(grids[u].scale, scales[u]);
            const double minimum = -double(zeros[u]) * double(scales[u]);
            farMinimums += std::abs(double(grids[u].zero) - minimum) > 1e-6 * std::abs(minimum) ? 1U : 0U;
        }
        std::vector<std::uint8_t> bytes(codes.begin(), codes.end());
        const bool allCodes = tests::sha256(bytes.data(), bytes.size()) == entry.at("arrays").at("codes").at("sha256");
        const double error = tests::meanSquaredError(layer.weights, out);
        const double expected = entry.at("metrics").at("wmse");
        qInfo("%zu iterations, %zu of %zu codes differ, %s, %zu of %zu minimums differ, wmse off by %.1e",
            search.iterations(), differentCodes, expectedCodes.size(),
            allCodes ? "all codes the same" : "not all codes the same", farMinimums, grids.size(),
            error / expected - 1.0);
        // Class B: a rounding that falls the other way moves the minimum of its unit.
        QVERIFY(farMinimums * 100 <= grids.size());
        QVERIFY(differentCodes * 1000 <= expectedCodes.size());
        QVERIFY(std::abs(error / expected - 1.0) < 1e-4);
    }

    // Neither how the tensor is cut nor in which order it is fitted changes a bit.
    void doesNotDependOnTiles()
    {
        const auto weights = tests::syntheticWeights(40, 200, 3);
        const Quantizer quantizer = quantizerOf("int3:g64:asymf:s32", 200);
        std::vector<UnitGrid> grids(quantizer.gridCount(40)), others(grids.size());
        searched(quantizer, weights, 40).fit(weights, grids);
        for (const std::size_t tile : {1U, 7U, 16U}) {
            const auto search = searched(quantizer, weights, tile);
            for (std::size_t row = 40; row-- > 0;)
                search.fit(std::span(weights).subspan(row * 200, 200), std::span(others).subspan(row * 4, 4));
            QVERIFY(grids == others);
        }
    }

    // Better than the range's own grid by the norm it minimises.
    void lowersTheMeanError()
    {
        const auto weights = tests::syntheticWeights(64, 256, 9);
        for (const char* scheme : {"int2:g64:asymf:s32", "int3:g64:asymf:s32", "int4:channel:asymf:s32"}) {
            const Quantizer quantizer = quantizerOf(scheme, 256);
            std::vector<UnitGrid> grids(quantizer.gridCount(64));
            std::vector<float> out(weights.size());
            const auto meanError = [&] {
                quantizer.fakeQuantize(weights, 64, grids, out);
                double sum = 0.0;
                for (std::size_t i = 0; i < out.size(); ++i)
                    sum += double(std::abs(weights[i] - out[i]));
                return sum / double(out.size());
            };
            quantizer.fit(weights, 64, grids);
            const double plain = meanError();
            searched(quantizer, weights, 8).fit(weights, grids);
            QVERIFY2(meanError() < plain, scheme);
        }
    }

    // misc.json's rows: what the original makes of units that are all zero, all positive, all negative.
    void edgeRows_data()
    {
        QTest::addColumn<QString>("name");
        for (const char* name : {"row_all_zero", "row_all_pos", "row_all_neg"})
            QTest::newRow(name) << QString(name);
    }
    void edgeRows()
    {
        QFETCH(const QString, name);
        QUANTLOUPE_NEED(tests::golden() / "misc" / "misc.json");
        const auto misc = nlohmann::json::parse(tests::contentOf(tests::golden() / "misc" / "misc.json"));
        const auto& edge = misc.at(name.toStdString());
        const std::vector<float> row = edge.at("in").at(0);
        const std::vector<float> expected = edge.at("hqq4").at(0);
        const Quantizer quantizer = quantizerOf("int4:channel:asymf:s32", row.size());
        std::vector<UnitGrid> grids(1);
        std::vector<float> out(row.size());
        searched(quantizer, row, 1).fit(row, grids);
        quantizer.fakeQuantize(row, 1, grids, out);
        for (std::size_t i = 0; i < out.size(); ++i)
            QVERIFY2(std::abs(out[i] - expected[i]) <= 2e-6F * std::abs(expected[i]),
                qPrintable(QString("%1: %2, expected %3").arg(i).arg(double(out[i])).arg(double(expected[i]))));
    }

    void awkwardUnits()
    {
        const float infinity = std::numeric_limits<float>::infinity();
        const float largest = std::numeric_limits<float>::max();
        const std::vector<std::vector<float>> units {{0, 0, 0, 0}, {0.25F, 0.25F, 0.25F, 0.25F},
            {std::nanf(""), infinity, -infinity, std::nanf("")}, {1.0F, infinity, 2.0F, std::nanf("")},
            {-largest, largest, 0, 1}, {1e-44F, 0, 2e-44F, 0}, {largest, largest, largest, largest},
            {1e30F, -1e30F, 3.0F, 1e-30F}};
        for (const auto& unit : units)
            for (const char* scheme : {"int2:channel:asymf:s32", "int8:channel:asymf:s32"}) {
                const Quantizer quantizer = quantizerOf(scheme, 4);
                std::vector<UnitGrid> grids(1);
                std::vector<float> out(4);
                searched(quantizer, unit, 1).fit(unit, grids);
                QVERIFY(grids[0].scale > 0.0F && std::isfinite(grids[0].scale) && std::isfinite(grids[0].zero));
                quantizer.fakeQuantize(unit, 1, grids, out);
                for (std::size_t i = 0; i < 4; ++i)
                    QVERIFY(std::isfinite(out[i]));
            }
        const Quantizer quantizer = quantizerOf("int2:channel:asymf:s32", 4);
        std::vector<UnitGrid> grids(1);
        std::vector<float> out(4);
        searched(quantizer, units[1], 1).fit(units[1], grids);
        quantizer.fakeQuantize(units[1], 1, grids, out);
        QCOMPARE(out, units[1]);
        const HalfQuadraticSearch empty = searched(quantizer, {}, 1);
        QCOMPARE(empty.iterations(), std::size_t(0));
    }

private:
    std::optional<tests::GoldenSet> m_golden;
};

QTEST_APPLESS_MAIN(TestHqq)
#include "tst_hqq.moc"
