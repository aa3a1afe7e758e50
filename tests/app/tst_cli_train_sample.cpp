// SPDX-License-Identifier: GPL-3.0-or-later
// The sample made anew from the command line: what is written, and what is refused before any work.
#include "tests/app/cli_fixture.h"

#include <QDir>
#include <QTest>

#include <cmath>

using namespace quantloupe::tests;

class TestCliTrainSample : public QObject
{
    Q_OBJECT
    QTemporaryDir m_folder;

    QString at(const char* name) const { return m_folder.filePath(QLatin1String(name)); }

private Q_SLOTS:
    /// Two steps are enough for a folder that every other command works with, and for the losses to fall.
    void writesAWholeModel()
    {
        const auto out = at("made");
        const auto run = runCli({"train-sample", "--out", out, "--steps", "2", "--seed", "3", "--json", "--quiet"});
        QVERIFY2(run.status == 0, run.errors);
        const auto json = run.json();
        QCOMPARE(json["seed"].toInt(), 3);
        const auto evaluations = json["evaluations"].toArray();
        QCOMPARE(evaluations.size(), 2);
        const double last = evaluations[1].toObject()["perplexity"].toDouble();
        QVERIFY(last > 1.0 && last < evaluations[0].toObject()["perplexity"].toDouble());
        QStringList names;
        for (const auto& file : json["files"].toArray()) {
            names += file.toObject()["name"].toString();
            QCOMPARE(QFileInfo(QDir(out).filePath(names.back())).size(), file.toObject()["bytes"].toInt());
        }
        names.sort();
        QCOMPARE(QDir(out).entryList(QDir::Files, QDir::Name | QDir::IgnoreCase),
            (QStringList {"config.json", "model.safetensors", "README.md", "text.txt", "tokenizer.json",
                "tokenizer_config.json"}));
        QCOMPARE(names.size(), 6);
        QVERIFY(readFile(out + "/README.md").contains("train-sample --out FOLDER --seed 3 --steps 2"));

        const auto judged =
            runCli({"evaluate", out, "--text", out + "/text.txt", "--context", "256", "--json", "--quiet"});
        QVERIFY2(judged.status == 0, judged.errors);
        QVERIFY(std::abs(judged.json()["perplexity_base"].toDouble() / last - 1.0) < 0.02);
    }

    void refuses_data()
    {
        QVERIFY(writeFile(at("file"), "x") && QDir(m_folder.path()).mkpath("full") && writeFile(at("full/a"), "x"));
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<int>("status");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* name, const QStringList& arguments, int status, const char* message) {
            QTest::newRow(name) << arguments << status << QByteArray(message);
        };
        row("nowhere", {}, 2, "--out");
        row("a file", {"--out", at("file")}, 2, "is a file");
        row("not empty", {"--out", at("full")}, 2, "--force");
        row("no parent", {"--out", at("none/below")}, 1, "none/below");
        row("no steps", {"--out", at("unmade"), "--steps", "0"}, 2, "--steps");
    }

    void refuses()
    {
        QFETCH(const QStringList, arguments);
        QFETCH(const int, status);
        QFETCH(const QByteArray, message);
        const auto run = runCli(QStringList {"train-sample", "--quiet"} + arguments);
        QCOMPARE(run.status, status);
        QVERIFY2(run.errors.contains(message), run.errors);
        QVERIFY(run.output.isEmpty());
        QVERIFY(!QFile::exists(at("unmade")) && !QFile::exists(at("none")));
    }
};

QTEST_APPLESS_MAIN(TestCliTrainSample)
#include "tst_cli_train_sample.moc"
