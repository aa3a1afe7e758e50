// SPDX-License-Identifier: GPL-3.0-or-later
// Checkpoints, foreign recipes and the linter, as scripts use them.
#include "cli_fixture.h"

#include <QTest>

using namespace quantloupe::tests;

class TestCliExport : public QObject
{
    Q_OBJECT
    QTemporaryDir m_folder;
    QString m_model;
    QString at(const char* name) const { return m_folder.filePath(name); }

private Q_SLOTS:
    void initTestCase()
    {
        qunsetenv("QUANTLOUPE_RESOURCES");
        m_model = at("model.safetensors");
        QVERIFY(writeModel(m_model, 3, 48, 96));
    }

    void targetsAreOfTwoKinds()
    {
        const auto targets = runCli({"targets", "--json"}).json()["targets"].toArray();
        QStringList recipes, checkpoints;
        for (const auto& target : targets)
            (target.toObject()["kind"] == "recipe" ? recipes : checkpoints) << target.toObject()["name"].toString();
        for (const auto* name : {"llama.cpp", "ik_llama", "llm-compressor", "compressed-tensors", "gptqmodel",
                 "modelopt", "torchao", "neural-compressor", "nncf", "mlx", "onnxruntime", "quantloupe"})
            QVERIFY2(recipes.contains(name), name);
        for (const auto* name : {"gguf", "compressed-tensors-checkpoint", "gptq", "fake-quantized", "aimet"})
            QVERIFY2(checkpoints.contains(name), name);
    }

    void checkpointsAreWrittenAndAudited()
    {
        const auto out = at("checkpoint");
        const QStringList command {
            "export", m_model, "--scheme", "int4:g16:symf", "--to", "fake-quantized", "--out", out};
        const auto dry = runCli(command + QStringList {"--dry-run", "--json"});
        QCOMPARE(dry.status, 0);
        QVERIFY(!dry.json()["written"].toBool() && !QFile::exists(out));
        const auto run = runCli(command + QStringList {"--json", "--quiet"});
        QCOMPARE(run.status, 0);
        QCOMPARE(run.json()["bytes"].toInt(), dry.json()["bytes"].toInt());
        QCOMPARE(run.json()["verified_tensors"].toInt(), run.json()["tensors"].toInt());
        QVERIFY(QFile::exists(run.json()["files"].toArray()[0].toString()));
        const auto audit = runCli({"audit", m_model, out, "--no-schemes", "--json", "--quiet"}).json();
        QVERIFY(audit["missing"].toArray().isEmpty() && audit["extra"].toArray().isEmpty());
        const auto again = runCli(command);
        QCOMPARE(again.status, 2);
        QVERIFY(again.errors.contains("--force"));
        QCOMPARE(runCli(command + QStringList {"--force"}).status, 0);
        QCOMPARE(runCli(command + QStringList {"--force", "--floats", "fp8"}).status, 2);
        QCOMPARE(runCli(command + QStringList {"--force", "--shard-size", "many"}).status, 2);
    }

    void encodingsHoldScales()
    {
        const auto out = at("model.encodings");
        QCOMPARE(runCli({"export", m_model, "--scheme", "int8:channel:asym", "--to", "aimet", "--out", out, "--quiet"})
                     .status,
            0);
        QFile file(out);
        QVERIFY(file.open(QIODevice::ReadOnly));
        const auto json = QJsonDocument::fromJson(file.readAll()).object();
        QCOMPARE(json["version"].toString(), "1.0.0");
        const auto encodings = json["param_encodings"].toArray();
        QVERIFY(!encodings.isEmpty());
        for (const auto& value : encodings) {
            const auto encoding = value.toObject();
            const auto scales = encoding["scale"].toArray(), offsets = encoding["offset"].toArray();
            QCOMPARE(encoding["enc_type"].toString(), "PER_CHANNEL");
            QVERIFY(!scales.isEmpty() && scales.size() == offsets.size());
            for (qsizetype i = 0; i < scales.size(); ++i)
                QVERIFY(scales[i].toDouble() > 0.0 && offsets[i].toInt() <= 0 && offsets[i].toInt() >= -255);
        }
    }

    void foreignRecipesComeBack()
    {
        const auto file = at("quantize_config.json"), recipe = at("back.recipe.json");
        QCOMPARE(
            runCli({"export", m_model, "--scheme", "int4:g16:symf", "--to", "gptqmodel", "--out", file}).status, 0);
        const auto run = runCli({"import", m_model, file, "--from", "gptqmodel", "--out", recipe, "--json"});
        QCOMPARE(run.status, 0);
        QVERIFY(QFile::exists(recipe));
        QCOMPARE(run.json()["recipe"].toObject()["default"].toString(), "int4:g16:symf");
        QCOMPARE(runCli({"import", m_model, file, "--from", "nncf"}).status, 2);
        QCOMPARE(runCli({"import", m_model, m_model, "--from", "gptqmodel"}).status, 3);
    }

    void linterTellsWhatRulesReach()
    {
        const auto recipe = at("lint.recipe.json");
        QFile file(recipe);
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write(R"({"quantloupe_recipe": 1, "default": "int4:g16", "keep": [],
            "rules": [{"match": "*nothing*", "scheme": "int8"}]})");
        file.close();
        const auto run = runCli({"lint", m_model, "--recipe", recipe, "--to", "gptqmodel", "--json"});
        QCOMPARE(run.status, 0);
        const auto json = run.json();
        QCOMPARE(json["rules"].toArray()[0].toObject()["matches"].toInt(), 0);
        QCOMPARE(json["findings"].toArray()[0].toObject()["kind"].toString(), "no_match");
        QCOMPARE(json["target"].toString(), "gptqmodel");
        QVERIFY(runCli({"lint", m_model, "--recipe", recipe}).output.contains("*nothing*"));
        QCOMPARE(runCli({"lint", m_model}).status, 2);
        QCOMPARE(runCli({"lint", m_model, "--recipe", recipe, "--to", "paper"}).status, 2);
        // What no file holds is an error, and the report is there all the same.
        const auto broken = runCli({"lint", m_model, "--scheme", "q4_k", "--json"});
        QCOMPARE(broken.status, 3);
        QVERIFY(broken.json()["errors"].toInt() > 0);
        QVERIFY2(broken.errors.contains("error"), broken.errors);
        const auto refused = runCli({"lint", m_model, "--scheme", "fp8_e4m3", "--to", "llama.cpp", "--json"});
        QCOMPARE(refused.status, 3);
    }
};

QTEST_GUILESS_MAIN(TestCliExport)
#include "tst_cli_export.moc"
