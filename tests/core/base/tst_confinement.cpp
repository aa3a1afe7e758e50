// SPDX-License-Identifier: GPL-3.0-or-later
// What a confined process still can do, tried in a child. Each row is one attempt.
#include "core/base/confinement.h"
#include "core/base/descriptor.h"

#include <QTemporaryDir>
#include <QTest>

#include <array>
#include <cstring>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

using namespace quantloupe;

namespace {

constexpr Confinement kConfinement {std::uint64_t {1} << 30, 2};

/// What is open when the attempt begins.
struct Open {
    int readable, writable, pipe;
};

enum Outcome { Refused = 10, Possible = 11, NotConfined = 12 };

/// The exit status of a child that confines itself and then does `attempt`, or minus the signal that killed it.
int statusAfter(bool (*attempt)(const Open&), const Open& open)
{
    const auto child = ::fork();
    if (child == 0) {
        if (confineThisProcess(kConfinement) != 0)
            ::_exit(NotConfined);
        ::_exit(attempt(open) ? Possible : Refused);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

using Attempt = bool (*)(const Open&);

bool reads(const Open& open)
{
    char byte = 0;
    return ::pread(open.readable, &byte, 1, 0) == 1 && byte == 'x';
}
bool answers(const Open& open)
{
    return ::write(open.pipe, "y", 1) == 1;
}
bool allocates(const Open&)
{
    std::vector<char> memory(std::size_t {64} << 20, 'z');
    return memory.back() == 'z';
}
bool opens(const Open&)
{
    return ::open("/etc/passwd", O_RDONLY) >= 0;
}
bool creates(const Open&)
{
    return ::open("/tmp/quantloupe-confinement", O_CREAT | O_WRONLY, 0600) >= 0;
}
bool writes(const Open& open)
{
    ::signal(SIGXFSZ, SIG_IGN);
    return ::write(open.writable, "z", 1) == 1;
}
bool connects(const Open&)
{
    return ::socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
bool forks(const Open&)
{
    return ::fork() >= 0;
}
bool executes(const Open&)
{
    char name[] = "/bin/true";
    char* words[] = {name, nullptr};
    ::execve(name, words, words + 1);
    return false;
}
bool signalsItsParent(const Open&)
{
    return ::kill(::getppid(), 0) == 0;
}
bool mapsCode(const Open&)
{
    return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
bool makesCode(const Open&)
{
    void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED && ::mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}
[[maybe_unused]] bool takesMemory(const Open&)
{
    return ::mmap(nullptr, std::size_t {2} << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        != MAP_FAILED;
}

}  // namespace

Q_DECLARE_METATYPE(Attempt)

class TestConfinement : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto path = m_folder.filePath("file").toStdString();
        m_writable = Descriptor(::open(path.c_str(), O_CREAT | O_RDWR, 0600));
        QCOMPARE(::write(m_writable.number(), "x", 1), 1);
        m_readable = Descriptor(::open(path.c_str(), O_RDONLY));
        std::array<int, 2> ends {};
        QCOMPARE(::pipe(ends.data()), 0);
        m_out = Descriptor(ends[0]);
        m_in = Descriptor(ends[1]);
    }

    void onlyReadingAndAnsweringIsLeft_data()
    {
        QTest::addColumn<Attempt>("attempt");
        QTest::addColumn<bool>("possible");
        QTest::newRow("reads what is open") << Attempt(reads) << true;
        QTest::newRow("answers") << Attempt(answers) << true;
        QTest::newRow("allocates") << Attempt(allocates) << true;
        QTest::newRow("opens a file") << Attempt(opens) << false;
        QTest::newRow("creates a file") << Attempt(creates) << false;
        QTest::newRow("writes to an open file") << Attempt(writes) << false;
        QTest::newRow("connects") << Attempt(connects) << false;
        QTest::newRow("forks") << Attempt(forks) << false;
        QTest::newRow("executes") << Attempt(executes) << false;
        QTest::newRow("signals its parent") << Attempt(signalsItsParent) << false;
        QTest::newRow("maps code") << Attempt(mapsCode) << false;
        QTest::newRow("makes code") << Attempt(makesCode) << false;
#if !defined(QUANTLOUPE_SHADOW_MEMORY)
        QTest::newRow("takes memory") << Attempt(takesMemory) << false;
#endif
    }

    void onlyReadingAndAnsweringIsLeft()
    {
        QFETCH(const Attempt, attempt);
        QFETCH(const bool, possible);
        if (!possible && ::prctl(PR_GET_SECCOMP) < 0)
            QSKIP("this kernel has no seccomp");
        QCOMPARE(statusAfter(attempt, {m_readable.number(), m_writable.number(), m_in.number()}),
            int(possible ? Possible : Refused));
    }

    void computingEnds()
    {
        const auto status = statusAfter(
            [](const Open&) {
                for (volatile unsigned turns = 0;;)
                    turns = turns + 1;
                return true;
            },
            {});
        QCOMPARE(status, -SIGKILL);
    }

private:
    QTemporaryDir m_folder;
    Descriptor m_readable, m_writable, m_out, m_in;
};

QTEST_APPLESS_MAIN(TestConfinement)
#include "tst_confinement.moc"
