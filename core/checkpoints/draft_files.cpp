// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/draft_files.h"

#include <cassert>
#include <memory>
#include <random>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace quantloupe {
namespace {

/// Room for the whole file at once, so that a full disk shows before hours of work.
int reserve(int file, std::uint64_t size)
{
    if (size == 0)
        return 0;
    const int problem = ::posix_fallocate(file, 0, static_cast<off_t>(size));
    if (problem != EOPNOTSUPP && problem != EINVAL)
        return problem;
    return ::ftruncate(file, static_cast<off_t>(size)) == 0 ? 0 : errno;
}

int writeAt(int file, std::uint64_t offset, Bytes bytes)
{
    while (!bytes.empty()) {
        const auto written = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        offset += static_cast<std::uint64_t>(written);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return 0;
}

}  // namespace

Result<std::unique_ptr<DraftFiles>> DraftFiles::create(const CheckpointDraft& draft, const std::filesystem::path& path)
{
    std::unique_ptr<DraftFiles> files(new DraftFiles(draft));
    std::error_code problem;
    if (draft.folder && !std::filesystem::create_directory(path, problem))
        return systemFailure(ErrorCode::CannotWrite, path, problem ? problem.value() : EEXIST);
    for (const auto& file : draft.files)
        if (auto opened = files->open(file, file.name.empty() ? path : path / file.name); !opened)
            return tl::unexpected(opened.error());
    return files;
}

Result<void> DraftFiles::open(const DraftFile& file, const std::filesystem::path& path)
{
    m_paths.push_back(path);
    auto& opened = m_files.emplace_back(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!opened)
        return systemFailure(ErrorCode::CannotWrite, path);
    if (const int problem = reserve(opened.number(), file.size); problem != 0)
        return systemFailure(ErrorCode::CannotWrite, path, problem);
    for (const auto& literal : file.literals)
        if (const int problem =
                writeAt(opened.number(), literal.offset, std::as_bytes(std::span<const char>(literal.bytes)));
            problem != 0)
            return systemFailure(ErrorCode::CannotWrite, path, problem);
    return {};
}

void DraftFiles::write(std::size_t stored, std::uint64_t offset, Bytes bytes)
{
    assert(offset + bytes.size() <= m_draft->stored[stored].bytes);
    const auto& place = m_draft->places[stored];
    const int problem = writeAt(m_files[place.file].number(), place.offset + offset, bytes);
    if (problem == 0)
        return;
    const std::scoped_lock lock(m_mutex);
    if (!m_error)
        m_error = systemFailure(ErrorCode::CannotWrite, m_paths[place.file], problem).value();
}

Result<void> DraftFiles::check()
{
    const std::scoped_lock lock(m_mutex);
    if (m_error)
        return tl::unexpected(*m_error);
    return {};
}

Result<void> DraftFiles::finish()
{
    if (auto done = check(); !done)
        return done;
    for (std::size_t i = 0; i < m_files.size(); ++i) {
        if (::fsync(m_files[i].number()) != 0)
            return systemFailure(ErrorCode::CannotWrite, m_paths[i]);
        m_files[i].close();
    }
    return {};
}

Result<void> requireRoom(const std::filesystem::path& folder, std::uint64_t bytes)
{
    struct statvfs room {
    };
    if (::statvfs(folder.c_str(), &room) != 0)
        return systemFailure(ErrorCode::CannotWrite, folder);
    const auto available = static_cast<std::uint64_t>(room.f_bavail) * static_cast<std::uint64_t>(room.f_frsize);
    if (available < bytes)
        return failure(ErrorCode::CannotWrite, folder.string(),
            "the checkpoint takes " + std::to_string(bytes) + " bytes, and there is room for "
                + std::to_string(available));
    return {};
}

std::filesystem::path unusedNameBeside(const std::filesystem::path& path)
{
    std::random_device random;
    auto name = path;
    name += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(random());
    return name;
}

Result<void> synchroniseFolder(const std::filesystem::path& folder)
{
    const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened)
        return systemFailure(ErrorCode::CannotWrite, folder);
    // Some network file systems cannot synchronise a folder and say EINVAL: nothing is lost by going on.
    if (::fsync(opened.number()) != 0 && errno != EINVAL)
        return systemFailure(ErrorCode::CannotWrite, folder);
    return {};
}

}  // namespace quantloupe
