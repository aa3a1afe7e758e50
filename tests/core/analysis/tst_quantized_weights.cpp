// SPDX-License-Identifier: GPL-3.0-or-later
// Whole models under a scheme: divergence as the original implementations measured it on the same tokens.
#include "core/analysis/quantized_weights.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "tests/core/analysis/synthetic_tensor.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

Recipe recipeOf(const ModelCatalog& catalog, const std::string& scheme, const std::string& down)
{
    auto recipe = Recipe::uniform(Scheme::parse(scheme).value(), catalog);
    if (!down.empty())
        recipe.rules.push_back({"*down_proj.weight", {Scheme::parse(down).value(), std::nullopt}});
    return recipe;
}

}  // namespace

class TestQuantizedWeights : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto path = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(path);
        QUANTLOUPE_NEED(golden() / "results");
        m_model = openModel(path).value();
        m_expected = nlohmann::json::parse(contentOf(golden() / "results" / "e2e_all_layers.json")).at("methods");
    }

    void divergence_data()
    {
        QTest::addColumn<QByteArray>("method");
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<QByteArray>("down");  ///< 172 columns: the golden set's groups of 32 are of 43 there
        const auto row = [](const char* method, const char* scheme, const char* down = "") {
            QTest::newRow(method) << QByteArray(method) << QByteArray(scheme) << QByteArray(down);
        };
        row("rtn_symn|tensor|8", "int8:tensor:sym:s32");
        row("rtn_asym|tensor|8", "int8:tensor:asym:s32");
        row("rtn_symn|channel|8", "int8:channel:sym:s32");
        row("rtn_symf|channel|4", "int4:channel:symf:s32");
        row("rtn_asym|channel|4", "int4:channel:asym:s32");
        row("rtn_symn|32|4", "int4:g32:sym:s32", "int4:g43:sym:s32");
        row("rtn_asym|32|4", "int4:g32:asym:s32", "int4:g43:asym:s32");
        row("rtn_asym_mse|32|4", "int4:g32:asym:mse:s32", "int4:g43:asym:mse:s32");
        row("hqq|32|4", "int4:g32:asymf:s32+hqq", "int4:g43:asymf:s32+hqq");
        row("rtn_asym|32|2", "int2:g32:asym:s32", "int2:g43:asym:s32");
        row("mxfp4|32|4", "mxfp4");
        row("nvfp4|16|4", "nvfp4");
        row("fp8_e4m3|channel|8", "fp8_e4m3:channel:s32");
    }

    void divergence()
    {
        QFETCH(const QByteArray, method);
        QFETCH(const QByteArray, scheme);
        QFETCH(const QByteArray, down);
        QVERIFY(m_model);
        const auto catalog = catalogOf(*m_model);
        const auto plan = resolve(recipeOf(catalog, scheme.toStdString(), down.toStdString()), catalog);
        const auto hook = quantizedWeights(*m_model, plan, {});
        QVERIFY2(hook, hook ? "" : describe(hook.error()).c_str());
        const auto decoder = describeDecoder(*m_model);
        QVERIFY(decoder);
        const auto text = windowsOf(goldenTokens("tok_eval"));
        Progress progress;
        const auto result = evaluate(*decoder, text, {.weights = *hook}, {}, {}, progress);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const auto& expected = m_expected.at(method.toStdString());
        const double divergence = expected.at("kl"), perplexity = expected.at("ppl"), agreement = expected.at("top1");
        QVERIFY2(std::abs(result->divergence->mean / divergence - 1.0) < 0.01,
            qPrintable(QString::number(result->divergence->mean)));
        QVERIFY2(std::abs(result->quantized->value / perplexity - 1.0) < 0.002,
            qPrintable(QString::number(result->quantized->value)));
        QVERIFY2(std::abs(result->divergence->topAgreement - agreement) < 0.003,
            qPrintable(QString::number(result->divergence->topAgreement)));
    }

    void rowsComeOutAsQuantizersMakeThem_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        for (const auto* scheme : {"int4:g32", "int8:tensor", "int4:b4x16", "int4:g32:s8", "nf4:g64", "lut3",
                 "int4:g32+biascorr", "int4:g32+hadamard"})
            QTest::newRow(scheme) << QByteArray(scheme);
    }

    /// However the rows are asked for.
    void rowsComeOutAsQuantizersMakeThem()
    {
        QFETCH(const QByteArray, scheme);
        constexpr std::size_t rows = 24, columns = 64;
        std::mt19937 random(9);
        std::normal_distribution<float> normal;
        std::vector<float> values(rows * columns);
        for (auto& value : values)
            value = normal(random);
        const SyntheticTensor tensor(rows, columns, values);
        Model model;
        model.tensors = {tensor.tensor()};
        Plan plan;
        plan.tensors = {{.scheme = Scheme::parse(scheme.toStdString()).value()}};
        const auto hook = quantizedWeights(model, plan, {});
        QVERIFY2(hook, hook ? "" : describe(hook.error()).c_str());
        const auto replacer = (*hook)(0);
        QVERIFY(replacer && *replacer);
        auto whole = values;
        (*replacer)(0, whole);
        QVERIFY(whole != values);
        auto pieces = values;
        for (const std::size_t first : {20U, 0U, 7U, 8U}) {
            const std::size_t last = first == 0 ? 7 : first == 7 ? 8 : first == 8 ? 20 : 24;
            (*replacer)(first, std::span(pieces).subspan(first * columns, (last - first) * columns));
        }
        QCOMPARE(pieces, whole);
    }

    void refusals()
    {
        Model model;
        Plan plan;
        plan.tensors.resize(1);
        QCOMPARE(quantizedWeights(model, plan, {}).error().code, ErrorCode::Conflict);
        model.tensors.resize(1);
        plan.tensors[0] = {.scheme = Scheme::parse("int4+gptq").value()};
        QCOMPARE(quantizedWeights(model, plan, {}).error().code, ErrorCode::Unsupported);
    }

private:
    ModelPointer m_model;
    nlohmann::json m_expected;
};

QTEST_APPLESS_MAIN(TestQuantizedWeights)
#include "tst_quantized_weights.moc"
