// SPDX-License-Identifier: GPL-3.0-or-later
// Every command does its work and prints the keys that scripts rely on.
#include "cli_fixture.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <cmath>

using namespace quantloupe::tests;

namespace {

bool hasKeys(const QJsonObject& object, const QStringList& keys)
{
    for (const auto& key : keys)
        if (!object.contains(key)) {
            qWarning("no key '%s'", qPrintable(key));
            return false;
        }
    return !keys.isEmpty();
}

const QStringList kDetails {"causes", "rounding_energy", "clipping_energy", "code_entropy_bits", "codes_used", "codes",
    "top_output_channels", "top_input_channels", "top_groups", "error_quantiles"};

QJsonObject firstOf(const QJsonObject& object, const char* key)
{
    return object[key].toArray().first().toObject();
}

}  // namespace

class TestCliCommands : public QObject
{
    Q_OBJECT
private:
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

    void helpNamesEveryCommandOfTheContract()
    {
        const auto run = runCli({"--help"});
        QCOMPARE(run.status, 0);
        for (const auto* name : {"inspect", "stats", "analyze", "audit", "compare", "evaluate", "allocate", "project",
                 "devices", "export", "import", "lint", "targets", "report", "bench"}) {
            QVERIFY2(run.output.contains(name), name);
            QCOMPARE(runCli({name, "--help"}).status, 0);
        }
        QVERIFY(runCli({"--version"}).output.startsWith("quantloupe-cli "));
    }

    void inspectListsTensors()
    {
        const auto run = runCli({"inspect", m_model, "--json"});
        QCOMPARE(run.status, 0);
        const auto json = run.json();
        const auto model = json["model"].toObject();
        QVERIFY(hasKeys(json, {"model", "tensors", "warnings"}));
        QVERIFY(hasKeys(model, {"path", "format", "architecture", "fingerprint", "parameters", "bytes"}));
        QCOMPARE(model["format"].toString(), "safetensors");
        QCOMPARE(model["parameters"].toInt(), 3 * (2 * 48 * 96 + 96));
        QCOMPARE(model["bytes"].toInt(), 4 * 3 * (2 * 48 * 96 + 96));
        QCOMPARE(json["tensors"].toArray().size(), 9);
        QVERIFY(hasKeys(firstOf(json, "tensors"), {"name", "role", "block", "shape", "dtype", "parameters", "bytes"}));

        const auto some =
            runCli({"inspect", m_model, "--json", "--tensors", "*.1.*q_proj*", "--tensors", "*.2.mlp*"}).json();
        QCOMPARE(some["tensors"].toArray().size(), 2);
        const auto tensor = firstOf(some, "tensors");
        QCOMPARE(tensor["role"].toString(), "q");
        QCOMPARE(tensor["block"].toInt(), 1);
        QCOMPARE(tensor["shape"].toArray(), (QJsonArray {48, 96}));
        QVERIFY(runCli({"inspect", m_model}).output.contains("model.layers.0.self_attn.q_proj.weight"));
    }

    void inspectOpensTheSample()
    {
        const auto run = runCli({"inspect", "sample", "--json"});
        QCOMPARE(run.status, 0);
        QVERIFY(!run.json()["model"].toObject()["synthetic"].toBool());  // it was trained
        QVERIFY(run.json()["tensors"].toArray().size() > 10);
    }

