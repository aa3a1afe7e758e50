// SPDX-License-Identifier: GPL-3.0-or-later
// Helpers that behave, and shell scripts that do what helpers must not get away with.
#include "core/base/helper_process.h"

#include <QElapsedTimer>
#include <QTemporaryDir>
#include <QTest>

#include <fstream>
#include <thread>

#include <fcntl.h>

using namespace quantloupe;
using namespace std::chrono_literals;

namespace {

constexpr HelperPatience kPatient {.work = 20s, .silence = 60s, .whole = 60s, .recordBytes = 1'000};

Result<HelperProcess> script(const std::string& text, const HelperPatience& patience = kPatient,
    std::stop_token stop = {}, const char* input = "/dev/null")
{
    const Descriptor file(::open(input, O_RDONLY | O_CLOEXEC));
    return HelperProcess::start("/bin/sh", {"-c", text}, file, patience, "model.h5", std::move(stop));
}

std::string textOf(const HelperRecord& record)
{
    return {reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size()};
}

/// What a script says in a record of its own, made by the shell.
std::string said(const std::string& shellWords)
{
    return "a=$(" + shellWords + "); printf '\\007\\0\\0\\0\\'$(printf %03o ${#a})'\\0\\0\\0%s' \"$a\"";
}

}  // namespace

class TestHelperProcess : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void cleanup() { qunsetenv("QUANTLOUPE_HELPERS"); }

    void recordsComeInOrder()
    {
        auto process = script("printf '\\1\\0\\0\\0\\2\\0\\0\\0hi\\2\\0\\0\\0\\0\\0\\0\\0'");
        QVERIFY(process);
        const auto first = process->next();
        QVERIFY(first);
        QCOMPARE(first->kind, 1U);
        QCOMPARE(textOf(*first), std::string("hi"));
        const auto second = process->next();
        QVERIFY(second);
        QCOMPARE(second->kind, 2U);
        QCOMPARE(second->bytes.size(), std::size_t(0));
        const auto third = process->next();
        QVERIFY(!third);
        QCOMPARE(third.error().code, ErrorCode::Malformed);
        QCOMPARE(third.error().where, std::string("model.h5"));
        QVERIFY(third.error().reason.find("without an answer") != std::string::npos);
    }

    void misbehaviourIsAnError_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("reason");
        QTest::newRow("breaks down") << "kill -SEGV $$"
                                     << "Segmentation fault";
        QTest::newRow("aborts") << "kill -ABRT $$"
                                << "Aborted";
        QTest::newRow("gives up") << "exit 3"
                                  << "status 3";
        QTest::newRow("stops in a header") << "printf '\\1\\0'"
                                           << "without an answer";
        QTest::newRow("stops in a record") << "printf '\\1\\0\\0\\0\\2\\0\\0\\0h'; exit 4"
                                           << "status 4";
        QTest::newRow("says too much") << "printf '\\1\\0\\0\\0\\377\\377\\377\\377h'; sleep 60"
                                       << "more than it may";
        QTest::newRow("closes its output and lives on") << "exec >&-; sleep 60"
                                                        << "without an answer";
        QTest::newRow("is silent") << "sleep 60"
                                   << "no end";
        QTest::newRow("computes for ever") << "while :; do :; done"
                                           << "no end";
        QTest::newRow("dribbles") << "while :; do printf '\\1'; sleep 0.05; done"
                                  << "no end";
    }

    void misbehaviourIsAnError()
    {
        QFETCH(const QString, text);
        QFETCH(const QString, reason);
        HelperPatience patience = kPatient;
        if (text.startsWith("while :; do :"))
            patience.work = 200ms;
        else if (reason == "no end")
            patience.silence = 400ms;
        // Bytes trickle in: a header is complete after eight, and names more than may come.
        if (text.contains("0.05"))
            patience.recordBytes = 0x7FFFFFFF;
        QElapsedTimer timer;
        timer.start();
        {
            auto process = script(text.toStdString(), patience);
            QVERIFY(process);
            const auto record = process->next();
            QVERIFY(!record);
            QVERIFY2(
                record.error().reason.find(reason.toStdString()) != std::string::npos, record.error().reason.c_str());
        }
        QVERIFY2(timer.elapsed() < 20'000, "it was waited for");
    }

    void aStopKillsIt()
    {
        std::stop_source source;
        auto process = script("sleep 60", kPatient, source.get_token());
        QVERIFY(process);
        std::jthread stopper([&] {
            std::this_thread::sleep_for(100ms);
            source.request_stop();
        });
        QElapsedTimer timer;
        timer.start();
        const auto record = process->next();
        QVERIFY(!record);
        QCOMPARE(record.error().code, ErrorCode::Cancelled);
        QVERIFY(timer.elapsed() < 20'000);
    }

    void itInheritsItsInputAndNothingElse()
    {
        QTemporaryDir folder;
        const auto path = folder.filePath("input").toStdString();
        std::ofstream(path) << "contents";
        // Would be inherited: no O_CLOEXEC. Far from the numbers that the helper has by right.
        const Descriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC)), leaking(::fcntl(null.number(), F_DUPFD, 50));
        qputenv("QUANTLOUPE_TEST_SECRET", "secret");
        auto process = script(said("cat <&3; test -e /proc/$$/fd/" + std::to_string(leaking.number())
                                  + " && echo leaks; echo $QUANTLOUPE_TEST_SECRET; cat"),
            kPatient, {}, path.c_str());
        QVERIFY(process);
        const auto record = process->next();
        QVERIFY2(record, record ? "" : record.error().reason.c_str());
        QCOMPARE(textOf(*record), std::string("contents"));
        qunsetenv("QUANTLOUPE_TEST_SECRET");
    }

    void manyThreadsStartTheirs()
    {
        std::atomic<int> good = 0;
        {
            std::vector<std::jthread> threads;
            for (int i = 0; i < 8; ++i)
                threads.emplace_back([&] {
                    for (int round = 0; round < 10; ++round) {
                        auto process = script("printf '\\1\\0\\0\\0\\1\\0\\0\\0x'");
                        const auto record = process ? process->next() : Result<HelperRecord>(HelperRecord {});
                        good += record && textOf(*record) == "x" ? 1 : 0;
                    }
                });
        }
        QCOMPARE(good.load(), 80);
    }

    void aMissingProgramIsNamed()
    {
        const Descriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        const auto process = HelperProcess::start("/no/such/program", {}, file, kPatient, "model.h5", {});
        QVERIFY(!process);
        QCOMPARE(process.error().code, ErrorCode::CannotOpen);
        QCOMPARE(process.error().where, std::string("/no/such/program"));
    }

    void programsAreFoundWhereTheVariableSays()
    {
        qputenv("QUANTLOUPE_HELPERS", "/no/such/folder");
        const auto missing = helperProgram("quantloupe-read-hdf5");
        QVERIFY(!missing);
        QVERIFY(missing.error().reason.find("/no/such/folder") != std::string::npos);
        qputenv("QUANTLOUPE_HELPERS", "/bin");
        QCOMPARE(helperProgram("sh").value().string(), std::string("/bin/sh"));
    }
};

QTEST_APPLESS_MAIN(TestHelperProcess)
#include "tst_helper_process.moc"
