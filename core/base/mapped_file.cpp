// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/mapped_file.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace quantloupe {

namespace {

std::size_t pageSize()
{
    static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return size;
}

}  // namespace

void readAhead(Bytes range)
{
    const auto past = reinterpret_cast<std::uintptr_t>(range.data()) % pageSize();
    if (!range.empty())
        ::madvise(const_cast<std::byte*>(range.data() - past), range.size() + past, MADV_WILLNEED);
}

void readAheadOfPass(Bytes range)
{
    // What was asked for in time is waited for no more: so a wait counts for a while.
    constexpr int rangesAfterWait = 64;
    thread_local long waits = 0;
    thread_local int left = 0;
    struct rusage usage {
    };
    if (::getrusage(RUSAGE_THREAD, &usage) == 0 && usage.ru_majflt != waits) {
        waits = usage.ru_majflt;
        left = rangesAfterWait;
    }
    if (left == 0)
        return;
    --left;
    readAhead(range);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path)
{
    // O_NONBLOCK: opening a FIFO must not hang before fstat() can refuse it.
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file)
        return systemFailure(ErrorCode::CannotOpen, path);
    return map(file.number(), path);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::openBelow(
    const std::filesystem::path& folder, const std::filesystem::path& relative)
{
    const auto path = folder / relative;
    const auto refuse = [&](int problem) -> tl::unexpected<Error> {
        if (problem == ELOOP || problem == ENOTDIR)
            return failure(ErrorCode::CannotOpen, path.string(), "reached by a symbolic link, which is not followed");
        return systemFailure(ErrorCode::CannotOpen, path, problem);
    };
    // Step by step from an open folder: nothing that is renamed meanwhile leads elsewhere.
    Descriptor at(::open(folder.empty() ? "." : folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (const auto& step : relative.parent_path()) {
        if (!at)
            break;
        Descriptor below(::openat(at.number(), step.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        at = std::move(below);
    }
    if (!at)
        return refuse(errno);
    const auto name = relative.filename();
    const Descriptor file(::openat(at.number(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!file)
        return refuse(errno);
    struct stat status {
    };
    if (::fstat(file.number(), &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink > 1)
        return failure(ErrorCode::CannotOpen, path.string(), "a hard link to a file that has another name too");
    return map(file.number(), path);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::map(
    int descriptor, const std::filesystem::path& path, Descriptor nameless)
{
    struct stat status {
    };
    if (::fstat(descriptor, &status) != 0)
        return systemFailure(ErrorCode::CannotOpen, path);
    if (!S_ISREG(status.st_mode))
        return failure(ErrorCode::CannotOpen, path.string(), "not a regular file");

    const auto size = static_cast<std::size_t>(status.st_size);
    void* address = nullptr;
    if (size > 0) {  // mmap() refuses a length of zero
        address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
        if (address == MAP_FAILED)
            return systemFailure(ErrorCode::CannotOpen, path);
    }
    const Bytes bytes(static_cast<const std::byte*>(address), size);
    return std::shared_ptr<const MappedFile>(
        new MappedFile(path, bytes, status.st_dev, status.st_ino, std::move(nameless)));
}

MappedFile::MappedFile(
    std::filesystem::path path, Bytes bytes, std::uint64_t device, std::uint64_t node, Descriptor nameless)
    : m_path(std::move(path))
    , m_bytes(bytes)
    , m_device(device)
    , m_node(node)
    , m_nameless(std::move(nameless))
{
}

MappedFile::~MappedFile()
{
    if (!m_bytes.empty())
        ::munmap(const_cast<std::byte*>(m_bytes.data()), m_bytes.size());
}

void MappedFile::release(Bytes range) const
{
    if (range.empty())
        return;
    const auto page = pageSize();
    // Whole pages inside the range only: the rim may belong to a neighbour that is still being read. The map begins on
    // a page, so offsets into it tell.
    const auto begin = static_cast<std::size_t>(range.data() - m_bytes.data());
    const std::size_t first = (begin + page - 1) / page * page;
    const std::size_t last = (begin + range.size()) / page * page;
    if (first < last)
        ::madvise(const_cast<std::byte*>(m_bytes.data() + first), last - first, MADV_DONTNEED);
}

void MappedFile::expect(Access access) const
{
    if (!m_bytes.empty())
        ::madvise(const_cast<std::byte*>(m_bytes.data()), m_bytes.size(),
            access == Access::Scattered ? MADV_RANDOM : MADV_NORMAL);
}

Result<Descriptor> MappedFile::descriptor() const
{
    if (m_nameless) {
        Descriptor copy(::fcntl(m_nameless.number(), F_DUPFD_CLOEXEC, 0));
        if (!copy)
            return systemFailure(ErrorCode::CannotOpen, m_path);
        return copy;
    }
    Descriptor file(::open(m_path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {
    };
    if (!file || ::fstat(file.number(), &status) != 0)
        return systemFailure(ErrorCode::CannotOpen, m_path);
    if (status.st_dev != m_device || status.st_ino != m_node)
        return failure(ErrorCode::CannotOpen, m_path.string(), "another file has taken its place meanwhile");
    return file;
}

bool MappedFile::hasShrunk() const
{
    struct stat status {
    };
    return ::stat(m_path.c_str(), &status) == 0 && status.st_dev == m_device && status.st_ino == m_node
        && static_cast<std::uint64_t>(status.st_size) < m_bytes.size();
}

Result<TemporaryFile> TemporaryFile::create()
{
    const char* chosen = std::getenv("TMPDIR");
    const std::filesystem::path folder = chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp";
    // Not every file system makes files without a name; where not, the name goes at once.
    int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (descriptor < 0) {
        auto name = (folder / "quantloupe-XXXXXX").string();
        descriptor = ::mkostemp(name.data(), O_CLOEXEC);
        if (descriptor < 0)
            return systemFailure(ErrorCode::CannotWrite, folder);
        ::unlink(name.c_str());
    }
    return TemporaryFile(folder, descriptor);
}

TemporaryFile::TemporaryFile(std::filesystem::path folder, int descriptor)
    : m_folder(std::move(folder))
    , m_descriptor(descriptor)
{
}

TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept
    : m_folder(std::move(other.m_folder))
    , m_descriptor(std::exchange(other.m_descriptor, -1))
{
}

TemporaryFile::~TemporaryFile()
{
    if (m_descriptor >= 0)
        ::close(m_descriptor);
}

Result<void> TemporaryFile::append(Bytes bytes)
{
    while (!bytes.empty()) {
        const auto written = ::write(m_descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return systemFailure(ErrorCode::CannotWrite, m_folder);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
}

Result<std::shared_ptr<const MappedFile>> TemporaryFile::map() const
{
    Descriptor copy(::fcntl(m_descriptor, F_DUPFD_CLOEXEC, 0));
    if (!copy)
        return systemFailure(ErrorCode::CannotOpen, m_folder);
    return MappedFile::map(m_descriptor, m_folder, std::move(copy));
}

}  // namespace quantloupe
