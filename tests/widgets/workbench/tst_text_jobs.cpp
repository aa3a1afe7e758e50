// SPDX-License-Identifier: GPL-3.0-or-later
// A workbench that runs its model on text: calibration, ranking, evaluation, and what becomes of them.
#include "core/study/error_metric.h"
#include "tests/support/shared_data.h"
#include "tests/support/tiny_model.h"
#include "widgets/workbench/workbench.h"

#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>

#include <algorithm>
#include <fstream>

using quantloupe::Calibration;
using quantloupe::ErrorMetric;
using quantloupe::LayerPlan;
using quantloupe::Scheme;
namespace tests = quantloupe::tests;

namespace {

constexpr int patience = 120'000;  // milliseconds; the machine may be busy

bool settled(const Workbench& workbench)
{
    return QTest::qWaitFor([&] { return !workbench.isAnalyzing() && !workbench.jobs()->isBusy(); }, patience);
}

bool open(Workbench& workbench, const std::filesystem::path& path)
{
    QSignalSpy opened(&workbench, &Workbench::modelChanged);
    workbench.openModel(QString::fromStdString(path.string()));
    return (opened.size() > 0 || opened.wait(patience)) && settled(workbench);
}

}  // namespace

class TestTextJobs : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void init()
    {
        QVERIFY(m_folder.isValid());
        qputenv("QUANTLOUPE_DATA", (m_folder.path() + QStringLiteral("/data-%1").arg(++m_count)).toUtf8());
    }

    void ranksCalibratesAndEvaluates()
    {
        const auto llm = tests::corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        const auto text = QString::fromStdString((tests::corpus() / "text" / "tinystories_val_A.txt").string());
        {
            Workbench workbench;
            workbench.setSweep({Scheme::parse("int3:g32:asym").value(), Scheme::parse("int4:g32").value()});
            QVERIFY(open(workbench, llm));
            QCOMPARE(workbench.calibration(), Calibration::Absent);
            QCOMPARE(quantloupe::bestMetric(*workbench.study()), ErrorMetric::ModelError);

            QSignalSpy failed(&workbench, &Workbench::failed);
            workbench.rankLayers(text, 1024);
            QVERIFY(settled(workbench));
            QVERIFY2(failed.isEmpty(), qPrintable(failed.value(0).value(1).toString()));
            QCOMPARE(workbench.calibration(), Calibration::Given);
            QCOMPARE(quantloupe::bestMetric(*workbench.study()), ErrorMetric::OnePointKl);
            const auto* down = workbench.study()->find("model.layers.2.mlp.down_proj.weight", "int3:g32:asym");
            QVERIFY(down && down->divergence.known() && down->divergence.mean > 0.0 && down->outputError.known());
            // What was measured before is measured again, for what its outputs lose.
            const auto* four = workbench.study()->find("model.layers.2.mlp.down_proj.weight", "int4:g32");
            QVERIFY(four && four->outputError.known());

            workbench.setDefaultScheme(Scheme::parse("int4:g32:asym+gptq").value());
            QVERIFY(settled(workbench));
            QVERIFY2(failed.isEmpty(), qPrintable(failed.value(0).value(1).toString()));
            const auto run = workbench.evaluateRecipe(text, 1024);
            QVERIFY(run && run->text == QStringLiteral("tinystories_val_A.txt"));
            QVERIFY(settled(workbench));
            // One state behind the embedding and behind each of five blocks, and the whole.
            const auto states = run->soFar->since(0);
            QCOMPARE(states.size(), std::size_t(7));
            for (std::size_t i = 0; i < 6; ++i) {
                QCOMPARE(states[i].evaluation.scored, std::size_t(0));
                QCOMPARE(states[i].evaluation.depth.size(), i + 1);
                QVERIFY(std::equal(states[i].evaluation.depth.begin(), states[i].evaluation.depth.end(),
                    states.back().evaluation.depth.begin()));
            }
            QVERIFY(states.back().evaluation.scored > 0);
            const auto& evaluation = states.back().evaluation;
            QVERIFY(evaluation.divergence && evaluation.divergence->mean > 0.0 && evaluation.divergence->mean < 0.3);
            QCOMPARE(evaluation.depth.size(), std::size_t(6));

            // SmoothQuant's strength: as given, or searched behind each of the ten norms.
            QVERIFY(states.back().alphas.empty());
            auto smoothed = workbench.recipe();
            smoothed.defaultPlan = LayerPlan::parse("int8:channel+smooth/int8:token").value();
            workbench.setRecipe(smoothed, QStringLiteral("smooth"));
            QVERIFY(settled(workbench));
            const auto usual = workbench.evaluateRecipe(text, 1024, 0.25);
            QVERIFY(settled(workbench));
            QCOMPARE(usual->soFar->since(6).front().alphas, std::vector<double>(10, 0.25));
            const auto searched = workbench.evaluateRecipe(text, 1024, std::nullopt);
            QVERIFY(settled(workbench));
            QVERIFY2(failed.isEmpty(), qPrintable(failed.value(0).value(1).toString()));
            const auto alphas = searched->soFar->since(6).front().alphas;
            QCOMPARE(alphas.size(), std::size_t(10));
            QVERIFY(alphas.front() < alphas.back());
            workbench.setDefaultScheme(Scheme::parse("int4:g32:asym+gptq").value());
            QVERIFY(settled(workbench));
        }
        // The study knows it the next time.
        Workbench again;
        again.setSweep({Scheme::parse("int4:g32").value()});
        QVERIFY(open(again, llm));
        QCOMPARE(again.calibration(), Calibration::Given);
        QCOMPARE(again.recipe().defaultPlan.weights.toString(), std::string("int4:g32:asym+gptq"));
    }

    /// One backward pass, and the KL of every scheme is predicted; what the window allocates by follows.
    void takesGradients()
    {
        const auto llm = tests::corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        const auto text = QString::fromStdString((tests::corpus() / "text" / "tinystories_val_A.txt").string());
        Workbench workbench;
        workbench.setSweep({Scheme::parse("int3:g32:asym").value(), Scheme::parse("int4:g32").value()});
        QVERIFY(open(workbench, llm));
        QSignalSpy failed(&workbench, &Workbench::failed);
        const auto run =
            workbench.calibrate(text, 1024, quantloupe::GradientCalibration {.tokens = 512, .fisher = false});
        QVERIFY(settled(workbench));
        // What was told of each input is what the study knows: four per block, and the output head's.
        const auto told = run->soFar->since(0);
        QCOMPARE(told.size(), std::size_t(5 * 4 + 1));
        for (const auto& input : told) {
            const auto* figures = workbench.study()->calibration.find(input.layer);
            QVERIFY2(figures, input.layer.c_str());
            QCOMPARE(input.tokens, figures->inputs.tokens);
            auto absMax = figures->inputs.absMax();
            std::sort(absMax.begin(), absMax.end());
            QCOMPARE(input.loudest, double(absMax.back()) / double(absMax[absMax.size() / 2]));
            QVERIFY(input.moved > 0.0 && input.moved < 1.0);
        }
        QVERIFY2(failed.isEmpty(), qPrintable(failed.value(0).value(1).toString()));
        const auto known = quantloupe::knownMetrics(*workbench.study());
        QVERIFY(std::count(known.begin(), known.end(), ErrorMetric::Kfac) == 1);
        QVERIFY(std::count(known.begin(), known.end(), ErrorMetric::Fisher) == 0);
        QCOMPARE(quantloupe::bestMetric(*workbench.study()), ErrorMetric::Kfac);
        const auto& gradients = workbench.study()->calibration.gradients;
        QVERIFY(!gradients.empty());
        QVERIFY(gradients.begin()->second->text.predictions <= 512);

        // With Fisher they are taken anew.
        workbench.calibrate(text, 1024, quantloupe::GradientCalibration {.tokens = 512});
        QVERIFY(settled(workbench));
        const auto more = quantloupe::knownMetrics(*workbench.study());
        QVERIFY(std::count(more.begin(), more.end(), ErrorMetric::Fisher) == 1);
        const auto* four = workbench.study()->find("model.layers.2.mlp.down_proj.weight", "int4:g32");
        QVERIFY(four && four->predicted.kfac > 0.0 && four->predicted.fisher > 0.0);

        // Cancelled, it leaves the study as it was.
        workbench.calibrate(text, 1024, quantloupe::GradientCalibration {.tokens = 1024});
        workbench.jobs()->cancel(QStringLiteral("workbench/text"));
        QVERIFY(settled(workbench));
        QVERIFY(failed.isEmpty());
        QCOMPARE(quantloupe::bestMetric(*workbench.study()), ErrorMetric::Kfac);
    }

    void saysWhyAModelCannotRun()
    {
        const auto path =
            tests::writeTinyModel((m_folder.path() + QStringLiteral("/tiny.safetensors")).toStdString(), 1, 32);
        const auto text = m_folder.path() + QStringLiteral("/text.txt");
        std::ofstream(text.toStdString()) << "Once upon a time.";
        Workbench workbench;
        workbench.setSweep({Scheme::parse("int8").value()});
        QVERIFY(open(workbench, path));
        QSignalSpy failed(&workbench, &Workbench::failed);
        workbench.calibrate(text, 1024);
        QVERIFY(settled(workbench));
        workbench.evaluateRecipe(text, 1024);
        QVERIFY(settled(workbench));
        QCOMPARE(failed.size(), 2);
        QVERIFY(!failed.front().at(1).toString().isEmpty());
    }

    void closingWaitsForNothing()
    {
        const auto llm = tests::corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        const auto text = QString::fromStdString((tests::corpus() / "text" / "tinystories_val_A.txt").string());
        Workbench workbench;
        workbench.setSweep({Scheme::parse("int8").value()});
        QVERIFY(open(workbench, llm));
        workbench.calibrate(text, 1'000'000);
        QTest::qWait(50);
        workbench.closeModel();
        QVERIFY(settled(workbench));
        QVERIFY(!workbench.hasModel());
        QVERIFY(open(workbench, llm));  // its study was given back
        QVERIFY(workbench.jobs()->log().filter(QStringLiteral("could not be used")).isEmpty());
    }

private:
    QTemporaryDir m_folder;
    int m_count = 0;
};

QTEST_MAIN(TestTextJobs)
#include "tst_text_jobs.moc"
