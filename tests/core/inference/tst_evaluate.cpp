// SPDX-License-Identifier: GPL-3.0-or-later
// The real small model on recorded tokens: figures of the golden set, and the promises of evaluate().
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "tests/core/inference/tiny_families.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"
#include "tests/support/npy_file.h"

#include <QTest>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

std::filesystem::path stories(const char* what)
{
    return corpus() / "llm" / "stories260K" / what;
}

/// Every weight rounded to sixteenths, where the name matches.
WeightHook rounding(const Model& model, std::string_view part)
{
    return [&model, part](std::size_t tensor) -> Result<RowReplacer> {
        if (model.tensors[tensor].name.find(part) == std::string::npos)
            return RowReplacer();
        return RowReplacer([](std::uint64_t, std::span<float> rows) {
            for (auto& value : rows)
                value = std::round(value * 16.0F) / 16.0F;
        });
    };
}

bool near(double value, double expected, double relative)
{
    if (std::abs(value - expected) <= relative * std::abs(expected))
        return true;
    qWarning("%.8g, expected %.8g", value, expected);
    return false;
}

}  // namespace

class TestEvaluate : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        QUANTLOUPE_NEED(stories("hf"));
        m_model = openModel(stories("hf")).value();
        m_decoder = describeDecoder(*m_model).value();
    }

    void logitsOfTheGoldenModel()
    {
        QUANTLOUPE_NEED(golden() / "misc");
        auto tokens = goldenTokens("tok_calib").at(0);
        tokens.pop_back();
        const auto first = readNpy(golden() / "misc" / "fwd_logits_pos0_3.npy");
        const auto last = readNpy(golden() / "misc" / "fwd_logits_last.npy");
        QVERIFY(first && last);
        const auto logits = computeLogits(*m_decoder, tokens, {}, {});
        QVERIFY(logits);
        double largest = 0.0;
        for (std::size_t i = 0; i < first->values.size(); ++i)
            largest = std::max(largest, double(std::abs((*logits)[i] - first->values[i])));
        for (std::size_t i = 0; i < 512; ++i)
            largest = std::max(largest, double(std::abs((*logits)[255 * 512 + i] - last->values[i])));
        QVERIFY2(largest < 1e-4, qPrintable(QString::number(largest)));
    }

    void perplexityOfTheGoldenSet_data()
    {
        QTest::addColumn<QByteArray>("tokens");
        QTest::addColumn<double>("perplexity");
        QTest::newRow("calib") << QByteArray("tok_calib") << 3.811910;
        QTest::newRow("eval") << QByteArray("tok_eval") << 3.581178;
        QTest::newRow("real") << QByteArray("tok_real_eval") << 3.252062;
    }

    void perplexityOfTheGoldenSet()
    {
        QFETCH(const QByteArray, tokens);
        QFETCH(const double, perplexity);
        QUANTLOUPE_NEED(golden() / "tokens");
        Progress progress;
        const auto text = windowsOf(goldenTokens(tokens.toStdString()));
        const auto result = evaluate(*m_decoder, text, {}, {}, {}, progress);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        QVERIFY(near(result->base.value, perplexity, 1e-5));
        QCOMPARE(result->scored, std::size_t(16 * 256));
        QVERIFY(!result->quantized && !result->divergence);
        QCOMPARE(progress.doneBytes.load(), progress.totalBytes.load());
        QCOMPARE(progress.doneItems.load(), progress.totalItems.load());
    }

    void ggufGivesTheSame()
    {
        const auto model = openModel(stories("gguf/stories260K-f32.gguf"));
        QVERIFY(model);
        const auto decoder = describeDecoder(**model);
        QVERIFY2(decoder, decoder ? "" : describe(decoder.error()).c_str());
        const auto tokens = goldenTokens("tok_eval").at(3);
        const auto own = computeLogits(*m_decoder, tokens, {}, {});
        const auto other = computeLogits(*decoder, tokens, {}, {});
        QVERIFY(own && other);
        double largest = 0.0;
        for (std::size_t i = 0; i < own->size(); ++i)
            largest = std::max(largest, double(std::abs((*own)[i] - (*other)[i])));
        QVERIFY2(largest < 1e-4, qPrintable(QString::number(largest)));
    }

    /// Both streams against two runs that keep all logits.
    void divergenceOfBothStreams_data()
    {
        QTest::addColumn<QByteArray>("replaced");
        for (const auto* part : {"mlp", "layers.4.mlp.down", "embed_tokens", "proj"})
            QTest::newRow(part) << QByteArray(part);
    }

    void divergenceOfBothStreams()
    {
        QFETCH(const QByteArray, replaced);
        QUANTLOUPE_NEED(golden() / "tokens");
        auto sequences = goldenTokens("tok_eval");
        sequences.resize(3);
        const auto text = windowsOf(sequences);
        const auto hook = rounding(*m_model, {replaced.data(), std::size_t(replaced.size())});
        Progress progress;
        const auto result = evaluate(*m_decoder, text, {.weights = hook}, {}, {}, progress);
        QVERIFY(result && result->divergence);
        QCOMPARE(progress.doneBytes.load(), progress.totalBytes.load());
        std::vector<double> divergences;
        double sum = 0.0, negative = 0.0, change = 0.0, square = 0.0;
        std::size_t agreeing = 0;
        for (const auto& tokens : sequences) {
            const auto base = computeLogits(*m_decoder, tokens, {}, {});
            const auto other = computeLogits(*m_decoder, tokens, {.weights = hook}, {});
            QVERIFY(base && other);
            for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
                const auto p = logProbabilities(*base, t), q = logProbabilities(*other, t);
                double divergence = 0.0;
                for (std::size_t v = 0; v < p.size(); ++v)
                    divergence += std::exp(p[v]) * (p[v] - q[v]);
                divergences.push_back(divergence);
                sum += divergence;
                negative -= q[tokens[t + 1]];
                const double moved = std::exp(q[tokens[t + 1]]) - std::exp(p[tokens[t + 1]]);
                change += moved;
                square += moved * moved;
                agreeing += std::max_element(p.begin(), p.end()) - p.begin()
                    == std::max_element(q.begin(), q.end()) - q.begin();
            }
        }
        const double count = double(divergences.size());
        const auto& figures = *result->divergence;
        QVERIFY(near(figures.mean, sum / count, 1e-4));
        QVERIFY(near(figures.max, *std::max_element(divergences.begin(), divergences.end()), 1e-3));
        QVERIFY(near(result->quantized->value, std::exp(negative / count), 1e-5));
        QVERIFY(std::abs(figures.topAgreement - double(agreeing) / count) < 2.0 / count);
        QVERIFY(std::abs(figures.probabilityChangeMean - change / count) < 1e-6);
        QVERIFY(near(figures.probabilityChangeRms, std::sqrt(square / count), 1e-3));
    }

    void unchangedWeightsDoNotDiverge()
    {
        QUANTLOUPE_NEED(golden() / "tokens");
        const auto text = windowsOf({goldenTokens("tok_eval").at(0)});
        Progress progress;
        const auto untouched = evaluate(*m_decoder, text, {.weights = rounding(*m_model, "nothing")}, {}, {}, progress);
        QVERIFY(untouched);
        QCOMPARE(untouched->divergence->max, 0.0);
        QCOMPARE(untouched->divergence->topAgreement, 1.0);
        const WeightHook same = [](std::size_t) { return RowReplacer([](std::uint64_t, std::span<float>) {}); };
        Progress second;
        const auto replaced = evaluate(*m_decoder, text, {.weights = same}, {}, {}, second);
        QVERIFY(replaced);
        QCOMPARE(replaced->divergence->max, 0.0);
        QCOMPARE(*replaced->quantized, replaced->base);
    }

    /// Approximated functions alone cost a little, against the model as it is.
    void functionsInIntegers()
    {
        QUANTLOUPE_NEED(golden() / "tokens");
        auto sequences = goldenTokens("tok_eval");
        sequences.resize(4);
        const auto text = windowsOf(sequences);
        auto decoder = *m_decoder;
        setIntegerFunctions(decoder, true);
        Progress progress, second;
        const auto exact = evaluate(*m_decoder, text, {}, {}, {}, progress);
        const auto approximate = evaluate(decoder, text, {}, {}, {}, second);
        QVERIFY(exact && approximate);
        QVERIFY(!exact->divergence);
        QCOMPARE(approximate->base, exact->base);
        QVERIFY(approximate->divergence);
        QVERIFY2(approximate->divergence->mean > 1e-8 && approximate->divergence->mean < 1e-4,
            qPrintable(QString::number(approximate->divergence->mean)));
        QVERIFY(approximate->divergence->topAgreement > 0.99);
        QVERIFY(near(approximate->quantized->value, exact->base.value, 1e-3));
        QVERIFY(second.doneBytes <= second.totalBytes);
    }

    void sameBitsForAnyThreadsAndMemory()
    {
        QUANTLOUPE_NEED(golden() / "tokens");
        auto sequences = goldenTokens("tok_eval");
        sequences.resize(5);
        const auto text = windowsOf(sequences);
        std::vector<Evaluation> soFar;
        const auto run = [&](unsigned threads, std::uint64_t memory) {
            Progress progress;
            soFar.clear();
            return evaluate(*m_decoder, text, {.weights = rounding(*m_model, "proj")}, {threads, memory}, {}, progress,
                [&](const Evaluation& found) { soFar.push_back(found); });
        };
        const auto one = run(1, std::uint64_t {4} << 30U);
        QVERIFY(one);
        QCOMPARE(*run(2, std::uint64_t {4} << 30U), *one);
        QCOMPARE(soFar.size(), std::size_t(6));  // the embedding and five blocks
        QCOMPARE(soFar.back().depth, one->depth);
        QCOMPARE(soFar.back().scored, std::size_t(0));
        QCOMPARE(*run(2, 2'000'000), *one);  // one or two windows at a time
        // Watched, each batch adds its predictions; what is known behind all but the last is of the windows so far.
        QVERIFY(soFar.size() > 14 && soFar.back().scored > 0 && soFar.back().windows < text.windows.size());
        for (std::size_t i = 1; i < soFar.size(); ++i)
            QVERIFY(soFar[i].scored >= soFar[i - 1].scored && soFar[i].depth.size() >= soFar[i - 1].depth.size());
        auto fewer = text;
        fewer.windows.resize(soFar.back().windows);
        Progress progress;
        const auto part = evaluate(*m_decoder, fewer, {.weights = rounding(*m_model, "proj")}, {}, {}, progress);
        QVERIFY(part && soFar.back().divergence == part->divergence && soFar.back().base == part->base);
        const auto none = run(1, 100'000);
        QVERIFY(!none);
        QCOMPARE(none.error().code, ErrorCode::InvalidArgument);
    }

    void stopsSoon()
    {
        std::mt19937 random(1);
        std::vector<std::uint32_t> tokens(400'000);
        for (auto& token : tokens)
            token = random() % 512;
        const auto text = cutWindows(std::move(tokens), 1U, 512, std::nullopt);
        QVERIFY(text);
        std::stop_source source;
        std::atomic<std::int64_t> asked = 0;
        const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
        std::thread stopper([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(300));
            asked = now();
            source.request_stop();
        });
        Progress progress;
        const auto result =
            evaluate(*m_decoder, *text, {.weights = rounding(*m_model, "proj")}, {}, source.get_token(), progress);
        const auto ended = now();
        stopper.join();
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Cancelled);
        QVERIFY2(ended - asked < 1'000'000'000, "stopping took more than a second");  // 200 ms on an idle machine
    }

    void textsThatCannotBeRead()
    {
        Progress progress;
        const auto errorOf = [&](WindowedText text) {
            const auto result = evaluate(*m_decoder, text, {}, {}, {}, progress);
            return result ? Error {} : result.error();
        };
        QCOMPARE(errorOf({}).code, ErrorCode::InvalidArgument);
        QCOMPARE(errorOf({.tokens = {1}, .windows = {{.begin = 0, .length = 1}}}).code, ErrorCode::InvalidArgument);
        const auto beyond = errorOf({.tokens = {1, 512, 3}, .windows = {{.begin = 0, .length = 3}}});
        QCOMPARE(beyond.code, ErrorCode::InvalidArgument);
        QVERIFY(
            beyond.reason.find("512") != std::string::npos && beyond.reason.find("position 1") != std::string::npos);
        QCOMPARE(errorOf({.tokens = {1, 2, 3}, .firstToken = 600, .windows = {{.begin = 0, .length = 3}}}).code,
            ErrorCode::InvalidArgument);
    }

    void weightsThatAreNotFinite_data()
    {
        QTest::addColumn<QByteArray>("tensor");
        QTest::addColumn<float>("value");
        const float infinity = std::numeric_limits<float>::infinity();
        for (const auto* name : {"model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight",
                 "model.layers.0.input_layernorm.weight", "lm_head.weight"}) {
            QTest::addRow("NaN in %s", name) << QByteArray(name) << std::nanf("");
            QTest::addRow("infinity in %s", name) << QByteArray(name) << -infinity;
        }
    }

    void weightsThatAreNotFinite()
    {
        QFETCH(const QByteArray, tensor);
        QFETCH(const float, value);
        TinyDecoder tiny {.tied = false};
        fillTiny(tiny);
        auto& values = tiny.tensors.at(tensor.toStdString()).values;
        values[std::min<std::size_t>(2 * 32 + 5, values.size() - 1)] = value;
        const auto result = evaluated(tiny, {});
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Malformed);
        QCOMPARE(QByteArray(result.error().where.c_str()), tensor);
    }

    void activationsThatOverflow()
    {
        TinyDecoder tiny;
        fillTiny(tiny);
        for (auto& value : tiny.tensors.at("model.layers.1.mlp.down_proj.weight").values)
            value *= 3e38F;
        const auto result = evaluated(tiny, {});
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Malformed);
    }

    void hooksMayFail()
    {
        TinyDecoder tiny;
        fillTiny(tiny);
        const auto result = evaluated(tiny,
            [](std::size_t) -> Result<RowReplacer> { return failure(ErrorCode::Unsupported, "scheme", "not built"); });
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Unsupported);
    }

    void positionsRunOut()
    {
        auto tiny = tinyFamilies().at("gpt2");
        const QTemporaryDir folder;
        const auto model = openTiny(tiny, folder.path().toStdString());
        QVERIFY(model);
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        Progress progress;
        const std::vector<std::uint32_t> tokens(301, 1U);
        const auto text = cutWindows(tokens, std::nullopt, 301, std::nullopt);
        const auto result = evaluate(*decoder, *text, {}, {}, {}, progress);
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::InvalidArgument);
        QVERIFY(result.error().reason.find("300") != std::string::npos);
    }

