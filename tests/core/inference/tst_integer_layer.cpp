// SPDX-License-Identifier: GPL-3.0-or-later
// Layers computed in integers against what fake-quantized matrices give, multiplied in double.
#include "core/inference/integer_layer.h"

#include <QTest>

#include <cmath>
#include <random>
#include <tbb/global_control.h>

using namespace quantloupe;

namespace {

constexpr std::size_t tokenCount = 37, outputCount = 70, inputCount = 200;

std::vector<float> drawn(std::size_t count, unsigned seed, float mean, float deviation)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(mean, deviation);
    std::vector<float> made(count);
    for (auto& number : made)
        number = normal(random);
    return made;
}

Quantizer quantizerOf(const QString& scheme, std::size_t columns)
{
    auto parsed = Scheme::parse(scheme.toStdString()).value();
    if (parsed.granularity.kind == Granularity::Kind::Token)
        parsed.granularity.kind = Granularity::Kind::Channel;
    return Quantizer::create(parsed, columns).value();
}

/// Grids of all rows; of a tensor scheme those that span them.
std::vector<UnitGrid> gridsOf(const Quantizer& quantizer, const std::vector<float>& values, std::size_t rows)
{
    std::vector<UnitGrid> grids(quantizer.gridCount(rows));
    if (!quantizer.wholeTensor()) {
        quantizer.fit(values, rows, grids);
        return grids;
    }
    auto oneRow = quantizer.scheme();
    oneRow.granularity = {.kind = Granularity::Kind::Channel};
    Quantizer::create(oneRow, values.size()).value().fit(values, 1, grids);
    return grids;
}

/// A layer's operands: as drawn, as fake quantization makes them, and as integers.
struct Layers {
    std::vector<float> inputs, weights, roundedInputs, roundedWeights;
    std::vector<UnitGrid> inputGrids, weightGrids;
    Result<IntegerLayer> layer = failure(ErrorCode::Unsupported, "", "");

    Layers(const QString& weightScheme, const QString& inputScheme)
        : inputs(drawn(tokenCount * inputCount, 1, 0.4F, 1.0F))
        , weights(drawn(outputCount * inputCount, 2, 0.003F, 0.02F))
        , roundedInputs(inputs.size())
        , roundedWeights(weights.size())
    {
        const auto ofInputs = quantizerOf(inputScheme, inputCount), ofWeights = quantizerOf(weightScheme, inputCount);
        inputGrids = gridsOf(ofInputs, inputs, tokenCount);
        ofInputs.fakeQuantize(inputs, tokenCount, inputGrids, roundedInputs);
        weightGrids = gridsOf(ofWeights, weights, outputCount);
        const auto& grids = weightGrids;
        ofWeights.fakeQuantize(weights, outputCount, grids, roundedWeights);
        std::vector<std::uint32_t> codes(weights.size());
        ofWeights.encode(weights, outputCount, grids, codes);
        layer = IntegerLayer::create(Scheme::parse(weightScheme.toStdString()).value(),
            Scheme::parse(inputScheme.toStdString()).value(), outputCount, inputCount,
            ofInputs.wholeTensor() ? std::optional(inputGrids.front()) : std::nullopt);
        if (!layer)
            return;
        // In two parts, as a pass over a checkpoint has them.
        constexpr std::size_t first = 32;
        const auto perRow = grids.size() == 1 ? 0 : grids.size() / outputCount;
        const auto own = std::span(grids);
        layer->setRows(0, std::span(codes).first(first * inputCount), perRow == 0 ? own : own.first(first * perRow));
        layer->setRows(
            first, std::span(codes).subspan(first * inputCount), perRow == 0 ? own : own.subspan(first * perRow));
    }

    kernels::ConstMatrix matrix() const { return {inputs.data(), tokenCount, inputCount, inputCount}; }
    std::vector<float> run() const
    {
        std::vector<float> result(tokenCount * outputCount, 7.0F);
        layer->run(matrix(), 0, {result.data(), tokenCount, outputCount, outputCount}, {});
        return result;
    }
};

}  // namespace

