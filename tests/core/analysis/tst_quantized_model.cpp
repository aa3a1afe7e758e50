// SPDX-License-Identifier: GPL-3.0-or-later
// Whole models with quantized activations and caches: divergence as the original implementations measured it.
#include "core/analysis/quantized_model.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"
#include "tests/support/uniform_plan.h"

#include <QTest>

#include <mutex>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

void keep(PlannedTensor& planned)
{
    planned.scheme.reset();
    planned.activations.reset();
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
        m_text = windowsOf(goldenTokens("tok_eval"));
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
        auto text = m_text;
        text.windowsPerCall = text.windows.size();  // the original ran all sequences at once
        const auto result = evaluated(scheme, {}, text);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const auto& expected = m_expected.at(method.toStdString());
        const double divergence = expected.at("kl"), perplexity = expected.at("ppl"), agreement = expected.at("top1");
        QVERIFY2(std::abs(result->divergence->mean / divergence - 1.0) < 0.01,
            qPrintable(QString::number(result->divergence->mean)));
        QVERIFY2(std::abs(result->quantized->value / perplexity - 1.0) < 0.01,
            qPrintable(QString::number(result->quantized->value)));
        QVERIFY2(std::abs(result->divergence->topAgreement - agreement) < 0.006,
            qPrintable(QString::number(result->divergence->topAgreement)));
    }

    /// Finer scales are better, whatever the order in which things were built.
    void finerIsBetter_data()
    {
        QTest::addColumn<QByteArrayList>("schemes");  ///< coarse to fine: /activations, or a cache
        QTest::newRow("activations") << QByteArrayList {"/int4:tensor", "/int4:token", "/int6:token", "/int8:token"};
        QTest::newRow("small floats") << QByteArrayList {
            "/mxfp4", "/mxfp6_e2m3", "/fp8_e4m3:token", "/int8:g32:asym", "/bf16"};
        QTest::newRow("caches") << QByteArrayList {"int2", "int3", "int4", "int4:g4", "fp8_e4m3", "int8", "fp16"};
    }

    void finerIsBetter()
    {
        QFETCH(const QByteArrayList, schemes);
        auto text = m_text;
        text.windows.resize(2);
        double before = std::numeric_limits<double>::infinity();
        for (const auto& scheme : schemes) {
            const bool isCache = !scheme.startsWith('/');
            const auto result =
                evaluated(isCache ? QByteArray() : "fp32" + scheme, isCache ? scheme : QByteArray(), text);
            QVERIFY2(result, result ? "" : describe(result.error()).c_str());
            QVERIFY2(result->divergence->mean < before, scheme);
            QVERIFY(result->divergence->mean > 0.0);
            before = result->divergence->mean;
        }
        QVERIFY(before < 1e-3);
    }

    /// Ranges that one call had, known beforehand, give what the call gives.
    void staticRangesOfTheSameText()
    {
        auto text = m_text;
        text.windows.resize(2);
        text.windows[0].length = text.windows[1].length = 70;
        text.windowsPerCall = 2;
        const auto plan = uniformPlan(*m_model, "fp32/int8:tensor");
        ActivationRanges ranges;
        std::mutex mutex;
        auto hooks = quantizedModel(*m_model, plan, {}, {}, {}).value();
        hooks.inputs = watching(hooks.inputs, ranges, mutex);
        Progress ignored;
        QVERIFY(evaluate(*m_decoder, text, hooks, {}, {}, ignored));
        QCOMPARE(ranges.size(), std::size_t(35));
        Progress first, second;
        const auto fixed = evaluate(*m_decoder, text, *quantizedModel(*m_model, plan, {}, ranges, {}), {}, {}, first);
        const auto running = evaluate(*m_decoder, text, *quantizedModel(*m_model, plan, {}, {}, {}), {}, {}, second);
        QVERIFY(fixed && running);
        // Watched layers do not share their inputs, and products of other shapes differ in their last bits.
        QVERIFY(std::abs(fixed->quantized->value / running->quantized->value - 1.0) < 1e-5);
        QVERIFY(std::abs(fixed->divergence->mean / running->divergence->mean - 1.0) < 1e-3);
        for (std::size_t i = 1; i < fixed->depth.size(); ++i)
            QVERIFY(std::abs(fixed->depth[i].sqnr() - running->depth[i].sqnr()) < 1e-3);
        // Half the range clamps, and costs a lot.
        for (auto& [name, own] : ranges)
            for (auto* end : {&own.low, &own.high})
                for (auto& value : *end)
                    value *= 0.5F;
        Progress third;
        const auto clamped = evaluate(*m_decoder, text, *quantizedModel(*m_model, plan, {}, ranges, {}), {}, {}, third);
        QVERIFY(clamped && clamped->divergence->mean > 1.5 * running->divergence->mean);
    }

    void oneTensorAlone()
    {
        auto text = m_text;
        text.windows.resize(2);
        auto plan = uniformPlan(*m_model, "int4:g32/int8:token");
        for (auto& planned : plan.tensors)
            if (m_model->tensors[planned.tensor].name != "model.layers.2.mlp.down_proj.weight")
                keep(planned);
        Progress progress;
        const auto result = evaluate(*m_decoder, text, *quantizedModel(*m_model, plan, {}, {}, {}), {}, {}, progress);
        QVERIFY(result);
        for (std::size_t depth = 0; depth <= 2; ++depth)  // the embedding, blocks 0 and 1
            QCOMPARE(result->depth[depth].noise, 0.0);
        for (std::size_t depth = 3; depth <= 5; ++depth) {
            QVERIFY(result->depth[depth].noise > 0.0);
            QVERIFY(result->depth[depth].sqnr() > 10.0);
        }
    }

    void sameBitsForAnyThreadsAndMemory()
    {
        auto text = m_text;
        text.windows.resize(5);
        text.windowsPerCall = 2;
        const auto run = [&](EvaluationLimits limits) {
            return evaluated("int4:g32/int8:tensor", "int4:g4", text, limits).value();
        };
        const auto one = run({.threads = 1});
        QCOMPARE(run({.threads = 2}), one);
        QCOMPARE(run({.threads = 2, .memory = 3'000'000}), one);
    }

    void headsThatDoNotFit()
    {
        const auto result = evaluated({}, "q8_0", m_text);  // heads of 8, blocks of 32
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Unsupported);
        QVERIFY(!quantizedModel(*m_model, uniformPlan(*m_model, "int8"), Scheme::parse("int8:tensor").value(), {}, {}));
    }

