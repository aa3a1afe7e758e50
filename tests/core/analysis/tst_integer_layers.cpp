// SPDX-License-Identifier: GPL-3.0-or-later
// Whole models in integers: divergence as the original implementation of fake quantization measured it on the same
// tokens. Each scheme's weights and inputs are on the same grids; what differs is where float rounds.
#include "core/analysis/integer_layers.h"
#include "core/analysis/quantized_weights.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"
#include "tests/support/uniform_plan.h"

#include <QTest>

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
        auto plan = uniformPlan(*m_model, scheme.toStdString());
        for (auto& planned : plan.tensors)  // the embedding, whose inputs are tokens
            if (m_model->tensors[planned.tensor].name.find("layers.") == std::string::npos)
                planned.activations.reset();
        const auto integers = planIntegers(*m_decoder, plan);
        QCOMPARE(integers.integers.size(), std::size_t(7) * m_decoder->blocks.size());
        QVERIFY(integers.floating.empty());
        const auto others = quantizedWeights(*m_model, integers.rest, {});
        QVERIFY2(others, others ? "" : describe(others.error()).c_str());
        const auto text = windowsOf(goldenTokens("tok_eval"));
        Progress progress;
        const auto result =
            evaluate(*m_decoder, text, {.weights = integerWeights(*m_model, integers, *others, {})}, {}, {}, progress);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const auto& expected = m_expected.at(method.toStdString());
        const double divergence = expected.at("kl"), perplexity = expected.at("ppl");
        // The original rounds in float where this adds integers; of eight bits the mean over these 4,096 predictions
        // differs by some per cent. Which codes part there is not traced.
        QVERIFY2(std::abs(result->divergence->mean / divergence - 1.0) < 0.04,
            qPrintable(QString("%1, not %2").arg(result->divergence->mean).arg(divergence)));
        QVERIFY2(std::abs(result->quantized->value / perplexity - 1.0) < 0.002,
            qPrintable(QString("%1, not %2").arg(result->quantized->value).arg(perplexity)));
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
    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    nlohmann::json m_expected;
};

QTEST_APPLESS_MAIN(TestIntegerLayers)
#include "tst_integer_layers.moc"
