// SPDX-License-Identifier: GPL-3.0-or-later
// What an inspection says of where the error lies, against a count of every weight.
#include "core/analysis/inspect.h"
#include "tests/core/analysis/naive_reference.h"
#include "tests/core/analysis/synthetic_tensor.h"

#include <QTest>

#include <cmath>
#include <limits>
#include <tuple>

using namespace quantloupe;
using quantloupe::tests::close;
using quantloupe::tests::SyntheticTensor;

namespace {

constexpr std::size_t rowCount = 130, columnCount = 300;

Result<LayerInspection> inspect(const ModelTensor& tensor, const std::string& scheme)
{
    Progress progress;
    const auto weights = measureWeights(tensor, {}, progress).value();
    return inspectLayer(tensor, weights, Scheme::parse(scheme).value(), {}, progress);
}

/// Lowest and highest value of a unit, from all of its levels.
std::pair<double, double> endsOf(const Quantizer& quantizer, const UnitGrid& grid)
{
    switch (quantizer.scheme().format) {
    case Format::Int16: return {-32767.0 * static_cast<double>(grid.scale), 32767.0 * static_cast<double>(grid.scale)};
    case Format::Fp16: return {-65504.0, 65504.0};
    case Format::Fp32: return {-HUGE_VAL, HUGE_VAL};
    default: break;
    }
    double lowest = HUGE_VAL, highest = -HUGE_VAL;
    for (const float level : quantizer.levels(grid))
        if (std::isfinite(level)) {
            lowest = std::min(lowest, static_cast<double>(level));
            highest = std::max(highest, static_cast<double>(level));
        }
    return {lowest, highest};
}

/// The channels by energy, the slow way: largest first, equals by index.
std::vector<std::size_t> ranked(const std::vector<long double>& energies)
{
    std::vector<std::size_t> order(energies.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        order[i] = i;
    std::stable_sort(
        order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return energies[a] > energies[b]; });
    return order;
}

void compareChannels(const std::vector<ChannelShare>& actual, const std::vector<long double>& energies)
{
    long double total = 0.0;
    for (const auto energy : energies)
        total += energy;
    const auto order = ranked(energies);
    QCOMPARE(actual.size(), std::min<std::size_t>(16, energies.size()));
    for (std::size_t i = 0; i < actual.size(); ++i) {
        QVERIFY(close(actual[i].share, energies[actual[i].index] / total, 1e-5L));
        // Where two are as good as equal, sums in float may order them the other way round.
        QVERIFY(actual[i].index == order[i] || close(actual[i].share, energies[order[i]] / total, 1e-5L));
    }
}

}  // namespace