private:
    Result<Evaluation> evaluated(const QByteArray& scheme, const QByteArray& cache, const WindowedText& text,
        const EvaluationLimits& limits = {}) const
    {
        auto plan = uniformPlan(*m_model, scheme.isEmpty() ? "fp32" : scheme.toStdString());
        if (scheme.isEmpty())
            for (auto& planned : plan.tensors)
                keep(planned);
        const auto cached = cache.isEmpty() ? std::nullopt : std::optional(Scheme::parse(cache.toStdString()).value());
        return quantizedModel(*m_model, plan, cached, {}, {}).and_then([&](const ForwardHooks& hooks) {
            Progress progress;
            return evaluate(*m_decoder, text, hooks, limits, {}, progress);
        });
    }

    /// Writes down the ranges of what comes in.
    InputHook watching(InputHook inner, ActivationRanges& seen, std::mutex& mutex) const
    {
        return [this, inner = std::move(inner), &seen, &mutex](
                   std::size_t tensor) -> Result<std::shared_ptr<const InputReplacer>> {
            const auto replacer = inner(tensor).value();
            if (!replacer)
                return nullptr;
            return std::make_shared<const InputReplacer>(InputReplacer {.needsRange = replacer->needsRange,
                .replace = [replacer, &seen, &mutex, name = m_model->tensors[tensor].name,
                               columns = std::size_t(matrixShape(m_model->tensors[tensor].view).columns)](
                               std::span<float> rows, const kernels::FiniteRange& range) {
                    {
                        const std::lock_guard lock(mutex);
                        auto& own = seen[name];
                        own.low.resize(columns);
                        own.high.resize(columns);
                        for (std::size_t i = 0; i < rows.size(); ++i) {
                            own.low[i % columns] = std::min(own.low[i % columns], rows[i]);
                            own.high[i % columns] = std::max(own.high[i % columns], rows[i]);
                        }
                    }
                    replacer->replace(rows, range);
                }});
        };
    }

    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    WindowedText m_text;
    nlohmann::json m_expected;
};

QTEST_APPLESS_MAIN(TestQuantizedModel)
#include "tst_quantized_model.moc"
