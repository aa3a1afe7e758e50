// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/safetensors_header.h"

#include "core/base/byte_cursor.h"
#include "core/base/json_events.h"
#include "core/base/text.h"

#include <algorithm>
#include <array>

namespace quantloupe {
namespace {

using Kind = JsonEvent::Kind;

constexpr std::uint64_t kPrefix = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the reference implementation's own limit
constexpr std::uint64_t kMaxNumber = (std::uint64_t {1} << 63U) - 1;
constexpr std::size_t kMaxTensors = 1'000'000;
constexpr std::size_t kMaxRank = 8;
constexpr std::size_t kMaxName = 65'535;

constexpr std::array kSafetensorsTypes {DType::F64, DType::F32, DType::F16, DType::BF16, DType::F8_E4M3, DType::F8_E5M2,
    DType::F8_E8M0, DType::F6_E2M3, DType::F6_E3M2, DType::F4, DType::Bool, DType::U8, DType::I8, DType::U16,
    DType::I16, DType::U32, DType::I32, DType::U64, DType::I64, DType::C64};

std::optional<DType> findType(std::string_view name)
{
    for (const auto type : kSafetensorsTypes)
        if (nameOf(type) == name)
            return type;
    return std::nullopt;
}

/// Collects the header's entries while the JSON goes by; offsets are still those of the header.
class HeaderVisitor
{
public:
    HeaderVisitor(SafetensorsHeader& header, const std::string& where)
        : m_header(header)
        , m_where(where)
    {
    }

    Result<void> operator()(const JsonEvent& event)
    {
        const auto& path = event.path;
        if (path.empty())
            return {};  // the first byte was seen to be '{'
        if (path[0] == "__metadata__")
            return metadata(event);
        if (path.size() == 1)
            return entry(event);
        const auto& field = path[1];
        if (field == "dtype")
            return dtype(event);
        if (field == "shape")
            return numbers(event, m_entry.shape, m_hasShape, kMaxRank);
        if (field == "data_offsets")
            return numbers(event, m_offsets, m_hasOffsets, 2);
        if (path.size() == 2 && event.kind != Kind::EndObject && event.kind != Kind::EndArray)
            ++m_header.unknownKeys;
        return {};
    }

private:
    tl::unexpected<Error> refuse(std::uint64_t offset, std::string reason, ErrorCode code = ErrorCode::Malformed) const
    {
        return failure(code, m_where, std::move(reason), offset);
    }

    tl::unexpected<Error> refuseEntry(
        const JsonEvent& event, std::string_view what, ErrorCode code = ErrorCode::Malformed) const
    {
        return refuse(event.offset, "tensor " + inQuotes(event.path[0]) + ": " + std::string(what), code);
    }

    Result<void> metadata(const JsonEvent& event)
    {
        if (event.path.size() == 1) {
            if (event.kind != Kind::BeginObject && event.kind != Kind::EndObject)
                return refuse(event.offset, "__metadata__ is not an object");
            return {};
        }
        if (event.kind != Kind::Text)
            return refuse(event.offset, "__metadata__ value of " + inQuotes(event.path[1]) + " is not text");
        m_header.metadata.emplace_back(event.path[1], event.text);
        return {};
    }

    Result<void> entry(const JsonEvent& event)
    {
        if (event.kind == Kind::BeginObject) {
            if (m_header.entries.size() == kMaxTensors)
                return refuse(event.keyOffset, "more than a million tensors");
            if (event.path[0].empty() || event.path[0].size() > kMaxName)
                return refuse(event.keyOffset, "tensor name of " + std::to_string(event.path[0].size()) + " bytes");
            m_entry = {.name = event.path[0], .offset = event.keyOffset};
            m_offsets.clear();
            m_hasType = m_hasShape = m_hasOffsets = false;
            return {};
        }
        if (event.kind != Kind::EndObject)
            return refuseEntry(event, "the entry is not an object");
        if (!m_hasType || !m_hasShape || !m_hasOffsets || m_offsets.size() != 2) {
            const char* missing = !m_hasType ? "dtype" : !m_hasShape ? "shape" : "data_offsets with two numbers";
            return refuseEntry(event, std::string("no ") + missing);
        }
        m_entry.begin = m_offsets[0];
        m_entry.end = m_offsets[1];
        m_header.entries.push_back(std::move(m_entry));
        return {};
    }

    Result<void> dtype(const JsonEvent& event)
    {
        if (event.kind != Kind::Text)
            return refuseEntry(event, "dtype is not text");
        const auto type = findType(event.text);
        if (!type)
            return refuseEntry(event, "dtype " + inQuotes(event.text) + " is not known", ErrorCode::Unsupported);
        m_entry.dtype = *type;
        m_hasType = true;
        return {};
    }

