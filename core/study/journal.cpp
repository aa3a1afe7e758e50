// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/journal.h"

#include "core/base/hash.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace quantloupe {
namespace {

constexpr char kHeaderMagic[8] = {'Q', 'L', 'J', 'O', 'U', 'R', 'N', '1'};
constexpr std::uint32_t kRecordMagic = 0x434c5251U;  // "QRLC"
constexpr std::size_t kFingerprint = 32;
constexpr std::size_t kHeader = sizeof(kHeaderMagic) + kFingerprint + sizeof(std::uint64_t);
constexpr std::size_t kRecordHead = 16;
constexpr std::size_t kRecordTail = 8;

template<class T>
T numberAt(std::span<const std::byte> bytes, std::size_t offset)
{
    T value {};
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

template<class T>
void putNumber(std::vector<std::byte>& bytes, T value)
{
    const auto source = std::as_bytes(std::span(&value, 1));
    bytes.insert(bytes.end(), source.begin(), source.end());
}

Result<std::vector<std::byte>> readWhole(int file, const std::filesystem::path& path)
{
    struct stat status {
    };
    if (::fstat(file, &status) != 0)
        return systemFailure(ErrorCode::CannotOpen, path);
    if (!S_ISREG(status.st_mode))
        return failure(ErrorCode::CannotOpen, path.string(), "not a regular file");
    std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
    std::size_t filled = 0;
    while (filled < bytes.size()) {
        const auto got = ::pread(file, bytes.data() + filled, bytes.size() - filled, static_cast<off_t>(filled));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return systemFailure(ErrorCode::CannotOpen, path);
        if (got == 0)
            break;  // cut off by the writer between fstat and here
        filled += static_cast<std::size_t>(got);
    }
    bytes.resize(filled);
    return bytes;
}

Result<JournalContent> parse(std::span<const std::byte> bytes, const std::filesystem::path& path)
{
    JournalContent content;
    const auto magic = std::as_bytes(std::span(kHeaderMagic));
    const auto common = std::min(bytes.size(), magic.size());
    const bool ours = std::equal(magic.begin(), magic.begin() + static_cast<std::ptrdiff_t>(common), bytes.begin());
    const bool blank = std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte {0}; });
    // A crash while the header was written leaves a piece of it, or zeros; anything else is somebody's file.
    if (!ours && !blank)
        return failure(ErrorCode::Malformed, path.string(), "is in the journal's place but is not a journal", 0);
    if (bytes.size() < kHeader
        || checksum64(bytes.first(kHeader - sizeof(std::uint64_t)))
            != numberAt<std::uint64_t>(bytes, kHeader - sizeof(std::uint64_t)))
        return content;
    const auto* name = reinterpret_cast<const char*>(bytes.data()) + sizeof(kHeaderMagic);
    content.fingerprint.assign(name, ::strnlen(name, kFingerprint));
    content.goodBytes = kHeader;
    auto rest = bytes.subspan(kHeader);
    while (rest.size() >= kRecordHead + kRecordTail) {
        const auto length = numberAt<std::uint64_t>(rest, 8);
        if (numberAt<std::uint32_t>(rest, 0) != kRecordMagic || length > rest.size() - kRecordHead - kRecordTail)
            break;
        const auto checked = rest.first(kRecordHead + length);
        if (checksum64(checked) != numberAt<std::uint64_t>(rest, checked.size()))
            break;
        const auto payload = checked.subspan(kRecordHead);
        content.records.push_back({static_cast<JournalRecordType>(numberAt<std::uint32_t>(rest, 4)),
            std::vector<std::byte>(payload.begin(), payload.end())});
        content.goodBytes += checked.size() + kRecordTail;
        rest = rest.subspan(checked.size() + kRecordTail);
    }
    return content;
}

Result<void> writeAt(
    int file, std::uint64_t offset, std::span<const std::byte> bytes, const std::filesystem::path& path)
{
    while (!bytes.empty()) {
        const auto written = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return systemFailure(ErrorCode::CannotWrite, path);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        offset += static_cast<std::uint64_t>(written);
    }
    return {};
}

/// Makes the file's entry in its folder durable. Network file systems that cannot are not a reason to fail.
void synchroniseFolder(const std::filesystem::path& path)
{
    const auto folder = path.parent_path();
    const int handle = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle >= 0) {
        ::fsync(handle);
        ::close(handle);
    }
}

}  // namespace

Journal::Journal(std::filesystem::path path, int file)
    : m_path(std::move(path))
    , m_file(file)
{
}

