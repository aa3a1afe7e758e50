// SPDX-License-Identifier: GPL-3.0-or-later
// Whole models in integers: divergence as the original implementation of fake quantization measured it on the same
// tokens. Each scheme's weights and inputs are on the same grids; what differs is where float rounds, and then only
// inputs that lie at a tie between two codes.
#include "core/analysis/integer_layers.h"
#include "core/analysis/quantized_model.h"
#include "core/analysis/quantized_weights.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/rounding_spread.h"
#include "tests/support/text_windows.h"
#include "tests/support/uniform_plan.h"

#include <QTest>

#include <mutex>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestIntegerLayers : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto path = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(path);
        QUANTLOUPE_NEED(golden() / "results");
        m_model = openModel(path).value();
        m_decoder = describeDecoder(*m_model).value();
        m_expected = nlohmann::json::parse(contentOf(golden() / "results" / "model_level.json"));
    }

    void divergence_data()
    {
        QTest::addColumn<QByteArray>("method");
        QTest::addColumn<QByteArray>("scheme");
        QTest::newRow("W8A8") << QByteArray("smoothquant_w8a8_token|aNone")
                              << QByteArray("int8:channel:sym:s32/int8:token");
        QTest::newRow("W6A6") << QByteArray("smoothquant_w6a6_token|aNone")
                              << QByteArray("int6:channel:sym:s32/int6:token");
        QTest::newRow("W4A4") << QByteArray("smoothquant_w4a4_token|aNone")
                              << QByteArray("int4:channel:sym:s32/int4:token");
    }
    void divergence()
    {
        QFETCH(const QByteArray, method);
        QFETCH(const QByteArray, scheme);
        const auto plan = layersBy(scheme);
        const auto integers = integerModel(plan);
        QVERIFY2(integers, integers ? "" : describe(integers.error()).c_str());
        const auto rounded = quantizedModel(*m_model, plan, {}, {}, {});
        QVERIFY2(rounded, rounded ? "" : describe(rounded.error()).c_str());
        const auto text = windowsOf(goldenTokens("tok_eval"));
        constexpr std::size_t runs = 8;
        const auto ofIntegers = spreadsOf(*m_decoder, text, *integers, runs);
        const auto ofRounded = spreadsOf(*m_decoder, text, *rounded, runs);
        QVERIFY2(ofIntegers, ofIntegers ? "" : describe(ofIntegers.error()).c_str());
        QVERIFY2(ofRounded, ofRounded ? "" : describe(ofRounded.error()).c_str());
        // The figure is that of one run among many: embeddings moved by a hundred-thousandth move it by this much.
        const auto& [divergences, perplexities] = *ofIntegers;
        const auto said = QString("%1 ± %2, rounded %3 ± %4")
                              .arg(divergences.mean)
                              .arg(divergences.deviation)
                              .arg(ofRounded->divergence.mean)
                              .arg(ofRounded->divergence.deviation);
        QVERIFY2(divergences.deviation < 0.02 * divergences.mean, qPrintable(said));
        const auto& expected = m_expected.at(method.toStdString());
        QVERIFY2(divergences.admits(expected.at("kl")), qPrintable(said));
        QVERIFY(perplexities.admits(expected.at("ppl")));
        QVERIFY2(divergences.sameMeanAs(ofRounded->divergence, runs), qPrintable(said));
    }

    /// Layer after layer: where all codes so far are those of fake quantization, so are the outputs, but for float's
    /// last bits, and a code of the next layer parts only where its input lies at a tie.
    void codesPartAtTies()
    {
        const auto plan = layersBy("int8:channel:sym:s32/int8:token");
        const auto integers = integerModel(plan);
        const auto rounded = quantizedModel(*m_model, plan, {}, {}, {});
        QVERIFY(integers && rounded);
        std::size_t compared = 0, parted = 0;
        double farthest = 0.0, largestGap = 0.0;
        for (auto tokens : goldenTokens("tok_eval")) {
            tokens.pop_back();
            const auto one = seenBy(*integers, tokens), other = seenBy(*rounded, tokens);
            QCOMPARE(one.size(), std::size_t(7) * m_decoder->blocks.size());
            std::size_t alike = tokens.size();  // tokens before this one had the same codes so far
            for (std::size_t layer = 0; layer < one.size(); ++layer) {
                QCOMPARE(one[layer].tensor, other[layer].tensor);
                for (std::size_t token = 0; token < alike; ++token) {
                    const auto x = one[layer].inputOf(token), y = other[layer].inputOf(token);
                    const float scale = largestOf(x) / 127.0F, otherScale = largestOf(y) / 127.0F;
                    for (std::size_t i = 0; i < x.size(); ++i) {
                        const float place = x[i] / scale;
                        ++compared;
                        if (std::nearbyint(place) == std::nearbyint(y[i] / otherScale))
                            continue;
                        ++parted;
                        farthest = std::max(farthest, std::abs(double(place) - std::floor(double(place)) - 0.5));
                        alike = std::min(alike, token);
                    }
                }
                for (std::size_t token = 0; token < alike; ++token) {
                    const auto x = one[layer].outputOf(token), y = other[layer].outputOf(token);
                    for (std::size_t i = 0; i < x.size(); ++i)
                        largestGap = std::max(largestGap, double(std::abs(x[i] - y[i]) / largestOf(y)));
                }
            }
        }
        const auto said = QString("%1 of %2 codes, at most %3 from a tie; outputs %4 apart")
                              .arg(parted)
                              .arg(compared)
                              .arg(farthest)
                              .arg(largestGap);
        QVERIFY2(parted > 0 && compared > 1'000 * parted, qPrintable(said));
        QVERIFY2(farthest < 2e-4, qPrintable(said));  // inputs that differ by 1e-6 of the largest, in 127 steps
        QVERIFY2(largestGap < 1e-5, qPrintable(said));
    }

    /// What cannot run in integers says why, and stays for fake quantization.
    void floating_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<QByteArray>("reason");
        QTest::newRow("tensor") << QByteArray("int8/int8:tensor") << QByteArray("known beforehand");
        QTest::newRow("groups") << QByteArray("int8/int8:g32") << QByteArray("per token");
        QTest::newRow("floating activations") << QByteArray("int8/fp8_e4m3:token") << QByteArray("eight bits");
        QTest::newRow("floating weights") << QByteArray("nf4/int8:token") << QByteArray("eight bits");
        QTest::newRow("rotated") << QByteArray("int4+hadamard/int8:token") << QByteArray("hadamard");
    }
    void floating()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const QByteArray, reason);
        const auto plan = uniformPlan(*m_model, scheme.toStdString());
        const auto integers = planIntegers(*m_decoder, plan);
        QVERIFY(integers.integers.empty());
        QCOMPARE(integers.rest, plan);
        std::size_t explained = 0;
        for (const auto& layer : integers.floating)
            explained += layer.reason.find(reason.toStdString()) != std::string::npos;
        QCOMPARE(explained, std::size_t(7) * m_decoder->blocks.size());
    }

