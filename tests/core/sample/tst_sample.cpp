// SPDX-License-Identifier: GPL-3.0-or-later
// The bundled sample is what its README says: made by the program, trained, and hurt by quantization as real models
// are.
#include "core/analysis/layer_divergence.h"
#include "core/analysis/quantized_weights.h"
#include "core/calibration/model_text.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "core/sample/stories.h"
#include "core/sample/train_sample.h"
#include "tests/support/uniform_plan.h"

#include <QFile>
#include <QRegularExpression>
#include <QTest>

#include <cmath>

using namespace quantloupe;

namespace {

const std::filesystem::path kFolder = QUANTLOUPE_SOURCE_DIR "/resources/samples/quantloupe-sample";

QByteArray committed(const std::string& name)
{
    QFile file(QString::fromStdString((kFolder / name).string()));
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

/// A row of the README's table: step, loss, perplexity.
struct ToldRow {
    double step = 0.0, loss = 0.0, perplexity = 0.0;
};

std::vector<ToldRow> toldRows()
{
    static const QRegularExpression row(QStringLiteral(R"(\| (\d+) \| ([\d.]+) \| ([\d.]+) \|)"));
    std::vector<ToldRow> rows;
    const auto text = QString::fromUtf8(committed("README.md"));
    for (auto match = row.globalMatch(text); match.hasNext();) {
        const auto found = match.next();
        rows.push_back({found.captured(1).toDouble(), found.captured(2).toDouble(), found.captured(3).toDouble()});
    }
    return rows;
}

bool near(double value, double expected, double share)
{
    if (std::abs(value / expected - 1.0) < share)
        return true;
    qWarning("%g, expected %g", value, expected);
    return false;
}

}  // namespace

class TestSample : public QObject
{
    Q_OBJECT
    SampleTexts m_texts;
    ModelPointer m_model;
    Decoder m_decoder;
    WindowedText m_text;

    Evaluation evaluated(const char* scheme)
    {
        Progress progress;
        ForwardHooks hooks;
        const auto plan = tests::uniformPlan(*m_model, scheme ? scheme : "int8");
        if (scheme)
            hooks.weights = quantizedWeights(*m_model, plan, {}).value();
        return evaluate(m_decoder, m_text, hooks, {}, {}, progress).value();
    }

private Q_SLOTS:
    void initTestCase()
    {
        auto texts = sampleTexts(0);
        QVERIFY2(texts, texts ? "" : describe(texts.error()).c_str());
        m_texts = std::move(*texts);
        const auto model = openModel(kFolder);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        m_model = *model;
        m_decoder = describeDecoder(*m_model).value();
        auto text = readModelText(*m_model, kFolder / "text.txt", {.context = 256});
        QVERIFY2(text, text ? "" : describe(text.error()).c_str());
        m_text = std::move(*text);
    }

    void filesAreMadeAnew()
    {
        QCOMPARE(m_texts.files.size(), std::size_t(4));
        for (const auto& [name, content] : m_texts.files)
            QVERIFY2(committed(name) == QByteArray::fromStdString(content), name.c_str());
        // Read as files they are the same tokens, behind the one that begins a text.
        QCOMPARE(m_text.tokens.size(), m_texts.heldOut.tokens.size() + 1);
        QVERIFY(std::equal(m_text.tokens.begin() + 1, m_text.tokens.end(), m_texts.heldOut.tokens.begin()));
        QCOMPARE(m_text.firstToken, m_texts.heldOut.firstToken);
        QCOMPARE(m_text.tokens.front(), *m_text.firstToken);
        for (const auto& window : m_texts.training.windows)
            QVERIFY(window.scored() == 255 || window.scored() == 63);
    }

    /// No story of the held-out text is in what is trained on, whose tokens are searched.
    void heldOutIsHeldOut()
    {
        const auto tokens = openTokenizer(*m_model).value()->decode(m_texts.training.tokens);
        const auto stories = QString::fromUtf8(committed("text.txt")).split(QStringLiteral("\n\n"), Qt::SkipEmptyParts);
        QCOMPARE(stories.size(), 60);
        for (const auto& story : stories)
            QVERIFY2(tokens.find(story.toStdString()) == std::string::npos, qPrintable(story));
    }