class TestErrorBreakdown : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void agreesWithASlowCount_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<bool>("clips");  // more than the rounding of scales does
        const std::pair<const char*, bool> schemes[] = {{"int4:g128", false}, {"int4:channel:mse", true},
            {"int3:g64:p99", true}, {"int8:tensor:asym:p99.9", true}, {"int4:g32:asymf:mse", true},
            {"int2:g64:symf", true}, {"int4:b16x64:p99", true}, {"int16", false}, {"ternary", true}, {"nf4", false},
            {"fp8_e4m3", false}, {"fp4_e2m1:g32:mse", true}, {"pot4", false}, {"mxfp4", true}, {"mxint8", false},
            {"fp16", false}};
        for (const auto& [scheme, clips] : schemes)
            QTest::addRow("%s", scheme) << QString(scheme) << clips;
    }
    void agreesWithASlowCount()
    {
        QFETCH(const QString, scheme);
        QFETCH(const bool, clips);
        auto values = tests::llmWeights(rowCount, columnCount, 31, 0.002);
        for (auto& value : values)
            value *= 1.0F + 0x1p-12F;  // so that fp16 has something to round
        const SyntheticTensor synthetic(rowCount, columnCount, values);
        const auto parsed = Scheme::parse(scheme.toStdString()).value();
        const auto actual = inspect(synthetic.tensor(), scheme.toStdString());
        QVERIFY2(actual.has_value(), actual ? "" : describe(actual.error()).c_str());

        const auto expected = tests::naiveErrors(parsed, values, rowCount, columnCount);
        const auto quantizer = Quantizer::create(parsed, columnCount).value();
        const auto length = quantizer.unitLength(), units = (columnCount + length - 1) / length;
        long double clipping = 0.0, rounding = 0.0;
        std::vector<GroupEnergy> groups;
        for (std::size_t row = 0; row < rowCount; ++row)
            for (std::size_t unit = 0; unit < units; ++unit) {
                const auto grid = quantizer.wholeTensor() ? 0 : row / quantizer.rowsPerUnit() * units + unit;
                const auto [lowest, highest] = endsOf(quantizer, expected.grids[grid]);
                const auto end = std::min((unit + 1) * length, columnCount);
                GroupEnergy group {row, unit * length, end - unit * length, 0.0};
                for (std::size_t i = row * columnCount + unit * length; i < row * columnCount + end; ++i) {
                    const double w = static_cast<double>(values[i]);
                    if (!std::isfinite(w))
                        continue;
                    const double error = w - static_cast<double>(expected.values[i]);
                    (w < lowest || w > highest ? clipping : rounding) += static_cast<long double>(error * error);
                    group.energy += error * error;
                }
                groups.push_back(group);
            }
        QVERIFY(actual->split.has_value());
        const double whole = actual->measurement.error.errorEnergy;
        QVERIFY(close(actual->split->clipping + actual->split->rounding, whole, 1e-15L));
        QVERIFY(close(actual->split->rounding, rounding, 2e-5L));
        QVERIFY(close(actual->split->clipping, clipping, 2e-5L));
        QCOMPARE(clipping > 0.01L * (clipping + rounding), clips);

        std::stable_sort(
            groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.energy > b.energy; });
        groups.resize(std::min<std::size_t>(16, groups.size()));
        QCOMPARE(actual->topGroups.size(), groups.size());
        for (std::size_t i = 0; i < groups.size(); ++i) {
            const auto& group = actual->topGroups[i];
            QVERIFY(std::tie(group.row, group.column, group.length)
                == std::tie(groups[i].row, groups[i].column, groups[i].length));
            QVERIFY(close(group.energy, groups[i].energy, 1e-13L));
        }
        compareChannels(actual->topOutputChannels, expected.rows);
        compareChannels(actual->topInputChannels, expected.columns);
    }

    void nothingIsClippedWhereEveryFloatHasACode()
    {
        const SyntheticTensor synthetic(20, 40, tests::llmWeights(20, 40, 5));
        const auto inspection = inspect(synthetic.tensor(), "fp32");
        QVERIFY(inspection.has_value());
        QVERIFY(inspection->split == (ErrorSplit {0.0, 0.0}));
        QVERIFY(inspection->topGroups.empty() && inspection->topInputChannels.empty());
        QCOMPARE(inspection->codes, 0U);
    }

    void noEndsNoSplit()
    {
        const SyntheticTensor synthetic(32, 256, tests::llmWeights(32, 256, 5));
        for (const auto* scheme : {"int4+hadamard", "int4:g64+biascorr", "lut3", "q4_0", "q4_k"}) {
            const auto inspection = inspect(synthetic.tensor(), scheme);
            QVERIFY2(inspection.has_value(), scheme);
            QVERIFY2(!inspection->split, scheme);
            QCOMPARE(inspection->topGroups.size(), 16U);
            QCOMPARE(inspection->topOutputChannels.size(), 16U);
            QVERIFY(inspection->codesUsed > 0 && inspection->codesUsed <= inspection->codes);
        }
    }

    void anInfiniteErrorHasNoParts()
    {
        auto values = tests::llmWeights(20, 40, 5);
        values[100] = 1e6F;  // infinite in fp16
        const SyntheticTensor synthetic(20, 40, values);
        const auto inspection = inspect(synthetic.tensor(), "fp16");
        QVERIFY(inspection.has_value());
        QCOMPARE(inspection->split.has_value(), std::isfinite(inspection->measurement.error.errorEnergy));
    }

    // One weight of a row is 100 times the others: all that clips, and all of its row's error.
    void findsTheCulprit()
    {
        std::vector<float> values(50 * 64);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = static_cast<float>(static_cast<int>(i % 15) - 7) / 8.0F;
        values[33 * 64 + 20] = 100.0F;
        const SyntheticTensor synthetic(50, 64, values);
        const auto inspection = inspect(synthetic.tensor(), "int4:g16:mse");
        QVERIFY(inspection.has_value());
        QCOMPARE(inspection->topOutputChannels.front().index, 33U);
        QCOMPARE(inspection->topGroups.front().row, 33U);
        QCOMPARE(inspection->topGroups.front().column, 16U);
        QCOMPARE(inspection->topGroups.front().length, 16U);
    }
};

QTEST_APPLESS_MAIN(TestErrorBreakdown)
#include "tst_error_breakdown.moc"
