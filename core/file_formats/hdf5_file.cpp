// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/hdf5_file.h"

#include "core/base/byte_cursor.h"
#include "core/base/helper_process.h"
#include "core/base/text.h"
#include "core/file_formats/hdf5_records.h"

#include <set>

namespace quantloupe {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kHdf5Helper = "quantloupe-read-hdf5";
/// A file that the library does not get ahead with in two seconds of computing is one it never ends with. Unpacking a
/// large chunk takes longer.
constexpr HelperPatience kHdf5ToList {.work = 2s, .silence = 60s, .whole = 10min, .recordBytes = 2 * kHdf5MaxText};
constexpr HelperPatience kHdf5ToRead {
    .work = 60s, .silence = 10min, .whole = 24h, .recordBytes = 2 * kHdf5ElementsAtOnce};
constexpr std::uint64_t kHdf5MaxMetadata = std::uint64_t {256} << 20;
constexpr std::uint64_t kHdf5Sample = 1'024;
/// Deflate makes nothing smaller than that; small files may be all fill value.
constexpr std::uint64_t kMaxPacking = 1'032, kAlwaysAllowed = std::uint64_t {16} << 20;

/// Collects what the helper says and believes none of it.
class Hdf5ContentsReader
{
public:
    Hdf5ContentsReader(std::string where, Bytes file, std::uint64_t begin)
        : m_where(std::move(where))
        , m_file(file)
        , m_begin(begin)
        , m_size(file.size())
    {
    }

    /// false after the last record.
    Result<bool> take(const HelperRecord& record)
    {
        m_total += record.bytes.size();
        if (m_total > kHdf5MaxMetadata)
            return failure(ErrorCode::Unsupported, m_where, "it describes itself with more than 256 MiB");
        ByteCursor cursor(record.bytes);
        switch (static_cast<Hdf5Record>(record.kind)) {
        case Hdf5Record::Dataset: return takeDataset(cursor);
        case Hdf5Record::Attribute: return takeAttribute(cursor);
        case Hdf5Record::Others: m_contents.others = cursor.read<std::uint64_t>().value_or(0); return true;
        case Hdf5Record::End: return false;
        default: return nonsense();
        }
    }

    Hdf5Contents contents() { return std::move(m_contents); }

private:
    tl::unexpected<Error> nonsense() const
    {
        return failure(ErrorCode::Malformed, m_where, "its reader answers what makes no sense");
    }

    static bool isName(std::string_view name)
    {
        return !name.empty() && name.size() <= kHdf5MaxName && isValidUtf8(name)
            && name.find('\0') == std::string_view::npos;
    }

    Result<bool> takeDataset(ByteCursor& cursor)
    {
        const auto path = cursor.readText();
        const auto dtype = cursor.read<std::uint8_t>(), storage = cursor.read<std::uint8_t>();
        const auto offset = cursor.read<std::uint64_t>(), rank = cursor.read<std::uint64_t>();
        if (!path || !dtype || !storage || !offset || !rank || *rank > kHdf5MaxRank
            || *dtype > static_cast<std::uint8_t>(DType::I64) || *storage > 1)
            return nonsense();
        if (!isName(*path))
            return failure(ErrorCode::Malformed, m_where, "the name " + inQuotes(*path) + " is not UTF-8 text");
        Hdf5Dataset dataset {.path = std::string(*path), .dtype = static_cast<DType>(*dtype), .shape = {}};
        for (std::uint64_t i = 0; i < *rank; ++i) {
            const auto extent = cursor.read<std::uint64_t>();
            if (!extent)
                return nonsense();
            dataset.shape.push_back(*extent);
        }
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
        } else if (*offset < m_size) {
            dataset.sample = m_file.subspan(*offset, std::min(kHdf5Sample, m_size - *offset));
        }
        if (!m_paths.insert(dataset.path).second || m_paths.size() > kHdf5MaxObjects)
            return refuse(ErrorCode::Malformed, "occurs twice");
        m_contents.datasets.push_back(std::move(dataset));
        return true;
    }

    Result<bool> takeAttribute(ByteCursor& cursor)
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

    std::string m_where;
    Bytes m_file;
    std::uint64_t m_begin, m_size, m_total = 0;
    Hdf5Contents m_contents;
    std::set<std::string> m_paths;
};

/// What the helper refused, in its words, cleaned.
tl::unexpected<Error> helperFailure(const HelperRecord& record, const std::string& where)
{
    constexpr std::size_t kShown = 400;
    ByteCursor cursor(record.bytes);
    const auto code = cursor.read<std::uint8_t>();
    const auto reason = cursor.readText();
    auto known = ErrorCode::Malformed;
    for (const auto possible : {ErrorCode::Truncated, ErrorCode::Unsupported})
        if (code == static_cast<std::uint8_t>(possible))
            known = possible;
    return failure(known, where, reason ? shortened(*reason, kShown) : "its reader failed");
}

}  // namespace

Result<Hdf5FilePointer> Hdf5File::open(
    const MappedFilePointer& file, std::uint64_t begin, std::uint64_t size, std::string where)
{
    auto descriptor = file->descriptor();
    if (!descriptor)
        return tl::unexpected(std::move(descriptor.error()));
    return Hdf5FilePointer(new Hdf5File(file, std::move(*descriptor), begin, size, std::move(where)));
}

Hdf5File::Hdf5File(
    MappedFilePointer map, Descriptor descriptor, std::uint64_t begin, std::uint64_t size, std::string where)
    : m_map(std::move(map))
    , m_descriptor(std::move(descriptor))
    , m_begin(begin)
    , m_size(size)
    , m_where(std::move(where))
{
}

std::vector<std::string> Hdf5File::arguments(std::string request) const
{
    return {std::move(request), std::to_string(m_begin), std::to_string(m_size)};
}

Result<Hdf5Contents> Hdf5File::contents() const
{
    auto process = helperProgram(kHdf5Helper).and_then([&](const std::filesystem::path& program) {
        return HelperProcess::start(program, arguments("list"), m_descriptor, kHdf5ToList, where(), {});
    });
    if (!process)
        return tl::unexpected(std::move(process.error()));
    Hdf5ContentsReader reader(where(), m_map->bytes().subspan(m_begin, m_size), m_begin);
    for (;;) {
        const auto record = process->next();
        if (!record)
            return tl::unexpected(record.error());
        if (record->kind == static_cast<std::uint32_t>(Hdf5Record::Failed))
            return helperFailure(*record, where());
        const auto more = reader.take(*record);
        if (!more)
            return tl::unexpected(more.error());
        if (!*more)
            return reader.contents();
    }
}

Result<void> Hdf5File::read(const std::string& dataset, const ByteSink& sink, std::stop_token stop) const
{
    auto words = arguments("read");
    words.push_back(dataset);
    auto process = helperProgram(kHdf5Helper).and_then([&](const std::filesystem::path& program) {
        return HelperProcess::start(program, words, m_descriptor, kHdf5ToRead, where(), std::move(stop));
    });
    if (!process)
        return tl::unexpected(std::move(process.error()));
    for (;;) {
        const auto record = process->next();
        if (!record)
            return tl::unexpected(record.error());
        switch (static_cast<Hdf5Record>(record->kind)) {
        case Hdf5Record::Elements:
            if (auto taken = sink(record->bytes); !taken)
                return taken;
            break;
        case Hdf5Record::End: return {};
        case Hdf5Record::Failed: return helperFailure(*record, where());
        default: return failure(ErrorCode::Malformed, where(), "its reader answers what makes no sense");
        }
    }
}

}  // namespace quantloupe