private:
    std::vector<double> logProbabilities(const std::vector<float>& logits, std::size_t position) const
    {
        const auto begin = logits.begin() + std::ptrdiff_t(position * m_decoder->vocabulary);
        std::vector<double> row(begin, begin + std::ptrdiff_t(m_decoder->vocabulary));
        double sum = 0.0;
        for (const double logit : row)
            sum += std::exp(logit);
        for (auto& logit : row)
            logit -= std::log(sum);
        return row;
    }

    static Result<Evaluation> evaluated(const TinyDecoder& tiny, const WeightHook& hook)
    {
        const QTemporaryDir folder;
        const auto model = openTiny(tiny, folder.path().toStdString());
        if (!model)
            return tl::unexpected(model.error());
        return describeDecoder(**model).and_then([&](const Decoder& decoder) -> Result<Evaluation> {
            std::vector<std::uint32_t> tokens;
            for (std::uint32_t i = 0; i < 61; ++i)
                tokens.push_back(i);
            Progress progress;
            return cutWindows(tokens, std::nullopt, 61, std::nullopt).and_then([&](const WindowedText& text) {
                return evaluate(decoder, text, {.weights = hook}, {}, {}, progress);
            });
        });
    }

    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
};

QTEST_APPLESS_MAIN(TestEvaluate)
#include "tst_evaluate.moc"
