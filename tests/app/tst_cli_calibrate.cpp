// SPDX-License-Identifier: GPL-3.0-or-later
// calibrate on the real small model: against llama.cpp's importance matrix, killed, gone on with, added to.
#include "cli_fixture.h"
#include "core/calibration/importance_matrix.h"
#include "tests/support/shared_data.h"

#include <QDir>
#include <QTest>

#include <cmath>
#include <csignal>
#include <map>

using namespace quantloupe::tests;
using quantloupe::readImportanceMatrix;

class TestCliCalibrate : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_folder;
    QString m_model, m_text;
    QString at(const QString& name) const { return m_folder.filePath(name); }
    QString corpusFile(const char* name) const { return QString::fromStdString((corpus() / name).string()); }

    static CliRun calibrate(const QStringList& more)
    {
        return runCli(QStringList {"calibrate"} + more + QStringList {"--json"});
    }

    /// What must not depend on how a run got there.
    static QJsonObject lasting(QJsonObject json)
    {
        for (const auto* key : {"elapsed_s", "threads", "run", "imatrix"})
            json.remove(key);
        return json;
    }

    std::map<QString, QByteArray> filesBeside(const QString& study) const
    {
        std::map<QString, QByteArray> files;
        const QDir folder(at(study + ".inputs"));
        for (const auto& name : folder.entryList(QDir::Files))
            files[name] = readFile(folder.filePath(name));
        return files;
    }

