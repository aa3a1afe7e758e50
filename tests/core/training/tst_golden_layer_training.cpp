// SPDX-License-Identifier: GPL-3.0-or-later
// Training of the golden set's layers on activations of the real model, judged on those of other texts.
#include "core/algorithms/damped_moments.h"
#include "core/file_formats/file_format.h"
#include "core/training/layer_training.h"
#include "tests/support/calibration_runs.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/synthetic_activations.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

struct Inputs {
    LayerInputs training {}, heldOut {};
};

/// By tensor: all tokens of a text.
std::map<std::string, LayerInputs> inputsOf(const Decoder& decoder, const char* tokens)
{
    auto sequences = goldenTokens(tokens);
    for (auto& sequence : sequences)
        sequence.resize(256);
    return layerInputsOf(decoder, windowsOf(sequences), {.sampleTokens = 4096});
}

LayerInputs syntheticInputs(std::size_t tokens, std::uint64_t first, std::uint64_t seed)
{
    return {.columns = 512, .tokens = tokens, .sample = syntheticActivations(tokens, 512, seed, first)};
}

/// tr(E·H·Eᵀ)/tr(W·H·Wᵀ) of tokens [first, …), with H in double, number by number.
double slowError(
    const GoldenLayer& layer, std::span<const float> quantized, const LayerInputs& inputs, std::size_t first)
{
    const auto n = inputs.columns;
    LayerInputs moments {.columns = n, .tokens = inputs.tokens, .secondMoments = std::vector<double>(n * n)};
    for (auto t = first * n; t < inputs.sample.size(); t += n)
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j)
                moments.secondMoments[i * n + j] += double(inputs.sample[t + i]) * double(inputs.sample[t + j]);
    return relativeOutputError(layer.weights, quantized, moments);
}

}  // namespace

class TestGoldenLayerTraining : public QObject
{
    Q_OBJECT
    std::map<std::string, GoldenLayer> m_layers;
    std::map<std::string, Inputs> m_inputs;

    Result<LayerTrainingResult> train(
        const std::string& name, const char* scheme, StepRule rule, LayerStart start, std::uint64_t steps) const
    {
        const auto& layer = m_layers.at(name);
        const auto& inputs = m_inputs.at(name);
        Progress progress;
        return trainLayer({layer.weights, layer.rows, layer.columns, &inputs.training, &inputs.heldOut},
            Scheme::parse(scheme).value(), {.steps = steps, .rule = rule, .start = start, .threads = 2}, {},
            {progress, 0});
    }

private Q_SLOTS:
    void initTestCase()
    {
        QUANTLOUPE_NEED(golden() / "index.json");
        m_layers = goldenLayers();
        const auto model = openModel(golden() / "model" / "stories260K.bin");
        QVERIFY(model);
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        auto training = inputsOf(*decoder, "tok_calib"), heldOut = inputsOf(*decoder, "tok_eval");
        for (const auto& [name, layer] : m_layers) {
            if (name == "syn512") {
                const auto seed = nlohmann::json::parse(contentOf(golden() / "synthetic.json")).at("syn512").at("seed");
                m_inputs[name] = {syntheticInputs(2048, 20, seed), syntheticInputs(1024, 30, seed)};
                continue;
            }
            const auto tensor = goldenTensor(name.substr(std::string("stories_").size()));
            m_inputs[name] = {training.at(tensor), heldOut.at(tensor)};
        }
        QCOMPARE(m_inputs.size(), std::size_t {6});
    }

    /// What round-to-nearest loses on the training tokens is what the set says.
    void nearestAsPublished()
    {
        std::size_t seen = 0;
        for (const auto& entry : goldenEntries())
            for (const auto& [method, scheme] : {std::pair("rtn_asym_32_b3", "int3:g32:asym:s32"),
                     std::pair("rtn_asym_channel_b2", "int2:channel:asym:s32")}) {
                const auto name = entry.at("case").get<std::string>();
                if (entry.at("method") != method || !m_layers.contains(name))
                    continue;
                const auto result = train(name, scheme, StepRule::Estimated, LayerStart::Nearest, 1);
                QVERIFY(result);
                const double expected = entry.at("metrics").at("orel_calib");
                QVERIFY2(std::abs(result->nearest.training.relative / expected - 1.0) < 2e-4,
                    qPrintable(QStringLiteral("%1: %2, not %3")
                                   .arg(QString::fromStdString(name))
                                   .arg(result->nearest.training.relative)
                                   .arg(expected)));
                ++seen;
            }
        QVERIFY(seen >= 6);
    }

