// SPDX-License-Identifier: GPL-3.0-or-later
// Scaled frequencies against numbers computed apart from this program, by the formulas of transformers.
#include "core/inference/rotary.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;

namespace {

void compareFrequencies(const std::vector<double>& made, const std::vector<double>& expected)
{
    QCOMPARE(made.size(), expected.size());
    for (std::size_t i = 0; i < made.size(); ++i)
        QVERIFY2(std::abs(made[i] - expected[i]) <= 1e-11 * expected[i],
            qPrintable(
                QString("pair %1: %2, expected %3").arg(i).arg(made[i], 0, 'g', 15).arg(expected[i], 0, 'g', 15)));
}

RotaryScaling scalingOf(
    const char* type, std::optional<double> factor, std::optional<double> originalContext = std::nullopt)
{
    RotaryScaling scaling;
    scaling.type = type;
    scaling.factor = factor;
    scaling.originalContext = originalContext;
    return scaling;
}

/// What pair i of position 1 turns by.
std::vector<double> anglesOf(const Rotary& rotary, std::size_t length)
{
    const auto table = rotaryTable(rotary, length);
    std::vector<double> angles;
    for (std::size_t i = 0; i < table.pairs; ++i)
        angles.push_back(std::atan2(double(table.sines[table.pairs + i]), double(table.cosines[table.pairs + i])));
    return angles;
}

}  // namespace

