// SPDX-License-Identifier: GPL-3.0-or-later
// Packed checkpoints listed as what they are, and audited against their originals.
#include "cli_fixture.h"
#include "tests/support/packed_files.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::uint64_t kRows = 32, kColumns = 64, kGroup = 32;
const std::string kModule = "model.layers.0.mlp.up_proj";

QJsonObject named(const QJsonArray& list, const char* key, const QString& value)
{
    for (const auto& one : list)
        if (one.toObject()[key].toString() == value)
            return one.toObject();
    return {};
}

}  // namespace

class TestCliAudit : public QObject
{
    Q_OBJECT
private:
    CheckpointFolder m_original, m_packed;
    std::vector<float> m_weights, m_rounded;
    QString original() const { return QString::fromStdString((m_original.path() / "model.safetensors").string()); }
    QString packed() const { return QString::fromStdString((m_packed.path() / "model.safetensors").string()); }

private Q_SLOTS:
    /// int4 in GPTQ's layout with zero point 8 and one scale throughout.
    void initTestCase()
    {
        qunsetenv("QUANTLOUPE_RESOURCES");
        std::mt19937 random(1);
        std::normal_distribution<float> normal(0.0F, 0.05F);
        BitField codes(kRows * kColumns / 2), zeros(kColumns / kGroup * kRows / 2);
        for (std::uint64_t row = 0; row < kRows; ++row)
            for (std::uint64_t column = 0; column < kColumns; ++column) {
                const float weight = normal(random);
                const auto code = std::clamp(std::lround(weight * 32.0F) + 8, 0L, 15L);
                codes.put((column / 8 * kRows + row) * 32 + column % 8 * 4, 4, static_cast<std::uint32_t>(code));
                m_weights.push_back(weight);
                m_rounded.push_back(static_cast<float>(code - 8) / 32.0F);
            }
        for (std::uint64_t i = 0; i < kColumns / kGroup * kRows; ++i)
            zeros.put(i * 4, 4, 7);
        const std::vector<float> scales(kColumns / kGroup * kRows, 1.0F / 32.0F), norm(kColumns, 1.0F);
        SafetensorsBuilder plain, quantized;
        plain.add(kModule + ".weight", "F32", {kRows, kColumns}, numbers<float>(m_weights));
        plain.add("model.norm.weight", "F32", {kColumns}, numbers<float>(norm));
        plain.add("lost.weight", "F32", {kColumns}, numbers<float>(norm));
        quantized.add(kModule + ".qweight", "I32", {kColumns / 8, kRows}, codes.bytes());
        quantized.add(kModule + ".qzeros", "I32", {kColumns / kGroup, kRows / 8}, zeros.bytes());
        quantized.add(kModule + ".scales", "F16", {kColumns / kGroup, kRows}, halves(scales));
        quantized.add("model.norm.weight", "F16", {kColumns}, halves(norm));
        m_original.write("model.safetensors", plain.file());
        m_packed.write("model.safetensors", quantized.file());
        m_packed.write(
            "config.json", R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":32,"sym":true}})");
    }

    void inspectShowsPacking()
    {
        const auto run = runCli({"inspect", packed(), "--json"});
        QCOMPARE(run.status, 0);
        const auto tensors = run.json()["tensors"].toArray();
        QCOMPARE(tensors.size(), 2);
        const auto weight = named(tensors, "name", QString::fromStdString(kModule + ".weight"));
        QCOMPARE(weight["packing"].toString(), "GPTQ int4:g32:sym");
        QCOMPARE(weight["dtype"].toString(), "I32");
        QCOMPARE(weight["shape"].toArray(), (QJsonArray {int(kRows), int(kColumns)}));
        QCOMPARE(weight["bits_per_weight"].toDouble(), 4.0 + 20.0 / kGroup);
        QCOMPARE(weight["role"].toString(), "up");
        QVERIFY(weight["quantizable"].toBool());
        const auto norm = named(tensors, "name", "model.norm.weight");
        QVERIFY(norm["packing"].isNull());
        QCOMPARE(norm["bits_per_weight"].toDouble(), 16.0);
        const auto text = runCli({"inspect", packed()}).output;
        QVERIFY(text.contains("GPTQ int4:g32:sym") && text.contains("4.625"));
    }

    void statsAndAnalyzeWorkOnTheValues()
    {
        const auto stats = runCli({"stats", packed(), "--json", "--tensors", "*up_proj*"}).json()["tensors"].toArray();
        QCOMPARE(stats.size(), 1);
        const auto [least, most] = std::minmax_element(m_rounded.begin(), m_rounded.end());
        QCOMPARE(stats[0].toObject()["min"].toDouble(), double(*least));
        QCOMPARE(stats[0].toObject()["max"].toDouble(), double(*most));
        const auto results = runCli({"analyze", packed(), "--scheme", "fp16", "--json"}).json()["results"].toArray();
        QCOMPARE(results.size(), 1);
        QCOMPARE(results[0].toObject()["mse"].toDouble(), 0.0);  // all of them are values of an FP16
    }

