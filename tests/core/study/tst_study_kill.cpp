// SPDX-License-Identifier: GPL-3.0-or-later
// SIGKILL at any moment: what append() or setRecipe() returned for is there afterwards, and the file is sound.
#include "study_fixture.h"

#include <QProcess>
#include <QStandardPaths>
#include <QTest>

#include <random>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr unsigned kTensors = 40;

TensorMeasurement measurementOf(unsigned step)
{
    return makeMeasurement(
        "blk." + std::to_string(step % kTensors) + ".attn_q.weight", {"int8", "int4:g32"}, step, 200, 300);
}

/// Memory that parent and child both see: how far the child got.
struct Shared {
    std::atomic<unsigned> appended = 0;  ///< number of append() calls that returned
    std::atomic<unsigned> saves = 0;
    std::atomic<bool> failed = false;
};

/// Appends, saving every `saveEvery` appends, until it is killed.
[[noreturn]] void work(const std::filesystem::path& path, Shared& shared, unsigned saveEvery)
{
    auto study = Study::open(path, makeCatalog(kTensors));
    if (!study)
        shared.failed = true;
    for (unsigned step = shared.appended; study; ++step) {
        if (!(*study)->append(measurementOf(step)))
            shared.failed = true;
        shared.appended = step + 1;
        if (step % saveEvery == saveEvery - 1) {
            if (!(*study)->save())
                shared.failed = true;
            ++shared.saves;
        }
    }
    ::_exit(0);
}

bool dumps(const QString& program, const std::filesystem::path& path)
{
    QProcess process;
    process.start(program, {"-H", QString::fromStdString(path.string())});
    return process.waitForFinished() && process.exitCode() == 0
        && process.readAllStandardOutput().contains("quantloupe_study");
}

}  // namespace

class TestStudyKill : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_folder;

private Q_SLOTS:
    void nothingReturnedIsLost_data()
    {
        QTest::addColumn<unsigned>("saveEvery");
        QTest::addColumn<int>("kills");
        QTest::addRow("while appending") << 1'000'000U << 30;
        QTest::addRow("while saving") << 2U << 30;
    }

    void nothingReturnedIsLost()
    {
        QFETCH(const unsigned, saveEvery);
        QFETCH(const int, kills);
        const auto path =
            std::filesystem::path(m_folder.path().toStdString()) / ("kill" + std::to_string(saveEvery) + ".h5");
        auto* shared = static_cast<Shared*>(
            ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        QVERIFY(shared != MAP_FAILED);
        new (shared) Shared;
        const auto dump = QStandardPaths::findExecutable("h5dump");
        std::mt19937 random(saveEvery);
        // On a slow machine few saves fit between two kills: more kills then, and farther apart, until the figures mean
        // something.
        const auto tooFew = [&] { return shared->appended <= 30 || (saveEvery <= 1000 && shared->saves <= 5); };
        for (int kill = 0; kill < kills || (tooFew() && kill < 20 * kills); ++kill) {
            const auto child = ::fork();
            if (child == 0)
                work(path, *shared, saveEvery);
            QVERIFY(child > 0);
            const unsigned longest = std::min(900'000U, 250'000U * static_cast<unsigned>(1 + kill / kills));
            ::usleep(static_cast<useconds_t>(random() % longest));
            ::kill(child, SIGKILL);
            int status = 0;
            QCOMPARE(::waitpid(child, &status, 0), child);
            QVERIFY(WIFSIGNALED(status) && !shared->failed);

            if (!std::filesystem::exists(path)) {
                QCOMPARE(shared->appended.load(), 0U);
                continue;
            }
            const unsigned returned = shared->appended;
            // One reader without the lock, one writer that folds: both find every step that returned.
            const auto read = Study::read(path);
            QVERIFY2(read.has_value(), read ? "" : describe(read.error()).c_str());
            auto study = Study::open(path, makeCatalog(kTensors));
            QVERIFY2(study.has_value(), study ? "" : describe(study.error()).c_str());
            const auto folded = (*study)->snapshot();
            for (unsigned step = returned > kTensors ? returned - kTensors : 0; step < returned; ++step) {
                // The step under way may be there already, in the place of the one a round before.
                if (step + kTensors == returned && holds(*folded, measurementOf(returned)))
                    continue;
                QVERIFY2(holds(**read, measurementOf(step)), qPrintable(QString::number(step)));
                QVERIFY2(holds(*folded, measurementOf(step)), qPrintable(QString::number(step)));
            }
            QVERIFY((*study)->close().has_value());
            if (!dump.isEmpty() && kill % 5 == 0)
                QVERIFY(dumps(dump, path));
        }
        QVERIFY2(shared->appended > 30, qPrintable(QString::number(shared->appended)));
        QVERIFY(saveEvery > 1000 || shared->saves > 5);
        // No temporary file of a killed save stays behind.
        for (const auto& entry : std::filesystem::directory_iterator(path.parent_path()))
            QVERIFY2(entry.path().extension() == ".h5", entry.path().c_str());
        ::munmap(shared, sizeof(Shared));
    }
};

QTEST_APPLESS_MAIN(TestStudyKill)
#include "tst_study_kill.moc"
