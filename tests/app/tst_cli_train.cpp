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

    /// Weights and inputs of layers, and what is written has the perplexity that it was left with.
    void roundsInputs()
    {
        const auto out = m_folder.filePath(QStringLiteral("inputs"));
        const auto run = runCli(
            command({"--scheme", "int4:g32:asym:s32/int8:token", "--lr", "3e-4", "--steps", "12", "--out", out}));
        QVERIFY2(run.status == 0, run.errors);
        const auto before = run.json()["before"].toObject(), after = run.json()["after"].toObject();
        QVERIFY(after["kl_mean"].toDouble() < 0.95 * before["kl_mean"].toDouble());
        const auto weightsAlone = runCli(command({"--scheme", "int4:g32:asym:s32", "--steps", "1"}));
        QVERIFY2(weightsAlone.status == 0, weightsAlone.errors);
        QVERIFY(weightsAlone.json()["before"].toObject()["kl_mean"] != before["kl_mean"]);
        const auto again = runCli({"train-quantized", out, "--text", m_text, "--eval-text", m_held, "--context", "64",
            "--scheme", "fp32/int8:token", "--steps", "1", "--batch", "1", "--json"});
        QVERIFY2(again.status == 0, again.errors);
        const double written = again.json()["before"].toObject()["perplexity"].toDouble();
        QVERIFY(std::abs(written / after["perplexity"].toDouble() - 1.0) < 1e-6);
        QVERIFY(written != again.json()["perplexity_base"].toDouble());
    }

    /// Three methods side by side, what is said of them, and what is written.
    void layerByLayer()
    {
        const auto out = m_folder.filePath(QStringLiteral("layers"));
        const QStringList same {"train-quantized", m_model, "--text", m_text, "--eval-text", m_held, "--context", "64",
            "--layer-wise", "--tensors", "*.2.mlp.*", "--steps", "40"};
        const auto run =
            runCli(same + QStringList {"--scheme", "int3:g32:asymf:s32", "--rule", "aff", "--out", out, "--json"});
        QVERIFY2(run.status == 0, run.errors);
        const auto json = run.json();
        const auto layers = json["layers"].toArray();
        QCOMPARE(layers.size(), 3);
        QCOMPARE(json["compared_with_gptq"].toInt(), 3);
        QCOMPARE(json["better_than_gptq"].toInt(), 3);
        QCOMPARE(json["kept_as_stored"].toArray().size(), 32);
        for (const auto& value : layers) {
            const auto layer = value.toObject();
            const auto error = [&](const char* method) {
                return layer[QLatin1String(method)].toObject()["held_out"].toObject()["relative"].toDouble();
            };
            QVERIFY(layer["tensor"].toString().contains(".2.mlp."));
            QVERIFY(error("qat") > 0.0 && error("qat") < error("gptq") && error("gptq") < error("rtn"));
            QVERIFY(error("before_training") < error("gptq"));
            QVERIFY(layer["beats_gptq"].toBool() && layer["beats_rtn"].toBool());
            QCOMPARE(layer["start"].toString(), QStringLiteral("cd"));
        }
        const auto model = openModel(out.toStdString());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& tensor = (*model)->tensors[*(*model)->find("model.layers.2.mlp.up_proj.weight")];
        std::vector<float> weights(tensor.view.elements());
        decodeRows(tensor.view, 0, matrixShape(tensor.view).rows, weights);
        for (auto first = weights.begin(); first != weights.end(); first += 32)
            QVERIFY(std::set<float>(first, first + 32).size() <= 8);

        const auto worse = runCli(same + QStringList {"--scheme", "nf4:g32", "--start", "rtn"});
        QVERIFY2(worse.status == 0, worse.errors);
        QCOMPARE(worse.output.count("NOT better than GPTQ"), 3);
        QVERIFY(worse.output.contains("better than GPTQ in 0 of 3 layers"));
        const auto refused = runCli(same + QStringList {"--scheme", "int4:g32", "--clip", "1"});
        QVERIFY(refused.status == 2 && refused.errors.contains("--clip: means nothing with --layer-wise"));
        const auto none = runCli({"train-quantized", m_model, "--text", m_text, "--layer-wise", "--scheme", "int4:g32",
            "--tensors", "nothing"});
        QVERIFY(none.status == 2 && none.errors.contains("--tensors"));
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
        QVERIFY(other.errors.contains("--fresh"));
    }

    /// --force replaces what is written, and never what was trained.
    void forceKeepsTheState()
    {
        const auto state = m_folder.filePath(QStringLiteral("kept")), out = m_folder.filePath(QStringLiteral("twice"));
        const QStringList same {"--scheme", "int4:g32", "--steps", "2", "--state", state, "--out", out};
        const auto first = runCli(command(same));
        QVERIFY2(first.status == 0, first.errors);
        const auto taken = runCli(command(same));
        QVERIFY(taken.status != 0);
        QVERIFY2(taken.errors.contains("--force"), taken.errors);
        const auto forced = runCli(command(same + QStringList {"--force"}));
        QVERIFY2(forced.status == 0, forced.errors);
        QVERIFY2(forced.errors.contains("goes on behind step 2"), forced.errors);
        QCOMPARE(forced.json()["evaluations"], first.json()["evaluations"]);
        const auto fresh = runCli(command(same + QStringList {"--force", "--fresh"}));
        QVERIFY2(fresh.status == 0, fresh.errors);
        QVERIFY(!fresh.errors.contains("goes on"));
        QCOMPARE(fresh.json()["evaluations"], first.json()["evaluations"]);
    }

    void dryRunTrainsNothing()
    {
        const auto out = m_folder.filePath(QStringLiteral("never"));
        const auto run = runCli(command({"--scheme", "int4:g32", "--dry-run", "--out", out}));
        QVERIFY2(run.status == 0, run.errors);
        const auto json = run.json();
        QCOMPARE(json["checkpoint"].toObject()["written"], QJsonValue(false));
        QVERIFY(!json.contains("steps"));
        QVERIFY(!run.errors.contains("held out"));
        QVERIFY(!QFile::exists(out));
    }

    /// What is not trained is not rounded either.
    void keepsWhatIsNotTrained()
    {
        const auto recipe = m_folder.filePath(QStringLiteral("all.recipe.json"));
        QVERIFY(writeFile(recipe, R"({"quantloupe_recipe": 1, "default": "int4:g32:s32", "keep": [], "rules": []})"));
        const auto out = m_folder.filePath(QStringLiteral("with_embedding"));
        const auto run = runCli(command({"--recipe", recipe, "--steps", "1", "--out", out}));
        QVERIFY2(run.status == 0, run.errors);
        QVERIFY2(run.errors.contains("model.embed_tokens.weight is no matrix of a block"), run.errors);
        QVERIFY(run.json()["kept_as_stored"].toArray().contains(QJsonValue("model.embed_tokens.weight")));
        const auto embeddingOf = [](const std::string& path) {
            const auto model = openModel(path).value();
            const auto& view = model->tensors[*model->find("model.embed_tokens.weight")].view;
            std::vector<float> weights(view.elements());
            decodeRows(view, 0, matrixShape(view).rows, weights);
            return weights;
        };
        QVERIFY(embeddingOf(out.toStdString()) == embeddingOf(m_model.toStdString()));
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
        QTest::newRow("scheme and rule") << QStringList {"--scheme", "int4:g32:asymf", "--rule", "lsq"}
                                         << QByteArray("cannot be trained by lsq");
        const auto out = m_folder.filePath(QStringLiteral("refused"));
        QTest::newRow("floats") << QStringList {"--scheme", "int4:g32", "--out", out, "--floats", "fp8"}
                                << QByteArray("fp32, fp16 and bf16");
        QTest::newRow("shard size") << QStringList {"--scheme", "int4:g32", "--out", out, "--shard-size", "few"}
                                    << QByteArray("--shard-size");
        QTest::newRow("stored otherwise") << QStringList {"--scheme", "int4:g32:asym", "--to", "gguf", "--out", out}
                                          << QByteArray("would be trained as int4:g32");
        QTest::newRow("target refuses") << QStringList {"--scheme", "nf4:g32", "--to", "gptq", "--out", out}
                                        << QByteArray("nf4:g32");
        QTest::newRow("the model itself")
            << QStringList {"--scheme", "int4:g32", "--out", m_model, "--force"} << QByteArray("is the model itself");
        QTest::newRow("static inputs") << QStringList {"--scheme", "int4:g32/int8:channel"}
                                       << QByteArray("a scale per channel");
        QTest::newRow("inputs searched") << QStringList {"--scheme", "int4:g32/int8:token:mse"}
                                         << QByteArray("ranges are searched for");
        QTest::newRow("inputs of layers by themselves")
            << QStringList {"--scheme", "int4:g32/int8:token", "--layer-wise"} << QByteArray("name weights alone");
        QTest::newRow("nowhere") << QStringList {"--scheme", "int4:g32", "--out", out + "/in/none"}
                                 << QByteArray("No such file");
        QTest::newRow("memory") << QStringList {"--scheme", "int4:g32", "--memory", "1MiB"} << QByteArray("--memory");
    }

    void refusals()
    {
        QFETCH(const QStringList, options);
        QFETCH(const QByteArray, says);
        const auto run = runCli(command(options));
        QVERIFY(run.status != 0);
        QVERIFY2(run.errors.contains(says), run.errors);
        QVERIFY2(!run.errors.contains("held out"), run.errors);  // nothing was begun
        QVERIFY(!QFile::exists(m_folder.filePath(QStringLiteral("refused"))));
    }
};

QTEST_GUILESS_MAIN(TestCliTrain)
#include "tst_cli_train.moc"
