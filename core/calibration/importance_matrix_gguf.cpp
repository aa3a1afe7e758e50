// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/importance_matrix_gguf.h"

#include "core/base/atomic_file.h"
#include "core/base/text.h"
#include "core/file_formats/gguf_header.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kSquares = ".in_sum2", kCounts = ".counts";
constexpr std::size_t kLongestName = 63;
constexpr std::size_t kAlignment = 32;

Result<std::uint64_t> requiredNumber(const GgufHeader& header, std::string_view key, const std::string& where)
{
    const auto* value = header.find(key);
    const auto number = value ? wholeNumber(*value) : std::nullopt;
    if (!number)
        return failure(ErrorCode::Malformed, where, std::string(key) + (value ? " is no whole number" : " is missing"),
            value ? std::optional(value->offset) : std::nullopt);
    return *number;
}

Result<std::vector<std::string>> datasetsOf(const GgufHeader& header, const std::string& where)
{
    const auto* value = header.find("imatrix.datasets");
    if (!value || value->type != GgufType::Array || value->elementType != GgufType::Text)
        return failure(ErrorCode::Malformed, where, "imatrix.datasets is missing, or no array of texts",
            value ? std::optional(value->offset) : std::nullopt);
    std::vector<std::string> names;
    ByteCursor cursor(value->bytes);
    while (const auto text = cursor.readText())
        names.push_back(toValidUtf8(*text));
    return names;
}

Result<std::vector<float>> numbersOf(Bytes file, const GgufTensor& tensor, const std::string& where)
{
    if (tensor.dtype != DType::F32)
        return failure(ErrorCode::Malformed, where, "tensor '" + tensor.name + "' is not of type F32", tensor.offset);
    std::vector<float> numbers(static_cast<std::size_t>(tensor.bytes / sizeof(float)));
    if (!numbers.empty())
        std::memcpy(numbers.data(), file.data() + tensor.begin, numbers.size() * sizeof(float));
    if (auto good = requireSums(numbers, tensor.begin, where); !good)
        return tl::unexpected(std::move(good.error()));
    return numbers;
}

/// Appends GGUF's plain little-endian values.
class GgufBytes
{
public:
    template<class Number>
    void number(Number value)
    {
        m_bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    void numbers(const std::vector<float>& values)
    {
        pad();
        m_bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    }
    void text(std::string_view value)
    {
        number(std::uint64_t {value.size()});
        m_bytes.append(value);
    }
    void key(std::string_view name, GgufType type)
    {
        text(name);
        number(static_cast<std::uint32_t>(type));
    }
    void key(std::string_view name, std::uint64_t value)
    {
        key(name, GgufType::U32);
        number(static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max())));
    }
    void pad() { m_bytes.resize((m_bytes.size() + kAlignment - 1) / kAlignment * kAlignment); }
    std::string take() { return std::move(m_bytes); }

private:
    std::string m_bytes;
};

Result<void> requireWritable(const ImportanceEntry& entry, const std::string& where)
{
    if (entry.name.empty() || entry.name.size() + kSquares.size() > kLongestName)
        return failure(ErrorCode::InvalidArgument, where,
            "the name '" + entry.name + "' is empty or too long for an importance matrix");
    std::uint64_t values = 0;
    if (entry.columns == 0 || entry.counts.empty()
        || __builtin_mul_overflow(entry.columns, std::uint64_t {entry.counts.size()}, &values)
        || values != entry.squares.size())
        return failure(ErrorCode::InvalidArgument, where, "'" + entry.name + "': columns and numbers do not fit");
    return {};
}

}  // namespace

