// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/text.h"
#include "core/file_formats/onnx_values.h"

#include <cstring>

namespace quantloupe {
namespace {

/// Calls `take(value)`, which returns Result<void>, for every number of a field: packed or one by one, in any mixture.
template<class Take>
Result<void> visitNumbers(const WireFile& file, Bytes message, std::uint32_t number, const Take& take)
{
    const std::size_t step = number == 4 ? 4 : number == 10 ? 8 : 0;  // float_data, double_data; others are varints
    return visitFields(file, message, [&](const WireField& field) -> Result<void> {
        if (field.number != number)
            return {};
        if (field.type != WireField::Type::Delimited)
            return take(field.value);
        auto rest = field.bytes;
        if (step != 0 && rest.size() % step != 0)
            return file.malformed(field.at, "packed numbers that are not whole");
        while (!rest.empty()) {
            std::uint64_t value = 0;
            if (step != 0) {
                std::memcpy(&value, rest.data(), step);
                rest = rest.subspan(step);
            } else if (!takeVarint(rest, value)) {
                return file.malformed(rest, "packed numbers whose last has no end");
            }
            if (auto taken = take(value); !taken)
                return taken;
        }
        return {};
    });
}

}  // namespace

OnnxTypedNumbers::OnnxTypedNumbers(Source source, std::uint64_t size)
    : DeferredBytes(size)
    , m_source(std::move(source))
{
}

Result<std::uint64_t> OnnxTypedNumbers::count(const WireFile& file, Bytes message, std::uint32_t field)
{
    std::uint64_t count = 0;
    auto visited = visitNumbers(file, message, field, [&](std::uint64_t) -> Result<void> {
        ++count;
        return {};
    });
    if (!visited)
        return tl::unexpected(std::move(visited.error()));
    return count;
}

Result<std::vector<std::byte>> OnnxTypedNumbers::unpacked() const
{
    std::vector<std::byte> all;
    all.reserve(size());
    auto produced = produce(
        [&](Bytes piece) -> Result<void> {
            all.insert(all.end(), piece.begin(), piece.end());
            return {};
        },
        {});
    if (!produced)
        return tl::unexpected(std::move(produced.error()));
    return all;
}

Result<void> OnnxTypedNumbers::produce(const ByteSink& sink, std::stop_token stop) const
{
    constexpr std::size_t pieceBytes = 65'536;
    const WireFile file {m_source.file->bytes(), m_source.file->path().string()};
    std::vector<std::byte> piece;
    piece.reserve(pieceBytes + sizeof(std::uint64_t));
    auto visited = visitNumbers(file, m_source.message, m_source.field, [&](std::uint64_t value) -> Result<void> {
        const auto* lowest = reinterpret_cast<const std::byte*>(&value);
        piece.insert(piece.end(), lowest, lowest + m_source.bytesPerEntry);
        if (piece.size() < pieceBytes)
            return {};
        if (stop.stop_requested())
            return failure(ErrorCode::Cancelled, where(), "stopped on request");
        auto taken = sink(piece);
        piece.clear();
        return taken;
    });
    return visited ? sink(piece) : visited;
}

std::string OnnxTypedNumbers::where() const
{
    return m_source.file->path().string() + ", tensor " + inQuotes(m_source.name);
}

}  // namespace quantloupe
