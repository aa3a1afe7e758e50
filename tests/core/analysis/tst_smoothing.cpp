// SPDX-License-Identifier: GPL-3.0-or-later
// SmoothQuant over a whole model: what it computes stays, and divergence is as the original measured it.
#include "core/analysis/smoothing.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/npy_file.h"
#include "tests/support/rounding_spread.h"
#include "tests/support/text_windows.h"
#include "tests/support/uniform_plan.h"

#include <QTest>

#include <mutex>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestSmoothing : public QObject
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
        m_text.windowsPerCall = m_text.windows.size();
        std::mutex mutex;
        ForwardHooks hooks;
        hooks.beforeLayer = [&](const auto& inputs) {
            const std::lock_guard lock(mutex);
            auto& sizes = m_sizes[m_model->tensors[inputs.layer.tensor].name];
            sizes.resize(inputs.values.columns);
            for (std::size_t row = 0; row < inputs.values.rows; ++row)
                for (std::size_t i = 0; i < sizes.size(); ++i)
                    sizes[i] = std::max(sizes[i], std::abs(inputs.values.row(row)[i]));
        };
        for (auto tokens : goldenTokens("tok_calib")) {
            tokens.pop_back();
            QVERIFY(computeLogits(*m_decoder, tokens, hooks, {}));
        }
    }

    void divergence_data()
    {
        QTest::addColumn<QByteArray>("method");
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<double>("alpha");
        const auto row = [](const char* method, const char* scheme, double alpha) {
            QTest::newRow(method) << QByteArray(method) << QByteArray(scheme) << alpha;
        };
        row("smoothquant_w8a8_token|a0.5", "int8:channel:sym:s32+smooth/int8:token", 0.5);
        row("smoothquant_w8a8_token|a0.75", "int8:channel:sym:s32+smooth/int8:token", 0.75);
        row("smoothquant_w4a4_token|a0.5", "int4:channel:sym:s32+smooth/int4:token", 0.5);
        row("smoothquant_w8a8_tensor|a0.5", "int8:tensor:sym:s32+smooth/int8:tensor", 0.5);
    }

    void divergence()
    {
        QFETCH(const QByteArray, method);
        QFETCH(const QByteArray, scheme);
        QFETCH(const double, alpha);
        const auto hooks = smoothed(uniformPlan(*m_model, scheme.toStdString()), alpha);
        QVERIFY2(hooks, hooks ? "" : describe(hooks.error()).c_str());
        const auto spreads = spreadsOf(*m_decoder, m_text, *hooks, 8);
        QVERIFY2(spreads, spreads ? "" : describe(spreads.error()).c_str());
        // The figure is that of one run among many: embeddings moved by a hundred-thousandth move it by this much.
        const auto& [divergences, perplexities] = *spreads;
        QVERIFY2(divergences.deviation < 0.02 * divergences.mean && perplexities.deviation < 0.01 * perplexities.mean,
            qPrintable(QString("%1 ± %2").arg(divergences.mean).arg(divergences.deviation)));
        const auto& expected = m_expected.at(method.toStdString());
        const double divergence = expected.at("kl"), perplexity = expected.at("ppl");
        QVERIFY2(divergences.admits(divergence),
            qPrintable(QString("%1 ± %2, not %3").arg(divergences.mean).arg(divergences.deviation).arg(divergence)));
        QVERIFY2(perplexities.admits(perplexity),
            qPrintable(QString("%1 ± %2, not %3").arg(perplexities.mean).arg(perplexities.deviation).arg(perplexity)));
    }

    void sizesAreThoseOfTheOriginal_data()
    {
        QTest::addColumn<QByteArray>("layer");
        QTest::addColumn<QByteArray>("tensor");
        QTest::newRow("q") << QByteArray("stories_0_wq") << QByteArray("model.layers.0.self_attn.q_proj.weight");
        QTest::newRow("k") << QByteArray("stories_1_wk") << QByteArray("model.layers.1.self_attn.k_proj.weight");
        QTest::newRow("gate") << QByteArray("stories_2_w1") << QByteArray("model.layers.2.mlp.gate_proj.weight");
    }

    void sizesAreThoseOfTheOriginal()
    {
        QFETCH(const QByteArray, layer);
        QFETCH(const QByteArray, tensor);
        const auto expected = readNpy(golden() / layer.toStdString() / "x_absmax.npy");
        QVERIFY(expected);
        const auto& sizes = m_sizes.at(tensor.toStdString());
        QCOMPARE(sizes.size(), expected->values.size());
        for (std::size_t i = 0; i < sizes.size(); ++i)
            QVERIFY(std::abs(sizes[i] / expected->values[i] - 1.0F) < 1e-5F);
    }

    void theModelStaysWhatItIs()
    {
        const auto result = evaluated(uniformPlan(*m_model, "fp32+smooth"), 0.5);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        QVERIFY2(result->divergence->max < 1e-6, qPrintable(QString::number(result->divergence->max)));
        QVERIFY(result->depth.back().sqnr() > 100.0);
        const auto smoothing = smoothInputs(*m_decoder, uniformPlan(*m_model, "fp32+smooth"), m_sizes, {}, {});
        QCOMPARE(smoothing->divisors.size(), std::size_t(10));  // two norms a block
        QCOMPARE(smoothing->columns.size(), std::size_t(25));   // q, k, v, gate, up
        const auto nothing = smoothInputs(*m_decoder, uniformPlan(*m_model, "int8/int8:token"), {}, {}, {});
        QVERIFY(nothing && nothing->divisors.empty() && nothing->columns.empty());
    }

    void refusals()
    {
        auto plan = uniformPlan(*m_model, "int8+smooth/int8:token");
        const auto unknown = smoothInputs(*m_decoder, plan, {}, {}, {});
        QVERIFY(!unknown);
        QCOMPARE(unknown.error().code, ErrorCode::Unsupported);
        QVERIFY(unknown.error().reason.find("calibrate") != std::string::npos);
        for (auto& planned : plan.tensors)
            if (m_model->tensors[planned.tensor].name == "model.layers.1.self_attn.k_proj.weight")
                planned.scheme = Scheme::of(Format::Int8);
        const auto some = smoothInputs(*m_decoder, plan, m_sizes, {}, {});
        QVERIFY(!some);
        QCOMPARE(some.error().code, ErrorCode::InvalidArgument);
        QCOMPARE(some.error().where, std::string("model.layers.1.self_attn.k_proj.weight"));
        QCOMPARE(smoothInputs(*m_decoder, Plan(), m_sizes, {}, {}).error().code, ErrorCode::Conflict);
        auto narrow = m_sizes;
        narrow["model.layers.0.mlp.up_proj.weight"].pop_back();
        QCOMPARE(smoothInputs(*m_decoder, uniformPlan(*m_model, "int8+smooth"), narrow, {}, {}).error().code,
            ErrorCode::InvalidArgument);
    }

private:
    Result<ForwardHooks> smoothed(const Plan& plan, double alpha) const
    {
        const auto smoothing = smoothInputs(*m_decoder, plan, m_sizes, {.usual = alpha}, {});
        if (!smoothing)
            return tl::unexpected(smoothing.error());
        return quantizedModel(*m_model, *smoothing, {}, {}, {});
    }

    Result<Evaluation> evaluated(const Plan& plan, double alpha) const
    {
        return smoothed(plan, alpha).and_then([&](const ForwardHooks& hooks) {
            Progress progress;
            return evaluate(*m_decoder, m_text, hooks, {}, {}, progress);
        });
    }

    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    WindowedText m_text;
    nlohmann::json m_expected;
    InputSizes m_sizes;
};

QTEST_APPLESS_MAIN(TestSmoothing)
#include "tst_smoothing.moc"
