// SPDX-License-Identifier: GPL-3.0-or-later
// A two-layer model learns a task under quantization: step by step against a second implementation of forward pass,
// gradients and optimizer; and what must not depend on how the work is cut.
#include "core/training/train.h"
#include "tests/core/inference/taped_loss.h"
#include "tests/core/inference/tiny_families.h"
#include "tests/support/text_windows.h"
#include "tests/support/uniform_plan.h"

#include <QFile>
#include <QTest>

#include <numeric>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::uint32_t kVocabulary = 61;

/// Each token says what follows it.
WindowedText task(std::size_t windows, std::size_t length, unsigned seed)
{
    std::mt19937 random(seed);
    std::vector<std::vector<std::uint32_t>> sequences(windows);
    for (auto& sequence : sequences)
        for (auto token = std::uint32_t(random() % kVocabulary); sequence.size() < length;
             token = (token * 3 + 7) % kVocabulary)
            sequence.push_back(token);
    return windowsOf(sequences);
}

bool isTrained(const std::string& name)
{
    return name.find("embed") == std::string::npos && name.find("lm_head") == std::string::npos;
}

/// The same training: double where it can be, one scalar at a time.
class SlowTraining
{
public:
    SlowTraining(const TinyDecoder& teacher, const WindowedText& text, Scheme scheme, bool distils)
        : m_teacher(teacher)
        , m_text(text)
        , m_scheme(std::move(scheme))
        , m_distils(distils)
    {
        for (const auto& [name, tensor] : teacher.tensors)
            if (isTrained(name))
                m_values[name] = {tensor.values.begin(), tensor.values.end()};
    }

    double step(double rate)
    {
        auto student = m_teacher;
        for (const auto& [name, values] : m_values) {
            auto& tensor = student.tensors.at(name);
            tensor.values.assign(values.begin(), values.end());
            if (tensor.shape.size() == 2)
                quantize(tensor);
        }
        Tape::current() = {};
        const TapedWeights weights;
        const auto loss = lossOf(student, weights);
        const auto slopes = Tape::current().derive(loss.entry);
        ++m_steps;
        for (auto& [name, values] : m_values) {
            const auto gradient = weights.derivatives(student.at(name), slopes);
            auto& [mean, square] = m_moments[name];
            mean.resize(values.size());
            square.resize(values.size());
            for (std::size_t i = 0; i < values.size(); ++i) {
                mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
                square[i] = 0.99 * square[i] + 0.01 * gradient[i] * gradient[i];
                const double a = mean[i] / (1.0 - std::pow(0.9, m_steps));
                const double b = square[i] / (1.0 - std::pow(0.99, m_steps));
                values[i] -= rate * a / (std::sqrt(b) + 1e-8);
            }
        }
        Tape::current() = {};
        return loss.value;
    }
    const std::vector<double>& values(const std::string& name) const { return m_values.at(name); }

private:
    void quantize(TinyTensor& tensor) const
    {
        const auto quantizer = Quantizer::create(m_scheme, tensor.shape[1]).value();
        std::vector<UnitGrid> grids(quantizer.gridCount(tensor.shape[0]));
        quantizer.fit(tensor.values, tensor.shape[0], grids);
        const auto source = tensor.values;
        quantizer.fakeQuantize(source, tensor.shape[0], grids, tensor.values);
    }

    /// Mean over all predictions.
    Taped lossOf(const TinyDecoder& student, const TapedWeights& weights) const
    {
        const auto predictions = double(m_text.scored());
        if (!m_distils)
            return slowLoss<Taped>(student, m_text, weights) / predictions;
        Taped loss = 0.0;
        for (const auto& window : m_text.windows) {
            const auto begin = m_text.tokens.begin() + std::ptrdiff_t(window.begin);
            const std::vector<std::uint32_t> tokens(begin, begin + std::ptrdiff_t(window.length));
            const auto taught = SlowForward(m_teacher, tokens).logits();
            const auto logits = SlowForwardOf<Taped, TapedWeights>(student, tokens, weights).logits();
            for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
                double all = 0.0;
                Taped own = 0.0;
                for (std::size_t v = 0; v < kVocabulary; ++v) {
                    all += std::exp(taught[t][v]);
                    own += exp(logits[t][v]);
                }
                for (std::size_t v = 0; v < kVocabulary; ++v) {
                    const double p = std::exp(taught[t][v]) / all;
                    loss += p * (std::log(p) - logits[t][v] + log(own));
                }
            }
        }
        return loss / predictions;
    }

    const TinyDecoder& m_teacher;
    const WindowedText& m_text;
    Scheme m_scheme;
    bool m_distils;
    double m_steps = 0.0;
    std::map<std::string, std::vector<double>> m_values;
    std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> m_moments;
};

}  // namespace

class TestTraining : public QObject
{
    Q_OBJECT
    TinyDecoder m_tiny = tinyFamilies().at("llama");
    QTemporaryDir m_folder;
    ModelPointer m_model;
    Decoder m_decoder;
    const WindowedText m_text = task(8, 12, 1), m_heldOut = task(3, 12, 2);

