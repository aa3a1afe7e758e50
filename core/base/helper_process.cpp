// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/helper_process.h"

#include "core/base/helper_records.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

namespace quantloupe {
namespace {

using namespace std::chrono_literals;

/// How soon a stop and used-up patience are noticed while the helper is silent.
constexpr auto kLook = 50ms;

/// posix_spawn's two kinds of orders, given back on every way out.
struct SpawnOrders {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;

    SpawnOrders()
    {
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawnattr_init(&attributes);
    }
    SpawnOrders(const SpawnOrders&) = delete;
    SpawnOrders& operator=(const SpawnOrders&) = delete;
    ~SpawnOrders()
    {
        ::posix_spawn_file_actions_destroy(&files);
        ::posix_spawnattr_destroy(&attributes);
    }
};

/// Above the numbers that the helper uses, so that putting one in its place does not close another.
Descriptor outOfTheWay(int descriptor)
{
    constexpr int kFirst = 10;
    return Descriptor(::fcntl(descriptor, F_DUPFD_CLOEXEC, kFirst));
}

/// Of our environment only what it takes to load libraries and to run under a sanitizer.
std::vector<std::string> environmentOfHelpers()
{
    std::vector<std::string> environment {"LC_ALL=C"};
    for (const char* name : {"LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"})
        if (const char* value = std::getenv(name))
            environment.push_back(std::string(name) + "=" + value);
    return environment;
}

std::vector<char*> pointersTo(std::vector<std::string>& texts)
{
    std::vector<char*> pointers;
    for (auto& text : texts)
        pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

}  // namespace

Result<HelperProcess> HelperProcess::start(const std::filesystem::path& program,
    const std::vector<std::string>& arguments, const Descriptor& input, const HelperPatience& patience,
    std::string where, std::stop_token stop)
{
    std::array<int, 2> ends {};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return systemFailure(ErrorCode::CannotOpen, program);
    Descriptor output(ends[0]);
    const Descriptor lowEnd(ends[1]);
    const auto answers = outOfTheWay(lowEnd.number());
    const auto file = outOfTheWay(input.number());
    if (!answers || !file)
        return systemFailure(ErrorCode::CannotOpen, program);

    SpawnOrders orders;
    ::posix_spawn_file_actions_addopen(&orders.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&orders.files, answers.number(), STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&orders.files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&orders.files, file.number(), kHelperInput);
    ::posix_spawn_file_actions_addclosefrom_np(&orders.files, kHelperInput + 1);
    // Ours may be blocked or ignored, and Ctrl-C in a terminal is for us to handle.
    sigset_t every, none;
    ::sigfillset(&every);
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&orders.attributes, &every);
    ::posix_spawnattr_setsigmask(&orders.attributes, &none);
    ::posix_spawnattr_setpgroup(&orders.attributes, 0);
    ::posix_spawnattr_setflags(
        &orders.attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);

