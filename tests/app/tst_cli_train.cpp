// SPDX-License-Identifier: GPL-3.0-or-later
// Training under quantization from the command line: what it tells, what it writes, and how it goes on.
#include "core/file_formats/file_format.h"
#include "tests/app/cli_fixture.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <cmath>
#include <set>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestCliTrain : public QObject
{
    Q_OBJECT
    QTemporaryDir m_folder;
    QString m_model, m_text, m_held;

    QStringList command(const QStringList& more) const
    {
        return QStringList {"train-quantized", m_model, "--text", m_text, "--eval-text", m_held, "--context", "64",
                   "--batch", "4", "--warm-up", "2", "--evaluate-every", "6", "--json"}
        + more;
    }

private Q_SLOTS:
    void initTestCase()
    {
        const auto llm = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        m_model = QString::fromStdString(llm.string());
        const auto text = readFile(QString::fromStdString((corpus() / "text" / "tinystories_val_A.txt").string()));
        QVERIFY(text.size() > 20'000);
        m_text = m_folder.filePath(QStringLiteral("text.txt"));
        m_held = m_folder.filePath(QStringLiteral("held.txt"));
        QVERIFY(writeFile(m_text, text.left(12'000)));
        QVERIFY(writeFile(m_held, text.mid(14'000, 2'000)));
    }

    /// Each step brings the model nearer to the original, and what is written is the model that was evaluated.
    void trainsAndWrites()
    {
        const auto out = m_folder.filePath(QStringLiteral("trained"));
        const auto run =
            runCli(command({"--scheme", "int3:g32:asymf:s32", "--rule", "aff", "--steps", "12", "--out", out}));
        QVERIFY2(run.status == 0, run.errors);
        const auto json = run.json();
        QCOMPARE(json["steps_done"].toInt(), 12);
        QCOMPARE(json["steps"].toArray().size(), 12);
        QCOMPARE(json["evaluations"].toArray().size(), 3);
        const auto before = json["before"].toObject(), after = json["after"].toObject();
        QVERIFY(after["kl_mean"].toDouble() < 0.95 * before["kl_mean"].toDouble());
        QVERIFY(json["checkpoint"].toObject()["verified_tensors"].toInt() >= 35);

        const auto model = openModel(out.toStdString());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& tensor = (*model)->tensors[*(*model)->find("model.layers.2.mlp.up_proj.weight")];
        std::vector<float> weights(tensor.view.elements());
        decodeRows(tensor.view, 0, matrixShape(tensor.view).rows, weights);
        for (std::size_t first = 0; first < weights.size(); first += 32)
            QVERIFY(
                std::set<float>(weights.begin() + std::ptrdiff_t(first), weights.begin() + std::ptrdiff_t(first + 32))
                    .size()
                <= 8);
        // As the original of another training it has the perplexity that it was written with.
        const auto again = runCli({"train-quantized", out, "--text", m_text, "--eval-text", m_held, "--context", "64",
            "--scheme", "int8", "--steps", "1", "--batch", "1", "--json"});
        QVERIFY2(again.status == 0, again.errors);
        const double written = again.json()["perplexity_base"].toDouble();
        QVERIFY(std::abs(written / after["perplexity"].toDouble() - 1.0) < 1e-5);
    }

    void goesOnFromItsState()
    {
        const auto state = m_folder.filePath(QStringLiteral("state"));
        const QStringList same {"--scheme", "int4:g32", "--steps", "6", "--seed", "3", "--state", state};
        const auto first = runCli(command(same));
        QVERIFY2(first.status == 0, first.errors);
        const auto second = runCli(command(same));
        QVERIFY2(second.status == 0, second.errors);
        QCOMPARE(second.json()["evaluations"], first.json()["evaluations"]);
        QVERIFY(second.errors.contains("goes on behind step 6"));
        const auto other = runCli(command({"--scheme", "int4:g32", "--steps", "7", "--seed", "3", "--state", state}));
        QVERIFY(other.status != 0);
        QVERIFY(other.errors.contains("other options"));
    }

    void refusals_data()
    {
        QTest::addColumn<QStringList>("options");
        QTest::addColumn<QByteArray>("says");
        QTest::newRow("no scheme") << QStringList {} << QByteArray("--scheme");
        QTest::newRow("rule") << QStringList {"--scheme", "int4:g32", "--rule", "pact"}
                              << QByteArray("ste, lsq and aff");
        QTest::newRow("loss") << QStringList {"--scheme", "int4:g32", "--loss", "mse"} << QByteArray("kd and ce");
        QTest::newRow("target") << QStringList {"--scheme", "int4:g32", "--to", "nothing"} << QByteArray("targets");
        QTest::newRow("scheme and rule") << QStringList {"--scheme", "int4:g32:asym", "--rule", "lsq"}
                                         << QByteArray("cannot be trained by lsq");
    }

    void refusals()
    {
        QFETCH(const QStringList, options);
        QFETCH(const QByteArray, says);
        const auto run = runCli(command(options));
        QVERIFY(run.status != 0);
        QVERIFY2(run.errors.contains(says), run.errors);
    }
};

QTEST_GUILESS_MAIN(TestCliTrain)
#include "tst_cli_train.moc"