Result<ImportanceMatrix> readGgufImportance(Bytes file, const std::string& where)
{
    const auto header = readGgufHeader(file, where);
    if (!header)
        return tl::unexpected(header.error());
    const auto* kind = header->find("general.type");
    if (!kind || textOf(*kind) != "imatrix")
        return failure(ErrorCode::NotThisFormat, where,
            "a GGUF file whose general.type is " + (kind ? displayed(*kind) : "missing") + ", not imatrix",
            kind ? std::optional(kind->offset) : std::nullopt);
    ImportanceMatrix matrix;
    auto datasets = datasetsOf(*header, where);
    const auto chunks = requiredNumber(*header, "imatrix.chunk_count", where);
    const auto chunkSize = requiredNumber(*header, "imatrix.chunk_size", where);
    if (!datasets || !chunks || !chunkSize)
        return tl::unexpected(!datasets ? datasets.error() : !chunks ? chunks.error() : chunkSize.error());
    matrix.datasets = std::move(*datasets);
    matrix.chunks = *chunks;
    matrix.chunkSize = *chunkSize;

    std::unordered_map<std::string_view, const GgufTensor*> counts;
    for (const auto& tensor : header->tensors)
        if (const std::string_view name = tensor.name; name.ends_with(kCounts))
            counts.emplace(name.substr(0, name.size() - kCounts.size()), &tensor);
    for (const auto& tensor : header->tensors) {
        if (!tensor.name.ends_with(kSquares))
            continue;
        ImportanceEntry entry {.name = tensor.name.substr(0, tensor.name.size() - kSquares.size())};
        const auto counted = counts.find(entry.name);
        if (counted == counts.end())
            return failure(ErrorCode::Malformed, where,
                "tensor '" + tensor.name + "' has no '" + entry.name + std::string(kCounts) + "' beside it",
                tensor.offset);
        auto squares = numbersOf(file, tensor, where);
        auto numbers = squares ? numbersOf(file, *counted->second, where) : squares;
        if (!numbers)
            return tl::unexpected(std::move(numbers.error()));
        entry.columns = tensor.shape.empty() ? 1 : tensor.shape.back();
        if (squares->empty() || squares->size() / entry.columns != numbers->size())
            return failure(ErrorCode::Malformed, where,
                "tensor '" + tensor.name + "' and its counts are of different numbers of matrices", tensor.offset);
        entry.squares = std::move(*squares);
        entry.counts = std::move(*numbers);
        const auto means = entry.means();
        if (!std::all_of(means.begin(), means.end(), [](float mean) { return std::isfinite(mean); }))
            return failure(ErrorCode::Malformed, where,
                "tensor '" + tensor.name + "': a mean is too large for a number", tensor.begin);
        matrix.entries.push_back(std::move(entry));
        counts.erase(counted);
    }
    if (!counts.empty())
        return failure(ErrorCode::Malformed, where,
            "tensor '" + counts.begin()->second->name + "' has no sums beside it", counts.begin()->second->offset);
    if (matrix.entries.empty())
        return failure(ErrorCode::NotThisFormat, where, "an importance matrix without entries", 0);
    return matrix;
}

Result<void> writeImportanceMatrix(const std::filesystem::path& path, const ImportanceMatrix& matrix)
{
    GgufBytes out;
    out.number(std::uint32_t {0x46554747});  // GGUF
    out.number(std::uint32_t {3});
    out.number(std::int64_t(2 * matrix.entries.size()));
    out.number(std::int64_t {4});
    out.key("general.type", GgufType::Text);
    out.text("imatrix");
    out.key("imatrix.datasets", GgufType::Array);
    out.number(static_cast<std::uint32_t>(GgufType::Text));
    out.number(std::uint64_t {matrix.datasets.size()});
    for (const auto& name : matrix.datasets)
        out.text(name);
    out.key("imatrix.chunk_count", matrix.chunks.value_or(0));
    out.key("imatrix.chunk_size", matrix.chunkSize.value_or(0));

    std::uint64_t offset = 0;
    const auto describe = [&](const std::string& name, std::uint64_t columns, std::uint64_t matrices) {
        out.text(name);
        out.number(std::uint32_t {2});
        out.number(columns);
        out.number(matrices);
        out.number(std::uint32_t {0});  // F32
        out.number(offset);
        offset += (columns * matrices * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
    };
    for (const auto& entry : matrix.entries) {
        if (auto good = requireWritable(entry, path.string()); !good)
            return good;
        describe(entry.name + std::string(kSquares), entry.columns, entry.counts.size());
        describe(entry.name + std::string(kCounts), 1, entry.counts.size());
    }
    for (const auto& entry : matrix.entries) {
        out.numbers(entry.squares);
        out.numbers(entry.counts);
    }
    out.pad();
    return writeFileAtomically(path, out.take());
}

}  // namespace quantloupe
