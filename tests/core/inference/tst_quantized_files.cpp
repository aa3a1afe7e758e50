// SPDX-License-Identifier: GPL-3.0-or-later
// Files that llama.cpp quantized, on real text: figures of a float32 forward pass on their decoded weights, computed
// apart from this program.
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "core/tokenizers/tokenizer.h"
#include "tests/support/shared_data.h"

#include <nlohmann/json.hpp>

#include <QTest>

#include <cmath>
#include <fstream>
#include <iterator>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

std::filesystem::path stories(const std::string& what)
{
    return corpus() / "llm" / "stories260K" / what;
}

std::string contentOf(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), {});
}

bool isDecodable(const Model& model)
{
    return std::all_of(
        model.tensors.begin(), model.tensors.end(), [](const ModelTensor& tensor) { return tensor.view.decodable(); });
}

/// Every matrix as another file of the same model has it.
WeightHook weightsOf(const Model& model, const Model& other)
{
    return [&](std::size_t tensor) -> Result<RowReplacer> {
        const auto found = other.find(model.tensors[tensor].name);
        if (!found)
            return failure(ErrorCode::Malformed, model.tensors[tensor].name, "is not in the other file");
        const auto& view = other.tensors[*found].view;
        return RowReplacer([&view](std::uint64_t firstRow, std::span<float> rows) {
            decodeRows(view, firstRow, rows.size() / matrixShape(view).columns, rows);
        });
    };
}

bool near(const char* what, double value, double expected, double relative)
{
    if (std::abs(value - expected) <= relative * std::abs(expected))
        return true;
    qWarning("%s: %.8g, expected %.8g", what, value, expected);
    return false;
}

}  // namespace

class TestQuantizedFiles : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        QUANTLOUPE_NEED(stories("gguf"));
        const auto model = openModel(stories("gguf/stories260K-f32.gguf"));
        QVERIFY(model);
        const auto tokenizer = openTokenizer(**model);
        QVERIFY2(tokenizer, tokenizer ? "" : describe(tokenizer.error()).c_str());
        m_tokens = (*tokenizer)->encode(contentOf(corpus() / "text" / "tinystories_val_A.txt"), true);
        QCOMPARE(m_tokens.size(), std::size_t(53410));
    }

    void divergence_data()
    {
        QTest::addColumn<QByteArray>("original");
        QTest::addColumn<QByteArray>("quantized");
        QTest::addColumn<QByteArray>("row");
        QTest::newRow("BF16") << QByteArray("hf") << QByteArray("hf-sharded-bf16") << QByteArray("BF16");
        for (const auto* name : {"Q4_K_M", "Q2_K"})
            QTest::newRow(name) << QByteArray("gguf/stories260K-f32.gguf")
                                << QByteArray("gguf/stories260K-direct-") + name + ".gguf" << QByteArray(name);
    }

    void divergence()
    {
        QFETCH(const QByteArray, original);
        QFETCH(const QByteArray, quantized);
        QFETCH(const QByteArray, row);
        const auto model = openModel(stories(original.toStdString()));
        const auto other = openModel(stories(quantized.toStdString()));
        QVERIFY(model && other);
        QVERIFY(isDecodable(**other));
        const auto decoder = describeDecoder(**model);
        QVERIFY2(decoder, decoder ? "" : describe(decoder.error()).c_str());
        const auto text = cutWindows(m_tokens, m_tokens.front(), 512, std::nullopt);
        Progress progress;
        const auto result = evaluate(*decoder, *text, {.weights = weightsOf(**model, **other)}, {}, {}, progress);
        QVERIFY2(result && result->divergence, result ? "" : describe(result.error()).c_str());
        const auto truth = nlohmann::json::parse(contentOf(corpus() / "truth_s260.json"));
        const auto& expected = truth.at(row.toStdString()).at("np");
        const auto& figures = *result->divergence;
        QVERIFY(near("base", result->base.value, truth.at("_base").at("numpy").at("ppl"), 1e-6));
        QVERIFY(near("perplexity", result->quantized->value, expected.at("ppl"), 1e-5));
        constexpr double share = 1e-3;
        QVERIFY(near("mean", figures.mean, expected.at("kld"), share));
        QVERIFY(near("median", figures.median, expected.at("kld_median"), share));
        QVERIFY(near("99 %", figures.p99, expected.at("kld_99"), share));
        QVERIFY(near("largest", figures.max, expected.at("kld_max"), share));
        QVERIFY(near("RMS change", figures.probabilityChangeRms, expected.at("rms_dp"), share));
        QVERIFY(std::abs(figures.topAgreement - expected.at("top1").get<double>()) < 3e-4);
    }

    void perplexity_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<QByteArray>("truth");
        QTest::addColumn<QByteArray>("row");
        const auto row = [](const char* file, const char* truth, const char* name) {
            QTest::newRow(file) << QByteArray("gguf/stories260K-") + file + ".gguf" << QByteArray(truth)
                                << QByteArray(name);
        };
        row("ff192-Q4_0", "truth_s260ff.json", "Q4_0");
        row("pad256-Q4_K_M", "truth_s260pad.json", "Q4_K_M");
    }

    void perplexity()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const QByteArray, truth);
        QFETCH(const QByteArray, row);
        const auto model = openModel(stories(file.toStdString()));
        QVERIFY(model);
        QVERIFY(isDecodable(**model));
        const auto decoder = describeDecoder(**model);
        QVERIFY2(decoder, decoder ? "" : describe(decoder.error()).c_str());
        const auto figures = nlohmann::json::parse(contentOf(corpus() / truth.toStdString()));
        const auto& expected = figures.at(row.toStdString()).at("np");
        auto text = cutWindows(m_tokens, m_tokens.front(), 512, std::nullopt);
        text->windows.resize(expected.at("chunks").get<std::size_t>());
        Progress progress;
        const auto result = evaluate(*decoder, *text, {}, {}, {}, progress);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        QCOMPARE(double(result->scored), expected.at("scored").get<double>());
        QVERIFY(near("perplexity", result->base.value, expected.at("ppl"), 1e-5));
    }

private:
    std::vector<std::uint32_t> m_tokens;
};

QTEST_APPLESS_MAIN(TestQuantizedFiles)
#include "tst_quantized_files.moc"
