// SPDX-License-Identifier: GPL-3.0-or-later
// From a text to a recipe: calibrate, sensitivity, allocate, evaluate, as a person goes.
#include "tests/app/cli_fixture.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <cmath>

using namespace quantloupe::tests;

class TestCliSensitivity : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto llm = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        m_model = QString::fromStdString(llm.string());
        const auto text = readFile(QString::fromStdString((corpus() / "text" / "tinystories_val_A.txt").string()));
        QVERIFY(text.size() > 20'000);
        m_text = m_folder.filePath(QStringLiteral("text.txt"));
        QVERIFY(writeFile(m_text, text.left(20'000)));
        m_study = m_folder.filePath(QStringLiteral("study.h5"));
    }

    void needsCalibrationForOnePoint()
    {
        const auto run = runCli(
            {"sensitivity", m_model, "--scheme", "int4:g32", "--metric", "one_point_kl", "--text", m_text, "--json"});
        QCOMPARE(run.status, 2);
        QVERIFY(run.errors.contains("calibrate"));
        QCOMPARE(runCli({"sensitivity", m_model, "--scheme", "int4:g32", "--metric", "nonsense"}).status, 2);
        QCOMPARE(runCli({"sensitivity", m_model, "--scheme", "int4:g32", "--metric", "measured_kl"}).status, 2);
        QCOMPARE(runCli({"analyze", m_model, "--scheme", "int4:g32+gptq"}).status, 2);
    }

    void measuredOneByOne()
    {
        const auto run = runCli({"sensitivity", m_model, "--scheme", "int3:g32:asym", "--text", m_text, "--tokens",
            "1024", "--tensors", "*layers.1.*proj*", "--json"});
        QVERIFY2(run.status == 0, run.errors);
        const auto json = run.json();
        QCOMPARE(json["metric"].toString(), QStringLiteral("measured_kl"));
        const auto layers = json["layers"].toArray();
        QCOMPARE(layers.size(), 7);
        double before = INFINITY;
        for (const auto& layer : layers) {
            const double value = layer.toObject()["value"].toDouble();
            QVERIFY(value > 0.0 && value <= before);
            QVERIFY(layer.toObject()["standard_error"].toDouble() > 0.0);
            before = value;
        }
        // The same layer, measured as a model of which only it is quantized.
        const auto worst = layers.first().toObject();
        const auto alone = runCli({"evaluate", m_model, "--scheme", "int3:g32:asym", "--inject",
            worst["tensor"].toString(), "--text", firstTokens(), "--json"});
        QVERIFY2(alone.status == 0, alone.errors);
        QVERIFY(alone.json()["kl_mean"].toDouble() > 0.0);
    }

    void fromTextToRecipe()
    {
        const auto calibrated = runCli({"calibrate", m_model, "--text", m_text, "--study", m_study, "--json"});
        QVERIFY2(calibrated.status == 0, calibrated.errors);
        const auto ranked = runCli({"sensitivity", m_model, "--scheme", "int2:g32:asym", "--scheme", "int3:g32:asym",
            "--scheme", "int4:g32:asym+gptq", "--scheme", "int8:g32", "--text", m_text, "--tokens", "2048", "--study",
            m_study, "--json"});
        QVERIFY2(ranked.status == 0, ranked.errors);
        QCOMPARE(ranked.json()["metric"].toString(), QStringLiteral("one_point_kl"));
        QCOMPARE(ranked.json()["layers"].toArray().size(), 36 * 4);
        QVERIFY(!ranked.json()["agreement"].toArray().isEmpty());

        const auto recipe = m_folder.filePath(QStringLiteral("best.recipe.json"));
        const auto allocated = runCli({"allocate", m_study, "--budget", "4bpw", "--recipe-out", recipe, "--json"});
        QVERIFY2(allocated.status == 0, allocated.errors);
        const auto found = allocated.json();
        QCOMPARE(found["predicted"].toObject()["metric"].toString(), QStringLiteral("one_point_kl"));
        QVERIFY(found["bits_per_weight"].toDouble() <= 4.0);
        QVERIFY(found["optimal"].toBool());
        QVERIFY(found["frontier"].toArray().size() > 10);

        // The prediction holds within what interactions do, and the recipe is as large as it says.
        const auto truth =
            runCli({"evaluate", m_model, "--recipe", recipe, "--study", m_study, "--text", firstTokens(), "--json"});
        QVERIFY2(truth.status == 0, truth.errors);
        QCOMPARE(truth.json()["bytes"].toInt(), found["bytes"].toInt());
        const double predicted = found["predicted"].toObject()["value"].toDouble(),
                     measured = truth.json()["kl_mean"].toDouble();
        qInfo("predicted %.4f, measured %.4f", predicted, measured);
        QVERIFY(measured > 0.5 * predicted && measured < 3.0 * predicted);

        // The other way round: no more bytes for the same divergence.
        const auto fewest = runCli({"allocate", m_study, "--max-kl", QString::number(predicted, 'g', 17), "--json"});
        QVERIFY2(fewest.status == 0, fewest.errors);
        QVERIFY(fewest.json()["bytes"].toInt() <= found["bytes"].toInt());
    }

    void budgetsThatCannotBe_data()
    {
        QTest::addColumn<QStringList>("options");
        QTest::addColumn<QByteArray>("reason");
        QTest::newRow("none") << QStringList {} << QByteArray("--max-kl");
        QTest::newRow("two") << QStringList {"--budget", "4bpw", "--max-kl", "1"} << QByteArray("one of them");
        QTest::newRow("no unit") << QStringList {"--budget", "4 apples"} << QByteArray("bits per weight");
        QTest::newRow("too little") << QStringList {"--budget", "100"} << QByteArray("smallest");
        QTest::newRow("metric") << QStringList {"--budget", "4bpw", "--metric", "sqnr"} << QByteArray("one_point_kl");
    }
    void budgetsThatCannotBe()
    {
        QFETCH(const QStringList, options);
        QFETCH(const QByteArray, reason);
        QVERIFY(QFile::exists(m_study));
        const auto run = runCli(QStringList {"allocate", m_study} + options);
        QVERIFY(run.status == 2 || run.status == 3);
        QVERIFY2(run.errors.contains(reason), run.errors);
    }

private:
    /// About as many tokens as sensitivity is given above.
    QString firstTokens() const
    {
        const auto path = m_folder.filePath(QStringLiteral("first.txt"));
        writeFile(path, readFile(m_text).left(7'000));
        return path;
    }

    QTemporaryDir m_folder;
    QString m_model, m_text, m_study;
};

QTEST_GUILESS_MAIN(TestCliSensitivity)
#include "tst_cli_sensitivity.moc"