Journal::Journal(Journal&& other) noexcept
    : m_path(std::move(other.m_path))
    , m_file(std::exchange(other.m_file, -1))
    , m_end(other.m_end)
{
}

Journal::~Journal()
{
    if (m_file >= 0)
        ::close(m_file);
}

Result<Journal> Journal::open(const std::filesystem::path& path, JournalContent& content)
{
    for (;;) {
        const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (file < 0)
            return systemFailure(ErrorCode::CannotWrite, path);
        Journal journal(path, file);
        if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK)
                return failure(ErrorCode::Conflict, path.string(), "the study is open in another program");
            // No locks on this file system: one user with one program is the common case, so go on.
            if (errno != ENOLCK && errno != ENOTSUP && errno != EINVAL)
                return systemFailure(ErrorCode::CannotWrite, path);
        }
        struct stat mine {
        };
        struct stat named {
        };
        // The former owner may have removed the file between our open and our lock: then the lock is on a ghost.
        if (::fstat(file, &mine) != 0 || ::stat(path.c_str(), &named) != 0 || mine.st_ino != named.st_ino
            || mine.st_dev != named.st_dev)
            continue;
        auto bytes = readWhole(file, path);
        if (!bytes)
            return tl::unexpected(bytes.error());
        auto parsed = parse(*bytes, path);
        if (!parsed)
            return tl::unexpected(parsed.error());
        content = std::move(*parsed);
        journal.m_end = content.goodBytes;
        return journal;
    }
}

Result<JournalContent> Journal::read(const std::filesystem::path& path)
{
    // Not to wait for whoever would write to a pipe: what is no regular file is refused below.
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 && errno == ENOENT)
        return JournalContent {};
    if (file < 0)
        return systemFailure(ErrorCode::CannotOpen, path);
    const Journal closer(path, file);
    auto bytes = readWhole(file, path);
    if (!bytes)
        return tl::unexpected(bytes.error());
    return parse(*bytes, path);
}

Result<void> Journal::reset(const std::string& fingerprint)
{
    std::vector<std::byte> header;
    const auto magic = std::as_bytes(std::span(kHeaderMagic));
    header.insert(header.end(), magic.begin(), magic.end());
    std::array<char, kFingerprint> name {};
    std::copy_n(fingerprint.begin(), std::min(fingerprint.size(), kFingerprint), name.begin());
    const auto nameBytes = std::as_bytes(std::span(name));
    header.insert(header.end(), nameBytes.begin(), nameBytes.end());
    putNumber(header, checksum64(header));

    // First cut, then head: a kill in between leaves an empty journal, never an old record under a new head.
    if (::ftruncate(m_file, 0) != 0)
        return systemFailure(ErrorCode::CannotWrite, m_path);
    if (auto written = writeAt(m_file, 0, header, m_path); !written)
        return written;
    if (::fsync(m_file) != 0)
        return systemFailure(ErrorCode::CannotWrite, m_path);
    synchroniseFolder(m_path);
    m_end = kHeader;
    return {};
}

Result<void> Journal::append(JournalRecordType type, std::span<const std::byte> payload)
{
    std::vector<std::byte> record;
    record.reserve(kRecordHead + payload.size() + kRecordTail);
    putNumber(record, kRecordMagic);
    putNumber(record, static_cast<std::uint32_t>(type));
    putNumber(record, static_cast<std::uint64_t>(payload.size()));
    record.insert(record.end(), payload.begin(), payload.end());
    putNumber(record, checksum64(record));

    const auto steps = [&]() -> Result<void> {
        // What a crash left behind the last good record must not reappear behind this one.
        if (::ftruncate(m_file, static_cast<off_t>(m_end)) != 0)
            return systemFailure(ErrorCode::CannotWrite, m_path);
        if (auto written = writeAt(m_file, m_end, record, m_path); !written)
            return written;
        if (::fsync(m_file) != 0)
            return systemFailure(ErrorCode::CannotWrite, m_path);
        return {};
    };
    auto done = steps();
    if (done)
        m_end += record.size();
    else if (::ftruncate(m_file, static_cast<off_t>(m_end)) != 0)
        return done;  // the disk refuses even that; the checksum tells the next reader
    return done;
}

Result<void> Journal::remove()
{
    if (::unlink(m_path.c_str()) != 0 && errno != ENOENT)
        return systemFailure(ErrorCode::CannotWrite, m_path);
    synchroniseFolder(m_path);
    return {};
}

}  // namespace quantloupe