    void auditAgreesWithAPlainLoop()
    {
        const auto run = runCli({"audit", original(), packed(), "--json", "--threads", "2"});
        QCOMPARE(run.status, 0);
        const auto json = run.json();
        for (const auto* key : {"original", "quantized", "tensors", "left_unquantized", "shape_mismatches", "missing",
                 "extra", "totals", "clean", "warnings"})
            QVERIFY2(json.contains(key), key);
        QCOMPARE(json["tensors"].toArray().size(), 2);
        QCOMPARE(json["missing"].toArray(), QJsonArray {"lost.weight"});
        QVERIFY(!json["clean"].toBool());
        const auto weight = named(json["tensors"].toArray(), "tensor", QString::fromStdString(kModule + ".weight"));
        QCOMPARE(weight["scheme"].toString(), "GPTQ int4:g32:sym");
        QCOMPARE(weight["verdict"].toString(), "quantized");
        QCOMPARE(weight["bits_per_weight"].toDouble(), 4.625);
        double signal = 0.0, error = 0.0, dot = 0.0, energy = 0.0, largest = 0.0;
        for (std::size_t i = 0; i < m_weights.size(); ++i) {
            const double w = double(m_weights[i]), q = double(m_rounded[i]);
            signal += w * w;
            error += (w - q) * (w - q);
            dot += w * q;
            energy += q * q;
            largest = std::max(largest, std::abs(w - q));
        }
        const auto close = [&](const char* key, double expected) {
            return std::abs(weight[key].toDouble() - expected) <= 1e-6 * std::abs(expected);
        };
        QVERIFY(close("mse", error / double(m_weights.size())));
        QVERIFY(close("sqnr_db", 10.0 * std::log10(signal / error)));
        QVERIFY(close("relative_error", error / signal));
        QVERIFY(close("cosine", dot / std::sqrt(signal * energy)));
        QVERIFY(close("max_abs_error", largest));
        const auto best = weight["best"].toObject();
        QVERIFY(best["bits_per_weight"].toDouble() <= 4.625);
        QVERIFY(best["gain_db"].toDouble() > 0.0);
        // The scheme does what it is said to do.
        const auto again = runCli({"analyze", original(), "--scheme", best["scheme"].toString(), "--json"}).json();
        QVERIFY(std::abs(again["results"].toArray()[0].toObject()["sqnr_db"].toDouble() - best["sqnr_db"].toDouble())
            < 1e-9);
        const auto totals = json["totals"].toObject();
        QCOMPARE(totals["quantized"].toInt(), 1);
        QCOMPARE(totals["kept"].toInt(), 1);
        QCOMPARE(totals["missing"].toInt(), 1);
        QCOMPARE(totals["bits_per_weight"].toDouble(), 4.625);
    }

    void auditWritesWhatWasAsked()
    {
        const auto out = QString::fromStdString((m_packed.path() / "audit.csv").string());
        const auto run =
            runCli({"audit", original(), packed(), "--no-schemes", "--tensors", "*up_proj*", "--out", out, "--quiet"});
        QCOMPARE(run.status, 0);
        QVERIFY(run.errors.isEmpty());
        QVERIFY(run.output.contains("Every tensor has its counterpart"));
        const auto table = readFile(out);
        QVERIFY(table.startsWith("tensor,scheme,verdict,"));
        QCOMPARE(table.count('\n'), 2);
        QCOMPARE(runCli({"audit", original(), packed(), "--out", out}).status, 2);  // the file exists
    }

    void auditRefuses()
    {
        QCOMPARE(runCli({"audit", original()}).status, 2);
        QCOMPARE(runCli({"audit", original(), "nowhere.gguf"}).status, 3);
        const auto other = QString::fromStdString((m_original.path() / "other.safetensors").string());
        SafetensorsBuilder file;
        file.add("something.else", "F32", {1}, raw(1.0F));
        m_original.write("other.safetensors", file.file());
        const auto run = runCli({"audit", original(), other});
        QCOMPARE(run.status, 3);
        QVERIFY(run.errors.contains("different models"));
        QVERIFY(run.output.isEmpty());
    }

    void auditOfARealModel()
    {
        const auto folder = corpus() / "llm/stories260K";
        QUANTLOUPE_NEED(folder / "hf");
        const auto run = runCli({"audit", QString::fromStdString((folder / "hf").string()),
            QString::fromStdString((folder / "gguf/stories260K-direct-Q2_K.gguf").string()), "--json", "--quiet"});
        QCOMPARE(run.status, 0);
        const auto json = run.json();
        QVERIFY(json["clean"].toBool());
        QCOMPARE(json["tensors"].toArray().size(), 47);
        QCOMPARE(json["left_unquantized"].toArray().size(), 5);
        const auto query = named(json["tensors"].toArray(), "tensor", "model.layers.0.self_attn.q_proj.weight");
        QCOMPARE(query["quantized_tensor"].toString(), "blk.0.attn_q.weight");
        QVERIFY(query["rotary_rows_reordered"].toBool());
    }
};

QTEST_APPLESS_MAIN(TestCliAudit)
#include "tst_cli_audit.moc"