    /// Against a plain loop over the file's own numbers.
    void statsAgreeWithAPlainLoop()
    {
        const auto run = runCli({"stats", m_model, "--json", "--per-channel"});
        QCOMPARE(run.status, 0);
        const auto tensors = run.json()["tensors"].toArray();
        QCOMPARE(tensors.size(), 9);
        QVERIFY(hasKeys(tensors[0].toObject(),
            {"name", "min", "max", "mean", "std", "absmax", "skewness", "kurtosis", "zeros", "nonfinite",
                "outlier_ratio_3sigma", "outlier_ratio_6sigma", "outlier_channels"}));
        const auto file = readFile(m_model);
        std::uint64_t length = 0;
        std::memcpy(&length, file.constData(), 8);
        const auto header = QJsonDocument::fromJson(file.mid(8, qsizetype(length))).object();
        for (const auto& value : tensors) {
            const auto tensor = value.toObject();
            const auto offsets = header[tensor["name"].toString()].toObject()["data_offsets"].toArray();
            const auto data =
                file.mid(8 + qsizetype(length) + offsets[0].toInt(), offsets[1].toInt() - offsets[0].toInt());
            std::vector<float> weights(std::size_t(data.size()) / sizeof(float));
            std::memcpy(weights.data(), data.constData(), std::size_t(data.size()));
            double sum = 0.0, absMax = 0.0;
            for (const float w : weights) {
                sum += double(w);
                absMax = std::max(absMax, std::abs(double(w)));
            }
            const double mean = sum / double(weights.size());
            double m2 = 0.0, m4 = 0.0;
            for (const float w : weights) {
                const double d = double(w) - mean;
                m2 += d * d;
                m4 += d * d * d * d;
            }
            m2 /= double(weights.size());
            m4 /= double(weights.size());
            QVERIFY(std::abs(tensor["mean"].toDouble() - mean) < 1e-12);
            QVERIFY(std::abs(tensor["std"].toDouble() - std::sqrt(m2)) < 1e-12);
            QVERIFY(std::abs(tensor["kurtosis"].toDouble() - (m4 / (m2 * m2) - 3.0)) < 1e-9);
            QCOMPARE(tensor["absmax"].toDouble(), absMax);
            const auto shape = header[tensor["name"].toString()].toObject()["shape"].toArray();
            QCOMPARE(tensor["channel_absmax"].toArray().size(), shape.size() == 2 ? shape[0].toInt() : 1);
        }
    }

    /// int8 per channel by a plain loop: scale absmax/127, nearest even.
    void analyzeAgreesWithAPlainLoop()
    {
        const auto run = runCli({"analyze", m_model, "--scheme", "int8", "--scheme", "int4:g32:asym", "--json"});
        QCOMPARE(run.status, 0);
        const auto json = run.json();
        QVERIFY(hasKeys(json, {"results", "totals", "elapsed_s", "threads"}));
        QCOMPARE(json["results"].toArray().size(), 12);
        QVERIFY(hasKeys(firstOf(json, "results"),
            {"tensor", "scheme", "mse", "sqnr_db", "relative_error", "cosine", "max_abs_error", "bits_per_weight",
                "bytes", "clipped_ratio", "output_error"}));
        QVERIFY(
            hasKeys(firstOf(json, "totals"), {"scheme", "bytes", "bits_per_weight", "sqnr_db", "compression_ratio"}));
        QVERIFY(firstOf(json, "results")["output_error"].isNull());

        const auto file = readFile(m_model);
        std::uint64_t length = 0;
        std::memcpy(&length, file.constData(), 8);
        const auto header = QJsonDocument::fromJson(file.mid(8, qsizetype(length))).object();
        double signal = 0.0, noise = 0.0;
        for (const auto& value : json["results"].toArray()) {
            const auto result = value.toObject();
            if (result["scheme"].toString() != "int8")
                continue;
            const auto begin = header[result["tensor"].toString()].toObject()["data_offsets"].toArray()[0].toInt();
            std::vector<float> weights(48 * 96);
            std::memcpy(weights.data(), file.constData() + 8 + length + begin, weights.size() * sizeof(float));
            double energy = 0.0, error = 0.0;
            for (std::size_t row = 0; row < 48; ++row) {
                float largest = 0.0F;
                for (std::size_t i = 0; i < 96; ++i)
                    largest = std::max(largest, std::abs(weights[row * 96 + i]));
                const float scale = largest / 127.0F;
                for (std::size_t i = 0; i < 96; ++i) {
                    const float w = weights[row * 96 + i];
                    const float q = std::nearbyint(w / scale) * scale;
                    energy += double(w) * double(w);
                    error += (double(w) - double(q)) * (double(w) - double(q));
                }
            }
            signal += energy;
            noise += error;
            QVERIFY(std::abs(result["sqnr_db"].toDouble() - 10.0 * std::log10(energy / error)) < 1e-3);
            QVERIFY(std::abs(result["mse"].toDouble() - error / (48.0 * 96.0)) < 1e-4 * error / (48.0 * 96.0));
            QCOMPARE(result["bytes"].toInt(), 48 * 96 + 48 * 2);
        }
        const auto total = firstOf(json, "totals");
        const int bytes = 3 * (2 * (48 * 96 + 48 * 2) + 96 * 4);
        QCOMPARE(total["scheme"].toString(), "int8");
        QCOMPARE(total["bytes"].toInt(), bytes);
        QCOMPARE(total["bits_per_weight"].toDouble(), bytes * 8.0 / (3 * (2 * 48 * 96 + 96)));
        QCOMPARE(total["compression_ratio"].toDouble(), 4.0 * 3 * (2 * 48 * 96 + 96) / bytes);
        QVERIFY(std::abs(total["sqnr_db"].toDouble() - 10.0 * std::log10(signal / noise)) < 1e-3);
        // One scheme spelt in two ways is one scheme.
        const auto twice =
            runCli({"analyze", m_model, "--scheme", "int8", "--scheme", "int8:channel:sym", "--json"}).json();
        QCOMPARE(twice["totals"].toArray().size(), 1);
    }

