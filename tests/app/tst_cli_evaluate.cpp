// SPDX-License-Identifier: GPL-3.0-or-later
// Perplexity and divergence of the real small model on real text, as other programs measured them.
#include "cli_fixture.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <cmath>
#include <csignal>

using namespace quantloupe::tests;

class TestCliEvaluate : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_folder;
    QString m_model, m_text;
    QString at(const char* name) const { return m_folder.filePath(name); }

private Q_SLOTS:
    void initTestCase()
    {
        const auto folder = corpus() / "llm" / "stories260K";
        QUANTLOUPE_NEED(folder);
        m_model = QString::fromStdString((folder / "gguf" / "stories260K-f32.gguf").string());
        m_text = at("text.txt");
        const auto all = readFile(QString::fromStdString((corpus() / "text" / "tinystories_val_A.txt").string()));
        QVERIFY(writeFile(m_text, all.left(16'000)));
        QVERIFY(writeFile(at("empty.txt"), {}));
        QVERIFY(writeFile(at("short.txt"), "Once upon a time"));
        QVERIFY(copySampleWithoutTokenizer(at("bare")));
    }

    void agreesWithLlamaCpp()
    {
        const auto text = QString::fromStdString((corpus() / "text" / "tinystories_val_A.txt").string());
        const auto run = runCli({"evaluate", m_model, "--text", text, "--json", "--quiet"});
        QVERIFY2(run.status == 0, run.errors);
        const auto json = run.json();
        QCOMPARE(json["tokens"].toInt(), 53410);
        QCOMPARE(json["context"].toInt(), 512);
        QCOMPARE(json["windows"].toInt(), 104);
        QCOMPARE(json["scored_tokens"].toInt(), 26520);
        QVERIFY(std::abs(json["perplexity_base"].toDouble() / 3.86201 - 1.0) < 1e-5);
        QCOMPARE(json["perplexity"], json["perplexity_base"]);
        QVERIFY(json["kl_mean"].isNull() && json["top1_agreement"].isNull());
        // llama.cpp gives the standard error, 0.0435.
        const auto interval = json["perplexity_ci95"].toArray();
        QCOMPARE(interval.size(), 2);
        QVERIFY(std::abs((interval[1].toDouble() - interval[0].toDouble()) / 2.0 / 1.96 - 0.0435) < 1e-4);
    }

    void bothWorldsAgree()
    {
        const auto folder = QString::fromStdString((corpus() / "llm" / "stories260K" / "hf").string());
        const auto gguf = runCli({"evaluate", m_model, "--text", m_text, "--json", "--quiet"}).json();
        const auto hf = runCli({"evaluate", folder, "--text", m_text, "--json", "--quiet"}).json();
        QCOMPARE(hf["tokens"], gguf["tokens"]);
        QVERIFY(std::abs(hf["perplexity"].toDouble() / gguf["perplexity"].toDouble() - 1.0) < 1e-6);
        // Names of one world, order within heads of the other.
        const auto file = QString::fromStdString((corpus() / "llm" / "stories260K" / "stories260K.bin").string());
        const auto llama2c = runCli({"evaluate", file, "--text", m_text, "--json", "--quiet"}).json();
        QVERIFY(std::abs(llama2c["perplexity"].toDouble() / gguf["perplexity"].toDouble() - 1.0) < 1e-6);
    }

    void schemesDiverge()
    {
        const auto run =
            runCli({"evaluate", m_model, "--text", m_text, "--scheme", "int4:channel", "--json", "--quiet"});
        QVERIFY2(run.status == 0, run.errors);
        const auto json = run.json();
        QVERIFY(json["perplexity"].toDouble() > json["perplexity_base"].toDouble());
        double before = 0.0;
        for (const auto* key : {"kl_median", "kl_p90", "kl_p95", "kl_p99", "kl_p99_9", "kl_max"}) {
            QVERIFY2(json[key].toDouble() > before, key);
            before = json[key].toDouble();
        }
        QVERIFY(json["kl_mean"].toDouble() > 0.05 && json["kl_mean"].toDouble() < 0.5);
        QVERIFY(json["top1_agreement"].toDouble() > 0.6 && json["top1_agreement"].toDouble() < 0.95);
        QVERIFY(json["probability_change_rms"].toDouble() > std::abs(json["probability_change_mean"].toDouble()));
        QVERIFY(json["bits_per_weight"].toDouble() > 4.0 && json["bits_per_weight"].toDouble() < 9.0);

        const auto one = runCli(
            {"evaluate", m_model, "--text", m_text, "--scheme", "int4:channel", "--json", "--quiet", "--threads", "1"});
        auto same = one.json(), other = json;
        for (const auto* key : {"elapsed_s", "threads"}) {
            same.remove(key);
            other.remove(key);
        }
        QCOMPARE(same, other);
    }

    void activationsAndCaches()
    {
        const auto run = [&](const QStringList& arguments) {
            return runCli(QStringList {"evaluate", m_model, "--text", m_text, "--json", "--quiet"} + arguments).json();
        };
        const auto divergence = [](const QJsonObject& json) { return json["kl_mean"].toDouble(-1.0); };
        const auto weights = run({"--scheme", "int8"});
        const auto both = run({"--scheme", "int8:channel/int4:token", "--kv-cache", "int4:g4"});
        QVERIFY(divergence(weights) > 0.0 && divergence(both) > 10.0 * divergence(weights));
        const auto quantized = both["quantized"].toObject();
        const auto activations = quantized["activations"].toArray();
        QCOMPARE(activations.size(), 1);
        QCOMPARE(activations[0].toObject()["scheme"].toString(), "int4:token");
        QCOMPARE(activations[0].toObject()["tensors"].toInt(), 35);
        QCOMPARE(quantized["weights"].toArray()[0].toObject()["scheme"].toString(), "int8");
        QCOMPARE(quantized["kv_cache"].toString(), "int4:g4");
        QCOMPARE(both["bits_per_weight"], weights["bits_per_weight"]);
        QCOMPARE(run({})["quantized"], QJsonValue());

        // The recipe says the same; an option beats it.
        QVERIFY(writeFile(at("both.recipe.json"),
            R"({"quantloupe_recipe": 1, "default": "int8", "keep": ["*norm*", "token_embd*"], "rules": [],
                "activations": "int4:token", "kv_cache": "int4:g4"})"));
        QCOMPARE(divergence(run({"--recipe", at("both.recipe.json")})), divergence(both));
        const auto finer = run({"--recipe", at("both.recipe.json"), "--kv-cache", "int8"});
        QVERIFY(divergence(finer) < divergence(both));
        const auto cache = run({"--kv-cache", "int4:g4"});
        QVERIFY(divergence(cache) > 0.0 && divergence(cache) < divergence(both));
        QVERIFY(cache["quantized"].toObject()["weights"].toArray().isEmpty());
        // One scale for more tokens is coarser.
        const auto alone = run({"--scheme", "int8/int8:tensor"});
        const auto together = run({"--scheme", "int8/int8:tensor", "--batch", "15"});
        QVERIFY(divergence(together) > divergence(alone));
    }

    void errorByDepth()
    {
        const QStringList start {"evaluate", m_model, "--text", m_text, "--scheme", "int4/int8:token", "--quiet"};
        const auto all = runCli(start + QStringList {"--json"}).json()["depth"].toArray();
        QCOMPARE(all.size(), 6);
        QVERIFY(all[0].toObject()["block"].isNull() && all[0].toObject()["sqnr_db"].isNull());
        for (qsizetype i = 1; i < all.size(); ++i) {
            QCOMPARE(all[i].toObject()["block"].toInt(-1), int(i) - 1);
            QVERIFY(all[i].toObject()["sqnr_db"].toDouble() > 1.0 && all[i].toObject()["sqnr_db"].toDouble() < 40.0);
        }
        const auto one = runCli(start + QStringList {"--json", "--inject", "blk.2.ffn_down.weight"}).json();
        QCOMPARE(one["quantized"].toObject()["injected"].toArray(), QJsonArray {"blk.2.ffn_down.weight"});
        QVERIFY(one["bits_per_weight"].isNull());
        const auto depth = one["depth"].toArray();
        for (qsizetype i = 0; i < depth.size(); ++i)
            QCOMPARE(depth[i].toObject()["sqnr_db"].isNull(), i < 3);  // nothing before block 2 is touched
        QVERIFY(depth[5].toObject()["sqnr_db"].toDouble() > all[5].toObject()["sqnr_db"].toDouble());
        const auto table = runCli(start + QStringList {"--depth", "--inject", "blk.2.*"});
        QVERIFY2(table.output.contains("residual stream behind") && table.output.contains("no error")
                && table.output.contains("block 4"),
            table.output);
        QVERIFY(!runCli(start).output.contains("residual stream"));
    }

    void recipesAndStrides()
    {
        QVERIFY(writeFile(at("down.recipe.json"),
            R"({"quantloupe_recipe": 1, "default": "int8:channel", "keep": ["*"], "rules": []})"));
        const auto kept =
            runCli({"evaluate", m_model, "--text", m_text, "--recipe", at("down.recipe.json"), "--json", "--quiet"})
                .json();
        QCOMPARE(kept["kl_max"].toDouble(-1.0), 0.0);
        QCOMPARE(kept["top1_agreement"].toDouble(), 1.0);
        const auto sliding =
            runCli({"evaluate", m_model, "--text", m_text, "--context", "128", "--stride", "32", "--json", "--quiet"})
                .json();
        QCOMPARE(sliding["scored_tokens"].toInt(), sliding["tokens"].toInt() - 1);
        // More before each token than half a window makes it likelier.
        const auto halves =
            runCli({"evaluate", m_model, "--text", m_text, "--context", "32", "--json", "--quiet"}).json();
        QVERIFY(sliding["perplexity"].toDouble() < halves["perplexity"].toDouble());
    }

    void stopsOnRequest()
    {
        const auto text = QString::fromStdString((corpus() / "text" / "tinystories_val_A.txt").string());
        QProcess process;
        process.start(QStringLiteral(QUANTLOUPE_CLI),
            {"evaluate", m_model, "--text", text, "--scheme", "int4:g32", "--stride", "16", "--quiet"});
        QVERIFY(process.waitForStarted());
        QVERIFY(!process.waitForFinished(700));
        ::kill(static_cast<pid_t>(process.processId()), SIGINT);
        QVERIFY(process.waitForFinished(10'000));
        QCOMPARE(process.exitStatus(), QProcess::NormalExit);
        QCOMPARE(process.exitCode(), 130);
        QVERIFY(process.readAllStandardOutput().isEmpty());
    }

    void tableForPeople()
    {
        const auto run =
            runCli({"evaluate", m_model, "--text", m_text, "--scheme", "int8", "--quiet", "--out", at("figures.csv")});
        QVERIFY2(run.status == 0, run.errors);
        QVERIFY(run.output.contains("perplexity, quantized") && run.output.contains("KL divergence, mean"));
        QVERIFY(readFile(at("figures.csv")).contains("same likeliest token"));
    }

    void refuses_data()
    {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<int>("status");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* name, const QStringList& arguments, int status, const char* message) {
            QTest::newRow(name) << arguments << status << QByteArray(message);
        };
        row("no text", {m_model}, 2, "--text");
        row("missing text", {m_model, "--text", at("nowhere.txt")}, 3, "nowhere.txt");
        row("empty text", {m_model, "--text", at("empty.txt")}, 3, "empty.txt");
        row("short text", {m_model, "--text", at("short.txt")}, 2, "short.txt");
        row("context", {m_model, "--text", m_text, "--context", "2"}, 2, "--context");
        row("stride", {m_model, "--text", m_text, "--context", "64", "--stride", "65"}, 2, "--stride");
        row("memory", {m_model, "--text", m_text, "--memory", "10KB"}, 2, "--memory");
        row("unknown scheme", {m_model, "--text", m_text, "--scheme", "int9"}, 2, "int9");
        row("activations", {m_model, "--text", m_text, "--scheme", "int8/int8"}, 2, "int8:token");
        row("cache", {m_model, "--text", m_text, "--kv-cache", "int8:tensor"}, 2, "--kv-cache int8:tensor");
        row("unknown cache", {m_model, "--text", m_text, "--kv-cache", "int9"}, 2, "--kv-cache int9");
        row("heads", {m_model, "--text", m_text, "--kv-cache", "q8_0"}, 3, "heads of 8");
        row("inject nothing", {m_model, "--text", m_text, "--inject", "*"}, 2, "--scheme");
        row("inject nobody", {m_model, "--text", m_text, "--scheme", "int8", "--inject", "x*"}, 2, "--inject x*");
        row("batch", {m_model, "--text", m_text, "--batch", "0"}, 2, "--batch");
        row("scheme and recipe", {m_model, "--text", m_text, "--scheme", "int8", "--recipe", "r.json"}, 2, "--recipe");
        row("no tokenizer", {at("bare"), "--text", m_text}, 3, "tokenizer");
    }

    void refuses()
    {
        QFETCH(const QStringList, arguments);
        QFETCH(const int, status);
        QFETCH(const QByteArray, message);
        const auto run = runCli(QStringList {"evaluate"} + arguments + QStringList {"--quiet", "--json"});
        QCOMPARE(run.status, status);
        QVERIFY2(run.errors.contains(message), run.errors);
        QVERIFY(run.output.isEmpty());
    }
};

QTEST_APPLESS_MAIN(TestCliEvaluate)
#include "tst_cli_evaluate.moc"
