// SPDX-License-Identifier: GPL-3.0-or-later
// A two-layer model learns a task under quantization: step by step against a second implementation of forward pass,
// gradients and optimizer; and what must not depend on how the work is cut.
#include "tests/core/training/slow_training.h"
#include "tests/core/training/tiny_training.h"

#include <QTest>

#include <limits>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestTraining : public QObject, private TinyTraining
{
    Q_OBJECT

    /// Bytes below which a training refuses to begin.
    std::uint64_t leastMemory(TrainingOptions options, const Plan& plan, const InputHook& inputs) const
    {
        std::uint64_t refused = 0, enough = std::uint64_t {1} << 30U;
        while (enough - refused > 1) {
            options.memory = (refused + enough) / 2;
            const bool begins = Training::begin(m_decoder, plan, m_text, m_heldOut, options, {}, inputs).has_value();
            (begins ? enough : refused) = options.memory;
        }
        return enough;
    }

private Q_SLOTS:
    void initTestCase() { open(); }

    void stepByStep_data()
    {
        QTest::addColumn<bool>("distils");
        QTest::addColumn<bool>("inputs");
        QTest::newRow("distillation") << true << false;
        QTest::newRow("next tokens") << false << false;
        QTest::newRow("distillation, inputs rounded") << true << true;
    }

    void stepByStep()
    {
        QFETCH(const bool, distils);
        QFETCH(const bool, inputs);
        const TrainingOptions options {
            .steps = 40, .batch = 8, .learningRate = 2e-3, .warmUp = 3, .distils = distils, .threads = 2};
        const auto training = begin(inputs ? "int3:g16:asym:s32/int8:token" : "int3:g16:asym:s32", options);
        SlowTraining slow(m_tiny, m_text, Scheme::parse("int3:g16:asym:s32").value(), distils, inputs ? 127.0 : 0.0);
        for (std::uint64_t i = 0; i < 5; ++i) {
            const auto made = training->step({});
            QVERIFY2(made, made ? "" : describe(made.error()).c_str());
            const double expected = slow.step(scheduledRate(2e-3, i, 40, 3));
            QVERIFY2(std::abs(made->loss - expected) < 2e-3 * expected,
                qPrintable(QString("step %1: %2, expected %3").arg(i).arg(made->loss).arg(expected)));
        }
        // The optimizer divides by the size of gradients: of the smallest only the sign counts, which rounding decides.
        // Then two weights go opposite ways, each no further than the optimizer ever moves one.
        double rates = 0.0;
        for (std::uint64_t i = 0; i < 5; ++i)
            rates += scheduledRate(2e-3, i, 40, 3);
        for (const auto& matrix : training->student().matrices()) {
            const auto& name = m_model->tensors[matrix.tensor].name;
            const auto& expected = slow.values(name);
            std::size_t far = 0;
            double furthest = 0.0;
            for (std::size_t i = 0; i < expected.size(); ++i) {
                const double distance = std::abs(double(matrix.weights.values[i]) - expected[i]);
                far += distance > 2e-4 ? 1 : 0;
                furthest = std::max(furthest, distance);
            }
            QVERIFY2(far < expected.size() / 20 && furthest < 3.0 * rates,
                qPrintable(QString("%1: %2 of %3, up to %4")
                               .arg(QString::fromStdString(name))
                               .arg(far)
                               .arg(expected.size())
                               .arg(furthest)));
        }
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
        const TrainingOptions options {.steps = 80,
            .batch = 4,
            .learningRate = 4e-3,
            .warmUp = 5,
            .clipNorm = 5.0,
            .rule = StepRule(rule),
            .evaluateEvery = 40,
            .threads = 2};
        const auto training = begin(scheme.constData(), options), fresh = begin(scheme.constData(), options);
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
        const auto& matrices = training->student().matrices();
        for (std::size_t i = 0; i < matrices.size(); ++i) {
            const auto& first = fresh->student().matrices()[i];
            QVERIFY(matrices[i].weights.values != first.weights.values);
            QCOMPARE(matrices[i].steps.values.empty(), rule == int(StepRule::Estimated));
            QCOMPARE(matrices[i].steps.values.size(), first.steps.values.size());
            QVERIFY(first.steps.values.empty() || matrices[i].steps.values != first.steps.values);
        }
    }

    void zeroPointsStay()
    {
        const TrainingOptions options {
            .steps = 10, .batch = 4, .learningRate = 4e-3, .rule = StepRule::Scale, .evaluateEvery = 0, .threads = 2};
        const auto training = begin("int3:g16:asym", options), fresh = begin("int3:g16:asym", options);
        Progress progress;
        QVERIFY(training->run({}, progress));
        QVERIFY(training->history().steps.back().loss < training->history().steps.front().loss);
        for (std::size_t i = 0; i < training->student().matrices().size(); ++i) {
            const auto& [before, after] = std::pair {std::span(fresh->student().matrices()[i].steps.values),
                std::span(training->student().matrices()[i].steps.values)};
            const auto units = before.size() / 2;
            QVERIFY(units > 0 && !std::ranges::equal(before.first(units), after.first(units)));
            QVERIFY(std::ranges::equal(before.last(units), after.last(units)));
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

    /// Under another scheme there are no such codes; floats are given where they hold what the codes stand for.
    void givesItsOwnCodesAlone()
    {
        const auto training = begin("int3:g16:asym", {.steps = 4, .batch = 2});
        QVERIFY(training->step({}));
        const auto tensor = training->student().matrices().front().tensor;
        const auto quantization = training->student().quantization({});
        QVERIFY(quantization(tensor, Scheme::of(Format::Fp32), {}));
        const auto trained = Scheme::parse("int3:g16:asym").value().toString();
        for (const auto* text : {"int4:g16:asym", "q4_1", "bf16"}) {
            const auto scheme = Scheme::parse(text).value();
            const auto refused = quantization(tensor, scheme, {});
            QVERIFY(!refused);
            QCOMPARE(refused.error().code, ErrorCode::Unsupported);
            QCOMPARE(refused.error().where, m_model->tensors[tensor].name);
            QVERIFY(refused.error().reason.find(trained) != std::string::npos);
            QVERIFY(refused.error().reason.find(scheme.toString()) != std::string::npos);
        }
    }

    /// Drafts made before there is a student must be those of the student.
    void outlines()
    {
        const auto training = begin("int4:g16", {.batch = 2});
        const auto outline = Student::outline(m_decoder, uniformPlan(*m_model, "int4:g16"));
        const auto& tensors = training->student().model().tensors;
        QCOMPARE(outline->tensors.size(), tensors.size());
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            QCOMPARE(outline->tensors[i].view.dtype, tensors[i].view.dtype);
            QCOMPARE(outline->tensors[i].bytes(), tensors[i].bytes());
        }
    }

    void refusesGradientsThatOverflow()
    {
        const auto training = begin("int4:g16", {.steps = 3, .batch = 2});
        auto& student = training->student();
        const auto before = valuesOf(*training);
        student.clearGradients();
        student.allValues().back()->gradient.front() = std::numeric_limits<float>::infinity();
        const auto norm = student.update({.weights = 1e-3});
        QVERIFY(!norm);
        QCOMPARE(norm.error().code, ErrorCode::Malformed);
        QVERIFY(valuesOf(*training) == before);
        QVERIFY(training->step({}));
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
        // Where learned grids begin is measured in the same passes.
        changed = {.batch = 4, .rule = StepRule::Affine};
        const auto together = valuesOf(*begin("int3:g16:asymf", changed));
        changed.accumulate = 3;
        const auto apart = valuesOf(*begin("int3:g16:asymf", changed));
        for (std::size_t i = 0; i < together.size(); ++i)
            for (std::size_t j = 0; j < together[i].size(); ++j)
                QVERIFY(std::abs(apart[i][j] - together[i][j]) <= 1e-3F * std::abs(together[i][j]));
        changed = options;
        changed.seed = 1;
        QVERIFY(run(changed).first.steps.front().loss != one.first.steps.front().loss);
    }

    /// Whether blocks and the teacher's outputs are kept or computed again: over some epochs, windows of which come
    /// twice in a step.
    void howMuchMemoryThereIs()
    {
        TrainingOptions options {.steps = 4, .batch = 12, .learningRate = 1e-2, .evaluateEvery = 0, .threads = 2};
        const auto plan = uniformPlan(*m_model, "int4:g16/int8:token");
        const auto inputs = quantizedInputs(*m_model, plan, {}).value();
        const auto watched = matricesOf(m_decoder.blocks.back()).front();
        int asked = 0;
        const InputHook counting = [&](std::size_t tensor) {
            asked += tensor == watched ? 1 : 0;
            return inputs(tensor);
        };
        const auto beginWith = [&] {
            return Training::begin(m_decoder, plan, m_text, m_heldOut, options, {}, counting);
        };
        const auto generous = beginWith().value();
        options.memory = leastMemory(options, plan, inputs);
        const auto scarce = beginWith().value();
        for (int step = 0; step < 4; ++step) {
            asked = 0;
            const auto one = generous->step({});
            QCOMPARE(asked, 1);
            const auto other = scarce->step({});
            QCOMPARE(asked, 3);  // on both ways
            QVERIFY(one && other);
            QVERIFY(*one == *other);
        }
        QVERIFY(valuesOf(*generous) == valuesOf(*scarce));
    }

    /// What a distillation takes is not handed out to blocks: the head, what it is given, two tiles of logits.
    void distillationIsCounted()
    {
        const auto plan = uniformPlan(*m_model, "int4:g16");
        TrainingOptions options {.batch = 6, .threads = 2};
        const auto distilling = leastMemory(options, plan, {});
        options.distils = false;
        const auto plain = leastMemory(options, plan, {});
        const std::uint64_t vocabulary = kVocabulary, hidden = m_decoder.hidden, positions = 6 * 12;
        const auto expected = 4 * (vocabulary * hidden + positions * hidden) + 2 * vocabulary * (64 * 4 + 2 * 8);
        QCOMPARE(distilling - plain, expected);
    }

    /// Of two windows one is kept, with room for exactly one: who is stopped gets what is kept, and nothing else.
    void taughtOutputsAreKept()
    {
        const auto bytes = m_text.windows[0].scored() * m_decoder.hidden * sizeof(float);
        const auto copyOf = [](const std::vector<TaughtWindow>& windows) {
            std::vector<float> values;
            for (const auto& window : windows)
                values.insert(values.end(), window.begin(), window.end());
            return values;
        };
        const std::vector<std::size_t> both {0, 1}, first {0}, second {1};
        TaughtOutputs none(m_decoder, m_text, bytes - 1), one(m_decoder, m_text, bytes);
        const auto expected = copyOf(none.of(both, {}).value());
        QVERIFY(copyOf(one.of(both, {}).value()) == expected);
        QVERIFY(copyOf(one.of(both, {}).value()) == expected);
        std::stop_source source;
        source.request_stop();
        const auto kept = one.of(first, source.get_token());
        QVERIFY(kept && std::ranges::equal(kept->front(), std::span(expected).first(expected.size() / 2)));
        QVERIFY(!one.of(second, source.get_token()));
        QVERIFY(!none.of(first, source.get_token()));
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
        QVERIFY(codeOf(m_text, {.memory = 1000}, plan) == ErrorCode::InvalidArgument);
        auto others = plan;
        others.tensors[m_decoder.embedding].scheme = Scheme::of(Format::Int8);
        QCOMPARE(others.tensors[m_decoder.embedding].tensor, m_decoder.embedding);
        QCOMPARE(Student::untrained(m_decoder, others), std::vector {m_decoder.embedding});
        QVERIFY(codeOf(m_text, {}, others) == ErrorCode::InvalidArgument);

        std::stop_source source;
        source.request_stop();
        const auto stopped = Training::begin(m_decoder, uniformPlan(*m_model, "int4:g16:asymf"), m_text, m_heldOut,
            {.rule = StepRule::Affine}, source.get_token());
        QVERIFY(!stopped);
        QCOMPARE(stopped.error().code, ErrorCode::Cancelled);
    }
};

QTEST_APPLESS_MAIN(TestTraining)
#include "tst_training.moc"
