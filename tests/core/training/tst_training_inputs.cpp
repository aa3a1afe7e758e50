// SPDX-License-Identifier: GPL-3.0-or-later
// Training with the inputs of layers rounded: it learns, and what it is judged by is the model that is written.
#include "core/inference/evaluate.h"
#include "tests/core/training/tiny_training.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestTrainingInputs : public QObject, private TinyTraining
{
    Q_OBJECT

    InputHook inputsOf(const Model& model, const char* scheme) const
    {
        return quantizedInputs(model, uniformPlan(model, scheme), {}).value();
    }

    /// The student with Ŵ in place of its weights, read from a file of its own.
    ModelPointer converted(Training& training, const QTemporaryDir& folder) const
    {
        auto tiny = m_tiny;
        const auto& student = training.student();
        for (const auto& matrix : student.matrices())
            tiny.tensors.at(m_model->tensors[matrix.tensor].name).values = matrix.quantized;
        for (const auto& [tensor, vector] : student.vectors())
            tiny.tensors.at(m_model->tensors[tensor].name).values = vector.values;
        return openTiny(tiny, folder.path().toStdString()).value();
    }

    /// Mean KL(teacher ‖ other) over the held-out predictions, in double from whole rows of logits.
    double divergenceOf(const Decoder& other, const InputHook& inputs) const
    {
        double sum = 0.0;
        for (const auto& window : m_heldOut.windows) {
            const auto begin = m_heldOut.tokens.begin() + std::ptrdiff_t(window.begin);
            const std::vector<std::uint32_t> tokens(begin, begin + std::ptrdiff_t(window.length));
            const auto p = computeLogits(m_decoder, tokens, {}, {}).value();
            const auto q = computeLogits(other, tokens, {.inputs = inputs}, {}).value();
            for (std::size_t row = 0; row + 1 < tokens.size(); ++row) {
                double ofP = 0.0, ofQ = 0.0;
                for (std::size_t v = row * kVocabulary; v < (row + 1) * kVocabulary; ++v) {
                    ofP += std::exp(double(p[v]));
                    ofQ += std::exp(double(q[v]));
                }
                for (std::size_t v = row * kVocabulary; v < (row + 1) * kVocabulary; ++v)
                    sum += std::exp(double(p[v])) / ofP * (double(p[v]) - std::log(ofP) - double(q[v]) + std::log(ofQ));
            }
        }
        return sum / double(m_heldOut.scored());
    }

private Q_SLOTS:
    void initTestCase() { open(); }

    void schemes_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        const auto add = [](const char* scheme, StepRule rule) {
            QTest::newRow(scheme) << QByteArray(scheme) << int(rule);
        };
        add("int4:g16/int8:token", StepRule::Estimated);
        add("int3:g16:asymf/int4:token:asym", StepRule::Affine);
        add("int4:g16:symf/int4:g8", StepRule::Scale);
        add("int4:g16/int8:tensor", StepRule::Estimated);
        add("int4:g16/int8:token:p99", StepRule::Estimated);
        add("nf4:g16/fp8_e4m3:token", StepRule::Estimated);
        add("mxfp4/mxfp8_e4m3", StepRule::Estimated);
    }

    void schemes()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        const TrainingOptions options {.steps = 60,
            .batch = 8,
            .learningRate = 1e-3,
            .warmUp = 5,
            .rule = StepRule(rule),
            .evaluateEvery = 30,
            .threads = 2};
        // So many windows that what is learned holds elsewhere.
        const auto text = task(96, 16, 3);
        const auto begun = Training::begin(m_decoder, uniformPlan(*m_model, scheme.toStdString()), text, m_heldOut,
            options, {}, inputsOf(*m_model, scheme.constData()));
        QVERIFY2(begun, begun ? "" : describe(begun.error()).c_str());
        auto* training = begun->get();
        Progress progress;
        const auto done = training->run({}, progress);
        QVERIFY2(done, done ? "" : describe(done.error()).c_str());
        const auto& evaluations = training->history().evaluations;
        QVERIFY2(evaluations.back().divergence < 0.9 * evaluations.front().divergence,
            qPrintable(QString("%1 → %2").arg(evaluations.front().divergence).arg(evaluations.back().divergence)));

        // What it says of the end is what the converted model does under the same scheme.
        const QTemporaryDir folder;
        const auto model = converted(*training, folder);
        const auto decoder = describeDecoder(*model).value();
        const auto inputs = inputsOf(*model, scheme.constData());
        const auto found = evaluate(decoder, m_heldOut, {.inputs = inputs}, {.threads = 1}, {}, progress);
        QVERIFY2(found, found ? "" : describe(found.error()).c_str());
        QCOMPARE(found->quantized->value, evaluations.back().perplexity);
        QVERIFY(found->base.value != found->quantized->value);
        const double divergence = divergenceOf(decoder, inputs);
        QVERIFY2(std::abs(divergence / evaluations.back().divergence - 1.0) < 1e-4,
            qPrintable(QString("%1, said %2").arg(divergence).arg(evaluations.back().divergence)));
    }

    void sameBitsForAnyThreadsAndAfterAStop()
    {
        const auto file = std::filesystem::path(m_folder.filePath("inputs").toStdString());
        constexpr auto* scheme = "int4:g16/int8:token";
        TrainingOptions options {.steps = 8, .batch = 4, .seed = 2, .evaluateEvery = 4, .threads = 1};
        Progress progress;
        const auto whole = begin(scheme, options);
        QVERIFY(whole->run({}, progress));
        options.threads = 3;
        const auto first = begin(scheme, options);
        std::stop_source source;
        QVERIFY(!first->run(source.get_token(), progress, [&]() -> Result<void> {
            if (first->history().steps.size() == 5)
                source.request_stop();
            return first->save(file);
        }));
        const auto second = begin(scheme, options);
        const auto resumed = second->resume(file);
        QVERIFY2(resumed, resumed ? "" : describe(resumed.error()).c_str());
        QVERIFY(second->run({}, progress));
        QVERIFY(second->history() == whole->history());
        QVERIFY(valuesOf(*second) == valuesOf(*whole));
        // Rounded otherwise, it is another training.
        for (const auto* other : {"int4:g16", "int4:g16/int4:token"})
            QCOMPARE(begin(other, options)->resume(file).error().code, ErrorCode::Conflict);
    }

    /// Windows that a runtime computes in one call have one range where they are judged, each its own in training.
    void callsOfSeveralWindows()
    {
        auto heldOut = m_heldOut;
        heldOut.windowsPerCall = 2;
        const auto plan = uniformPlan(*m_model, "int4:g16/int4:tensor");
        auto training = Training::begin(
            m_decoder, plan, m_text, heldOut, {.steps = 2, .batch = 2}, {}, inputsOf(*m_model, "int4:g16/int4:tensor"));
        QVERIFY(training);
        Progress progress;
        QVERIFY((*training)->run({}, progress));
        const QTemporaryDir folder;
        const auto model = converted(**training, folder);
        const auto found = evaluate(describeDecoder(*model).value(), heldOut,
            {.inputs = inputsOf(*model, "int4:g16/int4:tensor")}, {}, {}, progress);
        QVERIFY(found);
        QCOMPARE(found->quantized->value, (*training)->history().evaluations.back().perplexity);
    }

    void refusesInputsThatNothingRounds()
    {
        const auto plan = uniformPlan(*m_model, "int4:g16/int8:token");
        const auto training = Training::begin(m_decoder, plan, m_text, m_heldOut, {}, {});
        QVERIFY(!training);
        QCOMPARE(training.error().code, ErrorCode::InvalidArgument);
        QVERIFY(training.error().reason.find("int8:token") != std::string::npos);
    }
};

QTEST_APPLESS_MAIN(TestTrainingInputs)
#include "tst_training_inputs.moc"