private Q_SLOTS:
    void initTestCase()
    {
        QUANTLOUPE_NEED(corpus() / "llm" / "stories260K");
        m_model = corpusFile("llm/stories260K/gguf/stories260K-f32.gguf");
        m_text = at("text.txt");
        const auto all = readFile(corpusFile("text/tinystories_val_A.txt"));
        QVERIFY(writeFile(m_text, all.left(20'000)));
        QVERIFY(writeFile(at("more.txt"), all.mid(60'000, 12'000)));
        QVERIFY(writeFile(at("empty.txt"), {}));
        QVERIFY(writeFile(at("short.txt"), "a"));
        QVERIFY(copySampleWithoutTokenizer(at("bare")));
    }

    void agreesWithLlamaCpp()
    {
        // llama.cpp's program read 60 chunks of 512 tokens; its model had feed-forward layers padded by 20 channels.
        const auto run = calibrate({m_model, "--text", corpusFile("text/calib_tinystories.txt"), "--imatrix",
            at("own.gguf"), "--tokens", "30720", "--quiet"});
        QVERIFY2(run.status == 0, run.errors);
        const auto own = readImportanceMatrix(at("own.gguf").toStdString());
        const auto theirs = readImportanceMatrix(corpus() / "llm" / "stories260K" / "imatrix-ff192.dat");
        QVERIFY(own && theirs);
        QCOMPARE(own->datasets, std::vector<std::string> {"calib_tinystories.txt"});
        QCOMPARE(own->chunks, theirs->chunks);
        QCOMPARE(own->entries.size(), theirs->entries.size());
        std::map<std::string, std::vector<float>> expected;
        for (const auto& entry : theirs->entries)
            expected[entry.name] = entry.means();
        for (const auto& entry : own->entries) {
            const auto means = entry.means();
            const auto& other = expected.at(entry.name);
            QCOMPARE(other.size() - means.size(), std::size_t(entry.name.find("down") == std::string::npos ? 0 : 20));
            for (std::size_t i = 0; i < means.size(); ++i)
                QVERIFY2(std::abs(double(means[i]) / double(other[i]) - 1.0) < 2e-4, entry.name.c_str());
        }
    }

    void killedRunsEndInTheSame()
    {
        const QStringList common {m_model, "--text", m_text, "--quiet", "--threads", "1"};
        const auto whole = calibrate(common + QStringList {"--study", at("whole.h5")});
        QVERIFY2(whole.status == 0, whole.errors);
        const auto expected = filesBeside("whole.h5");
        QCOMPARE(expected.size(), std::size_t(21));  // four inputs in each of five blocks, and the output head's
        std::size_t kills = 0;
        CliRun last;
        for (int wait = 50; last.status != 0; wait += 100) {
            QProcess process;
            process.start(QStringLiteral(QUANTLOUPE_CLI),
                QStringList {"calibrate"} + common + QStringList {"--json", "--study", at("killed.h5")});
            QVERIFY(process.waitForStarted());
            if (!process.waitForFinished(wait)) {
                ::kill(static_cast<pid_t>(process.processId()), SIGKILL);
                QVERIFY(process.waitForFinished());
                ++kills;
                continue;
            }
            last.status = process.exitCode();
            last.output = process.readAllStandardOutput();
            QVERIFY2(last.status == 0, process.readAllStandardError());
        }
        QVERIFY(kills > 0);
        QCOMPARE(lasting(last.json()), lasting(whole.json()));
        QVERIFY(filesBeside("killed.h5") == expected);
    }

    void stopsOnRequestAndGoesOn()
    {
        QVERIFY(writeFile(at("long.txt"), readFile(corpusFile("text/tinystories_val_A.txt")).left(40'000)));
        const QStringList common {m_model, "--text", at("long.txt"), "--study", at("stopped.h5")};
        QProcess process;
        process.start(
            QStringLiteral(QUANTLOUPE_CLI), QStringList {"calibrate"} + common + QStringList {"--threads", "1"});
        QVERIFY(process.waitForStarted());
        const QDir folder(at("stopped.h5.inputs"));
        while (folder.entryList({"*.input"}).size() < 4 && process.state() == QProcess::Running)
            process.waitForFinished(5);
        ::kill(static_cast<pid_t>(process.processId()), SIGINT);
        QVERIFY(process.waitForFinished(10'000));
        QCOMPARE(process.exitStatus(), QProcess::NormalExit);
        QCOMPARE(process.exitCode(), 130);
        QVERIFY(process.readAllStandardOutput().isEmpty());
        QVERIFY(process.readAllStandardError().contains("goes on from there"));
        const auto other = calibrate({m_model, "--text", m_text, "--study", at("stopped.h5"), "--quiet"});
        QCOMPARE(other.status, 3);
        QVERIFY2(other.errors.contains("long.txt"), other.errors);
        const auto analysis =
            runCli({"analyze", m_model, "--scheme", "q4_0", "--imatrix", at("stopped.h5"), "--quiet"});
        QCOMPARE(analysis.status, 2);
        const auto rest = calibrate(common + QStringList {"--quiet"});
        QVERIFY2(rest.status == 0, rest.errors);
        QCOMPARE(rest.json()["run"].toString(), QString("continued"));
    }

    void textsAddUp()
    {
        const QStringList study {"--study", at("texts.h5"), "--quiet"};
        const auto first = calibrate(QStringList {m_model, "--text", m_text} + study).json();
        QCOMPARE(first["run"].toString(), QString("first"));
        const auto tokens = first["tokens"].toInt();
        QVERIFY(tokens > 5'000 && tokens % 512 == 0);
        const auto again = runCli({"calibrate", m_model, "--text", m_text, "--study", at("texts.h5"), "--json"});
        QVERIFY(again.errors.contains("learnt from this text before"));
        QCOMPARE(again.json()["run"].toString(), QString("already_there"));
        QCOMPARE(lasting(again.json()), lasting(first));
        const auto second =
            calibrate(QStringList {m_model, "--text", at("more.txt"), "--tokens", "3000"} + study).json();
        QCOMPARE(second["run"].toString(), QString("added"));
        QCOMPARE(second["tokens"].toInt(), tokens + 2560);
        QCOMPARE(second["texts"].toArray().size(), 2);
        for (const auto& value : second["inputs"].toArray()) {
            const auto input = value.toObject();
            QCOMPARE(input["tokens"].toInt(), tokens + 2560);
            QCOMPARE(input["earlier_tokens"].toInt(), tokens);
            QVERIFY(input["squares_moved"].toDouble() > 0.0 && input["squares_moved"].toDouble() < 0.5);
        }
        const auto fresh =
            calibrate(QStringList {m_model, "--text", at("more.txt"), "--tokens", "3000", "--fresh"} + study).json();
        QCOMPARE(fresh["tokens"].toInt(), 2560);
        QCOMPARE(filesBeside("texts.h5").size(), std::size_t(21));
    }

    void figures()
    {
        const auto run = calibrate({m_model, "--text", m_text, "--study", at("figures.h5"), "--quiet"});
        const auto json = run.json();
        QCOMPARE(json["inputs"].toArray().size(), 21);
        QVERIFY(json["undercovered"].toArray().isEmpty());
        const auto query = json["inputs"].toArray();
        std::map<QString, QJsonObject> inputs;
        for (const auto& value : query)
            for (const auto& layer : value.toObject()["layers"].toArray())
                inputs[layer.toObject()["tensor"].toString()] = value.toObject();
        QCOMPARE(inputs.size(), std::size_t(36));
        QCOMPARE(inputs.at("blk.0.attn_q.weight"), inputs.at("blk.0.attn_v.weight"));
        const auto down = inputs.at("blk.2.ffn_down.weight");
        QCOMPARE(down["columns"].toInt(), 172);
        const auto ranges = down["token_absmax"].toObject();
        QVERIFY(ranges["p50"].toDouble() < ranges["p99"].toDouble());
        QVERIFY(ranges["p99_9"].toDouble() <= down["absmax"].toDouble() * 1.05);
        QCOMPARE(down["absmax"].toDouble(), std::max(-down["min"].toDouble(), down["max"].toDouble()));
        const auto few = calibrate(
            {m_model, "--text", m_text, "--imatrix", at("few.gguf"), "--tokens", "100", "--context", "100", "--quiet"})
                             .json();
        QCOMPARE(few["undercovered"].toArray().size(), 5);  // down has 172 channels
        const auto table = runCli({"calibrate", m_model, "--text", m_text, "--study", at("figures.h5"), "--quiet",
            "--out", at("figures.csv")});
        QVERIFY2(table.status == 0, table.errors);
        QVERIFY(table.output.contains("blk.3.ffn_down.weight") && table.output.contains("moved most"));
        QVERIFY(readFile(at("figures.csv")).contains("blk.3.ffn_down.weight"));
    }

    void studiesServeAsImportance()
    {
        const auto run = calibrate(
            {m_model, "--text", m_text, "--study", at("weighs.h5"), "--imatrix", at("weighs.gguf"), "--quiet"});
        QVERIFY2(run.status == 0, run.errors);
        const auto analyze = [&](const QString& matrix) {
            return runCli({"analyze", m_model, "--scheme", "q4_0", "--imatrix", matrix, "--json", "--quiet"}).json();
        };
        const auto byStudy = analyze(at("weighs.h5")), byFile = analyze(at("weighs.gguf"));
        QCOMPARE(byStudy["imatrix"].toObject()["form"].toString(), QString("study"));
        QCOMPARE(byStudy["imatrix"].toObject()["tensors"].toInt(), 35);
        QVERIFY(!byStudy["results"].toArray().isEmpty());
        QCOMPARE(byStudy["results"], byFile["results"]);
        const auto other = runCli(
            {"analyze", corpusFile("llm/stories260K/hf"), "--scheme", "q4_0", "--imatrix", at("weighs.h5"), "--quiet"});
        QCOMPARE(other.status, 3);
    }

    /// The strength of SmoothQuant: given, or searched for behind each norm on what calibration kept.
    void smoothingIsSearchedFor()
    {
        const auto made = calibrate({m_model, "--text", m_text, "--study", at("smooth.h5"), "--quiet"});
        QVERIFY2(made.status == 0, made.errors);
        const auto evaluated = [&](const QString& alpha) {
            return runCli({"evaluate", m_model, "--text", at("more.txt"), "--study", at("smooth.h5"), "--scheme",
                "int8:channel+smooth/int8:token", "--smooth-alpha", alpha, "--json", "--quiet"});
        };
        const auto searched = evaluated("search").json()["smoothing"].toArray();
        QCOMPARE(searched.size(), 10);
        for (const auto& norm : searched) {
            const double alpha = norm.toObject()["alpha"].toDouble(-1.0);
            QVERIFY(alpha > 0.0 && alpha < 1.0);
            QVERIFY(norm.toObject()["norm"].toString().endsWith("_norm.weight"));
        }
        const auto given = evaluated("0.25").json()["smoothing"].toArray();
        QCOMPARE(given.first().toObject()["alpha"].toDouble(), 0.25);
        const auto refused = evaluated("1.5");
        QCOMPARE(refused.status, 2);
        QVERIFY2(refused.errors.contains("--smooth-alpha 1.5"), refused.errors);
    }

    void refuses_data()
    {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<int>("status");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* name, const QStringList& arguments, int status, const char* message) {
            QTest::newRow(name) << arguments << status << QByteArray(message);
        };
        const QStringList study {"--study", at("refused.h5")};
        row("no text", QStringList {m_model} + study, 2, "--text");
        row("nothing kept", {m_model, "--text", m_text}, 2, "--study");
        row("missing text", QStringList {m_model, "--text", at("nowhere.txt")} + study, 3, "nowhere.txt");
        row("empty text", QStringList {m_model, "--text", at("empty.txt")} + study, 3, "empty.txt");
        row("short text", QStringList {m_model, "--text", at("short.txt")} + study, 2, "short.txt");
        row("few tokens", QStringList {m_model, "--text", m_text, "--tokens", "100"} + study, 2, "--text");
        row("memory", QStringList {m_model, "--text", m_text, "--memory", "10KB"} + study, 2, "--memory");
        row("no tokenizer", QStringList {at("bare"), "--text", m_text} + study, 3, "tokenizer");
        row("not a decoder", QStringList {corpusFile("llm/rwkv/tiny-rwkv-4v0-660K-Q5_1.bin"), "--text", m_text} + study,
            3, "rwkv");
        row("imatrix exists", {m_model, "--text", m_text, "--imatrix", m_text}, 2, "--force");
    }

    void refuses()
    {
        QFETCH(const QStringList, arguments);
        QFETCH(const int, status);
        QFETCH(const QByteArray, message);
        const auto run = calibrate(arguments + QStringList {"--quiet"});
        QCOMPARE(run.status, status);
        QVERIFY2(run.errors.contains(message), run.errors);
        QVERIFY(run.output.isEmpty());
    }
};

QTEST_APPLESS_MAIN(TestCliCalibrate)
#include "tst_cli_calibrate.moc"
