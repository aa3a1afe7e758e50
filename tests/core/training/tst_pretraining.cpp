// SPDX-License-Identifier: GPL-3.0-or-later
// Whole models learn a task: step by step against a second implementation of gradients and optimizer, against
// differences of losses, and what must not depend on how the work is cut.
#include "core/inference/evaluate.h"
#include "core/training/epoch_order.h"
#include "core/training/pretrain.h"
#include "tests/core/inference/taped_loss.h"
#include "tests/core/training/tiny_training.h"

#include <QTest>

#include <cmath>
#include <set>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

struct OpenedTiny {
    explicit OpenedTiny(TinyDecoder decoder)
        : tiny(std::move(decoder))
    {
        if (tiny.tensors.empty())
            fillTiny(tiny);
        model = openTiny(tiny, folder.path().toStdString()).value();
    }
    TinyDecoder tiny;
    QTemporaryDir folder;
    ModelPointer model;
};

/// AdamW in double, on gradients that are noted scalar by scalar.
class SlowPretraining
{
public:
    SlowPretraining(TinyDecoder start, const WindowedText& text, PretrainingOptions options)
        : m_model(std::move(start))
        , m_text(text)
        , m_options(options)
    {
        for (const auto& [name, tensor] : m_model.tensors)
            m_values[name] = {tensor.values.begin(), tensor.values.end()};
    }

    TrainingStep step()
    {
        for (const auto& [name, values] : m_values)
            m_model.tensors.at(name).values.assign(values.begin(), values.end());
        const auto noted = tapedDerivatives(m_model, m_text);
        const auto predictions = double(m_text.scored());
        double squares = 0.0;
        for (const auto& [name, gradient] : noted.weights)
            for (const double one : gradient)
                squares += one * one / (predictions * predictions);
        const double norm = std::sqrt(squares);
        const double share = (norm > m_options.clipNorm ? m_options.clipNorm / norm : 1.0) / predictions;
        TrainingStep made {.step = m_steps,
            .loss = noted.loss / predictions,
            .rate = scheduledRate(m_options.learningRate, m_steps, m_options.steps, m_options.warmUp),
            .gradientNorm = norm};
        ++m_steps;
        for (auto& [name, values] : m_values) {
            const auto& gradient = noted.weights.at(name);
            auto& [mean, square] = m_moments[name];
            mean.resize(values.size());
            square.resize(values.size());
            const double decay = m_model.at(name).shape.size() == 2 ? m_options.weightDecay : 0.0;
            for (std::size_t i = 0; i < values.size(); ++i) {
                const double g = gradient[i] * share;
                mean[i] = 0.9 * mean[i] + 0.1 * g;
                square[i] = 0.95 * square[i] + 0.05 * g * g;
                const double a = mean[i] / (1.0 - std::pow(0.9, double(m_steps)));
                const double b = square[i] / (1.0 - std::pow(0.95, double(m_steps)));
                values[i] -= made.rate * (a / (std::sqrt(b) + 1e-8) + decay * values[i]);
            }
        }
        return made;
    }
    const std::vector<double>& values(const std::string& name) const { return m_values.at(name); }

private:
    TinyDecoder m_model;
    const WindowedText& m_text;
    PretrainingOptions m_options;
    std::uint64_t m_steps = 0;
    std::map<std::string, std::vector<double>> m_values;
    std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> m_moments;
};

std::unique_ptr<Pretraining> beginOn(
    const OpenedTiny& opened, const WindowedText& text, const WindowedText& heldOut, const PretrainingOptions& options)
{
    auto training = Pretraining::begin(*opened.model, text, heldOut, options, {});
    if (!training)
        qFatal("%s", describe(training.error()).c_str());
    return std::move(*training);
}

double lossOf(const Model& model, const WindowedText& text)
{
    Progress progress;
    const auto decoder = describeDecoder(model).value();
    return std::log(evaluate(decoder, text, {}, {.threads = 1}, {}, progress).value().base.value);
}

}  // namespace

class TestPretraining : public QObject
{
    Q_OBJECT
    const WindowedText m_text = task(8, 12, 1), m_heldOut = task(3, 12, 2);

private Q_SLOTS:
    void stepByStep_data()
    {
        QTest::addColumn<QByteArray>("family");
        QTest::addColumn<double>("clip");
        QTest::newRow("tied") << QByteArray("llama") << 1e9;
        QTest::newRow("tied, clipped") << QByteArray("llama") << 0.3;
        QTest::newRow("own head, norms of heads") << QByteArray("qwen3") << 1.0;
        QTest::newRow("scaled embedding") << QByteArray("gemma2") << 1.0;
        QTest::newRow("fused") << QByteArray("phi3") << 1.0;
    }

