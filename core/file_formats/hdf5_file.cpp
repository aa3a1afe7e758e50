// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/hdf5_file.h"

#include "core/base/byte_cursor.h"
#include "core/base/helper_process.h"
#include "core/base/text.h"
#include "core/file_formats/hdf5_contents_reader.h"
#include "core/file_formats/hdf5_records.h"

namespace quantloupe {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kHdf5Helper = "quantloupe-read-hdf5";
/// A file that the library does not get ahead with in two seconds of computing is one it never ends with. Unpacking a
/// large chunk takes longer.
constexpr HelperPatience kHdf5ToList {.work = 2s, .silence = 60s, .whole = 10min, .recordBytes = 2 * kHdf5MaxText};
constexpr HelperPatience kHdf5ToRead {
    .work = 60s, .silence = 10min, .whole = 24h, .recordBytes = 2 * kHdf5ElementsAtOnce};

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

Result<Hdf5Contents> Hdf5File::contents(std::stop_token stop) const
{
    auto process = helperProgram(kHdf5Helper).and_then([&](const std::filesystem::path& program) {
        return HelperProcess::start(program, arguments("list"), m_descriptor, kHdf5ToList, where(), std::move(stop));
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
