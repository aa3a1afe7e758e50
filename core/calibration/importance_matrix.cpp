// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/importance_matrix.h"

#include "core/base/byte_cursor.h"
#include "core/base/text.h"
#include "core/calibration/importance_matrix_gguf.h"

#include <cmath>
#include <cstring>
#include <string_view>
#include <unordered_set>

namespace quantloupe {
namespace {

// A name of one byte, three numbers, one value.
constexpr std::uint64_t kMinLegacyEntry = 4 + 1 + 4 + 4 + 4;

class LegacyReader
{
public:
    LegacyReader(Bytes file, const std::string& where)
        : m_cursor(file)
        , m_where(where)
    {
    }

    Result<ImportanceMatrix> read()
    {
        m_matrix.legacy = true;
        const auto count = m_cursor.read<std::int32_t>();
        if (!count || *count < 1 || static_cast<std::uint64_t>(*count) > m_cursor.remaining() / kMinLegacyEntry)
            return failure(ErrorCode::NotThisFormat, m_where,
                "neither a GGUF file nor an importance matrix of the form before it", 0);
        for (std::int32_t i = 0; i < *count; ++i)
            if (auto entry = readEntry(); !entry)
                return tl::unexpected(std::move(entry.error()));
        if (auto trailer = readTrailer(); !trailer)
            return tl::unexpected(std::move(trailer.error()));
        return std::move(m_matrix);
    }

private:
    tl::unexpected<Error> malformed(std::uint64_t offset, std::string reason) const
    {
        return failure(ErrorCode::Malformed, m_where, std::move(reason), offset);
    }

    /// A length and as many pieces of `size` bytes.
    Result<Bytes> readCounted(const char* what, std::size_t size, std::int32_t least)
    {
        const auto offset = m_cursor.offset();
        const auto count = m_cursor.read<std::int32_t>();
        if (count && *count < least)
            return malformed(offset, std::string(what) + " of length " + std::to_string(*count));
        const auto bytes = count ? m_cursor.take(static_cast<std::uint64_t>(*count) * size) : std::nullopt;
        if (!bytes)
            return failure(
                ErrorCode::Truncated, m_where, std::string("the file ends inside ") + what, m_cursor.offset());
        return *bytes;
    }

    Result<void> readEntry()
    {
        const auto start = m_cursor.offset();
        const auto text = readCounted("the name of an entry", 1, 1);
        if (!text)
            return tl::unexpected(text.error());
        const std::string_view name(reinterpret_cast<const char*>(text->data()), text->size());
        if (!isValidUtf8(name) || name.find('\0') != std::string_view::npos)
            return malformed(start + 4, "the name " + inQuotes(name) + " is not valid UTF-8 text");
        if (!m_names.emplace(name).second)
            return malformed(start + 4, "two entries of the name " + inQuotes(name));
        const auto calls = m_cursor.read<std::int32_t>();
        if (!calls)
            return failure(ErrorCode::Truncated, m_where, "the file ends inside an entry", m_cursor.offset());
        const auto numbers = readCounted("the values of an entry", sizeof(float), 1);
        if (!numbers)
            return tl::unexpected(numbers.error());
        ImportanceEntry entry {.name = std::string(name)};
        entry.squares.resize(numbers->size() / sizeof(float));
        std::memcpy(entry.squares.data(), numbers->data(), numbers->size());
        // Without calls the values are means already.
        entry.counts = {*calls > 0 ? static_cast<float>(*calls) : 1.0F};
        if (auto good = requireSums(entry.squares, m_cursor.offset() - numbers->size(), m_where); !good)
            return good;
        m_matrix.entries.push_back(std::move(entry));
        return {};
    }

    Result<void> readTrailer()
    {
        if (m_cursor.remaining() == 0)
            return {};
        const auto offset = m_cursor.offset();
        const auto chunks = m_cursor.read<std::int32_t>();
        if (!chunks)
            return failure(ErrorCode::Truncated, m_where, "the file ends inside the number of chunks", offset);
        if (*chunks < 0)
            return malformed(offset, "a negative number of chunks");
        m_matrix.chunks = static_cast<std::uint64_t>(*chunks);
        if (m_cursor.remaining() == 0)
            return {};
        const auto dataset = readCounted("the name of the text", 1, 0);
        if (!dataset)
            return tl::unexpected(dataset.error());
        if (!dataset->empty())
            m_matrix.datasets.push_back(toValidUtf8({reinterpret_cast<const char*>(dataset->data()), dataset->size()}));
        if (m_cursor.remaining() > 0)
            return malformed(
                m_cursor.offset(), std::to_string(m_cursor.remaining()) + " bytes behind the end of the matrix");
        return {};
    }

    ByteCursor m_cursor;
    const std::string& m_where;
    ImportanceMatrix m_matrix;
    std::unordered_set<std::string_view> m_names;
};

}  // namespace

Result<void> requireSums(const std::vector<float>& numbers, std::uint64_t begin, const std::string& where)
{
    for (std::size_t i = 0; i < numbers.size(); ++i)
        if (!(numbers[i] >= 0.0F && std::isfinite(numbers[i])))
            return failure(ErrorCode::Malformed, where, "a sum of squares that is negative or no number",
                begin + i * sizeof(float));
    return {};
}

std::vector<float> ImportanceEntry::means() const
{
    std::vector<float> values(squares.size());
    const auto perMatrix = counts.empty() ? squares.size() : squares.size() / counts.size();
    for (std::size_t i = 0; i < values.size(); ++i) {
        const float count = counts[i / perMatrix];
        values[i] = count > 0.0F ? squares[i] / count : 1.0F;
    }
    return values;
}

Result<ImportanceMatrix> readImportanceMatrix(const std::filesystem::path& path)
{
    const auto file = MappedFile::open(path);
    if (!file)
        return tl::unexpected(file.error());
    const auto bytes = (*file)->bytes();
    const auto where = path.string();
    if (bytes.size() >= kGgufMagic.size() && std::memcmp(bytes.data(), kGgufMagic.data(), kGgufMagic.size()) == 0)
        return readGgufImportance(bytes, where);
    return LegacyReader(bytes, where).read();
}

}  // namespace quantloupe