    Result<void> numbers(const JsonEvent& event, std::vector<std::uint64_t>& list, bool& seen, std::size_t limit)
    {
        const auto& field = event.path[1];
        if (event.path.size() == 2) {
            if (event.kind != Kind::BeginArray && event.kind != Kind::EndArray)
                return refuseEntry(event, field + " is not a list");
            seen = true;
            return {};
        }
        if (event.kind == Kind::Negative)
            return refuseEntry(event, field + " holds a negative number");
        if (event.kind != Kind::Unsigned || event.number > kMaxNumber)
            return refuseEntry(event, field + " holds something that is not a whole number below 2^63");
        if (list.size() == limit)
            return refuseEntry(event, field + " has more than " + std::to_string(limit) + " numbers");
        list.push_back(event.number);
        return {};
    }

    SafetensorsHeader& m_header;
    const std::string& m_where;
    SafetensorsEntry m_entry;
    std::vector<std::uint64_t> m_offsets;
    bool m_hasType = false, m_hasShape = false, m_hasOffsets = false;
};

/// Checks one entry against its own shape and the size of the data section.
Result<void> checkEntry(const SafetensorsEntry& entry, std::uint64_t dataSize, const std::string& where)
{
    const auto refuse = [&](ErrorCode code, const std::string& what) {
        return failure(code, where, "tensor " + inQuotes(entry.name) + ": " + what, entry.offset);
    };
    if (entry.end < entry.begin)
        return refuse(ErrorCode::Malformed, "data_offsets end before they begin");
    if (entry.end > dataSize) {
        return refuse(ErrorCode::Truncated,
            "data_offsets reach to " + std::to_string(entry.end) + ", but the data section has "
                + std::to_string(dataSize) + " bytes");
    }
    const auto elements = elementCount(entry.shape);
    if (!elements)
        return refuse(ErrorCode::Malformed, "the product of the shape overflows");
    const auto bytes = byteCount(*elements, entry.dtype);
    if (!bytes || *bytes != entry.end - entry.begin) {
        return refuse(ErrorCode::Malformed,
            "the shape needs " + (bytes ? std::to_string(*bytes) : "broken") + " bytes of "
                + std::string(nameOf(entry.dtype)) + ", data_offsets give " + std::to_string(entry.end - entry.begin));
    }
    return {};
}

/// Sorts by place and refuses holes, overlaps and a rest.
Result<void> checkLayout(
    SafetensorsHeader& header, std::uint64_t dataSize, std::uint64_t dataStart, const std::string& where)
{
    auto& entries = header.entries;
    const auto place = [](const SafetensorsEntry& entry) { return std::pair(entry.begin, entry.end); };
    std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
    std::uint64_t position = 0;
    for (const auto& entry : entries) {
        if (entry.begin != position) {
            return failure(ErrorCode::Malformed, where,
                "tensor " + inQuotes(entry.name) + ": its data begin at " + std::to_string(entry.begin)
                    + (entry.begin < position ? ", inside the tensor before, which ends at " : ", a hole after ")
                    + std::to_string(position),
                entry.offset);
        }
        position = entry.end;
    }
    if (position != dataSize) {
        return failure(ErrorCode::Malformed, where,
            std::to_string(dataSize - position) + " bytes after the last tensor belong to none", dataStart + position);
    }
    return {};
}

}  // namespace

Result<SafetensorsHeader> readSafetensorsHeader(Bytes file, const std::string& where)
{
    ByteCursor cursor(file);
    const auto length = cursor.read<std::uint64_t>();
    if (!length)
        return failure(ErrorCode::Truncated, where, "the file ends inside the 8 bytes of the header length", 0);
    if (*length > kMaxHeader) {
        return failure(ErrorCode::Malformed, where,
            "a header of " + std::to_string(*length) + " bytes, more than the 100 MB allowed", 0);
    }
    const auto bytes = cursor.take(*length);
    if (!bytes) {
        return failure(ErrorCode::Truncated, where,
            "the header should have " + std::to_string(*length) + " bytes, the file has "
                + std::to_string(cursor.remaining()) + " after its length",
            0);
    }
    std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    if (!text.starts_with('{'))
        return failure(ErrorCode::Malformed, where, "the header is not a JSON object", kPrefix);
    // The format pads with spaces; any other white space after the object is not JSON's business but an error here.
    if (const auto last = text.find_last_not_of(' '); text[last] != '}') {
        return failure(ErrorCode::Malformed, where, "the header does not end with '}' and spaces", kPrefix + last);
    }

    SafetensorsHeader header;
    HeaderVisitor visitor(header, where);
    if (auto read = readJson(text, where, kPrefix, std::ref(visitor)); !read)
        return tl::unexpected(std::move(read.error()));
    const auto dataSize = cursor.remaining();
    for (const auto& entry : header.entries)
        if (auto checked = checkEntry(entry, dataSize, where); !checked)
            return tl::unexpected(std::move(checked.error()));
    if (auto checked = checkLayout(header, dataSize, cursor.offset(), where); !checked)
        return tl::unexpected(std::move(checked.error()));
    for (auto& entry : header.entries) {
        entry.begin += cursor.offset();
        entry.end += cursor.offset();
    }
    return header;
}

}  // namespace quantloupe