    void isSmallAndSaysWhereItIsFrom()
    {
        QVERIFY(m_model->parameters() >= 500'000 && m_model->parameters() <= 1'500'000);
        std::uintmax_t bytes = 0;
        for (const auto& entry : std::filesystem::directory_iterator(kFolder))
            bytes += entry.file_size();
        QVERIFY(bytes <= 4 * 1024 * 1024);
        QVERIFY(!m_model->synthetic);
        const auto& metadata = m_model->metadata;
        const auto provenance = std::find_if(
            metadata.begin(), metadata.end(), [](const auto& entry) { return entry.first == "quantloupe.provenance"; });
        QVERIFY(provenance != metadata.end());
        QVERIFY(provenance->second.find("train-sample --seed 0") != std::string::npos);
        QVERIFY(m_model->warnings.empty());
        for (const auto& tensor : m_model->tensors)
            QCOMPARE(tensor.view.dtype, DType::BF16);
    }

    /// What the README tells of the first step is found again, and what it tells of the last is true of the file.
    void readMeTellsTheTruth()
    {
        const auto rows = toldRows();
        QVERIFY(rows.size() >= 3);
        QVERIFY(rows.front().step == 0.0);
        QVERIFY(
            committed("README.md")
                .contains("train-sample --out FOLDER --seed 0 --steps " + QByteArray::number(int(rows.back().step))));
        const auto start = untrainedSample(m_texts, 0).value();
        auto options = sampleTraining({});
        QCOMPARE(double(options.steps), rows.back().step);
        const auto training = Pretraining::begin(start.model(), m_texts.training, m_texts.heldOut, options, {}).value();
        QVERIFY(near(training->evaluate({}).value().perplexity, rows.front().perplexity, 1e-4));
        QVERIFY(near(training->step({}).value().loss, rows.front().loss, 1e-4));
        Progress progress;
        const auto stored = evaluate(m_decoder, m_texts.heldOut, {}, {}, {}, progress).value();
        QVERIFY(near(stored.base.value, rows.back().perplexity, 0.003));
    }

    /// Each bit less is worse: in perplexity, and by factors in divergence from the original's predictions.
    void fewerBitsAreWorse()
    {
        double perplexity = evaluated(nullptr).base.value, divergence = 1e-5;
        QVERIFY2(perplexity < 2.0, qPrintable(QString::number(perplexity)));
        for (const auto& [scheme, worse, further] : {std::tuple("int4:g128", 1.001, 20.0),
                 std::tuple("int3:g128", 1.005, 5.0), std::tuple("int2:g128", 5.0, 100.0)}) {
            const auto found = evaluated(scheme);
            qInfo("%s: perplexity %.4f after %.4f, KL %.5f after %.5f", scheme, found.quantized->value, perplexity,
                found.divergence->mean, divergence);
            QVERIFY(found.quantized->value > worse * perplexity);
            QVERIFY(found.divergence->mean > further * divergence);
            perplexity = found.quantized->value;
            divergence = found.divergence->mean;
        }
    }

    void layersDifferInSensitivity()
    {
        auto text = m_text;
        text.windows.resize(8);
        std::vector<QuantizedLayer> layers;
        for (const auto& block : m_decoder.blocks)
            for (const auto tensor : matricesOf(block))
                layers.push_back({tensor, onePointScheme()});
        QCOMPARE(layers.size(), std::size_t(35));
        std::vector<std::pair<double, std::string>> found;
        Progress progress;
        const auto done = measureLayerDivergences(m_decoder, text, layers, {}, {}, progress,
            [&](std::size_t index, const MeasuredDivergence& divergence) -> Result<void> {
                found.emplace_back(divergence.mean, m_model->tensors[layers[index].tensor].name);
                return {};
            });
        QVERIFY2(done, done ? "" : describe(done.error()).c_str());
        std::sort(found.begin(), found.end());
        qInfo("least: %s %.3g; most: %s %.3g", found.front().second.c_str(), found.front().first,
            found.back().second.c_str(), found.back().first);
        QVERIFY(found.front().first > 0.0);
        QVERIFY(found.back().first > 5.0 * found.front().first);
    }
};

QTEST_APPLESS_MAIN(TestSample)
#include "tst_sample.moc"
