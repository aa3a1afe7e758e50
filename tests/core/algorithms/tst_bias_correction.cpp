// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/bias_correction.h"
#include "core/number_formats/quantizer.h"
#include "tests/core/algorithms/golden_set.h"

#include <QTest>

using namespace quantloupe;

namespace {

struct Spread {
    double mean = 0.0, deviation = 0.0;
};

Spread spreadOf(std::span<const float> values)
{
    Spread spread;
    for (const float value : values)
        spread.mean += double(value) / double(values.size());
    for (const float value : values)
        spread.deviation += (double(value) - spread.mean) * (double(value) - spread.mean);
    spread.deviation = std::sqrt(spread.deviation / double(values.size()));
    return spread;
}

std::vector<float> fakeQuantized(const char* scheme, std::span<const float> weights, std::size_t columns)
{
    const auto quantizer = Quantizer::create(Scheme::parse(scheme).value(), columns).value();
    const std::size_t rows = weights.size() / columns;
    std::vector<UnitGrid> grids(quantizer.gridCount(rows));
    std::vector<float> out(weights.size());
    quantizer.fit(weights, rows, grids);
    quantizer.fakeQuantize(weights, rows, grids, out);
    return out;
}

}  // namespace

class TestBiasCorrection : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void restoresMeanAndSpread()
    {
        constexpr std::size_t columns = 301;
        auto weights = tests::syntheticWeights(8, columns, 21);
        for (float& weight : weights)
            weight += 0.01F;
        for (const char* scheme :
            {"int2:channel:asym", "int3:g64", "int4:channel:symf", "nf4:g64", "fp8_e4m3:channel"}) {
            auto quantized = fakeQuantized(scheme, weights, columns);
            bool changed = false;
            for (std::size_t row = 0; row < 8; ++row) {
                const auto original = std::span(weights).subspan(row * columns, columns);
                const auto rounded = std::span(quantized).subspan(row * columns, columns);
                const auto correction = channelCorrection(original, rounded);
                changed |= std::abs(correction.scale - 1.0F) > 1e-3F;
                applyCorrection(correction, rounded);
                const Spread wanted = spreadOf(original);
                const Spread reached = spreadOf(rounded);
                QVERIFY(std::abs(reached.mean - wanted.mean) < 1e-7 * wanted.deviation);
                QVERIFY(std::abs(reached.deviation - wanted.deviation) < 1e-6 * wanted.deviation);
            }
            QVERIFY2(changed, scheme);
        }
        const MatrixShape eightChannels {8, 128};
        QCOMPARE(Scheme::parse("int4+biascorr")->storedBytes(eightChannels),
            Scheme::parse("int4")->storedBytes(eightChannels) + 8 * sizeof(ChannelCorrection));
    }

    void byHand()
    {
        // E w = 2, Σ(w − 2)² = 8; E ŵ = 1, Σ(ŵ − 1)² = 2: scale 2, shift 0.
        const std::vector<float> weights {0, 2, 2, 4};
        std::vector<float> quantized {0, 1, 1, 2};
        const auto correction = channelCorrection(weights, quantized);
        QCOMPARE(correction, (ChannelCorrection {2.0F, 0.0F}));
        applyCorrection(correction, quantized);
        QCOMPARE(quantized, weights);
    }

    void awkwardRows()
    {
        const float infinity = std::numeric_limits<float>::infinity();
        QCOMPARE(channelCorrection({}, {}), ChannelCorrection {});
        const std::vector<float> nothing {infinity, std::nanf("")};
        QCOMPARE(channelCorrection(nothing, std::vector<float> {3, 4}), ChannelCorrection {});
        // One value only: its mean comes back.
        QCOMPARE(channelCorrection(std::vector<float> {0.5F, 0.5F}, std::vector<float> {0.25F, 0.25F}),
            (ChannelCorrection {1.0F, 0.25F}));
        QCOMPARE(channelCorrection(std::vector<float> {1.0F, infinity, 3.0F}, std::vector<float> {1.0F, 9.0F, 2.0F}),
            (ChannelCorrection {2.0F, -1.0F}));
        std::vector<float> zero {-0.0F};
        applyCorrection({1.0F, -0.0F}, zero);
        QVERIFY(!std::signbit(zero[0]));
    }

    void golden_data()
    {
        m_golden.emplace("biascorr_rtn_asym_channel_b3");
        QVERIFY(m_golden->addRows(5));
    }
    void golden()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& entry = m_golden->entries[std::size_t(index)];
        const tests::GoldenLayer& layer = m_golden->layers.at(entry.at("case"));
        const auto means = tests::readNpy(tests::golden() / entry.at("case").get<std::string>() / "x_mean.npy");
        QVERIFY(means && means->values.size() == layer.columns);
        auto errors = fakeQuantized("int3:channel:asym:s32", layer.weights, layer.columns);
        for (std::size_t i = 0; i < errors.size(); ++i)
            errors[i] = layer.weights[i] - errors[i];
        const auto bias = biasOf(errors, means->values);
        const auto expected = m_golden->stored<float>(entry, "b");
        QCOMPARE(bias.size(), expected.size());
        double off = 0.0;
        for (std::size_t i = 0; i < bias.size(); ++i) {
            // Class C.
            off = std::max(off, double(std::abs(bias[i] - expected[i])));
            QVERIFY(std::abs(bias[i] - expected[i]) <= 1e-5F * std::abs(expected[i]) + 1e-6F);
        }
        qInfo("off by at most %.1e", off);
    }

private:
    std::optional<tests::GoldenSet> m_golden;
};

QTEST_APPLESS_MAIN(TestBiasCorrection)
#include "tst_bias_correction.moc"
