// SPDX-License-Identifier: GPL-3.0-or-later
// What a training is kept as: it goes on with the same bits, and from nothing else.
#include "core/base/hash.h"
#include "tests/core/training/tiny_training.h"

#include <QFile>
#include <QTest>

#include <limits>
#include <span>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestTrainingState : public QObject, private TinyTraining
{
    Q_OBJECT

private Q_SLOTS:
    void initTestCase() { open(); }

    void goesOnWithTheSameBits_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        QTest::newRow("minima") << QByteArray("int3:g16:asymf") << int(StepRule::Affine);
        QTest::newRow("zero points") << QByteArray("int3:g16:asym") << int(StepRule::Scale);
    }

    void goesOnWithTheSameBits()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        const auto otherWidth = QByteArray(scheme).replace("int3", "int4");
        const auto file = std::filesystem::path(m_folder.filePath("state").toStdString());
        const TrainingOptions options {.steps = 9, .batch = 3, .rule = StepRule(rule), .seed = 4, .evaluateEvery = 2};
        const auto whole = begin(scheme.constData(), options);
        Progress progress;
        QVERIFY(whole->run({}, progress));

        const auto first = begin(scheme.constData(), options);
        std::stop_source source;
        const auto stopped = first->run(source.get_token(), progress, [&]() -> Result<void> {
            if (first->history().steps.size() == 5)
                source.request_stop();
            return first->save(file);
        });
        QVERIFY(!stopped);
        QCOMPARE(stopped.error().code, ErrorCode::Cancelled);
        QCOMPARE(first->history().steps.size(), std::size_t(5));

        const auto second = begin(scheme.constData(), options);
        const auto resumed = second->resume(file);
        QVERIFY2(resumed, resumed ? "" : describe(resumed.error()).c_str());
        QVERIFY(second->run({}, progress));
        QVERIFY(second->history() == whole->history());
        QVERIFY(valuesOf(*second) == valuesOf(*whole));

        const auto third =
            Training::goOn(file, m_decoder, uniformPlan(*m_model, scheme.constData()), m_text, m_heldOut, options, {});
        QVERIFY2(third, third ? "" : describe(third.error()).c_str());
        QVERIFY((*third)->run({}, progress));
        QVERIFY((*third)->history() == whole->history());
        QVERIFY(valuesOf(**third) == valuesOf(*whole));

        auto others = options;
        others.seed = 5;
        QCOMPARE(begin(scheme.constData(), others)->resume(file).error().code, ErrorCode::Conflict);
        QCOMPARE(begin(otherWidth.constData(), options)->resume(file).error().code, ErrorCode::Conflict);
        QFile damaged(m_folder.filePath("state"));
        QVERIFY(damaged.open(QIODevice::ReadWrite) && damaged.seek(damaged.size() / 2) && damaged.putChar('~'));
        damaged.close();
        QCOMPARE(second->resume(file).error().code, ErrorCode::Malformed);
        QCOMPARE(second->resume(m_folder.filePath("none").toStdString()).error().code, ErrorCode::CannotOpen);
    }

    /// The evaluation that a stop took is made up for before the next step.
    void goesOnFromAStoppedEvaluation()
    {
        const auto file = std::filesystem::path(m_folder.filePath("evaluation").toStdString());
        const TrainingOptions options {
            .steps = 12, .batch = 3, .learningRate = 0.05, .warmUp = 0, .evaluateEvery = 2, .patience = 2};
        const auto whole = begin("int3:g16:asym", options);
        Progress progress;
        QVERIFY(whole->run({}, progress));
        QVERIFY(whole->history().steps.size() >= 4);

        const auto first = begin("int3:g16:asym", options);
        std::stop_source source;
        QVERIFY(!first->run(source.get_token(), progress, [&]() -> Result<void> {
            if (first->history().steps.size() == 3)
                source.request_stop();
            return {};
        }));
        QVERIFY(first->step({}));
        const auto stopped = first->evaluate(source.get_token());
        QVERIFY(!stopped);
        QCOMPARE(stopped.error().code, ErrorCode::Cancelled);
        QCOMPARE(first->history().evaluations.back().step, std::uint64_t(2));
        QVERIFY(first->save(file));

        const auto second = begin("int3:g16:asym", options);
        QVERIFY(second->resume(file));
        for (auto* training : {first.get(), second.get()}) {
            QVERIFY(training->run({}, progress));
            QVERIFY(training->history() == whole->history());
            QVERIFY(valuesOf(*training) == valuesOf(*whole));
        }
    }

    void refusesStatesThatNoTrainingHas()
    {
        const auto name = m_folder.filePath("impossible");
        const auto file = std::filesystem::path(name.toStdString());
        const TrainingOptions options {.steps = 3, .batch = 2};
        const auto training = begin("int4:g16", options), other = begin("int4:g16", options);
        QVERIFY(training->step({}));
        QVERIFY(training->save(file));
        QFile state(name);
        QVERIFY(state.open(QIODevice::ReadWrite));
        auto content = state.readAll().chopped(32);
        content[40] = 2;  // steps done, of which it tells of one
        FingerprintHasher hasher;
        hasher.add(std::as_bytes(std::span(content.constData(), std::size_t(content.size()))));
        content += QByteArray::fromStdString(hasher.hex());
        QVERIFY(state.seek(0) && state.write(content) == content.size());
        state.close();
        const auto resumed = other->resume(file);
        QVERIFY(!resumed);
        QCOMPARE(resumed.error().code, ErrorCode::Malformed);
        QVERIFY(resumed.error().reason.find("history") != std::string::npos);

        for (const float number : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
            training->student().allValues().front()->values.back() = number;
            QVERIFY(training->save(file));
            const auto refused = other->resume(file);
            QVERIFY(!refused);
            QCOMPARE(refused.error().code, ErrorCode::Malformed);
            QVERIFY(refused.error().reason.find("finite") != std::string::npos);
        }
        QVERIFY(other->history().steps.empty());
    }
};

QTEST_APPLESS_MAIN(TestTrainingState)
#include "tst_training_state.moc"
