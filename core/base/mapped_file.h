// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/descriptor.h"
#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace quantloupe {

using Bytes = std::span<const std::byte>;

/// Asks the kernel to fetch these bytes of a map and returns at once: many small reads then wait for the disk together.
void readAhead(Bytes range);
/// The same for one range after the other of a long pass, but only if the calling thread had to wait for a disk lately:
/// the kernel looks for every page, also of those that are in memory.
void readAheadOfPass(Bytes range);

/// A regular file mapped read-only for as long as anyone holds it. Opening reads nothing.
///
/// Errors: CannotOpen (missing, not a regular file, no permission, mapping refused).
/// A file that another program truncates while mapped raises SIGBUS on access, as with every mapping; writers that
/// replace files atomically never do that. hasShrunk() turns the usual case, a download started over, into an error.
class MappedFile
{
public:
    static Result<std::shared_ptr<const MappedFile>> open(const std::filesystem::path& path);

    /// Opens a file that another one names, by a path below `folder`, without leaving it on the way: no symbolic links,
    /// and no file that has a second name elsewhere. @pre no component of `relative` is "..", empty or holds a NUL
    static Result<std::shared_ptr<const MappedFile>> openBelow(
        const std::filesystem::path& folder, const std::filesystem::path& relative);

    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile();

    Bytes bytes() const { return m_bytes; }
    const std::filesystem::path& path() const { return m_path; }

    /// Tells the kernel that this range has been used up: resident memory does not grow with the file.
    void release(Bytes range) const;

    /// How the mapping will be read from now on. Scattered: a page here and there, so that the kernel does not fetch
    /// megabytes around each; otherwise from front to back.
    enum class Access { Sequential, Scattered };
    void expect(Access access) const;

    /// The same file, opened for reading: for another program, which cannot share the mapping. Errors: CannotOpen, also
    /// when another file has its name by now.
    Result<Descriptor> descriptor() const;

    /// Whether the file of this name is still the one mapped, but shorter now. Ask before long work.
    bool hasShrunk() const;

private:
    friend class TemporaryFile;
    static Result<std::shared_ptr<const MappedFile>> map(
        int descriptor, const std::filesystem::path& path, Descriptor nameless = {});
    MappedFile(std::filesystem::path path, Bytes bytes, std::uint64_t device, std::uint64_t node, Descriptor nameless);

    std::filesystem::path m_path;
    Bytes m_bytes;
    std::uint64_t m_device, m_node;  ///< identity of the file on its system
    Descriptor m_nameless;           ///< of a file that cannot be opened by name
};

/// A file without a name, gone with its last map: for bytes that must be unpacked before they can be read. It lies in
/// the folder that TMPDIR names, else in /var/tmp, which is on disk where /tmp may be memory.
/// Errors: CannotWrite (no such folder, no room).
class TemporaryFile
{
public:
    static Result<TemporaryFile> create();

    TemporaryFile(TemporaryFile&& other) noexcept;
    TemporaryFile& operator=(TemporaryFile&&) = delete;
    ~TemporaryFile();

    Result<void> append(Bytes bytes);
    /// What was appended so far, mapped read-only.
    Result<std::shared_ptr<const MappedFile>> map() const;

private:
    TemporaryFile(std::filesystem::path folder, int descriptor);

    std::filesystem::path m_folder;  ///< named in errors
    int m_descriptor;
};

}  // namespace quantloupe