    void detailsSayWhereTheErrorLies()
    {
        const QStringList plain {"analyze", m_model, "--scheme", "int3:g32:p99", "--scheme", "int4+hadamard", "--json"};
        const auto without = runCli(plain).json();
        const auto run = runCli(plain + QStringList {"--details"});
        QCOMPARE(run.status, 0);
        const auto json = run.json();
        QCOMPARE(json["results"].toArray().size(), 12);
        for (qsizetype i = 0; i < 12; ++i) {
            auto result = json["results"].toArray()[i].toObject();
            QVERIFY(hasKeys(result, kDetails));
            const bool rotated = result["scheme"].toString() == "int4+hadamard";
            QCOMPARE(result["clipping_energy"].isNull(), rotated);
            const double energy = result["mse"].toDouble() * 48.0 * 96.0;
            if (!rotated) {
                QVERIFY(result["clipping_energy"].toDouble() > 0.0);
                const double sum = result["clipping_energy"].toDouble() + result["rounding_energy"].toDouble();
                QVERIFY(std::abs(sum - energy) < 1e-12 * energy);
            }
            QVERIFY(result["codes_used"].toInt() <= result["codes"].toInt());
            QVERIFY(result["code_entropy_bits"].toDouble() <= std::log2(result["codes_used"].toInt()) + 1e-9);
            QCOMPARE(result["top_output_channels"].toArray().size(), 16);
            QVERIFY(hasKeys(firstOf(result, "top_input_channels"), {"index", "share"}));
            const auto group = firstOf(result, "top_groups");
            QVERIFY(hasKeys(group, {"row", "column", "length", "share"}));
            QCOMPARE(group["length"].toInt(), rotated ? 96 : 32);
            QVERIFY(group["share"].toDouble() > 0.0 && group["share"].toDouble() < 1.0);
            const auto quantiles = result["error_quantiles"].toObject();
            QVERIFY(quantiles["0.001"].toDouble() < quantiles["0.5"].toDouble());
            QVERIFY(quantiles["0.5"].toDouble() < quantiles["0.999"].toDouble());
            for (const auto& key : kDetails)
                result.remove(key);
            QCOMPARE(result, without["results"].toArray()[i].toObject());
        }
        QCOMPARE(json["totals"], without["totals"]);
        for (const auto& finding : json["findings"].toArray())
            QVERIFY(hasKeys(finding.toObject(), {"tensor", "scheme", "text", "cure"}));
        for (const auto& finding : without["findings"].toArray())
            QVERIFY(!finding.toObject().contains("cure"));
    }