    void stepByStep()
    {
        QFETCH(const QByteArray, family);
        QFETCH(const double, clip);
        const auto text = task(3, 7, 1);
        const OpenedTiny opened(tinyFamilies().at(family.toStdString()));
        const PretrainingOptions options {.steps = 40,
            .batch = 3,
            .learningRate = 2e-3,
            .warmUp = 3,
            .weightDecay = 0.5,
            .clipNorm = clip,
            .threads = 2};
        const auto training = beginOn(opened, text, m_heldOut, options);
        SlowPretraining slow(opened.tiny, text, options);
        double rates = 0.0;
        for (std::uint64_t i = 0; i < 3; ++i) {
            const auto made = training->step({});
            QVERIFY2(made, made ? "" : describe(made.error()).c_str());
            const auto expected = slow.step();
            QCOMPARE(made->step, i);
            QCOMPARE(made->rate, expected.rate);
            QVERIFY2(std::abs(made->loss - expected.loss) < 1e-3 * expected.loss,
                qPrintable(QString("step %1: %2, expected %3").arg(i).arg(made->loss).arg(expected.loss)));
            QVERIFY2(std::abs(made->gradientNorm - expected.gradientNorm) < 1e-2 * expected.gradientNorm,
                qPrintable(
                    QString("step %1: %2, expected %3").arg(i).arg(made->gradientNorm).arg(expected.gradientNorm)));
            rates += expected.rate;
        }
        QCOMPARE(training->values().size(), opened.model->tensors.size());
        // The optimizer divides by the size of gradients: of the smallest only the sign counts, which rounding decides.
        for (const auto& [tensor, trained] : training->values()) {
            const auto& name = opened.model->tensors[tensor].name;
            const auto& expected = slow.values(name);
            QVERIFY(trained.values != opened.tiny.at(name).values);
            std::size_t far = 0;
            double furthest = 0.0;
            for (std::size_t i = 0; i < expected.size(); ++i) {
                const double distance = std::abs(double(trained.values[i]) - expected[i]);
                far += distance > 2e-4 ? 1 : 0;
                furthest = std::max(furthest, distance);
            }
            QVERIFY2(far <= expected.size() / 20 && furthest < 3.0 * rates,
                qPrintable(QString("%1: %2 of %3, up to %4")
                               .arg(QString::fromStdString(name))
                               .arg(far)
                               .arg(expected.size())
                               .arg(furthest)));
        }
    }

    /// The gradient of a row of the embedding is what the loss says when the row moves: once as it is looked up, once
    /// as the head multiplies with it. Rows of tokens that are not in the text move the head alone.
    void embeddingMovesTheLoss()
    {
        const OpenedTiny opened(tinyFamilies().at("llama"));
        const auto training = beginOn(opened, m_text, m_heldOut, {.batch = 8, .learningRate = 1e-12, .clipNorm = 0.0});
        QVERIFY(training->step({}));
        const auto tensor = *opened.model->find("model.embed_tokens.weight");
        const auto& gradient = training->values().at(tensor).gradient;
        const std::set<std::uint32_t> used(m_text.tokens.begin(), m_text.tokens.end());
        QVERIFY(used.size() < kVocabulary);
        const auto unused = [&] {
            std::uint32_t token = 0;
            while (used.contains(token))
                ++token;
            return token;
        }();
        const auto width = opened.tiny.hidden;
        for (const auto token : {m_text.tokens[0], m_text.tokens[17], unused}) {
            // Along the gradient of the row, where the difference is largest.
            double squares = 0.0;
            for (std::size_t i = 0; i < width; ++i)
                squares += std::pow(double(gradient[token * width + i]), 2.0);
            const double size = std::sqrt(squares);
            QVERIFY(size > 1e-6);
            const auto lossAt = [&](double move) {
                auto moved = opened.tiny;
                auto& values = moved.tensors.at("model.embed_tokens.weight").values;
                for (std::size_t i = 0; i < width; ++i)
                    values[token * width + i] += float(move * double(gradient[token * width + i]) / size);
                return lossOf(*OpenedTiny(std::move(moved)).model, m_text);
            };
            const double step = 0.02, slope = (lossAt(step) - lossAt(-step)) / (2.0 * step);
            QVERIFY2(std::abs(slope - size) < 0.02 * size,
                qPrintable(QString("token %1: %2, the gradient has %3").arg(token).arg(slope).arg(size)));
        }
    }

