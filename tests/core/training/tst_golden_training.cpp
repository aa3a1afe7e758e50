// SPDX-License-Identifier: GPL-3.0-or-later
// End-to-end training of the golden set's model on the golden set's tokens, beside the runs that were recorded there:
// groups of 32, of 43 where a layer has 172 inputs; batches of 8 sequences; 20 steps of warm-up, 400 in all.
#include "core/file_formats/file_format.h"
#include "core/training/train.h"
#include "core/training/training_plan.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"

#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestGoldenTraining : public QObject
{
    Q_OBJECT
    ModelPointer m_model;
    Decoder m_decoder;
    WindowedText m_text, m_heldOut;
    QJsonObject m_runs;

    /// Mean KL of a recorded run after so many steps.
    double recorded(const char* run, int step) const
    {
        for (const auto& entry : m_runs[QLatin1String(run)].toArray())
            if (entry.toArray()[0].toInt() == step)
                return entry.toArray()[1].toObject()[QStringLiteral("kl")].toDouble();
        return 0.0;
    }

    /// "int3" and ":symf:s32".
    std::unique_ptr<Training> begin(const std::string& format, const std::string& rest, TrainingOptions options) const
    {
        const auto schemeOf = [&](const char* group) { return Scheme::parse(format + group + rest).value(); };
        auto recipe = Recipe::uniform(schemeOf(":g32"), catalogOf(*m_model));
        recipe.rules.push_back({.match = "*down_proj*", .plan = {.weights = schemeOf(":g43"), .activations = {}}});
        const auto plan =
            planTraining(*m_model, recipe, [this](const Plan& all) { return Student::untrained(m_decoder, all); });
        options.threads = 2;
        return Training::begin(m_decoder, plan.value().plan, m_text, m_heldOut, options, {}).value();
    }

private Q_SLOTS:
    void initTestCase()
    {
        const auto llm = corpus() / "llm" / "stories260K" / "hf", results = golden() / "results" / "qat.json";
        QUANTLOUPE_NEED(llm);
        QUANTLOUPE_NEED(results);
        m_model = openModel(llm).value();
        m_decoder = describeDecoder(*m_model).value();
        m_text = windowsOf(goldenTokens("tok_train"));
        m_heldOut = windowsOf(goldenTokens("tok_eval"));
        QCOMPARE(m_text.windows.size(), std::size_t(768));
        QCOMPARE(m_heldOut.scored(), std::size_t(16 * 256));
        QFile file(QString::fromStdString(results.string()));
        QVERIFY(file.open(QIODevice::ReadOnly));
        m_runs = QJsonDocument::fromJson(file.readAll()).object();
    }

    void begins_data()
    {
        QTest::addColumn<QByteArray>("format");
        QTest::addColumn<QByteArray>("run");
        QTest::newRow("2 bits") << QByteArray("int2") << QByteArray("2,32,ste,kd,400,3e-3");
        QTest::newRow("3 bits") << QByteArray("int3") << QByteArray("3,32,ste,kd,400,2e-3");
        QTest::newRow("4 bits") << QByteArray("int4") << QByteArray("4,32,ste,kd,400,1e-3");
    }

    /// Rounding to nearest, before any step.
    void begins()
    {
        QFETCH(const QByteArray, format);
        QFETCH(const QByteArray, run);
        const double expected = recorded(run.constData(), 0);
        QVERIFY(expected > 0.0);
        const auto found = begin(format.toStdString(), ":asym:s32", {})->evaluate({});
        QVERIFY(found);
        QVERIFY2(std::abs(found->divergence / expected - 1.0) < 1e-3,
            qPrintable(QString("%1, recorded %2").arg(found->divergence).arg(expected)));
        QVERIFY(std::abs(found->teacherPerplexity - 3.581178) < 1e-5);
    }

    /// As far as the first evaluation of a whole run.
    void learnsScales()
    {
        const double expected = recorded("3,32,lsq,kd,400,2e-3", 50);
        QVERIFY(expected > 0.0);
        const auto training = begin("int3", ":symf:s32", {.learningRate = 2e-3, .rule = StepRule::Scale});
        for (int step = 0; step < 50; ++step)
            QVERIFY(training->step({}));
        const auto found = training->evaluate({});
        QVERIFY(found);
        QVERIFY2(
            found->divergence < expected, qPrintable(QString("%1, recorded %2").arg(found->divergence).arg(expected)));
    }
};

QTEST_APPLESS_MAIN(TestGoldenTraining)
#include "tst_golden_training.moc"