class TestIntegerLayer : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void agreesWithFakeQuantization_data()
    {
        QTest::addColumn<QString>("weights");
        QTest::addColumn<QString>("inputs");
        for (const auto* weights :
            {"int8:channel", "int8:tensor", "int8:channel:asym", "int8:g64:asym", "int4:g32", "int4:g64:asym",
                "int4:channel", "int4:channel:symf", "int4:g48:symf", "int3:g32:asym", "int6:channel"})
            for (const auto* inputs :
                {"int8:token", "int8:token:asym", "int8:tensor", "int8:tensor:asym", "int4:token"})
                QTest::addRow("%s/%s", weights, inputs) << QString(weights) << QString(inputs);
    }
    void agreesWithFakeQuantization()
    {
        QFETCH(const QString, weights);
        QFETCH(const QString, inputs);
        const Layers layers(weights, inputs);
        QVERIFY2(layers.layer.has_value(), layers.layer ? "" : layers.layer.error().reason.c_str());
        const auto found = layers.run();
        std::vector<float> multiplied(found.size());
        kernels::multiplyByTransposed({layers.roundedInputs.data(), tokenCount, inputCount, inputCount},
            {layers.roundedWeights.data(), outputCount, inputCount, inputCount},
            {multiplied.data(), tokenCount, outputCount, outputCount});
        for (std::size_t token = 0; token < tokenCount; ++token)
            for (std::size_t output = 0; output < outputCount; ++output) {
                double exact = 0.0, size = 0.0;
                for (std::size_t i = 0; i < inputCount; ++i) {
                    const double product = double(layers.roundedInputs[token * inputCount + i])
                        * double(layers.roundedWeights[output * inputCount + i]);
                    exact += product;
                    size += std::abs(product);
                }
                // Every fake-quantized number is rounded once; the layer rounds once more per group and a few times.
                const auto value = double(found[token * outputCount + output]);
                QVERIFY(std::abs(value - exact) <= 12.0 * 0x1p-24 * size);
                // A floating product rounds as often as there are inputs.
                QVERIFY(std::abs(value - double(multiplied[token * outputCount + output]))
                    <= (12.0 + double(inputCount)) * 0x1p-24 * size);
            }
    }

    void staysOnIntegers_data()
    {
        QTest::addColumn<QString>("weights");
        QTest::addColumn<QString>("inputs");
        for (const auto* weights : {"int8:channel", "int8:tensor", "int4:channel", "int8:channel:asym"})
            for (const auto* inputs : {"int8:tensor", "int8:tensor:asym"})
                QTest::addRow("%s/%s", weights, inputs) << QString(weights) << QString(inputs);
    }
    void staysOnIntegers()
    {
        QFETCH(const QString, weights);
        QFETCH(const QString, inputs);
        const Layers layers(weights, inputs);
        QVERIFY(layers.layer.has_value());
        const auto values = layers.run();
        const UnitGrid outputGrid {0.004F, 121.0F};
        const auto codes =
            layers.layer->runToCodes(layers.layer->encodeInputs(layers.matrix()), outputGrid, -128, 127, {});
        float largest = 0.0F;
        for (const auto& grid : layers.weightGrids)
            largest = std::max(largest, grid.scale);
        // The product is rounded to the last place of what is then shifted, at most twice the factor; then that is.
        const double factor = double(layers.inputGrids.front().scale) * double(largest) / double(outputGrid.scale);
        QVERIFY(factor < 0.4);
        std::size_t inside = 0;
        for (std::size_t i = 0; i < codes.size(); ++i) {
            const double exact = double(values[i]) / double(outputGrid.scale) + double(outputGrid.zero) - 128.0;
            QVERIFY(std::abs(double(codes[i]) - std::clamp(exact, -128.0, 127.0)) <= 0.5 + factor + 1e-3);
            inside += exact > -128.0 && exact < 127.0;
        }
        QVERIFY(inside > codes.size() / 2);
    }

    void anyThreadsAndTokens()
    {
        const Layers layers("int4:g32", "int8:token:asym");
        const auto together = layers.run();
        const tbb::global_control one(tbb::global_control::max_allowed_parallelism, 1);
        QVERIFY(layers.run() == together);
        for (const std::size_t token : {0U, 5U, 36U}) {
            std::vector<float> alone(outputCount);
            layers.layer->run(layers.matrix().rowRange(token, 1), 0, {alone.data(), 1, outputCount, outputCount}, {});
            QVERIFY(std::equal(alone.begin(), alone.end(), together.begin() + std::ptrdiff_t(token * outputCount)));
        }
    }

    void someOutputs()
    {
        const Layers layers("int8:channel", "int8:token");
        const auto all = layers.run();
        std::vector<float> part(tokenCount * 21);
        layers.layer->run(layers.matrix(), 32, {part.data(), tokenCount, 21, 21}, {});
        for (std::size_t i = 0; i < part.size(); ++i)
            QCOMPARE(part[i], all[i / 21 * outputCount + 32 + i % 21]);
    }

    /// Overflow shows in the outputs of its token, and in no other.
    void notFinite()
    {
        const Layers layers("int8:channel", "int8:token");
        for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
            std::vector<float> inputs(layers.inputs.begin(), layers.inputs.begin() + 2 * inputCount);
            inputs[inputCount + 5] = bad;
            std::vector<float> result(2 * outputCount);
            layers.layer->run(
                {inputs.data(), 2, inputCount, inputCount}, 0, {result.data(), 2, outputCount, outputCount}, {});
            for (std::size_t i = 0; i < result.size(); ++i)
                QCOMPARE(std::isnan(result[i]), i >= outputCount);
        }
    }

    void nothingToMultiply()
    {
        const Layers layers("int8:channel", "int8:token");
        std::vector<float> none(1, 3.0F);
        layers.layer->run({none.data(), 0, inputCount, inputCount}, 0, {none.data(), 0, outputCount, outputCount}, {});
        QCOMPARE(none[0], 3.0F);
        const std::vector<float> zeros(inputCount);
        std::vector<float> result(outputCount, 3.0F);
        layers.layer->run(
            {zeros.data(), 1, inputCount, inputCount}, 0, {result.data(), 1, outputCount, outputCount}, {});
        QVERIFY(result == std::vector<float>(outputCount));
    }

    void refused_data()
    {
        QTest::addColumn<QString>("weights");
        QTest::addColumn<QString>("inputs");
        QTest::addColumn<int>("columns");
        QTest::addColumn<QString>("reason");
        QTest::addRow("floats") << "fp8_e4m3"
                                << "int8:token" << 64 << "eight bits";
        QTest::addRow("16 bits") << "int16"
                                 << "int8:token" << 64 << "eight bits";
        QTest::addRow("floating activations") << "int8"
                                              << "fp8_e4m3:token" << 64 << "eight bits";
        QTest::addRow("floating minimum") << "int4:g32:asymf"
                                          << "int8:token" << 64 << "use asym";
        QTest::addRow("blocks") << "int8:b8x8"
                                << "int8:token" << 64 << "use tensor, channel or gN";
        QTest::addRow("groups of activations") << "int8"
                                               << "int8:g32" << 64 << "per token";
        QTest::addRow("unknown range") << "int8"
                                       << "int8:tensor" << 64 << "known beforehand";
        QTest::addRow("long sums") << "int8:channel:asym"
                                   << "int8:token:asym" << 33'100 << "32 bits";
    }
    void refused()
    {
        QFETCH(const QString, weights);
        QFETCH(const QString, inputs);
        QFETCH(const int, columns);
        QFETCH(const QString, reason);
        const auto layer = IntegerLayer::create(Scheme::parse(weights.toStdString()).value(),
            Scheme::parse(inputs.toStdString()).value(), 16, std::size_t(columns));
        QVERIFY(!layer.has_value());
        QCOMPARE(layer.error().code, ErrorCode::Unsupported);
        QVERIFY2(QString::fromStdString(layer.error().reason).contains(reason), layer.error().reason.c_str());
    }
};

QTEST_APPLESS_MAIN(TestIntegerLayer)
#include "tst_integer_layer.moc"
