// SPDX-License-Identifier: GPL-3.0-or-later
// analyze --imatrix: what it says, and that a study never takes one weighing for another.
#include "cli_fixture.h"
#include "core/calibration/importance_matrix.h"

#include <QTest>

using namespace quantloupe::tests;
using quantloupe::ImportanceEntry;
using quantloupe::ImportanceMatrix;

namespace {

const QStringList kSchemes {"--scheme", "q4_0", "--scheme", "int8"};

ImportanceEntry entry(const std::string& name, std::size_t columns, unsigned seed)
{
    std::mt19937 random(seed);
    ImportanceEntry made {name, std::vector<float>(columns), {4.0F}, columns};
    for (auto& value : made.squares)
        value = float(1 + random() % 1000);
    return made;
}

}  // namespace

class TestCliImatrix : public QObject
{
    Q_OBJECT
    QTemporaryDir m_folder;
    QString at(const QString& name) const { return m_folder.filePath(name); }

    QJsonObject analyze(const QStringList& more)
    {
        const auto run = runCli(QStringList {"analyze", at("model.safetensors"), "--json"} + kSchemes + more);
        return run.status == 0 ? run.json() : QJsonObject {{"failed", QString::fromUtf8(run.errors)}};
    }

    static double mse(const QJsonObject& json, const QString& scheme, const QString& tensor)
    {
        for (const auto& result : json["results"].toArray())
            if (const auto value = result.toObject(); value["scheme"] == scheme && value["tensor"] == tensor)
                return value["mse"].toDouble();
        return -1.0;
    }

private Q_SLOTS:
    void initTestCase()
    {
        QVERIFY(writeModel(at("model.safetensors"), 1, 32, 64));
        ImportanceMatrix matrix {{entry("blk.0.attn_q.weight", 64, 1)}, {"wiki.txt"}, 3, 512};
        QVERIFY(writeImportanceMatrix(at("one.gguf").toStdString(), matrix));
        matrix.entries.front() = entry("blk.0.attn_q.weight", 64, 2);
        matrix.entries.push_back(entry("blk.0.ffn_down.weight", 32, 3));
        QVERIFY(writeImportanceMatrix(at("two.gguf").toStdString(), matrix));
    }

    void saysWhichMatrix()
    {
        const auto plain = analyze({});
        QVERIFY(plain["imatrix"].isNull());
        const auto json = analyze({"--imatrix", at("one.gguf")});
        const auto imatrix = json["imatrix"].toObject();
        QCOMPARE(imatrix["path"].toString(), at("one.gguf"));
        QCOMPARE(imatrix["form"].toString(), QString("gguf"));
        QCOMPARE(imatrix["datasets"].toArray(), QJsonArray {"wiki.txt"});
        QCOMPARE(imatrix["chunks"].toInt(), 3);
        QCOMPARE(imatrix["entries"].toInt(), 1);
        QCOMPARE(imatrix["tensors"].toInt(), 1);
        QCOMPARE(json["warnings"].toArray().size(), 1);
        QVERIFY(json["warnings"][0].toString().contains("model.layers.0.mlp.down_proj.weight"));
        const QString query("model.layers.0.self_attn.q_proj.weight"), down("model.layers.0.mlp.down_proj.weight");
        for (const auto& result : json["results"].toArray()) {
            const auto value = result.toObject();
            QCOMPARE(value["imatrix"].toBool(), value["scheme"] == "q4_0" && value["tensor"] == query);
        }
        QVERIFY(mse(json, "q4_0", query) != mse(plain, "q4_0", query));
        QCOMPARE(mse(json, "q4_0", down), mse(plain, "q4_0", down));
        QCOMPARE(mse(json, "int8", query), mse(plain, "int8", query));
        QVERIFY(analyze({"--imatrix", at("two.gguf")})["warnings"][0].toString().contains("32 values"));
    }

    void studyTellsWeighingsApart()
    {
        const QStringList study {"--study", at("s.h5")};
        const auto reused = [&](const QStringList& more) { return analyze(study + more)["from_study"].toInt(-1); };
        QCOMPARE(reused({}), 0);
        QCOMPARE(reused({}), 4);
        QCOMPARE(reused({"--imatrix", at("one.gguf")}), 3);
        const auto json = analyze(study + QStringList {"--imatrix", at("one.gguf")});
        QCOMPARE(json["from_study"].toInt(), 4);
        QCOMPARE(json["results"], analyze({"--imatrix", at("one.gguf")})["results"]);
        QCOMPARE(reused({"--imatrix", at("two.gguf")}), 3);
        QCOMPARE(reused({}), 3);
    }

    void refusals()
    {
        const auto run = runCli(QStringList {"analyze", at("model.safetensors"), "--imatrix", at("none")} + kSchemes);
        QCOMPARE(run.status, 3);
        QVERIFY(writeFile(at("odd"), "not an importance matrix"));
        const auto odd = runCli(QStringList {"analyze", at("model.safetensors"), "--imatrix", at("odd")} + kSchemes);
        QCOMPARE(odd.status, 3);
        QVERIFY(odd.errors.contains("importance matrix"));
    }
};

QTEST_APPLESS_MAIN(TestCliImatrix)
#include "tst_cli_imatrix.moc"
