// SPDX-License-Identifier: GPL-3.0-or-later
// The pieces put together as an analysis does it: transform, grids, rounding, the way back, correction. Each algorithm
// has to lower the error it is made for.
#include "core/algorithms/bias_correction.h"
#include "core/algorithms/combinations.h"
#include "core/algorithms/equalization.h"
#include "core/algorithms/hqq.h"
#include "core/algorithms/weight_transform.h"
#include "tests/core/algorithms/golden_set.h"

#include <QTest>

#include <optional>

using namespace quantloupe;

namespace {

/// Ŵ in the basis of W, and what the error of each row averages to.
std::vector<float> rounded(const std::string& text, std::span<const float> weights, std::size_t columns,
    const EqualizationFactors& factors = {})
{
    const Scheme scheme = Scheme::parse(text).value();
    if (!algorithmRefusal(scheme).empty())
        return {};
    Scheme plain = scheme;
    plain.algorithms.clear();
    const Quantizer quantizer = Quantizer::create(plain, columns).value();
    WeightTransform transform;
    if (uses(scheme, Algorithm::Equalization)) {
        transform.rowFactors = factors.producerRows;
        transform.columnFactors = factors.consumerColumns;
    }
    if (uses(scheme, Algorithm::Hadamard))
        transform.rotation = HadamardRotation::create(columns).value();

    const std::size_t rowCount = weights.size() / columns;
    TransformScratch scratch;
    const auto transformed = transform.apply(weights, 0, columns, scratch);
    std::vector<UnitGrid> grids(quantizer.gridCount(rowCount));
    if (uses(scheme, Algorithm::Hqq)) {
        HalfQuadraticSearch search(quantizer);
        auto total = search.emptyPartial();
        search.add(total, transformed);
        search.finishPass(total);
        search.fit(transformed, grids);
    } else if (quantizer.wholeTensor()) {
        const auto row = Quantizer::create(Scheme::parse("int8:channel").value(), transformed.size()).value();
        row.fit(transformed, 1, grids);
    } else {
        quantizer.fit(transformed, rowCount, grids);
    }
    std::vector<float> out(weights.size());
    quantizer.fakeQuantize(transformed, rowCount, grids, out);
    transform.undo(out, 0, columns, scratch);
    for (std::size_t start = 0; uses(scheme, Algorithm::BiasCorrection) && start < out.size(); start += columns) {
        const auto row = std::span(out).subspan(start, columns);
        applyCorrection(channelCorrection(weights.subspan(start, columns), row), row);
    }
    return out;
}

double errorOf(const std::string& text, std::span<const float> weights, std::size_t columns,
    const EqualizationFactors& factors = {})
{
    const auto out = rounded(text, weights, columns, factors);
    return out.empty() ? HUGE_VAL : tests::meanSquaredError(weights, out);
}

std::vector<float> maxima(std::span<const float> weights, std::size_t columns, bool ofRows)
{
    std::vector<float> largest(ofRows ? weights.size() / columns : columns);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        float& here = largest[ofRows ? i / columns : i % columns];
        here = std::max(here, std::abs(weights[i]));
    }
    return largest;
}

}  // namespace

class TestPipeline : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    // One loud column takes the range from all others, until it is spread.
    void rotationHelpsAgainstOutliers()
    {
        for (const std::size_t columns : {256U, 172U, 368U}) {
            auto weights = tests::syntheticWeights(32, columns, 6);
            for (std::size_t i = 3; i < weights.size(); i += columns)
                weights[i] *= 30.0F;
            for (const std::string scheme : {"int4:channel", "int3:channel:asym"})
                QVERIFY2(errorOf(scheme + "+hadamard", weights, columns) < 0.7 * errorOf(scheme, weights, columns),
                    scheme.c_str());
            // Floats round in proportion: there the loud column troubled nobody before it was spread.
            QVERIFY(
                errorOf("fp8_e4m3:channel+hadamard", weights, columns) > errorOf("fp8_e4m3:channel", weights, columns));
        }
    }

    // Rows of very different size share one scale, until they are equalized with the columns that read them.
    void equalizationHelpsWholeTensors()
    {
        constexpr std::size_t columns = 96, channels = 64;
        auto producer = tests::syntheticWeights(channels, columns, 7);
        auto consumer = tests::syntheticWeights(48, channels, 8);
        for (std::size_t i = 0; i < producer.size(); ++i)
            producer[i] *= (i / columns) % 2 == 0 ? 8.0F : 1.0F;
        for (std::size_t i = 0; i < consumer.size(); ++i)
            consumer[i] *= (i % channels) % 2 == 0 ? 1.0F : 8.0F;
        const EqualizationPair pair {0, 1, channels};
        const auto factors =
            equalizationFactors(pair, maxima(producer, columns, true), maxima(consumer, channels, false));
        // What counts is what the layers do together: ‖(W₂ + E₂)(W₁ + E₁) − W₂W₁‖.
        const auto jointError = [&](const std::string& scheme) {
            const auto first = rounded(scheme, producer, columns, {factors.producerRows, {}});
            const auto second = rounded(scheme, consumer, channels, {{}, factors.consumerColumns});
            double sum = 0.0;
            for (std::size_t o = 0; o < 48; ++o)
                for (std::size_t i = 0; i < columns; ++i) {
                    double error = 0.0;
                    for (std::size_t c = 0; c < channels; ++c)
                        error += double(second[o * channels + c]) * double(first[c * columns + i])
                            - double(consumer[o * channels + c]) * double(producer[c * columns + i]);
                    sum += error * error;
                }
            return sum;
        };
        QVERIFY(jointError("int8:tensor+cle") < 0.5 * jointError("int8:tensor"));
        // Rows that have scales of their own do not care.
        const double channel = errorOf("int8:channel", producer, columns);
        const double equalized = errorOf("int8:channel+cle", producer, columns, {factors.producerRows, {}});
        QVERIFY(std::abs(equalized - channel) < 1e-3 * channel);
    }

    void solverHelpsLowWidths()
    {
        const auto weights = tests::syntheticWeights(32, 256, 9);
        QVERIFY(errorOf("int3:g64:asymf+hqq", weights, 256) < errorOf("int3:g64:asymf", weights, 256));
        QVERIFY(errorOf("int2:g64:asymf+hqq", weights, 256) < errorOf("int2:g64:asymf", weights, 256));
    }

    void everythingTogether()
    {
        constexpr std::size_t columns = 172;
        auto weights = tests::syntheticWeights(24, columns, 10);
        for (std::size_t i = 3; i < weights.size(); i += columns)
            weights[i] *= 20.0F;
        EqualizationFactors factors;
        factors.consumerColumns = std::vector<float>(columns, 0.5F);
        const auto out = rounded("int3:channel:asymf+cle+hadamard+hqq+biascorr", weights, columns, factors);
        QCOMPARE(out.size(), weights.size());
        QVERIFY(tests::meanSquaredError(weights, out) < 0.5 * errorOf("int3:channel:asymf", weights, columns));
        for (std::size_t start = 0; start < out.size(); start += columns) {
            double error = 0.0, size = 0.0;
            for (std::size_t i = start; i < start + columns; ++i) {
                error += double(weights[i]) - double(out[i]);
                size += std::abs(double(weights[i]));
            }
            QVERIFY(std::abs(error) < 1e-6 * size);
        }
    }
};

QTEST_APPLESS_MAIN(TestPipeline)
#include "tst_pipeline.moc"
