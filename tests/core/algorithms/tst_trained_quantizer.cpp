// SPDX-License-Identifier: GPL-3.0-or-later
// Quantization inside a forward pass: the values that a file would hold, and the gradients of the published rules.
#include "core/number_formats/packed_matrix.h"
#include "core/algorithms/adam.h"
#include "core/algorithms/trained_quantizer.h"

#include <QTest>

#include <cmath>
#include <random>

using namespace quantloupe;

namespace {

constexpr std::size_t kRows = 7, kColumns = 80;

std::vector<float> normals(unsigned seed, std::size_t count = kRows * kColumns)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (auto& value : values)
        value = normal(random);
    return values;
}

TrainedQuantizer made(const char* scheme, StepRule rule)
{
    auto quantizer = TrainedQuantizer::create(Scheme::parse(scheme).value(), rule, kRows, kColumns).value();
    if (!quantizer.initialize(normals(1), std::vector<float>(kColumns, 1.0F), {}))
        qFatal("stopped");
    return quantizer;
}

double dot(const std::vector<float>& a, const std::vector<float>& b)
{
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += double(a[i]) * double(b[i]);
    return sum;
}

}  // namespace

class TestTrainedQuantizer : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    /// What the forward pass sees is decode(encode(W)) with the grids as they are stored.
    void law_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        for (const auto* scheme : {"int3:g32:asym", "int4:channel", "int2:g32:asymf:s32", "fp4_e2m1:g32", "nf4:g32",
                 "mxfp4", "int8:tensor", "nvfp4", "int4:g16:sym:mse"})
            QTest::addRow("ste %s", scheme) << QByteArray(scheme) << int(StepRule::Estimated);
        for (const auto* scheme : {"int3:g32:symf:s32", "int4:channel:sym", "int3:g32:asym:s32", "int4:channel:asym"})
            QTest::addRow("lsq %s", scheme) << QByteArray(scheme) << int(StepRule::Scale);
        for (const auto* scheme : {"int2:g32:asymf:s32", "int4:channel:asymf"})
            QTest::addRow("aff %s", scheme) << QByteArray(scheme) << int(StepRule::Affine);
    }

    void law()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        auto quantizer = made(scheme.constData(), StepRule(rule));
        const auto weights = normals(2);
        std::vector<float> seen(weights.size()), decoded(weights.size());
        QVERIFY(quantizer.quantize(weights, seen, {}));
        QVERIFY(seen != weights);
        const auto& inner = quantizer.quantizer();
        std::vector<std::uint32_t> codes(weights.size());
        inner.encode(weights, kRows, quantizer.grids(), codes);
        inner.decode(codes, kRows, quantizer.grids(), decoded);
        QVERIFY(seen == decoded);
        QVERIFY(storedGrids(inner.scheme(), quantizer.grids()) == quantizer.grids());
        for (const auto code : codes)
            QVERIFY(code < inner.codeCount());
    }

    void packedRows()
    {
        auto quantizer = TrainedQuantizer::create(Scheme::parse("q4_0").value(), StepRule::Estimated, 2, 64).value();
        const auto weights = normals(3, 128);
        std::vector<float> seen(128), expected(128);
        QVERIFY(quantizer.quantize(weights, seen, {}));
        std::vector<std::byte> bytes(2 * quantizer.quantizer().packedRowBytes());
        quantizer.quantizer().pack(weights, 2, bytes);
        quantizer.quantizer().unpack(bytes, 2, expected);
        QVERIFY(seen == expected);
    }

    void straightThrough()
    {
        auto quantizer = made("int3:g32:asym", StepRule::Estimated);
        const auto given = normals(4);
        auto gradient = given;
        QVERIFY(quantizer.parameters().empty());
        quantizer.propagate(normals(2), gradient, {});
        QVERIFY(gradient == given);
    }

    /// The rules of the papers number by number: LSQ's equation 3, between ends that a whole zero point moves, and for
    /// the minimum 1 where a weight is clipped.
    void learned_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<bool>("affine");
        QTest::addColumn<double>("lowest");
        QTest::addColumn<double>("highest");
        QTest::newRow("symf") << QByteArray("int3:g32:symf:s32") << false << -4.0 << 3.0;
        QTest::newRow("sym") << QByteArray("int3:g32:sym:s32") << false << -3.0 << 3.0;
        QTest::newRow("asymf") << QByteArray("int2:g32:asymf:s32") << true << 0.0 << 3.0;
        QTest::newRow("asym") << QByteArray("int3:g32:asym:s32") << false << 0.0 << 7.0;
    }

    void learned()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const bool, affine);
        QFETCH(const double, lowest);
        QFETCH(const double, highest);
        auto quantizer = made(scheme.constData(), affine ? StepRule::Affine : StepRule::Scale);
        const std::size_t units = kRows * 3;
        const bool hasZeros = scheme.contains(":asym:");
        QCOMPARE(quantizer.parameters().size(), affine || hasZeros ? 2 * units : units);
        for (std::size_t i = 0; i < units; ++i)
            quantizer.parameters()[i] *= 0.6F;  // so that weights are clipped
        const auto weights = normals(2), given = normals(4);
        std::vector<float> seen(weights.size());
        QVERIFY(quantizer.quantize(weights, seen, {}));
        auto gradient = given;
        std::vector<float> found(quantizer.parameters().size(), 0.25F);
        quantizer.propagate(weights, gradient, found);
        std::vector<double> expected(found.size(), 0.25);
        std::size_t clipped = 0;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const auto unit = i / kColumns * 3 + i % kColumns / 32;
            const float scale = quantizer.parameters()[unit];
            const float minimum = affine ? quantizer.parameters()[units + unit] : 0.0F;
            const float v = (weights[i] - minimum) / scale;
            const double zero = hasZeros ? double(quantizer.parameters()[units + unit]) : 0.0;
            QVERIFY(zero == std::nearbyint(zero) && zero >= 0.0 && (!hasZeros || zero <= highest));
            const double least = lowest - zero, most = highest - zero;
            const double code = std::clamp(std::nearbyint(double(v)), least, most);
            QVERIFY(std::abs(double(seen[i]) - (double(scale) * code + double(minimum))) < 1e-5);
            const bool inside = double(v) >= least && double(v) <= most;
            clipped += inside ? 0 : 1;
            QCOMPARE(gradient[i], inside ? given[i] : 0.0F);
            expected[unit] += double(given[i]) * (inside ? code - double(v) : code);
            if (affine && !inside)
                expected[units + unit] += double(given[i]);
        }
        QVERIFY(clipped > 20 && clipped < weights.size() / 2);
        for (std::size_t i = 0; i < found.size(); ++i)
            QVERIFY(std::abs(double(found[i]) - expected[i]) < 1e-4);
    }

    /// Where everything is clipped, Ŵ is differentiable by what is learned: by differences.
    void differences()
    {
        auto quantizer = made("int2:g32:asymf:s32", StepRule::Affine);
        auto weights = normals(2);
        for (auto& weight : weights)
            weight = weight > 0.0F ? 90.0F : -90.0F;
        const auto given = normals(4);
        const auto lossAt = [&](std::size_t parameter, float shift) {
            auto moved = quantizer;
            moved.parameters()[parameter] += shift;
            std::vector<float> seen(weights.size());
            if (!moved.quantize(weights, seen, {}))
                qFatal("stopped");
            return dot(seen, given);
        };
        std::vector<float> seen(weights.size()), found(quantizer.parameters().size(), 0.0F);
        QVERIFY(quantizer.quantize(weights, seen, {}));
        auto gradient = given;
        quantizer.propagate(weights, gradient, found);
        for (const std::size_t parameter : {0, 7, 20, 21, 28, 41}) {
            const double expected = (lossAt(parameter, 0.125F) - lossAt(parameter, -0.125F)) / 0.25;
            QVERIFY(std::abs(double(found[parameter]) - expected) < 1e-3);
        }
    }

    void refusals_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        QTest::newRow("scales with minima") << QByteArray("int4:g32:asymf") << int(StepRule::Scale);
        QTest::newRow("minimum of sym") << QByteArray("int4:g32") << int(StepRule::Affine);
        QTest::newRow("steps of floats") << QByteArray("fp4_e2m1:g32") << int(StepRule::Scale);
        QTest::newRow("whole tensor") << QByteArray("int4:tensor") << int(StepRule::Scale);
        QTest::newRow("scales together") << QByteArray("int4:g32:sym:s8") << int(StepRule::Scale);
        QTest::newRow("algorithm") << QByteArray("int4:g32:asym+gptq") << int(StepRule::Estimated);
    }

    void refusals()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        const auto refused =
            TrainedQuantizer::create(Scheme::parse(scheme.toStdString()).value(), StepRule(rule), kRows, kColumns);
        QVERIFY(!refused);
        QCOMPARE(refused.error().code, ErrorCode::Unsupported);
    }

    void names()
    {
        for (const auto rule : {StepRule::Estimated, StepRule::Scale, StepRule::Affine})
            QVERIFY(stepRuleNamed(nameOf(rule)) == rule);
        QVERIFY(!stepRuleNamed("pact"));
    }

    /// Three steps of the published update, by hand.
    void adam()
    {
        AdamState state;
        std::vector<float> values {1.0F, -2.0F};
        const float gradients[3][2] = {{0.5F, -1.0F}, {0.25F, 2.0F}, {-1.0F, 0.125F}};
        double m[2] = {}, v[2] = {}, expected[2] = {1.0, -2.0};
        for (std::uint64_t step = 1; step <= 3; ++step) {
            state.update(values, gradients[step - 1], 0.1, 0.01, step, {});
            for (int i = 0; i < 2; ++i) {
                const double g = double(gradients[step - 1][i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.99 * v[i] + 0.01 * g * g;
                const double mHat = m[i] / (1.0 - std::pow(0.9, double(step)));
                const double vHat = v[i] / (1.0 - std::pow(0.99, double(step)));
                expected[i] -= 0.1 * (mHat / (std::sqrt(vHat) + 1e-8) + 0.01 * expected[i]);
                QVERIFY(std::abs(double(values[std::size_t(i)]) - expected[i]) < 1e-5);
            }
        }
    }

    void schedule()
    {
        QCOMPARE(scheduledRate(2.0, 0, 400, 20), 0.1);
        QCOMPARE(scheduledRate(2.0, 19, 400, 20), 2.0);
        QCOMPARE(scheduledRate(2.0, 20, 400, 20), 2.0);
        QVERIFY(std::abs(scheduledRate(2.0, 210, 400, 20) - 1.0) < 1e-12);
        QVERIFY(scheduledRate(2.0, 399, 400, 20) < 1e-4);
        QCOMPARE(scheduledRate(2.0, 0, 10, 0), 2.0);
    }
};

QTEST_APPLESS_MAIN(TestTrainedQuantizer)
#include "tst_trained_quantizer.moc"