class TestRotary : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void linear()
    {
        const auto rotary = makeRotary(scalingOf("linear", 4.0), 1e4, 16, 4096, {});
        QVERIFY(rotary);
        compareFrequencies(rotary->frequencies,
            {0.25, 0.0790569415042, 0.025, 0.00790569415042, 0.0025, 0.000790569415042, 0.00025, 7.90569415042e-05});
        QCOMPARE(rotary->attentionFactor, 1.0F);
    }

    void llama3()
    {
        auto scaling = scalingOf("llama3", 8.0, 8192);
        scaling.lowFrequencyFactor = 1.0;
        scaling.highFrequencyFactor = 4.0;
        const auto rotary = makeRotary(scaling, 500'000.0, 16, 131'072, {});
        QVERIFY(rotary);
        compareFrequencies(rotary->frequencies,
            {1, 0.193922744749, 0.0376060309309, 0.00729266473722, 0.000524846160993, 3.42810219595e-05,
                6.64786987118e-06, 1.28917317215e-06});
    }

    void yarn()
    {
        const auto scaling = scalingOf("yarn", 4.0, 32'768);
        const auto rotary = makeRotary(scaling, 1e6, 16, 131'072, {});
        QVERIFY(rotary);
        compareFrequencies(rotary->frequencies,
            {1, 0.177827941004, 0.0316227766017, 0.00421755993893, 0.0005, 4.4456985251e-05, 7.90569415042e-06,
                1.40585331298e-06});
        QCOMPARE(rotary->attentionFactor, 1.138629436111989F);
        const auto table = rotaryTable(*rotary, 1);
        QCOMPARE(table.cosines[0], 1.138629436111989F);  // scales what is turned
        QCOMPARE(table.sines[0], 0.0F);
    }

    void dynamicStretchesLongTextsOnly()
    {
        const auto rotary = makeRotary(scalingOf("dynamic", 2.0), 1e4, 16, 100, {});
        QVERIFY(rotary);
        const auto plain = makeRotary({}, 1e4, 16, 100, {});
        QVERIFY(rotaryTable(*rotary, 100).sines == rotaryTable(*plain, 100).sines);
        const std::vector<double> expected {1, 0.251273762172, 0.0631385035559, 0.0158650493264, 0.00398647063128,
            0.00100169547331, 0.000251699790128, 6.32455532034e-05};
        const auto angles = anglesOf(*rotary, 300);
        for (std::size_t i = 0; i < angles.size(); ++i)
            QVERIFY(std::abs(angles[i] - expected[i]) < 1e-6 * expected[i]);
    }

    void longropeChoosesByLength()
    {
        auto scaling = scalingOf("longrope", std::nullopt, 4096);
        for (int i = 0; i < 8; ++i) {
            scaling.shortFactors.push_back(1.0 + 0.1 * i);
            scaling.longFactors.push_back(1.0 + 0.5 * i);
        }
        const auto rotary = makeRotary(scaling, 1e4, 16, 131'072, {});
        QVERIFY(rotary);
        const std::vector<double> shorter {1, 0.287479787288, 0.0833333333333, 0.0243252127705, 0.00714285714286,
            0.00210818510678, 0.000625, 0.000186016332951};
        const std::vector<double> longer {
            1, 0.210818510678, 0.05, 0.0126491106407, 0.00333333333333, 0.000903507902905, 0.00025, 7.02728368926e-05};
        compareFrequencies(rotary->frequencies, shorter);
        compareFrequencies(rotary->longFrequencies, longer);
        QCOMPARE(rotary->attentionFactor, 1.1902380714238083F);
        for (const std::size_t length : {4096U, 4097U}) {
            const auto angles = anglesOf(*rotary, length);
            for (std::size_t i = 0; i < angles.size(); ++i)
                QVERIFY(std::abs(angles[i] - (length == 4096 ? shorter : longer)[i]) < 1e-5 * longer[i]);
        }
        // GGUF keeps the factors as tensors.
        RotaryFactors stored;
        stored.shortOnes.assign(scaling.shortFactors.begin(), scaling.shortFactors.end());
        stored.longOnes.assign(scaling.longFactors.begin(), scaling.longFactors.end());
        scaling.shortFactors.clear();
        scaling.longFactors.clear();
        const auto second = makeRotary(scaling, 1e4, 16, 131'072, stored);
        QVERIFY(second);
        QVERIFY(std::abs(second->longFrequencies[7] - longer[7]) < 1e-6 * longer[7]);
    }

    void storedFactorsDivide()
    {
        RotaryFactors stored;
        stored.all = {1.0F, 2.0F, 4.0F, 8.0F};
        const auto rotary = makeRotary({}, 1e4, 8, std::nullopt, stored);
        QVERIFY(rotary);
        compareFrequencies(rotary->frequencies, {1.0, 0.05, 0.0025, 0.000125});
    }

    void refusals_data()
    {
        QTest::addColumn<QByteArray>("type");
        QTest::addColumn<double>("factor");
        QTest::addColumn<int>("dimensions");
        QTest::addColumn<int>("code");
        const auto row = [](const char* name, const char* type, double factor, int dimensions, ErrorCode code) {
            QTest::newRow(name) << QByteArray(type) << factor << dimensions << int(code);
        };
        row("unknown", "mrope", 2.0, 8, ErrorCode::Unsupported);
        row("without factor", "linear", 0.0, 8, ErrorCode::Malformed);
        row("not a number", "yarn", std::nan(""), 8, ErrorCode::Malformed);
        row("odd", "", 1.0, 7, ErrorCode::Malformed);
        row("nothing turns", "", 1.0, 0, ErrorCode::Malformed);
        row("longrope without factors", "longrope", 1.0, 8, ErrorCode::Malformed);
    }

    void refusals()
    {
        QFETCH(const QByteArray, type);
        QFETCH(const double, factor);
        QFETCH(const int, dimensions);
        QFETCH(const int, code);
        const auto rotary = makeRotary(scalingOf(type.constData(), factor), 1e4, std::size_t(dimensions), 2048, {});
        QVERIFY(!rotary);
        QCOMPARE(int(rotary.error().code), code);
        QVERIFY(describe(rotary.error()).find(type.toStdString()) != std::string::npos);
    }
};

QTEST_APPLESS_MAIN(TestRotary)
#include "tst_rotary.moc"