    void layers_data()
    {
        QTest::addColumn<QByteArray>("layer");
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        for (const auto& [name, layer] : m_layers)
            for (const auto& [scheme, rule] :
                {std::pair("int3:g32:asymf:s32", StepRule::Affine), std::pair("int2:g32:asymf:s32", StepRule::Affine),
                    std::pair("int3:channel:symf", StepRule::Scale), std::pair("int2:channel:symf", StepRule::Scale),
                    std::pair("int3:g32:asym", StepRule::Estimated), std::pair("int2:g32:asym", StepRule::Estimated)})
                QTest::addRow("%s %s", name.c_str(), scheme)
                    << QByteArray::fromStdString(name) << QByteArray(scheme) << int(rule);
    }

    /// From the best start training beats both roundings; the figures are those of a slow computation.
    void layers()
    {
        QFETCH(const QByteArray, layer);
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        const auto name = layer.toStdString();
        const auto result = train(name, scheme.constData(), StepRule(rule), LayerStart::Best, 120);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        QVERIFY(result->beatsNearest() && result->gptq && result->beatsGptq());
        QCOMPARE(result->start, LayerStart::Descent);
        QCOMPARE(result->beatsStart(), result->trained.heldOut.squared < result->begun.heldOut.squared);
        if (result->keptStep == 0)
            QVERIFY(result->trained == result->begun);
        // What decides and what judges are other tokens: what is kept may lose a little on the latter.
        QVERIFY(result->trained.heldOut.relative < 1.01 * result->begun.heldOut.relative);
        QVERIFY(result->trained.heldOut.relative < 0.95 * result->gptq->heldOut.relative);
        QVERIFY(result->trained.training.relative < 0.95 * result->gptq->training.relative);
        const auto& heldOut = m_inputs.at(name).heldOut;
        const double slow = slowError(
            m_layers.at(name), result->layer->quantized().values, heldOut, std::size_t(result->decidingTokens));
        QVERIFY(std::abs(result->trained.heldOut.relative / slow - 1.0) < 1e-4);
    }

    /// Descent alone: from round-to-nearest it always gains; learned grids end below GPTQ, estimated ones above it, and
    /// the result says so.
    void fromNearest_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        QTest::addColumn<bool>("beatsGptq");
        QTest::newRow("aff int3") << QByteArray("int3:g32:asymf:s32") << int(StepRule::Affine) << true;
        QTest::newRow("aff int2") << QByteArray("int2:g32:asymf:s32") << int(StepRule::Affine) << true;
        QTest::newRow("ste int3") << QByteArray("int3:g32:asymf:s32") << int(StepRule::Estimated) << false;
        QTest::newRow("ste int2") << QByteArray("int2:g32:asymf:s32") << int(StepRule::Estimated) << false;
        QTest::newRow("ste nf4") << QByteArray("nf4:g32") << int(StepRule::Estimated) << false;
    }

    void fromNearest()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        QFETCH(const bool, beatsGptq);
        for (const char* name : {"stories_0_wq", "stories_3_w2"}) {
            const auto result = train(name, scheme.constData(), StepRule(rule), LayerStart::Nearest, 400);
            QVERIFY2(result, result ? "" : describe(result.error()).c_str());
            QCOMPARE(result->start, LayerStart::Nearest);
            QVERIFY(result->keptStep > 0);
            QVERIFY(result->trained.heldOut.relative < 0.9 * result->nearest.heldOut.relative);
            QCOMPARE(result->beatsGptq(), beatsGptq);
            QCOMPARE(result->trained.heldOut.relative < result->gptq->heldOut.relative, beatsGptq);
        }
    }
};

QTEST_APPLESS_MAIN(TestGoldenLayerTraining)
#include "tst_golden_layer_training.moc"
