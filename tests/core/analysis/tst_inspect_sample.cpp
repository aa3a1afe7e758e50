// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/inspect_sample.h"
#include "tests/core/analysis/synthetic_tensor.h"
#include "tests/core/analysis/tensor_weights.h"

#include <QTest>

#include <cmath>
#include <numeric>
#include <random>

using namespace quantloupe;
using quantloupe::tests::SyntheticTensor;
using quantloupe::tests::weightsOf;

namespace {

std::vector<float> normalWeights(std::size_t count)
{
    std::mt19937 random(3);
    std::normal_distribution<float> distribution(0.0F, 0.02F);
    std::vector<float> values(count);
    for (float& value : values)
        value = distribution(random);
    return values;
}

}  // namespace

class TestInspectSample : public QObject
{
    Q_OBJECT
    static constexpr std::size_t rows = 4096, columns = 512;
    SyntheticTensor m_large {rows, columns, normalWeights(rows* columns)};
    WeightStatistics m_weights = weightsOf(m_large.tensor());

private Q_SLOTS:
    /// Of normal weights, a small part tells what the whole tells.
    void saysNearlyWhatTheWholeSays_data()
    {
        QTest::addColumn<QString>("scheme");
        for (const auto* text :
            {"int4:g32", "int8:tensor", "int4:tensor:p99.9", "int3:channel:mse", "nf4", "q4_k", "mxfp4",
                "int4:b128x128", "int4:g64:s8", "int4:g64+hadamard", "int4:g64:asymf+hqq+biascorr", "lut3", "ternary"})
            QTest::addRow("%s", text) << QString::fromLatin1(text);
    }
    void saysNearlyWhatTheWholeSays()
    {
        QFETCH(const QString, scheme);
        const auto wanted = Scheme::parse(scheme.toStdString()).value();
        Progress progress;
        const auto whole = inspectLayer(m_large.tensor(), m_weights, wanted, {}, progress).value();
        const auto sample = inspectSample(m_large.tensor(), m_weights, wanted, {}).value();
        QVERIFY(sample);
        QVERIFY(sample->rows >= 128 && sample->rows <= rows / 4);
        const auto& guess = sample->inspection;
        QVERIFY(std::abs(guess.measurement.error.sqnrDb() - whole.measurement.error.sqnrDb()) < 0.3);
        QCOMPARE(guess.measurement.storedBytes, whole.measurement.storedBytes);
        QCOMPARE(guess.measurement.bitsPerWeight, whole.measurement.bitsPerWeight);
        QCOMPARE(guess.levels.size(), whole.levels.size());
        QCOMPARE(guess.levelsShown, whole.levelsShown);
        QVERIFY(guess.measurement.rowErrorEnergy.empty());
        // Counts are those of the whole tensor.
        const auto counted = static_cast<double>(guess.quantizedHistogram.total());
        QVERIFY(std::abs(counted / static_cast<double>(rows * columns) - 1.0) < 0.01);
        const auto sum = [](const std::vector<float>& energies) {
            return std::accumulate(energies.begin(), energies.end(), 0.0);
        };
        const double ratio = sum(guess.measurement.columnErrorEnergy) / sum(whole.measurement.columnErrorEnergy);
        QVERIFY2(std::abs(ratio - 1.0) < 0.1, qPrintable(QString::number(ratio)));
    }

    void knowsWhenItWouldNotHelp()
    {
        const SyntheticTensor small(256, 512, normalWeights(256 * 512));
        QVERIFY(!inspectSample(small.tensor(), weightsOf(small.tensor()), Scheme::of(Format::Int4), {}).value());
        const auto equalized = Scheme::parse("int8+cle").value();
        QVERIFY(!inspectSample(m_large.tensor(), m_weights, equalized, {}).value());
        QCOMPARE(inspectSample(m_large.tensor(), m_weights, Scheme::parse("int4+gptq").value(), {}).error().code,
            ErrorCode::Unsupported);
        std::stop_source stop;
        stop.request_stop();
        QCOMPARE(inspectSample(m_large.tensor(), m_weights, Scheme::of(Format::Int4), stop.get_token()).error().code,
            ErrorCode::Cancelled);
    }

    void levelsAreShownWhereWeightsLieOnThem()
    {
        Progress progress;
        for (const auto& [text, shown] : {std::pair {"int4", true}, {"int4+hadamard", false}, {"int4+biascorr", false},
                 {"q4_k", true}, {"int4:asymf+hqq", true}}) {
            const auto scheme = Scheme::parse(text).value();
            QVERIFY2(inspectLayer(m_large.tensor(), m_weights, scheme, {}, progress)->levelsShown == shown, text);
        }
    }

    void mapsTheWholeMatrixFromAFewRows()
    {
        WeightMap all;
        all.rows = rows;
        all.columns = columns;
        const auto scheme = Scheme::of(Format::Q4_0);
        const auto map = poolSample(m_large.tensor(), m_weights, scheme, MapQuantity::Codes, all, 300, 200, {}).value();
        QVERIFY(map);
        QCOMPARE(map->rows, std::uint64_t {rows});
        QCOMPARE(map->columns, std::uint64_t {columns});
        QCOMPARE(map->height, 300u);
        QCOMPARE(map->width, 200u);
        for (const float code : map->cells)
            QVERIFY(code >= 0.0F && code <= 15.0F && code == std::floor(code));
        // A part is quickly drawn as it is.
        all.rows = 100;
        QVERIFY(!poolSample(m_large.tensor(), m_weights, scheme, MapQuantity::Codes, all, 300, 200, {}).value());
    }
};

QTEST_APPLESS_MAIN(TestInspectSample)
#include "tst_inspect_sample.moc"