    void learnsFromNothing()
    {
        const OpenedTiny opened(tinyFamilies().at("llama"));
        const auto text = task(64, 12, 3);
        const auto training = beginOn(opened, text, m_heldOut,
            {.steps = 120, .batch = 4, .learningRate = 1e-2, .warmUp = 10, .evaluateEvery = 40, .threads = 2});
        Progress progress;
        std::size_t told = 0;
        const auto done = training->run({}, progress, [&] { ++told; });
        QVERIFY2(done, done ? "" : describe(done.error()).c_str());
        const auto& [steps, evaluations] = training->history();
        QCOMPARE(steps.size(), std::size_t(120));
        QCOMPARE(evaluations.size(), std::size_t(4));
        QCOMPARE(told, std::size_t(4));
        QCOMPARE(progress.doneItems.load(), 120U);
        QVERIFY2(evaluations.back().perplexity < 0.1 * evaluations.front().perplexity,
            qPrintable(QString("%1 → %2").arg(evaluations.front().perplexity).arg(evaluations.back().perplexity)));
        QVERIFY(std::abs(std::log(evaluations.back().perplexity) - lossOf(training->model(), m_heldOut)) < 1e-6);
    }

    void sameBitsHoweverManyThreads()
    {
        const OpenedTiny opened(tinyFamilies().at("qwen3"));
        std::vector<std::unique_ptr<Pretraining>> trainings;
        for (const unsigned threads : {1U, 3U}) {
            trainings.push_back(beginOn(opened, m_text, m_heldOut,
                {.steps = 6, .batch = 3, .seed = 9, .evaluateEvery = 3, .threads = threads}));
            Progress progress;
            QVERIFY(trainings.back()->run({}, progress));
        }
        QVERIFY(trainings[0]->history() == trainings[1]->history());
        for (const auto& [tensor, trained] : trainings[0]->values())
            QVERIFY(trained.values == trainings[1]->values().at(tensor).values);
    }

    void stopsBetweenSteps()
    {
        const OpenedTiny opened(tinyFamilies().at("llama"));
        const auto training = beginOn(opened, m_text, m_heldOut, {.steps = 50, .batch = 3, .evaluateEvery = 2});
        std::stop_source source;
        Progress progress;
        const auto stopped = training->run(source.get_token(), progress, [&] {
            if (training->history().steps.size() == 4)
                source.request_stop();
        });
        QVERIFY(!stopped);
        QCOMPARE(stopped.error().code, ErrorCode::Cancelled);
        QCOMPARE(training->history().steps.size(), std::size_t(4));
    }

    void refuses()
    {
        const OpenedTiny llama(tinyFamilies().at("llama")), biased(tinyFamilies().at("qwen2")),
            columns(tinyFamilies().at("gpt2"));
        const auto errorOf = [&](const OpenedTiny& opened, const WindowedText& text,
                                 const PretrainingOptions& options) {
            auto training = Pretraining::begin(*opened.model, text, m_heldOut, options, {});
            return training ? Error {} : training.error();
        };
        const auto bias = errorOf(biased, m_text, {});
        QCOMPARE(bias.code, ErrorCode::Unsupported);
        QVERIFY(bias.where.ends_with(".bias"));
        QCOMPARE(errorOf(columns, m_text, {}).code, ErrorCode::Unsupported);
        QCOMPARE(errorOf(llama, {}, {}).code, ErrorCode::InvalidArgument);
        QCOMPARE(errorOf(llama, m_text, {.steps = 0}).code, ErrorCode::InvalidArgument);
        QCOMPARE(errorOf(llama, m_text, {.batch = 0}).code, ErrorCode::InvalidArgument);
        QCOMPARE(errorOf(llama, m_text, {.learningRate = 0.0}).code, ErrorCode::InvalidArgument);
        QCOMPARE(errorOf(llama, m_text, {.clipNorm = std::nan("")}).code, ErrorCode::InvalidArgument);
        auto beyond = m_text;
        beyond.tokens[5] = kVocabulary;
        QCOMPARE(errorOf(llama, beyond, {}).code, ErrorCode::InvalidArgument);
    }

    /// Every window once a round, and each round in another order.
    void windowsComeInRounds()
    {
        std::vector<std::vector<std::size_t>> rounds(2);
        for (std::uint64_t step = 0; step < 14; ++step)
            for (const auto window : examplesOfStep(21, 3, step, 5))
                rounds[step / 7].push_back(window);
        QVERIFY(rounds[0] != rounds[1]);
        for (const auto& round : rounds)
            QCOMPARE((std::set<std::size_t>(round.begin(), round.end()).size()), std::size_t(21));
        QVERIFY(examplesOfStep(21, 3, 0, 5) != examplesOfStep(21, 3, 0, 6));
    }
};

QTEST_APPLESS_MAIN(TestPretraining)
#include "tst_pretraining.moc"
