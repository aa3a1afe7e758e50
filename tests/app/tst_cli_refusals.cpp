// SPDX-License-Identifier: GPL-3.0-or-later
// What cannot be done: the exit status of the contract, a message that names the thing, and nothing on standard output.
#include "cli_fixture.h"
#include "tests/support/shared_data.h"

#include <QTest>

using namespace quantloupe::tests;

class TestCliRefusals : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_folder;
    QString at(const char* name) const { return m_folder.filePath(name); }

private Q_SLOTS:
    void initTestCase()
    {
        QVERIFY(writeModel(at("model.safetensors"), 2, 8, 32));
        QVERIFY(writeModel(at("other.safetensors"), 2, 8, 32, 2));
        const auto sound = readFile(at("model.safetensors"));
        QVERIFY(writeFile(at("short.safetensors"), sound.left(sound.size() - 5)));
        QVERIFY(writeFile(at("huge header.safetensors"), QByteArray(8, '\x7f') + "{}"));
        QVERIFY(writeFile(at("noise.safetensors"), QByteArray(3000, '\x55')));
        QVERIFY(writeFile(at("empty.safetensors"), {}));
        QVERIFY(
            writeFile(at("bad.gguf"), QByteArray("GGUF\3\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\0\0\0\0\0\0\0\0", 24)));
        QVERIFY(
            writeFile(at("bad.recipe.json"), "{\"quantloupe_recipe\": 1, \"default\": \"int8\", \"colour\": \"red\"}"));
        QVERIFY(writeFile(at("not a study.h5"), "hello"));
        QCOMPARE(runCli({"analyze", at("other.safetensors"), "--scheme", "int8", "--study", at("other.h5"), "--quiet"})
                     .status,
            0);
    }

    void refuses_data()
    {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<int>("status");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* name, const QStringList& arguments, int status, const char* message) {
            QTest::addRow("%s", name) << arguments << status << QByteArray(message);
        };
        const auto model = at("model.safetensors");
        row("no command", {}, 2, "");
        row("unknown command", {"quantise"}, 2, "quantise");
        row("no model", {"inspect"}, 2, "MODEL");
        row("unknown option", {"inspect", model, "--colour"}, 2, "--colour");
        row("no scheme", {"analyze", model}, 2, "--scheme");
        row("unknown scheme", {"analyze", model, "--scheme", "int9"}, 2, "int9");
        row("scheme not built", {"analyze", model, "--scheme", "int4+gptq"}, 2, "gptq");
        row("parts that do not fit", {"analyze", model, "--scheme", "int4:entropy"}, 2, "too few weights");
        row("activations not built", {"analyze", model, "--scheme", "int8/int8:token"}, 2, "int8:token");
        row("zero threads", {"analyze", model, "--scheme", "int8", "--threads", "0"}, 2, "--threads");
        row("threads not a number", {"stats", model, "--threads", "many"}, 2, "--threads");
        row("missing file", {"inspect", at("nowhere.gguf")}, 3, "nowhere.gguf");
        row("truncated", {"inspect", at("short.safetensors")}, 3, "short.safetensors");
        row("header past the end", {"inspect", at("huge header.safetensors")}, 3, "byte");
        row("noise", {"stats", at("noise.safetensors")}, 3, "noise.safetensors");
        row("empty file", {"inspect", at("empty.safetensors")}, 3, "empty.safetensors");
        row("absurd counts", {"inspect", at("bad.gguf")}, 3, "bad.gguf");
        row("study of another model", {"analyze", model, "--scheme", "int8", "--study", at("other.h5")}, 3,
            "another model");
        row("inspect with such a study", {"inspect", model, "--study", at("other.h5")}, 3, "another model");
        row("no study", {"analyze", model, "--scheme", "int8", "--study", at("not a study.h5")}, 3,
            "not a Quantloupe study");
        row("study in no folder", {"analyze", model, "--scheme", "int8", "--study", at("no/where.h5")}, 1, "where.h5");
        row("unknown device", {"project", model, "--device", "abacus"}, 2, "rtx-4090");
        row("recipe and scheme", {"project", model, "--recipe", at("bad.recipe.json"), "--scheme", "int8"}, 2,
            "excludes");
        row("unknown key in recipe", {"project", model, "--recipe", at("bad.recipe.json")}, 3, "colour");
        row("missing recipe", {"project", model, "--recipe", at("none.json")}, 3, "none.json");
        row("no context", {"project", model, "--context", "0"}, 2, "--context");
        row("unknown target", {"export", model, "--scheme", "int8", "--to", "paper", "--out", at("x")}, 2, "llama.cpp");
        row("export of nothing", {"export", model, "--to", "llama.cpp", "--out", at("x")}, 2, "--recipe");
        row("export to nowhere", {"export", model, "--scheme", "int8", "--to", "llama.cpp"}, 2, "--out");
        row("report of nothing", {"report", at("missing.h5"), "--out", at("r.md")}, 3, "missing.h5");
        row("report to nowhere", {"report", at("other.h5")}, 2, "--out");
        row("report of no such kind", {"report", at("other.h5"), "--out", at("r.doc")}, 2, ".md");
        row("report with no such section", {"report", at("other.h5"), "--out", at("r.md"), "--section", "gossip"}, 2,
            "gossip");
        row("report in no folder", {"report", at("other.h5"), "--out", at("no/r.md")}, 1, "r.md");
        row("result of no such kind", {"inspect", model, "--out", at("r.txt")}, 2, ".json");
    }

    void refuses()
    {
        QFETCH(const QStringList, arguments);
        QFETCH(const int, status);
        QFETCH(const QByteArray, message);
        const auto run = runCli(arguments);
        QVERIFY2(run.status == status, QByteArray::number(run.status) + ": " + run.errors);
        QVERIFY2(run.errors.contains(message), run.errors);
        QVERIFY2(run.output.isEmpty(), run.output);
        QVERIFY(!QFile::exists(at("x")) && !QFile::exists(at("r.md")));
    }

    /// A study made by the refused commands would be found by the next run.
    void leavesNoStudyBehind()
    {
        QVERIFY(!QFile::exists(at("other.h5.journal")));
        QVERIFY(!QFile::exists(at("not a study.h5.journal")));
        QCOMPARE(readFile(at("not a study.h5")), QByteArray("hello"));
    }

    void namesAreMadeFitForATerminal()
    {
        const QByteArray json = "{\"a\\u001b[31mb\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
        const auto length = static_cast<std::uint64_t>(json.size());
        QVERIFY(writeFile(at("escape.safetensors"),
            QByteArray(reinterpret_cast<const char*>(&length), 8) + json + QByteArray(4, '\0')));
        const auto run = runCli({"inspect", at("escape.safetensors")});
        QCOMPARE(run.status, 0);
        QVERIFY(!run.output.contains('\x1b'));
    }

    void quietIsQuiet()
    {
        const auto run = runCli({"analyze", at("model.safetensors"), "--scheme", "int8", "--quiet", "--json"});
        QCOMPARE(run.status, 0);
        QVERIFY2(run.errors.isEmpty(), run.errors);
        QVERIFY(!run.json().isEmpty());
    }

    void hostileFilesOfTheCorpus()
    {
        const auto folder = corpus() / "hostile";
        QUANTLOUPE_NEED(folder);
        int files = 0, opened = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
            if (!entry.is_regular_file())
                continue;
            const auto path = QString::fromStdString(entry.path().string());
            const auto run = runCli({"inspect", path, "--json"});
            // Some are HDF5 files with harm in what a reader of weights does not look at.
            const bool harmless = run.status == 0 && !run.json().isEmpty() && path.contains("hdf5-cve");
            QVERIFY2(harmless || (run.status == 3 && run.output.isEmpty()), qPrintable(path));
            opened += harmless ? 1 : 0;
            const auto study = runCli({"report", path, "--out", at("hostile.md")});
            QVERIFY2(study.status == 3, qPrintable(path));
            ++files;
        }
        QVERIFY(files > 5 && opened < files / 2);
    }
};

QTEST_APPLESS_MAIN(TestCliRefusals)
#include "tst_cli_refusals.moc"
