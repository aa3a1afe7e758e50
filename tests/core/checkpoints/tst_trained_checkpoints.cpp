// SPDX-License-Identifier: GPL-3.0-or-later
// A calibrated model under a recipe with +qat: evaluated, and written with the codes that were trained.
#include "checkpoint_fixture.h"
#include "core/analysis/quantized_weights.h"
#include "core/inference/evaluate.h"
#include "core/study/known_inputs.h"
#include "tests/support/calibrated_study.h"

#include <QTemporaryDir>
#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

const std::string kQuery = "model.layers.0.self_attn.q_proj.weight";

/// All of one tensor, as `analyze` and `evaluate` see it.
std::vector<float> analyzed(const Model& model, const std::string& tensor, const Scheme& scheme)
{
    const auto index = model.find(tensor).value();
    const auto quantized = weightQuantization(model)(index, scheme, std::stop_token());
    if (!quantized)
        qFatal("%s", describe(quantized.error()).c_str());
    QuantizedRows rows;
    (*quantized)->quantize(0, static_cast<std::size_t>(matrixShape(model.tensors[index].view).rows), rows);
    return {rows.values.begin(), rows.values.end()};
}

}  // namespace

class TestTrainedCheckpoints : public QObject
{
    Q_OBJECT
    QTemporaryDir m_folder;
    ModelPointer m_model;

    std::filesystem::path at(const char* name) const
    {
        return std::filesystem::path(m_folder.path().toStdString()) / name;
    }

private Q_SLOTS:
    void initTestCase()
    {
        const auto path = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(path);
        QUANTLOUPE_NEED(golden() / "index.json");
        const auto model = openModel(path).value();
        calibrateInto(*model, at("calibrated.h5"));
        if (QTest::currentTestFailed())
            return;
        m_model = std::make_shared<const Model>(
            withKnownInputs(*model, Study::read(at("calibrated.h5")).value(), at("calibrated.h5")));
    }

    /// On text that was not calibrated on the model diverges less than by descent alone.
    void evaluates()
    {
        const auto decoder = describeDecoder(*m_model).value();
        const auto catalog = catalogOf(*m_model);
        const auto text = windowsOf(goldenTokens("tok_eval"));
        const auto divergence = [&](const char* algorithm) {
            const auto recipe =
                Recipe::uniform(Scheme::parse(std::string("int3:channel:symf") + algorithm).value(), catalog);
            const auto hook = quantizedWeights(*m_model, resolve(recipe, catalog), {});
            if (!hook)
                qFatal("%s", describe(hook.error()).c_str());
            Progress progress;
            const auto result = evaluate(decoder, text, {.weights = *hook}, {}, {}, progress);
            return result ? result->divergence->mean : -1.0;
        };
        const double gptq = divergence("+gptq"), descent = divergence("+cd"), trained = divergence("+qat");
        qInfo("KL: gptq %.5g, cd %.5g, qat %.5g", gptq, descent, trained);
        QVERIFY(trained > 0.0 && trained < descent && trained < gptq);
    }

    void refusedWithoutCalibration()
    {
        const auto model = openModel(corpus() / "llm" / "stories260K" / "hf").value();
        const auto catalog = catalogOf(*model);
        const auto hook = quantizedWeights(
            *model, resolve(Recipe::uniform(Scheme::parse("int3:channel+qat").value(), catalog), catalog), {});
        QVERIFY(!hook);
        QCOMPARE(hook.error().code, ErrorCode::Unsupported);
        QVERIFY2(QByteArray::fromStdString(hook.error().reason).contains("algorithm qat needs calibration"),
            hook.error().reason.c_str());
    }

    void writes_data()
    {
        QTest::addColumn<QByteArray>("target");
        QTest::addColumn<QByteArray>("scheme");
        QTest::newRow("fake-quantized") << QByteArray("fake-quantized") << QByteArray("int3:g32:symf+qat");
        QTest::newRow("compressed-tensors")
            << QByteArray("compressed-tensors-checkpoint") << QByteArray("int4:g32:symf+qat");
        QTest::newRow("gptq") << QByteArray("gptq") << QByteArray("int2:g32:asym+qat");
        QTest::newRow("gptq, learned scales") << QByteArray("gptq") << QByteArray("int4:g32:symf+qat");
    }
    /// What the file holds is what was analyzed.
    void writes()
    {
        QFETCH(const QByteArray, target);
        QFETCH(const QByteArray, scheme);
        const auto parsed = Scheme::parse(scheme.toStdString()).value();
        auto recipe = recipeOf(scheme.toStdString());
        recipe.keep = {"*mlp*", "*embed*", "*norm*", "lm_head*"};
        const auto out = at(QTest::currentDataTag());
        const auto written = exportTo(target.toStdString(), requestFor(m_model, recipe), out);
        QVERIFY2(written, written ? "" : describe(written.error()).c_str());
        const auto again = openModel(out);
        QVERIFY2(again, again ? "" : describe(again.error()).c_str());
        const auto values = valuesIn(**again, kQuery), expected = analyzed(*m_model, kQuery, parsed);
        QCOMPARE(values.size(), expected.size());
        // Formats hold the scales as FP16; what is learned is learned so, what is found (asym) is not.
        double error = 0.0, energy = 0.0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            error += std::pow(double(values[i]) - double(expected[i]), 2);
            energy += std::pow(double(expected[i]), 2);
        }
        QVERIFY2(error <= 1e-6 * energy, qPrintable(QString::number(error / energy)));
        QVERIFY(energy > 0.0);
    }
};

QTEST_GUILESS_MAIN(TestTrainedCheckpoints)
#include "tst_trained_checkpoints.moc"
