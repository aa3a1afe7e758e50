// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/byte_cursor.h"
#include "core/base/text.h"
#include "core/file_formats/pytorch.h"

#include <map>

namespace quantloupe {
namespace {

constexpr std::string_view kStreamMagic {"\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14};

/// The pickles of such a file, one after the other.
class TorchStreamReader
{
public:
    explicit TorchStreamReader(const MappedFilePointer& file)
        : m_file(file)
        , m_where(file->path().string())
    {
    }

    Result<Pickle> next()
    {
        auto pickle = readPickle(m_file->bytes().subspan(m_at), m_where, m_at);
        if (pickle)
            m_at += pickle->end;
        return pickle;
    }

    /// Protocol and description of the machine that wrote the file.
    Result<void> readPreamble()
    {
        if (const auto magic = next(); !magic)
            return tl::unexpected(magic.error());
        const auto protocol = next();
        if (!protocol)
            return tl::unexpected(protocol.error());
        const auto& version = protocol->heap[protocol->top];
        if (version.kind != PickleKind::Integer || version.number != 1001)
            return failure(ErrorCode::Unsupported, m_where, "another protocol than 1001 of PyTorch's old format", m_at);
        const auto system = next();
        if (!system)
            return tl::unexpected(system.error());
        const auto& heap = system->heap;
        if (heap[system->top].kind != PickleKind::Mapping)
            return failure(ErrorCode::Malformed, m_where, "no description of the system that wrote the file", m_at);
        const auto items = heap.items(system->top);
        for (std::size_t i = 0; i + 1 < items.size(); i += 2)
            if (heap[items[i]].kind == PickleKind::Text && heap.text(items[i]) == "little_endian"
                && heap[items[i + 1]].number == 0)
                return failure(
                    ErrorCode::Unsupported, m_where, "its elements have the most significant byte first", m_at);
        return {};
    }

    /// Where each storage of the list lies, its count in front of it. Their sizes are those that `pickle` gives.
    Result<std::map<std::string, TorchStorageBytes>> readStorages(const Pickle& pickle)
    {
        std::map<std::string_view, const PickledStorage*> described;
        for (const auto& storage : pickle.heap.storages)
            described.emplace(storage.key, &storage);
        const auto keys = next();
        if (!keys)
            return tl::unexpected(keys.error());
        if (keys->heap[keys->top].kind != PickleKind::List)
            return failure(ErrorCode::Malformed, m_where, "no list of storages behind the pickle", m_at);
        std::map<std::string, TorchStorageBytes> places;
        ByteCursor cursor(m_file->bytes());
        cursor.take(m_at);
        for (const auto item : keys->heap.items(keys->top)) {
            const bool isText = keys->heap[item].kind == PickleKind::Text;
            const auto found = described.find(isText ? keys->heap.text(item) : std::string_view {});
            if (!isText || found == described.end())
                return failure(ErrorCode::Malformed, m_where, "lists a storage that no tensor has", m_at);
            const auto& storage = *found->second;
            const auto place = cursor.offset();
            const auto count = cursor.read<std::uint64_t>();
            if (!count)
                return failure(ErrorCode::Truncated, m_where, "ends before its storages do", place);
            if (*count != storage.elements)
                return failure(ErrorCode::Malformed, m_where,
                    "storage " + inQuotes(storage.key) + " has " + std::to_string(*count) + " elements, not "
                        + std::to_string(storage.elements) + " as the pickle says",
                    place);
            if (storage.foreign)
                return failure(ErrorCode::Unsupported, m_where,
                    "storage " + inQuotes(storage.key) + " is of a type that is not read", place);
            std::uint64_t size = 0;
            const std::uint64_t width = storage.dtype ? traitsOf(*storage.dtype).blockBytes : 1;
            const auto begin = cursor.offset();
            const auto bytes = __builtin_mul_overflow(*count, width, &size) ? std::nullopt : cursor.take(size);
            if (!bytes)
                return failure(ErrorCode::Truncated, m_where, "ends before its storages do", place);
            places.emplace(storage.key, TorchStorageBytes {.bytes = *bytes, .offset = begin});
        }
        if (cursor.remaining() != 0)
            return failure(ErrorCode::Malformed, m_where,
                std::to_string(cursor.remaining()) + " bytes after the last storage belong to none", cursor.offset());
        return places;
    }

private:
    MappedFilePointer m_file;
    std::string m_where;
    std::uint64_t m_at = 0;
};

}  // namespace

bool isTorchStream(Bytes head)
{
    return std::string_view(reinterpret_cast<const char*>(head.data()), head.size()).starts_with(kStreamMagic);
}

Result<TorchContent> readTorchStream(const MappedFilePointer& file)
{
    const auto where = file->path().string();
    TorchStreamReader reader(file);
    if (auto preamble = reader.readPreamble(); !preamble)
        return tl::unexpected(std::move(preamble.error()));
    auto pickle = reader.next();
    if (!pickle)
        return tl::unexpected(std::move(pickle.error()));
    auto state = findTorchState(*pickle, where);
    if (!state)
        return tl::unexpected(std::move(state.error()));
    auto places = reader.readStorages(*pickle);
    if (!places)
        return tl::unexpected(std::move(places.error()));
    const auto storage = [where, places = std::move(*places)](
                             const PickledStorage& wanted) -> Result<TorchStorageBytes> {
        const auto found = places.find(std::string(wanted.key));
        if (found == places.end())
            return failure(
                ErrorCode::Malformed, where, "the storage " + inQuotes(wanted.key) + " is not in the file", 0);
        // Named twice, it was taken as it was named first.
        std::uint64_t size = 0;
        const std::uint64_t width = wanted.dtype ? traitsOf(*wanted.dtype).blockBytes : 1;
        if (__builtin_mul_overflow(wanted.elements, width, &size) || size != found->second.bytes.size())
            return failure(ErrorCode::Malformed, where,
                "the storage " + inQuotes(wanted.key) + " is of two types or sizes", found->second.offset);
        return found->second;
    };
    return TorchContent {std::move(*pickle), std::move(*state), storage};
}

}  // namespace quantloupe
