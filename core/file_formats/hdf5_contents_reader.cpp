// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/hdf5_contents_reader.h"

#include "core/base/byte_cursor.h"
#include "core/base/text.h"
#include "core/file_formats/hdf5_records.h"

#include <algorithm>

namespace quantloupe {
namespace {

constexpr std::uint64_t kHdf5MaxMetadata = std::uint64_t {256} << 20;
/// Deflate makes nothing smaller than that; small files may be all fill value.
constexpr std::uint64_t kMaxPacking = 1'032, kAlwaysAllowed = std::uint64_t {16} << 20;

bool isHdf5Name(std::string_view name)
{
    return !name.empty() && name.size() <= kHdf5MaxName && isValidUtf8(name)
        && name.find('\0') == std::string_view::npos;
}

}  // namespace

Result<bool> Hdf5ContentsReader::take(const HelperRecord& record)
{
    m_total += record.bytes.size();
    if (m_total > kHdf5MaxMetadata)
        return failure(ErrorCode::Unsupported, m_where, "it describes itself with more than 256 MiB");
    ByteCursor cursor(record.bytes);
    switch (static_cast<Hdf5Record>(record.kind)) {
    case Hdf5Record::Dataset: return takeDataset(cursor);
    case Hdf5Record::Attribute: return takeAttribute(cursor);
    case Hdf5Record::Others:
        m_contents.others = cursor.read<std::uint64_t>().value_or(0);
        m_contents.neverWritten = cursor.read<std::uint64_t>().value_or(0);
        return true;
    case Hdf5Record::End: return false;
    default: return nonsense();
    }
}

tl::unexpected<Error> Hdf5ContentsReader::nonsense() const
{
    return failure(ErrorCode::Malformed, m_where, "its reader answers what makes no sense");
}

/// Where its chunks lie, as far as the file reaches.
bool Hdf5ContentsReader::takeStored(ByteCursor& cursor, Hdf5Dataset& dataset) const
{
    const auto count = cursor.read<std::uint64_t>();
    if (!count || *count > kHdf5MaxStored)
        return false;
    for (std::uint64_t i = 0; i < *count; ++i) {
        const auto offset = cursor.read<std::uint64_t>(), bytes = cursor.read<std::uint64_t>();
        if (!offset || !bytes)
            return false;
        if (*offset < m_size)
            dataset.stored.push_back(m_file.subspan(*offset, std::min(*bytes, m_size - *offset)));
    }
    return true;
}

Result<bool> Hdf5ContentsReader::takeDataset(ByteCursor& cursor)
{
    const auto path = cursor.readText();
    const auto dtype = cursor.read<std::uint8_t>(), storage = cursor.read<std::uint8_t>();
    const auto offset = cursor.read<std::uint64_t>(), rank = cursor.read<std::uint64_t>();
    if (!path || !dtype || !storage || !offset || !rank || *rank > kHdf5MaxRank
        || *dtype > static_cast<std::uint8_t>(DType::I64) || *storage > 1)
        return nonsense();
    if (!isHdf5Name(*path))
        return failure(ErrorCode::Malformed, m_where, "the name " + inQuotes(*path) + " is not UTF-8 text");
    Hdf5Dataset dataset {.path = std::string(*path), .dtype = static_cast<DType>(*dtype), .shape = {}};
    for (std::uint64_t i = 0; i < *rank; ++i) {
        const auto extent = cursor.read<std::uint64_t>();
        if (!extent)
            return nonsense();
        dataset.shape.push_back(*extent);
    }
    if (!takeStored(cursor, dataset))
        return nonsense();
    const auto refuse = [&](ErrorCode code, std::string_view why) {
        return failure(code, m_where, "dataset " + inQuotes(dataset.path) + " " + std::string(why));
    };
    const auto elements = elementCount(dataset.shape);
    const auto bytes = elements ? byteCount(*elements, dataset.dtype) : std::nullopt;
    if (!bytes)
        return refuse(ErrorCode::Malformed, "has more elements than can be counted");
    dataset.bytes = *bytes;
    if (*bytes == 0)
        dataset.offset = m_begin;
    else if (static_cast<Hdf5Storage>(*storage) == Hdf5Storage::InPlace) {
        if (*offset > m_size || *bytes > m_size - *offset)
            return refuse(ErrorCode::Truncated, "reaches past the end of the file");
        dataset.offset = m_begin + *offset;
    } else if (*bytes / kMaxPacking > m_size && *bytes > kAlwaysAllowed) {
        return refuse(ErrorCode::Malformed, "unpacks to more than a file of this size can hold");
    }
    if (!m_paths.insert(dataset.path).second || m_paths.size() > kHdf5MaxObjects)
        return refuse(ErrorCode::Malformed, "occurs twice");
    m_contents.datasets.push_back(std::move(dataset));
    return true;
}

Result<bool> Hdf5ContentsReader::takeAttribute(ByteCursor& cursor)
{
    const auto object = cursor.readText(), name = cursor.readText();
    const auto count = cursor.read<std::uint64_t>();
    if (!object || !name || !count || *count > cursor.remaining() / sizeof(std::uint64_t))
        return nonsense();
    std::vector<std::string> texts;
    for (std::uint64_t i = 0; i < *count; ++i) {
        const auto text = cursor.readText();
        if (!text)
            return nonsense();
        texts.emplace_back(*text);
    }
    m_contents.attributes[{std::string(*object), std::string(*name)}] = std::move(texts);
    return true;
}

}  // namespace quantloupe
