// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/atomic_file.h"

#include <cerrno>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace quantloupe {
namespace {

std::filesystem::path temporaryBeside(const std::filesystem::path& path)
{
    std::random_device random;
    auto name = path;
    name += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(random());
    return name;
}

Result<void> synchronise(const std::filesystem::path& path, int flags)
{
    const int file = ::open(path.c_str(), flags | O_CLOEXEC);
    if (file < 0)
        return systemFailure(ErrorCode::CannotWrite, path);
    const int status = ::fsync(file);
    const int problem = errno;
    ::close(file);
    // Some network file systems cannot synchronise a folder and say EINVAL: nothing is lost by going on.
    if (status != 0 && !((flags & O_DIRECTORY) && problem == EINVAL)) {
        errno = problem;
        return systemFailure(ErrorCode::CannotWrite, path);
    }
    return {};
}

Result<void> writeAll(const std::filesystem::path& path, std::string_view content)
{
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0)
        return systemFailure(ErrorCode::CannotWrite, path);
    while (!content.empty()) {
        const auto written = ::write(file, content.data(), content.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            const int problem = errno;
            ::close(file);
            errno = problem;
            return systemFailure(ErrorCode::CannotWrite, path);
        }
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::close(file) != 0)
        return systemFailure(ErrorCode::CannotWrite, path);
    return {};
}

/// What the user named may be a link: the file it points to is replaced, not the link.
std::filesystem::path resolved(const std::filesystem::path& path)
{
    std::error_code ignored;
    if (std::filesystem::is_symlink(path, ignored)) {
        auto target = std::filesystem::weakly_canonical(path, ignored);
        if (!ignored)
            return target;
    }
    return path;
}

}  // namespace

Result<void> replaceFileAtomically(
    const std::filesystem::path& path, const std::function<Result<void>(const std::filesystem::path&)>& writer)
{
    const auto target = resolved(path);
    const auto temporary = temporaryBeside(target);
    std::error_code ignored;
    const auto steps = [&]() -> Result<void> {
        if (auto done = writer(temporary); !done)
            return done;
        if (auto done = synchronise(temporary, O_RDONLY); !done)
            return done;
        struct stat old {
        };
        if (::stat(target.c_str(), &old) == 0)
            ::chmod(temporary.c_str(), old.st_mode & 07777U);  // best effort: the permissions someone chose
        if (::rename(temporary.c_str(), target.c_str()) != 0)
            return systemFailure(ErrorCode::CannotWrite, target);
        const auto folder = target.parent_path();
        return synchronise(folder.empty() ? std::filesystem::path(".") : folder, O_RDONLY | O_DIRECTORY);
    };
    auto done = steps();
    if (!done) {
        std::filesystem::remove(temporary, ignored);
        // The name of a temporary file says nothing to anybody.
        if (done.error().where == temporary.string())
            done.error().where = path.string();
    }
    return done;
}

void removeFiles(const std::filesystem::path& folder, const std::function<bool(const std::string& name)>& unwanted)
{
    std::error_code ignored;
    std::vector<std::filesystem::path> leftovers;
    for (std::filesystem::directory_iterator entry(folder, ignored), end; !ignored && entry != end;
         entry.increment(ignored))
        if (unwanted(entry->path().filename().string()))
            leftovers.push_back(entry->path());
    for (const auto& leftover : leftovers)
        std::filesystem::remove(leftover, ignored);
}

void writeOut(const std::filesystem::path& path, std::uint64_t first, std::uint64_t count)
{
    const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return;
    ::sync_file_range(file, static_cast<off64_t>(first), static_cast<off64_t>(count),
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    ::close(file);
}

Result<void> writeFileAtomically(const std::filesystem::path& path, std::string_view content)
{
    return replaceFileAtomically(
        path, [content](const std::filesystem::path& temporary) { return writeAll(temporary, content); });
}

}  // namespace quantloupe