    std::unique_ptr<Training> begin(const char* scheme, const TrainingOptions& options) const
    {
        auto training = Training::begin(m_decoder, uniformPlan(*m_model, scheme), m_text, m_heldOut, options, {});
        if (!training)
            qFatal("%s", describe(training.error()).c_str());
        return std::move(*training);
    }
    static std::vector<std::vector<float>> valuesOf(Training& training)
    {
        std::vector<std::vector<float>> all;
        for (const auto* values : training.student().allValues())
            all.push_back(values->values);
        return all;
    }

private Q_SLOTS:
    void initTestCase()
    {
        m_model = openTiny(m_tiny, m_folder.path().toStdString()).value();
        m_decoder = describeDecoder(*m_model).value();
    }

    void stepByStep_data()
    {
        QTest::addColumn<bool>("distils");
        QTest::newRow("distillation") << true;
        QTest::newRow("next tokens") << false;
    }

    void stepByStep()
    {
        QFETCH(const bool, distils);
        const TrainingOptions options {
            .steps = 40, .batch = 8, .learningRate = 2e-3, .warmUp = 3, .distils = distils, .threads = 2};
        const auto training = begin("int3:g16:asym:s32", options);
        SlowTraining slow(m_tiny, m_text, Scheme::parse("int3:g16:asym:s32").value(), distils);
        for (std::uint64_t i = 0; i < 5; ++i) {
            const auto made = training->step({});
            QVERIFY2(made, made ? "" : describe(made.error()).c_str());
            const double expected = slow.step(scheduledRate(2e-3, i, 40, 3));
            QVERIFY2(std::abs(made->loss - expected) < 2e-3 * expected,
                qPrintable(QString("step %1: %2, expected %3").arg(i).arg(made->loss).arg(expected)));
        }
        // The optimizer divides by the size of gradients: of the smallest only the sign counts, which rounding decides.
        std::size_t far = 0, all = 0;
        for (const auto& matrix : training->student().matrices()) {
            const auto& expected = slow.values(m_model->tensors[matrix.tensor].name);
            for (std::size_t i = 0; i < expected.size(); ++i, ++all)
                far += std::abs(double(matrix.weights.values[i]) - expected[i]) > 2e-4 ? 1 : 0;
        }
        QVERIFY2(far < all / 50, qPrintable(QString("%1 of %2").arg(far).arg(all)));
        for (const auto& [tensor, vector] : training->student().vectors()) {
            const auto& expected = slow.values(m_model->tensors[tensor].name);
            QVERIFY(vector.values != m_tiny.at(m_model->tensors[tensor].name).values);
            for (std::size_t i = 0; i < expected.size(); ++i)
                QVERIFY(std::abs(double(vector.values[i]) - expected[i]) < 1e-3);
        }
    }