    // The study's own measurement of a better scheme is a cure.
    void findingsNameTheirCure()
    {
        const auto json = runCli(
            {"analyze", m_model, "--scheme", "int2:channel", "--scheme", "int2:channel:mse", "--json", "--details"})
                              .json();
        QVERIFY(!json["findings"].toArray().isEmpty());
        const auto cure = firstOf(json, "findings")["cure"].toObject();
        QVERIFY(hasKeys(cure, {"scheme", "sqnr_db_before", "sqnr_db_after", "bytes_before", "bytes_after"}));
        QCOMPARE(cure["scheme"].toString(), "int2:channel:mse");
        QVERIFY(cure["sqnr_db_after"].toDouble() >= cure["sqnr_db_before"].toDouble() + 3.0);
        QCOMPARE(cure["bytes_after"].toInt(), 48 * (96 / 4 + 2));
    }

    void totalsCountWhatIsLeftOutAsStored()
    {
        const auto json = runCli({"analyze", m_model, "--scheme", "int8", "--tensors", "*q_proj*", "--json"}).json();
        QCOMPARE(json["results"].toArray().size(), 3);
        QCOMPARE(firstOf(json, "totals")["bytes"].toInt(), 3 * (48 * 96 + 48 * 2 + 4 * 48 * 96 + 96 * 4));
    }

    void resultsDoNotDependOnThreads()
    {
        const auto one =
            runCli({"analyze", m_model, "--scheme", "int4:g32:asym:mse", "--threads", "1", "--json"}).json();
        const auto three =
            runCli({"analyze", m_model, "--scheme", "int4:g32:asym:mse", "--threads", "3", "--json"}).json();
        QCOMPARE(one["threads"].toInt(), 1);
        QCOMPARE(three["threads"].toInt(), 3);
        QVERIFY(!one["results"].toArray().isEmpty());
        QCOMPARE(one["results"], three["results"]);
    }

    void outWritesTheSameResult()
    {
        const auto json = at("result.json");
        const auto run = runCli({"analyze", m_model, "--scheme", "int8", "--json", "--out", json});
        QCOMPARE(run.status, 0);
        QCOMPARE(readFile(json), run.output);
        QCOMPARE(runCli({"analyze", m_model, "--scheme", "int8", "--out", json}).status, 2);
        QCOMPARE(readFile(json), run.output);
        QCOMPARE(runCli({"inspect", m_model, "--out", json, "--force"}).status, 0);
        QVERIFY(readFile(json).contains("fingerprint"));
        QCOMPARE(runCli({"stats", m_model, "--out", at("result.csv")}).status, 0);
        QCOMPARE(readFile(at("result.csv")).count('\n'), 10);
    }

    void devicesAndTargetsAreListed()
    {
        const auto devices = runCli({"devices", "--json"}).json()["devices"].toArray();
        QVERIFY(devices.size() >= 7);
        QVERIFY(!devices[0].toObject()["memory_bytes"].toObject()["source"].toString().isEmpty());
        const auto targets = runCli({"targets", "--json"}).json()["targets"].toArray();
        QVERIFY(targets.size() >= 3);
        QVERIFY(hasKeys(targets[0].toObject(), {"name", "title", "suffix", "description"}));
        QVERIFY(runCli({"devices"}).output.contains("rtx-4090"));
        QVERIFY(runCli({"targets"}).output.contains("llama.cpp"));
    }

    void projectComparesBaseAndQuantized()
    {
        const auto run =
            runCli({"project", "sample", "--scheme", "int4:g64", "--device", "rtx-4090", "--context", "512", "--json"});
        QCOMPARE(run.status, 0);
        const auto json = run.json();
        const QStringList figures {"weights_bytes", "kv_cache_bytes", "activation_bytes", "fits",
            "prefill_tokens_per_s", "decode_tokens_per_s", "energy_j_per_token"};
        QVERIFY(hasKeys(json, figures + QStringList {"device", "bound"}));
        for (const auto& figure : figures)
            QVERIFY(hasKeys(json[figure].toObject(), {"base", "quantized"}));
        QVERIFY(hasKeys(json["base"].toObject(), figures) && hasKeys(json["quantized"].toObject(), figures));
        const auto weights = json["weights_bytes"].toObject();
        QCOMPARE(weights["base"].toInt(),
            runCli({"inspect", "sample", "--json"}).json()["model"].toObject()["bytes"].toInt());
        QVERIFY(weights["quantized"].toInt() < weights["base"].toInt());
        QVERIFY(json["bound"].toString() == "memory" || json["bound"].toString() == "compute");
        QVERIFY(runCli({"project", "sample", "--json"}).json()["quantized"].isNull());
    }

