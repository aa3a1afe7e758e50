// SPDX-License-Identifier: GPL-3.0-or-later
// A real model calibrated into a study, then quantized by what the study knows: divergences as the original
// implementations measured them on the same tokens, of all layers together and of single ones.
#include "core/analysis/analyze.h"
#include "core/analysis/layer_divergence.h"
#include "core/analysis/quantized_weights.h"
#include "core/file_formats/file_format.h"
#include "core/statistics/rank_correlation.h"
#include "core/study/error_metric.h"
#include "core/study/known_inputs.h"
#include "tests/support/calibrated_study.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"

#include <QTemporaryDir>
#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::uint64_t kEnough = std::uint64_t {1} << 30U;

}  // namespace

class TestCalibratedModels : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto path = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(path);
        QUANTLOUPE_NEED(golden() / "results");
        const auto model = openModel(path).value();
        const auto study = std::filesystem::path(m_folder.path().toStdString()) / "calibrated.h5";
        calibrateInto(*model, study);
        if (QTest::currentTestFailed())
            return;
        m_model = std::make_shared<const Model>(withKnownInputs(*model, Study::read(study).value(), study));
        m_decoder = describeDecoder(*m_model).value();
        auto sequences = goldenTokens("tok_eval");
        m_text = windowsOf(sequences);
        const auto results = golden() / "results";
        m_methods = nlohmann::json::parse(contentOf(results / "e2e_all_layers.json")).at("methods");
        m_methods.update(nlohmann::json::parse(contentOf(results / "beat_biascorr.json")));
        m_single = nlohmann::json::parse(contentOf(results / "sensitivity_single_layer.json"));
    }

    void divergenceOfTheWhole_data()
    {
        QTest::addColumn<QByteArray>("method");
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<QByteArray>("down");  ///< 172 columns: the golden set's groups of 32 are of 43 there
        const auto row = [](const char* method, const char* scheme, const char* down = "") {
            QTest::newRow(method) << QByteArray(method) << QByteArray(scheme) << QByteArray(down);
        };
        row("gptq_asym_act|channel|4", "int4:channel:asym:s32+gptq");
        row("gptq_asym_act_static|32|4", "int4:g32:asym:s32+gptq", "int4:g43:asym:s32+gptq");
        row("gptq_asym_act_static|32|3", "int3:g32:asym:s32+gptq", "int3:g43:asym:s32+gptq");
        row("gptq_asym_mse|32|4", "int4:g32:asym:mse:s32+gptq", "int4:g43:asym:mse:s32+gptq");
        row("had_gptq_asym|32|4", "int4:g32:asym:s32+hadamard+gptq", "int4:g43:asym:s32+hadamard+gptq");
        row("awqlin|32|4", "int4:g32:asym:s32+awq", "int4:g43:asym:s32+awq");
        row("beat|32|4", "int4:g32:asymf:s32+cd", "int4:g43:asymf:s32+cd");
        row("beat_biascorr|32|4", "int4:g32:asymf:s32+cd+biascorr", "int4:g43:asymf:s32+cd+biascorr");
        row("beat|32|3", "int3:g32:asymf:s32+cd", "int3:g43:asymf:s32+cd");
    }

    /// Reproduced or beaten.
    void divergenceOfTheWhole()
    {
        QFETCH(const QByteArray, method);
        QFETCH(const QByteArray, scheme);
        QFETCH(const QByteArray, down);
        const auto catalog = catalogOf(*m_model);
        auto recipe = Recipe::uniform(Scheme::parse(scheme.toStdString()).value(), catalog);
        if (!down.isEmpty())
            recipe.rules.push_back({"*down_proj.weight", {Scheme::parse(down.toStdString()).value(), std::nullopt}});
        const auto hook = quantizedWeights(*m_model, resolve(recipe, catalog), {});
        QVERIFY2(hook, hook ? "" : describe(hook.error()).c_str());
        Progress progress;
        const auto result = evaluate(*m_decoder, m_text, {.weights = *hook}, {}, {}, progress);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const double expected = m_methods.at(method.toStdString()).at("kl");
        const double found = result->divergence->mean;
        qInfo("%s: %.5g, the original has %.5g", scheme.constData(), found, expected);
        QVERIFY2(found <= 1.03 * expected, qPrintable(QString::number(found)));
        QVERIFY2(found >= 0.9 * expected, "too good to be the same method");
    }

    /// Measured layer by layer, and what is estimated from one measurement each.
    void divergenceOfSingleLayers()
    {
        std::vector<QuantizedLayer> layers;
        std::vector<double> expected, expectedAtFour;
        const auto three = m_single.at("rtn_asym|channel|3"), four = m_single.at("rtn_asym|channel|4");
        for (const auto& [layer, values] : three.items()) {
            const auto tensor = m_model->find(goldenTensor(layer));
            QVERIFY2(tensor, layer.c_str());
            layers.push_back({*tensor, Scheme::parse("int3:channel:asym:s32").value()});
            expected.push_back(values.at(0));
            expectedAtFour.push_back(four.at(layer).at(0));
        }
        QCOMPARE(layers.size(), std::size_t(35));
        std::vector<MeasuredDivergence> found;
        Progress progress;
        const auto done = measureLayerDivergences(*m_decoder, m_text, layers, {2, kEnough}, {}, progress,
            [&](std::size_t, const MeasuredDivergence& divergence) -> Result<void> {
                found.push_back(divergence);
                return {};
            });
        QVERIFY2(done, done ? "" : describe(done.error()).c_str());
        for (std::size_t i = 0; i < layers.size(); ++i) {
            QVERIFY2(
                std::abs(found[i].mean / expected[i] - 1.0) < 0.01, m_model->tensors[layers[i].tensor].name.c_str());
            QCOMPARE(found[i].predictions, std::uint64_t(m_text.scored()));
            QVERIFY(found[i].standardError > 0.0 && found[i].standardError < found[i].mean);
        }
        // At another width, from these and the outputs' errors alone.
        StudySnapshot study;
        study.model = catalogOf(*m_model);
        for (std::size_t i = 0; i < layers.size(); ++i)
            addMeasurements(study, m_model->tensors[layers[i].tensor], found[i]);
        const auto context = metricContext(study);
        QCOMPARE(context.measuredScheme, std::string("int3:channel:asym:s32"));
        std::vector<double> estimates, ratios;
        for (std::size_t i = 0; i < layers.size(); ++i) {
            const auto& all = study.of(m_model->tensors[layers[i].tensor].name);
            estimates.push_back(valueOf(ErrorMetric::OnePointKl, all, *all.at("int4:channel:asym:s32"), context));
            ratios.push_back(expectedAtFour[i] / estimates.back());
        }
        std::sort(ratios.begin(), ratios.end());
        const double correlation = rankCorrelation(estimates, expectedAtFour), median = ratios[ratios.size() / 2];
        qInfo("one-point KL against measured: rank correlation %.3f, median ratio %.3f", correlation, median);
        QVERIFY(correlation > 0.93);
        QVERIFY(median > 0.9 && median < 1.1);
    }

private:
    static void addMeasurements(StudySnapshot& study, const ModelTensor& tensor, const MeasuredDivergence& divergence)
    {
        const std::vector<Scheme> schemes {
            Scheme::parse("int3:channel:asym:s32").value(), Scheme::parse("int4:channel:asym:s32").value()};
        Progress progress;
        const auto weights = measureWeights(tensor, {}, progress).value();
        auto measured = measureSchemes(tensor, weights, schemes, {}, progress).value();
        measured.front().divergence = divergence;
        study.add({tensor.name, weights, std::move(measured)});
    }

    QTemporaryDir m_folder;
    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    WindowedText m_text;
    nlohmann::json m_methods, m_single;
};

QTEST_APPLESS_MAIN(TestCalibratedModels)
#include "tst_calibrated_models.moc"
