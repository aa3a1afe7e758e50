// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/text.h"
#include "core/file_formats/pytorch.h"
#include "core/file_formats/zip_archive.h"

#include <algorithm>

namespace quantloupe {
namespace {

constexpr std::uint64_t kMaxPickle = std::uint64_t {1} << 30U, kMaxNote = 4'096;
constexpr std::string_view kPickleName = "/data.pkl";

/// "archive/" of "archive/data.pkl", the one folder of the archive.
Result<std::string> findRoot(const ZipArchive& archive, const std::string& where)
{
    std::string root;
    for (const auto& entry : archive.entries())
        if (entry.name.ends_with(kPickleName) && entry.name.find('/') == entry.name.size() - kPickleName.size())
            root = entry.name.substr(0, entry.name.size() - kPickleName.size() + 1);
    if (root.empty())
        return failure(ErrorCode::NotThisFormat, where, "a zip archive without data.pkl: not a PyTorch file", 0);
    for (const auto& entry : archive.entries())
        if (!entry.name.starts_with(root))
            return failure(ErrorCode::Malformed, where,
                "member " + inQuotes(entry.name) + " lies outside the archive's folder " + inQuotes(root),
                entry.offset);
    return root;
}

/// A short text beside the pickle, without the line's end; empty where there is none.
Result<std::string> readNote(const ZipArchive& archive, const std::string& name)
{
    const auto* entry = archive.find(name);
    if (!entry)
        return std::string();
    const auto bytes = archive.unpack(*entry, kMaxNote);
    if (!bytes)
        return tl::unexpected(bytes.error());
    std::string text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    text.erase(
        std::find_if(text.rbegin(), text.rend(), [](char c) { return c != '\n' && c != ' '; }).base(), text.end());
    return text;
}

}  // namespace

Result<TorchContent> readTorchZip(const MappedFilePointer& file)
{
    const auto where = file->path().string();
    const auto opened = ZipArchive::open(file);
    if (!opened)
        return tl::unexpected(opened.error());
    const auto archive = std::make_shared<const ZipArchive>(*opened);
    const auto root = findRoot(*archive, where);
    if (!root)
        return tl::unexpected(root.error());
    const auto order = readNote(*archive, *root + "byteorder");
    if (!order)
        return tl::unexpected(order.error());
    if (!order->empty() && *order != "little")
        return failure(ErrorCode::Unsupported, where, "its elements are in the byte order " + inQuotes(*order), 0);

    const auto& entry = *archive->find(*root + std::string(kPickleName.substr(1)));
    auto unpacked = archive->unpack(entry, kMaxPickle);
    if (!unpacked)
        return tl::unexpected(std::move(unpacked.error()));
    // Texts of the pickle are read where they lie.
    const auto bytes = std::make_shared<const std::vector<std::byte>>(std::move(*unpacked));
    const auto pickleWhere = where + ", member " + inQuotes(entry.name);
    auto pickle = readPickle(*bytes, pickleWhere, entry.offset);
    if (!pickle)
        return tl::unexpected(std::move(pickle.error()));
    auto state = findTorchState(*pickle, pickleWhere);
    if (!state)
        return tl::unexpected(std::move(state.error()));

    const auto storage = [archive, bytes, where, folder = *root + "data/"](
                             const PickledStorage& wanted) -> Result<TorchStorageBytes> {
        const auto name = folder + std::string(wanted.key);
        const auto* member = archive->find(name);
        if (!member)
            return failure(ErrorCode::Malformed, where,
                "the archive has no member " + inQuotes(name) + ", in which elements should be", 0);
        std::uint64_t size = 0;
        const std::uint64_t width = wanted.dtype ? traitsOf(*wanted.dtype).blockBytes : 1;
        if (__builtin_mul_overflow(wanted.elements, width, &size) || size != member->size)
            return failure(ErrorCode::Malformed, where,
                "member " + inQuotes(name) + " has " + std::to_string(member->size) + " bytes, the storage needs "
                    + std::to_string(wanted.elements) + " elements of " + std::to_string(width),
                member->offset);
        TorchStorageBytes found {.offset = member->offset};
        if (member->deflated)
            found.unpack = [archive, member](std::uint64_t first) { return archive->deferred(*member, first); };
        else
            found.bytes = archive->packedBytes(*member);
        return found;
    };
    TorchContent content {std::move(*pickle), std::move(*state), storage};
    if (archive->find(*root + "constants.pkl"))
        content.metadata.emplace_back("torchscript", "true");
    return content;
}

}  // namespace quantloupe