    void learns_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        QTest::newRow("ste") << QByteArray("int2:g16:asym") << int(StepRule::Estimated);
        QTest::newRow("lsq") << QByteArray("int2:g16:symf") << int(StepRule::Scale);
        QTest::newRow("aff") << QByteArray("int2:g16:asymf") << int(StepRule::Affine);
    }

    void learns()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        const auto training = begin(scheme.constData(),
            {.steps = 80,
                .batch = 4,
                .learningRate = 4e-3,
                .warmUp = 5,
                .clipNorm = 5.0,
                .rule = StepRule(rule),
                .evaluateEvery = 40,
                .threads = 2});
        Progress progress;
        const auto done = training->run({}, progress);
        QVERIFY2(done, done ? "" : describe(done.error()).c_str());
        const auto& [steps, evaluations] = training->history();
        QCOMPARE(steps.size(), std::size_t(80));
        QCOMPARE(evaluations.size(), std::size_t(3));
        QCOMPARE(progress.doneItems.load(), 80U);
        QVERIFY2(steps.back().loss < 0.3 * steps.front().loss,
            qPrintable(QString("%1 → %2").arg(steps.front().loss).arg(steps.back().loss)));
        QVERIFY(evaluations.back().divergence < evaluations.front().divergence);
        QVERIFY(evaluations.back().teacherPerplexity == evaluations.front().teacherPerplexity);
        for (const auto& matrix : training->student().matrices()) {
            const bool moved = rule == int(StepRule::Estimated) || matrix.steps.values != matrix.quantizer.parameters()
                || matrix.steps.adam.first.size() == matrix.steps.values.size();
            QVERIFY(moved);
        }
    }

    /// The codes that go to a file are those that the forward pass was evaluated with.
    void convertsToTrueCodes()
    {
        for (const auto& [scheme, rule] :
            {std::pair("int3:g16:asym", StepRule::Estimated), std::pair("int3:g16:symf", StepRule::Scale),
                std::pair("int3:channel:asymf", StepRule::Affine), std::pair("q8_0", StepRule::Estimated)}) {
            const auto training = begin(scheme, {.steps = 4, .batch = 2, .rule = rule});
            for (int i = 0; i < 3; ++i)
                QVERIFY(training->step({}));
            auto& student = training->student();
            const auto quantization = student.quantization({});
            for (const auto& matrix : student.matrices()) {
                const auto tensor = quantization(matrix.tensor, Scheme::parse(scheme).value(), {}).value();
                QVERIFY(tensor->hasCodes());
                QuantizedRows rows;
                tensor->quantize(1, matrix.rows - 1, rows);
                const auto expected = std::span(matrix.quantized).subspan(matrix.columns);
                QVERIFY(std::equal(rows.values.begin(), rows.values.end(), expected.begin(), expected.end()));
            }
            // The original is as it was.
            QVERIFY(m_model->tensors[student.matrices().front().tensor].view.bytes.data()
                != student.model().tensors[student.matrices().front().tensor].view.bytes.data());
        }
    }

    void goesOnWithTheSameBits()
    {
        const auto file = std::filesystem::path(m_folder.filePath("state").toStdString());
        const TrainingOptions options {.steps = 9, .batch = 3, .rule = StepRule::Affine, .seed = 4, .evaluateEvery = 2};
        const auto whole = begin("int3:g16:asymf", options);
        Progress progress;
        QVERIFY(whole->run({}, progress));

        const auto first = begin("int3:g16:asymf", options);
        std::stop_source source;
        const auto stopped = first->run(source.get_token(), progress, [&]() -> Result<void> {
            if (first->history().steps.size() == 5)
                source.request_stop();
            return first->save(file);
        });
        QVERIFY(!stopped);
        QCOMPARE(stopped.error().code, ErrorCode::Cancelled);
        QCOMPARE(first->history().steps.size(), std::size_t(5));

        const auto second = begin("int3:g16:asymf", options);
        const auto resumed = second->resume(file);
        QVERIFY2(resumed, resumed ? "" : describe(resumed.error()).c_str());
        QVERIFY(second->run({}, progress));
        QVERIFY(second->history() == whole->history());
        QVERIFY(valuesOf(*second) == valuesOf(*whole));

        auto others = options;
        others.seed = 5;
        QCOMPARE(begin("int3:g16:asymf", others)->resume(file).error().code, ErrorCode::Conflict);
        QCOMPARE(begin("int4:g16:asymf", options)->resume(file).error().code, ErrorCode::Conflict);
        QFile damaged(m_folder.filePath("state"));
        QVERIFY(damaged.open(QIODevice::ReadWrite) && damaged.seek(damaged.size() / 2) && damaged.putChar('~'));
        damaged.close();
        QCOMPARE(second->resume(file).error().code, ErrorCode::Malformed);
        QCOMPARE(second->resume(m_folder.filePath("none").toStdString()).error().code, ErrorCode::CannotOpen);
    }

    void howTheWorkIsCut()
    {
        const TrainingOptions options {.steps = 6, .batch = 4, .threads = 1};
        const auto run = [&](TrainingOptions changed) {
            const auto training = begin("int4:g16", changed);
            for (int i = 0; i < 4; ++i)
                if (!training->step({}))
                    qFatal("a step failed");
            return std::pair(training->history(), valuesOf(*training));
        };
        const auto one = run(options);
        auto changed = options;
        changed.threads = 3;
        QVERIFY(run(changed) == one);
        changed.accumulate = 3;
        const auto cut = run(changed);
        for (std::size_t i = 0; i < 4; ++i)
            QVERIFY(std::abs(cut.first.steps[i].loss - one.first.steps[i].loss) < 1e-4 * one.first.steps[i].loss);
        changed = options;
        changed.seed = 1;
        QVERIFY(run(changed).first.steps.front().loss != one.first.steps.front().loss);
    }

    void endsEarly()
    {
        // At such a rate nothing gets better.
        const auto training = begin(
            "int8:g16", {.steps = 50, .batch = 2, .learningRate = 0.5, .warmUp = 0, .evaluateEvery = 1, .patience = 2});
        Progress progress;
        QVERIFY(training->run({}, progress));
        QVERIFY(training->history().steps.size() < 50);
        QVERIFY(training->isDone());
    }

    void refusals()
    {
        const auto plan = uniformPlan(*m_model, "int4:g16");
        const auto codeOf = [&](const WindowedText& text, const TrainingOptions& options, const Plan& what) {
            const auto training = Training::begin(m_decoder, what, text, m_heldOut, options, {});
            return training ? std::nullopt : std::optional(training.error().code);
        };
        QVERIFY(codeOf(WindowedText(), {}, plan) == ErrorCode::InvalidArgument);
        QVERIFY(codeOf(m_text, {.steps = 0}, plan) == ErrorCode::InvalidArgument);
        QVERIFY(codeOf(m_text, {.batch = 2, .accumulate = 3}, plan) == ErrorCode::InvalidArgument);
        QVERIFY(codeOf(m_text, {.learningRate = -1.0}, plan) == ErrorCode::InvalidArgument);
        QVERIFY(codeOf(m_text, {}, Plan()) == ErrorCode::Unsupported);
        QVERIFY(codeOf(m_text, {.rule = StepRule::Affine}, plan) == ErrorCode::Unsupported);
        QVERIFY(!codeOf(m_text, {}, plan));
    }
};

QTEST_APPLESS_MAIN(TestTraining)
#include "tst_training.moc"
