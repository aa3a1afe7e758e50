// SPDX-License-Identifier: GPL-3.0-or-later
// Whole models with quantized activations and caches: divergence as the original implementations measured it.
#include "core/analysis/quantized_model.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

WindowedText everyPrediction(const std::vector<std::vector<std::uint32_t>>& sequences)
{
    WindowedText text;
    for (const auto& sequence : sequences) {
        text.windows.push_back({.begin = text.tokens.size(), .length = sequence.size()});
        text.tokens.insert(text.tokens.end(), sequence.begin(), sequence.end());
    }
    return text;
}

Plan planOf(const Model& model, const std::string& notation)
{
    const auto catalog = catalogOf(model);
    const auto plan = LayerPlan::parse(notation).value();
    auto recipe = Recipe::uniform(plan.weights, catalog);
    recipe.activations = plan.activations;
    return resolve(recipe, catalog);
}

}  // namespace

class TestQuantizedModel : public QObject
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
        auto sequences = goldenTokens("tok_eval");
        for (auto& sequence : sequences)
            sequence.resize(257);
        m_text = everyPrediction(sequences);
        m_text.windowsPerCall = 16;
    }

    void divergence_data()
    {
        QTest::addColumn<QByteArray>("method");
        QTest::addColumn<QByteArray>("scheme");
        const auto row = [](const char* method, const char* scheme) {
            QTest::newRow(method) << QByteArray(method) << QByteArray(scheme);
        };
        row("smoothquant_w8a8_token|aNone", "int8:channel:sym:s32/int8:token");
        row("smoothquant_w6a6_token|aNone", "int6:channel:sym:s32/int6:token");
        row("smoothquant_w4a4_token|aNone", "int4:channel:sym:s32/int4:token");
        row("smoothquant_w8a8_tensor|aNone", "int8:tensor:sym:s32/int8:tensor");
        row("smoothquant_w6a6_tensor|aNone", "int6:tensor:sym:s32/int6:tensor");
        row("smoothquant_w4a4_tensor|aNone", "int4:tensor:sym:s32/int4:tensor");
    }

    void divergence()
    {
        QFETCH(const QByteArray, method);
        QFETCH(const QByteArray, scheme);
        const auto hooks = quantizedModel(*m_model, planOf(*m_model, scheme.toStdString()), {}, {}, {});
        QVERIFY2(hooks, hooks ? "" : describe(hooks.error()).c_str());
        Progress progress;
        const auto result = evaluate(*m_decoder, m_text, *hooks, {}, {}, progress);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const auto& expected = m_expected.at(method.toStdString());
        qInfo("%s kl %.6g expected %.6g ppl %.6g %.6g top %.5g %.5g", method.data(), result->divergence->mean, double(expected.at("kl")),
            result->quantized->value, double(expected.at("ppl")), result->divergence->topAgreement, double(expected.at("top1")));
        for (const auto& d : result->depth) qInfo("  %g", d.sqnr());
    }

private:
    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    WindowedText m_text;
    nlohmann::json m_expected;
};

QTEST_APPLESS_MAIN(TestQuantizedModel)
#include "tst_quantized_model.moc"