private:
    /// What one linear layer was given and gave, of all tokens. Of integers the inputs are not yet rounded.
    struct SeenLayer {
        std::size_t tensor = 0, inputs = 0, outputs = 0;
        std::vector<float> given {}, gave {};

        std::span<const float> inputOf(std::size_t token) const
        {
            return std::span(given).subspan(token * inputs, inputs);
        }
        std::span<const float> outputOf(std::size_t token) const
        {
            return std::span(gave).subspan(token * outputs, outputs);
        }
    };

    static float largestOf(std::span<const float> values)
    {
        float largest = 0.0F;
        for (const float value : values)
            largest = std::max(largest, std::abs(value));
        return largest;
    }

    /// The layers of the blocks, in the order in which they are computed.
    std::vector<SeenLayer> seenBy(ForwardHooks hooks, const std::vector<std::uint32_t>& tokens) const
    {
        std::vector<SeenLayer> layers;
        std::mutex mutex;
        const auto keep = [&](const LayerValues& values, bool isInput) {
            const std::lock_guard lock(mutex);
            if (values.layer.tensor == m_decoder->head.tensor)
                return;
            auto found = std::find_if(layers.begin(), layers.end(),
                [&](const SeenLayer& layer) { return layer.tensor == values.layer.tensor; });
            if (found == layers.end())
                found = layers.insert(layers.end(),
                    {.tensor = values.layer.tensor, .inputs = values.layer.inputs, .outputs = values.layer.outputs});
            auto& into = isInput ? found->given : found->gave;
            into.resize(tokens.size() * values.values.columns);
            for (std::size_t row = 0; row < values.values.rows; ++row)
                std::copy_n(values.values.row(row), values.values.columns,
                    into.begin() + std::ptrdiff_t((values.firstToken + row) * values.values.columns));
        };
        hooks.beforeLayer = [&](const LayerValues& values) { keep(values, true); };
        hooks.afterLayer = [&](const LayerValues& values) { keep(values, false); };
        return computeLogits(*m_decoder, tokens, hooks, {}) ? layers : std::vector<SeenLayer>();
    }

    Plan layersBy(const QByteArray& scheme) const
    {
        auto plan = uniformPlan(*m_model, scheme.toStdString());
        for (auto& planned : plan.tensors)  // the embedding, whose inputs are tokens
            if (m_model->tensors[planned.tensor].name.find("layers.") == std::string::npos)
                planned.activations.reset();
        return plan;
    }

    Result<ForwardHooks> integerModel(const Plan& plan) const
    {
        const auto integers = planIntegers(*m_decoder, plan);
        if (integers.integers.size() != std::size_t(7) * m_decoder->blocks.size() || !integers.floating.empty())
            return failure(ErrorCode::Unsupported, "plan", "leaves layers in float");
        return quantizedWeights(*m_model, integers.rest, {}).map([&](const WeightHook& others) {
            return ForwardHooks {.weights = integerWeights(*m_model, integers, others, {})};
        });
    }

    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    nlohmann::json m_expected;
};

QTEST_APPLESS_MAIN(TestIntegerLayers)
#include "tst_integer_layers.moc"
