// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/jobs_model.h"
#include "widgets/workbench/job_list.h"

#include <QAbstractItemModelTester>
#include <QSignalSpy>
#include <QTest>
#include <QThread>

#include <algorithm>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;
using quantloupe::Progress;
using quantloupe::Result;

namespace {

void waitForStop(std::stop_token stop)
{
    while (!stop.stop_requested())
        std::this_thread::sleep_for(1ms);
}

}  // namespace

class TestJobs : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void ends_data()
    {
        QTest::addColumn<int>("behaviour");
        QTest::addColumn<QByteArrayList>("expected");
        QTest::addRow("returns") << 0 << QByteArrayList {"finished", "ended"};
        QTest::addRow("fails") << 1 << QByteArrayList {"failed", "ended"};
        QTest::addRow("throws") << 2 << QByteArrayList {"failed", "ended"};
        QTest::addRow("is cancelled") << 3 << QByteArrayList {"cancelled", "ended"};
    }
    void ends()
    {
        QFETCH(const int, behaviour);
        QFETCH(const QByteArrayList, expected);
        QByteArrayList seen;
        bool onOwner = true;
        Job job(QStringLiteral("work"), [behaviour](std::stop_token stop, Progress&) -> Result<void> {
            if (behaviour == 1)
                return quantloupe::failure(quantloupe::ErrorCode::Truncated, "file", "cut short");
            if (behaviour == 2)
                throw std::runtime_error("boom");
            if (behaviour == 3)
                waitForStop(stop);
            return {};
        });
        const auto note = [&](const char* name) {
            seen << name;
            onOwner = onOwner && QThread::currentThread() == job.thread();
        };
        // No context object: the slot runs in the emitting thread, which is what is checked.
        connect(&job, &Job::finished, [&] { note("finished"); });
        connect(&job, &Job::failed, [&] { note("failed"); });
        connect(&job, &Job::cancelled, [&] { note("cancelled"); });
        connect(&job, &Job::ended, [&] { note("ended"); });
        job.start(1, false);
        if (behaviour == 3)
            job.cancel();
        QTRY_COMPARE(seen, expected);
        QTest::qWait(30);
        QCOMPARE(seen, expected);
        QVERIFY(onOwner);
        QCOMPARE(job.errorText().isEmpty(), behaviour != 1 && behaviour != 2);
    }

    void destructorJoins()
    {
        std::atomic<bool> inside = false;
        std::atomic<bool> left = false;
        {
            Job job({}, [&](std::stop_token stop, Progress&) -> Result<void> {
                inside = true;
                waitForStop(stop);
                std::this_thread::sleep_for(20ms);
                left = true;
                return {};
            });
            job.start(0, false);
            QTRY_VERIFY(inside);
        }
        QVERIFY(left);
    }

    void reportsProgressRateAndTimeLeft()
    {
        Job job({}, [](std::stop_token stop, Progress& progress) -> Result<void> {
            progress.totalBytes = 1000;
            for (int i = 0; i < 50 && !stop.stop_requested(); ++i) {
                progress.doneBytes += 10;
                std::this_thread::sleep_for(10ms);
            }
            waitForStop(stop);
            return {};
        });
        QVERIFY(job.fraction() < 0.0);
        QVERIFY(!job.secondsLeft());
        job.start(1, false);
        QTRY_VERIFY(job.bytesPerSecond() > 0.0);
        QTRY_COMPARE(job.fraction(), 0.5);
        const auto left = job.secondsLeft();
        QVERIFY(left);
        QVERIFY(std::abs(*left - 500.0 / job.bytesPerSecond()) < 1e-9);
    }

    void newerReplacesOlder()
    {
        JobList list;
        std::atomic<int> running = 0;
        std::atomic<int> most = 0;
        QList<int> delivered;
        for (int i = 0; i < 5; ++i)
            list.compute<int>(
                this, {QStringLiteral("job"), QStringLiteral("view"), false},
                [&, i](std::stop_token stop, Progress&) -> Result<int> {
                    most = std::max(most.load(), ++running);
                    if (i < 4)
                        waitForStop(stop);
                    --running;
                    return i;
                },
                [&](const Result<int>& result) { delivered << *result; });
        QVERIFY(list.isActive(QStringLiteral("view")));
        QTRY_COMPARE(delivered, QList<int> {4});
        QTRY_VERIFY(!list.isActive(QStringLiteral("view")));
        QTRY_VERIFY(!list.isBusy());
        QCOMPARE(most.load(), 1);  // never two of a view at once
        QCOMPARE(delivered, QList<int> {4});
    }

    void nothingReachesTheDead()
    {
        JobList list;
        bool delivered = false;
        {
            QObject receiver;
            list.compute<int>(
                &receiver, {QStringLiteral("job"), {}, false},
                [](std::stop_token, Progress&) -> Result<int> { return 1; },
                [&](const Result<int>&) { delivered = true; });
        }
        QTRY_VERIFY(!list.isBusy());
        QVERIFY(!delivered);
    }

    void errorsAreDelivered()
    {
        JobList list;
        std::optional<quantloupe::Error> error;
        list.compute<int>(
            this, {QStringLiteral("job")},
            [](std::stop_token, Progress&) -> Result<int> {
                return quantloupe::failure(quantloupe::ErrorCode::Malformed, "a.gguf", "odd", 7);
            },
            [&](const Result<int>& result) { error = result.error(); });
        QTRY_VERIFY(error);
        QCOMPARE(error->where, std::string("a.gguf"));
        QTRY_VERIFY(list.log().join(u'\n').contains(QStringLiteral("a.gguf")));
    }

    void backgroundGivesWay()
    {
        JobList list;
        std::atomic<bool> release = false;
        std::atomic<bool> passed = false;
        list.start({QStringLiteral("live"), {}, false}, [&](std::stop_token, Progress&) -> Result<void> {
            while (!release)
                std::this_thread::sleep_for(1ms);
            return {};
        });
        list.start({QStringLiteral("sweep"), {}, true, true},
            [&, wait = list.yieldPoint()](std::stop_token stop, Progress&) -> Result<void> {
                wait(stop);
                passed = true;
                return {};
            });
        QTest::qWait(60);
        QVERIFY(!passed);
        release = true;
        QTRY_VERIFY(passed);
    }

    void modelFollowsTheList()
    {
        JobList list;
        JobsModel model(&list);
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        std::atomic<bool> release = false;
        auto* job =
            list.start({QStringLiteral("Sweep")}, [&](std::stop_token stop, Progress& progress) -> Result<void> {
                progress.totalItems = 4;
                progress.doneItems = 1;
                progress.totalBytes = 100;
                progress.doneBytes = 25;
                while (!release && !stop.stop_requested())
                    std::this_thread::sleep_for(1ms);
                return {};
            });
        list.start({QStringLiteral("hidden"), {}, false}, [](std::stop_token, Progress&) { return Result<void> {}; });
        QCOMPARE(model.rowCount(), 1);
        QCOMPARE(model.jobAt(0), job);
        QTRY_COMPARE(model.index(0, JobsModel::Progress).data(JobsModel::ValueRole).toDouble(), 0.25);
        QCOMPARE(model.index(0, JobsModel::Items).data().toString(), QStringLiteral("1/4 tensors"));
        release = true;
        QTRY_COMPARE(model.index(0, JobsModel::Progress).data().toString(), QStringLiteral("done"));
        // Ended jobs are kept for a while, not for ever.
        for (int i = 0; i < 30; ++i) {
            list.start({QStringLiteral("more")}, [](std::stop_token, Progress&) { return Result<void> {}; });
            QTRY_VERIFY(!list.isBusy());
        }
        QVERIFY(model.rowCount() <= 12);
    }

    void stepsAreNoTensors()
    {
        JobList list;
        JobsModel model(&list);
        std::atomic<bool> release = false;
        list.start({.title = QStringLiteral("Train"), .countsSteps = true},
            [&](std::stop_token stop, Progress& progress) -> Result<void> {
                progress.totalItems = 1040;
                progress.totalBytes = 1040;
                progress.doneItems = 1000;  // by a job before
                progress.doneBytes = 1000;
                while (!release && !stop.stop_requested()) {
                    progress.doneItems = std::min(1020U, progress.doneItems.load() + 1);
                    progress.doneBytes = progress.doneItems.load();
                    std::this_thread::sleep_for(50ms);
                }
                return {};
            });
        QTRY_COMPARE(model.index(0, JobsModel::Items).data().toString(), QStringLiteral("1020/1040 steps"));
        QVERIFY(model.index(0, JobsModel::Rate).data().toString().endsWith(QStringLiteral(" steps/s")));
        const double rate = model.index(0, JobsModel::Rate).data(JobsModel::ValueRole).toDouble();
        QVERIFY2(rate > 0.0 && rate < 100.0, qPrintable(QString::number(rate)));  // 20 in a second
        release = true;
        QTRY_VERIFY(!list.isBusy());
    }

    void modelOutlivesTheList()
    {
        auto list = std::make_unique<JobList>();
        JobsModel model(list.get());
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        list->start({QStringLiteral("long")}, [](std::stop_token stop, Progress&) -> Result<void> {
            waitForStop(stop);
            return {};
        });
        QCOMPARE(model.rowCount(), 1);
        list.reset();
        QCOMPARE(model.rowCount(), 0);
    }
};

QTEST_GUILESS_MAIN(TestJobs)
#include "tst_jobs.moc"
