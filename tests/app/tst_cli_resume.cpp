// SPDX-License-Identifier: GPL-3.0-or-later
// An analysis that is killed or cancelled goes on where it was, and comes to the same figures.
#include "cli_fixture.h"
#include "core/study/study.h"

#include <QElapsedTimer>
#include <QTest>

#include <csignal>

using namespace quantloupe::tests;

namespace {

constexpr int kBlocks = 60;  // two matrices each
const QStringList kSchemes {"--scheme", "int4:g32:asym:mse", "--scheme", "int8"};

/// Results found in a study, folded or still in its journal.
std::size_t resultsIn(const QString& study)
{
    const auto read = quantloupe::Study::read(study.toStdString());
    std::size_t count = 0;
    if (read)
        for (const auto& [tensor, schemes] : (*read)->measurements)
            count += schemes->size();
    return count;
}

}  // namespace

class TestCliResume : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_folder;
    QString m_model;
    QJsonObject m_uninterrupted;
    QString at(const QString& name) const { return m_folder.filePath(name); }

    /// Starts an analysis and sends a signal once its journal has grown to `bytes`.
    bool interrupt(QProcess& process, const QString& study, qint64 bytes, int signal)
    {
        process.start(QStringLiteral(QUANTLOUPE_CLI),
            QStringList {"analyze", m_model, "--study", study, "--json", "--threads", "1"} + kSchemes);
        if (!process.waitForStarted())
            return false;
        QElapsedTimer timer;
        timer.start();
        while (QFile(study + ".journal").size() < bytes && timer.elapsed() < 60'000 && !process.waitForFinished(1))
            continue;
        if (process.state() == QProcess::Running)
            ::kill(static_cast<pid_t>(process.processId()), signal);
        return process.waitForFinished(60'000);
    }

private Q_SLOTS:
    void initTestCase()
    {
        m_model = at("model.safetensors");
        QVERIFY(writeModel(m_model, kBlocks, 64, 256));
        const auto run = runCli(QStringList {"analyze", m_model, "--json"} + kSchemes);
        QCOMPARE(run.status, 0);
        m_uninterrupted = run.json();
        QCOMPARE(m_uninterrupted["results"].toArray().size(), kBlocks * 4);
    }

    void goesOnAfterAKill_data()
    {
        QTest::addColumn<QList<qint64>>("moments");
        QTest::addRow("while it starts") << QList<qint64> {0};
        QTest::addRow("early") << QList<qint64> {20'000};
        QTest::addRow("midway") << QList<qint64> {350'000};
        QTest::addRow("again and again") << QList<qint64> {50'000, 80'000, 30'000, 10, 150'000};
    }

    void goesOnAfterAKill()
    {
        QFETCH(const QList<qint64>, moments);
        const auto study = at(QString::fromUtf8(QTest::currentDataTag()) + ".h5");
        std::size_t kept = 0;
        for (const auto moment : moments) {
            QProcess process;
            QVERIFY(interrupt(process, study, moment, SIGKILL));
            QCOMPARE(process.exitStatus(), QProcess::CrashExit);
            const auto found = resultsIn(study);
            QVERIFY(found >= kept);
            kept = found;
        }
        QVERIFY(moments.first() < 1000 || kept > 0);
        const auto run = runCli(QStringList {"analyze", m_model, "--study", study, "--json", "--quiet"} + kSchemes);
        QVERIFY2(run.status == 0, run.errors);
        QCOMPARE(std::size_t(run.json()["from_study"].toInt()), kept);  // the rest was all there was to do
        QCOMPARE(run.json()["results"], m_uninterrupted["results"]);
        QCOMPARE(run.json()["totals"], m_uninterrupted["totals"]);
        QVERIFY(!QFile::exists(study + ".journal"));
        QCOMPARE(resultsIn(study), std::size_t(kBlocks * 4));
    }

    void controlCKeepsWhatIsFinished()
    {
        const auto study = at("cancelled.h5");
        QProcess process;
        QVERIFY(interrupt(process, study, 50'000, SIGINT));
        QCOMPARE(process.exitStatus(), QProcess::NormalExit);
        QCOMPARE(process.exitCode(), 130);
        QVERIFY(process.readAllStandardOutput().isEmpty());
        QVERIFY(process.readAllStandardError().contains("kept"));
        QVERIFY(!QFile::exists(study + ".journal"));
        const auto kept = resultsIn(study);
        QVERIFY(kept > 0 && kept < std::size_t(kBlocks * 4));
        const auto run = runCli(QStringList {"analyze", m_model, "--study", study, "--json", "--quiet"} + kSchemes);
        QCOMPARE(std::size_t(run.json()["from_study"].toInt()), kept);
        QCOMPARE(run.json()["results"], m_uninterrupted["results"]);
    }

    void laterSchemesAreAdded()
    {
        const auto study = at("added.h5");
        QCOMPARE(
            runCli({"analyze", m_model, "--tensors", "*.1?.*", "--scheme", "int8", "--study", study, "--quiet"}).status,
            0);
        const auto run = runCli({"analyze", m_model, "--tensors", "*.1?.*", "--scheme", "int8", "--scheme", "int4",
            "--study", study, "--json"});
        QCOMPARE(run.status, 0);
        QCOMPARE(run.json()["from_study"].toInt(), 20);
        QCOMPARE(run.json()["results"].toArray().size(), 40);
        QCOMPARE(resultsIn(study), std::size_t(40));
        QCOMPARE(runCli({"stats", m_model, "--study", study, "--quiet"}).status, 0);
        QCOMPARE(resultsIn(study), std::size_t(40));
        const auto inspected = runCli({"inspect", m_model, "--study", study, "--json"}).json()["study"].toObject();
        QCOMPARE(inspected["schemes"].toArray(), (QJsonArray {"int4", "int8"}));
        QCOMPARE(inspected["tensors_measured"].toInt(), kBlocks * 3);
    }

    void aStudyInUseIsSaidToBe()
    {
        const auto study = at("busy.h5");
        QCOMPARE(
            runCli({"analyze", m_model, "--tensors", "*.1.*", "--scheme", "int8", "--study", study, "--quiet"}).status,
            0);
        const auto model = quantloupe::Study::read(study.toStdString()).value()->model;
        const auto holder = quantloupe::Study::open(study.toStdString(), model);
        QVERIFY(holder.has_value());
        const auto run = runCli({"analyze", m_model, "--scheme", "int8", "--study", study, "--quiet"});
        QCOMPARE(run.status, 1);
        QVERIFY2(run.errors.contains("open in another program"), run.errors);
    }
};

QTEST_APPLESS_MAIN(TestCliResume)
#include "tst_cli_resume.moc"