    void exportsWhatARecipeSays()
    {
        const auto recipe = at("mine.recipe.json");
        QCOMPARE(runCli({"export", m_model, "--scheme", "int8", "--to", "quantloupe", "--out", recipe}).status, 0);
        const auto native = QJsonDocument::fromJson(readFile(recipe)).object();
        QCOMPARE(native["quantloupe_recipe"].toInt(), 1);
        QCOMPARE(native["default"].toString(), "int8");
        const auto out = at("config.json.out");
        const auto run =
            runCli({"export", m_model, "--recipe", recipe, "--to", "compressed-tensors", "--out", out, "--json"});
        QCOMPARE(run.status, 0);
        QVERIFY(hasKeys(run.json(), {"target", "files", "warnings", "command", "bytes", "bits_per_weight"}));
        QVERIFY(QFile::exists(out));
        const auto before = readFile(out);
        const auto again = runCli({"export", m_model, "--recipe", recipe, "--to", "compressed-tensors", "--out", out});
        QCOMPARE(again.status, 2);
        QVERIFY(again.errors.contains("--force"));
        QCOMPARE(readFile(out), before);
        QCOMPARE(runCli({"export", m_model, "--recipe", recipe, "--to", "compressed-tensors", "--out", out, "--force"})
                     .status,
            0);
        // A recipe of another model is used, and said to be one.
        QVERIFY(runCli({"project", "sample", "--recipe", recipe}).errors.contains("another model"));
    }

    void reportIsWrittenFromAStudy()
    {
        const auto study = at("report.h5");
        QCOMPARE(runCli({"analyze", m_model, "--scheme", "int8", "--scheme", "int4:g32", "--study", study, "--quiet"})
                     .status,
            0);
        const auto markdown = at("report.md");
        const auto run = runCli({"report", study, "--out", markdown, "--device", "raspberry-pi-5", "--json"});
        QVERIFY2(run.status == 0, run.errors);
        QVERIFY(hasKeys(run.json(), {"out", "sections"}));
        QVERIFY(readFile(markdown).contains("int4:g32"));
        QCOMPARE(runCli({"report", study, "--out", at("report.csv"), "--section", "layers"}).status, 0);
        QVERIFY(readFile(at("report.csv")).contains("model.layers.0.self_attn.q_proj.weight"));
        const auto html = runCli({"report", study, "--out", at("report.html")});
#ifdef QUANTLOUPE_FULL_BUILD
        QVERIFY2(html.status == 0, html.errors);
        QVERIFY(readFile(at("report.html")).contains("<svg"));
#else
        QVERIFY2(html.status == 2 && html.errors.contains("full build"), html.errors);
#endif
        QCOMPARE(runCli({"report", study, "--out", at("report.pdf")}).status, 2);
        // Nothing repeats differently: no date, no paths of the moment.
        const auto first = readFile(markdown);
        QCOMPARE(runCli({"report", study, "--out", markdown, "--device", "raspberry-pi-5", "--force"}).status, 0);
        QCOMPARE(readFile(markdown), first);
    }

    void benchMeasures()
    {
        const auto run =
            runCli({"bench", "--rows", "128", "--columns", "512", "--rounds", "1", "--scheme", "int8", "--json"});
        QVERIFY2(run.status == 0, run.errors);
        QVERIFY(firstOf(run.json(), "schemes")["gb_per_s"].toDouble() > 0.0);
        QVERIFY(hasKeys(firstOf(run.json(), "operations"), {"operation", "gb_per_s"}));
    }
};

QTEST_APPLESS_MAIN(TestCliCommands)
#include "tst_cli_commands.moc"