    std::vector<std::string> words {program.string()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    auto environment = environmentOfHelpers();
    pid_t process = -1;
    const int problem = ::posix_spawn(&process, program.c_str(), &orders.files, &orders.attributes,
        pointersTo(words).data(), pointersTo(environment).data());
    if (problem != 0)
        return systemFailure(ErrorCode::CannotOpen, program, problem);
    return HelperProcess(process, std::move(output), patience, std::move(where), std::move(stop));
}

HelperProcess::HelperProcess(
    pid_t process, Descriptor output, const HelperPatience& patience, std::string where, std::stop_token stop)
    : m_process(process)
    , m_output(std::move(output))
    , m_patience(patience)
    , m_where(std::move(where))
    , m_stop(std::move(stop))
{
}

HelperProcess::HelperProcess(HelperProcess&& other) noexcept
    : m_process(std::exchange(other.m_process, -1))
    , m_output(std::move(other.m_output))
    , m_patience(other.m_patience)
    , m_where(std::move(other.m_where))
    , m_stop(std::move(other.m_stop))
    , m_started(other.m_started)
    , m_lastRecord(other.m_lastRecord)
    , m_workBefore(other.m_workBefore)
    , m_record(std::move(other.m_record))
{
}

HelperProcess::~HelperProcess()
{
    if (m_process < 0)
        return;
    ::kill(m_process, SIGKILL);
    while (::waitpid(m_process, nullptr, 0) < 0 && errno == EINTR) { }
}

Result<HelperRecord> HelperProcess::next()
{
    HelperRecordHeader header {};
    if (auto read = readExactly(reinterpret_cast<std::byte*>(&header), sizeof(header)); !read)
        return tl::unexpected(std::move(read.error()));
    if (header.bytes > m_patience.recordBytes)
        return failure(ErrorCode::Malformed, m_where, "its reader answers more than it may");
    // In steps: a length alone makes nobody allocate.
    constexpr std::size_t kStep = 1 << 18;
    m_record.clear();
    while (m_record.size() < header.bytes) {
        const auto have = m_record.size();
        const auto more = std::min(kStep, header.bytes - have);
        m_record.resize(have + more);
        if (auto read = readExactly(m_record.data() + have, more); !read)
            return tl::unexpected(std::move(read.error()));
    }
    m_lastRecord = Clock::now();
    m_workBefore = processorTime();
    return HelperRecord {header.kind, m_record};
}

Result<void> HelperProcess::readExactly(std::byte* out, std::size_t size)
{
    while (size > 0) {
        if (auto ready = awaitOutput(); !ready)
            return ready;
        const auto got = ::read(m_output.number(), out, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ended();
        out += got;
        size -= static_cast<std::size_t>(got);
    }
    return {};
}

Result<void> HelperProcess::awaitOutput()
{
    for (;;) {
        if (m_stop.stop_requested())
            return failure(ErrorCode::Cancelled, m_where, "stopped on request");
        const auto now = Clock::now();
        if (processorTime() - m_workBefore > m_patience.work || now - m_lastRecord > m_patience.silence
            || now - m_started > m_patience.whole)
            return failure(ErrorCode::Malformed, m_where, "its reader comes to no end");
        pollfd output {m_output.number(), POLLIN, 0};
        if (::poll(&output, 1, static_cast<int>(kLook.count())) > 0)
            return {};
    }
}

std::chrono::nanoseconds HelperProcess::processorTime() const
{
    clockid_t clock {};
    timespec used {};
    if (::clock_getcpuclockid(m_process, &clock) != 0 || ::clock_gettime(clock, &used) != 0)
        return m_workBefore;  // it is gone
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

tl::unexpected<Error> HelperProcess::ended()
{
    int status = 0;
    ::kill(m_process, SIGKILL);  // it may have closed the pipe and live on
    pid_t reaped;
    while ((reaped = ::waitpid(m_process, &status, 0)) < 0 && errno == EINTR) { }
    m_process = -1;
    std::string reason = "its reader stopped without an answer";
    if (reaped > 0 && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
        const char* name = ::sigdescr_np(WTERMSIG(status));
        reason = std::string("its reader broke down (") + (name != nullptr ? name : "unknown signal") + ")";
    } else if (reaped > 0 && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        reason = "its reader gave up (status " + std::to_string(WEXITSTATUS(status)) + ")";
    }
    return failure(ErrorCode::Malformed, m_where, std::move(reason));
}

Result<std::filesystem::path> helperProgram(std::string_view name)
{
    std::vector<std::filesystem::path> folders;
    std::error_code ignored;
    if (const char* chosen = std::getenv("QUANTLOUPE_HELPERS"); chosen && *chosen) {
        folders.emplace_back(chosen);
    } else {
        const auto beside = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
        folders = {beside, beside.parent_path() / "libexec" / "quantloupe", QUANTLOUPE_BUILT_HELPERS};
    }
    std::string tried;
    for (const auto& folder : folders) {
        auto program = folder / name;
        if (::access(program.c_str(), X_OK) == 0)
            return program;
        tried += (tried.empty() ? "" : ", ") + folder.string();
    }
    return failure(ErrorCode::CannotOpen, std::string(name), "this helper program is not in " + tried);
}

}  // namespace quantloupe
