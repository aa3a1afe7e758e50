// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/input_file.h"

#include "core/base/atomic_file.h"
#include "core/base/byte_cursor.h"
#include "core/base/hash.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string_view>

namespace quantloupe {
namespace {

constexpr std::string_view kInputMagic = "QLINPUT1";
constexpr std::size_t kChecksumBytes = 32;
/// Numbers converted and written together: a stop is noticed between.
constexpr std::size_t kPiece = std::size_t {1} << 20U;

/// Writes and sums up at once.
class SummedWriter
{
public:
    explicit SummedWriter(const std::filesystem::path& path)
        : m_file(path, std::ios::binary)
    {
    }

    template<class Number>
    void write(std::span<const Number> values)
    {
        const auto bytes = std::as_bytes(values);
        m_hasher.add(bytes);
        m_file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        m_bytes += bytes.size();
    }
    /// The checksum; empty where the disk refused.
    std::string finish()
    {
        auto checksum = m_hasher.hex();
        m_file << checksum;
        m_bytes += checksum.size();
        m_file.close();
        return m_file ? checksum : std::string();
    }
    std::uint64_t bytes() const { return m_bytes; }

private:
    std::ofstream m_file;
    FingerprintHasher m_hasher;
    std::uint64_t m_bytes = 0;
};

Result<void> writeMoments(
    SummedWriter& writer, std::span<const double> moments, const std::string& where, const std::stop_token& stop)
{
    std::vector<float> piece;
    for (std::size_t first = 0; first < moments.size(); first += kPiece) {
        if (stop.stop_requested())
            return failure(ErrorCode::Cancelled, where, "stopped on request");
        const auto part = moments.subspan(first, std::min(kPiece, moments.size() - first));
        piece.resize(part.size());
        std::transform(part.begin(), part.end(), piece.begin(), [](double x) { return static_cast<float>(x); });
        if (!std::all_of(piece.begin(), piece.end(), [](float x) { return std::isfinite(x); }))
            return failure(ErrorCode::Malformed, where,
                "the squares of a layer's inputs overflow: the model cannot be calibrated in float32");
        writer.write<float>(piece);
    }
    return {};
}

tl::unexpected<Error> damaged(const std::filesystem::path& path, std::string reason)
{
    return failure(ErrorCode::Malformed, path.string(), std::move(reason) + ": calibrate again with --fresh");
}

/// Nothing that could lead elsewhere.
bool isPlainName(std::string_view name)
{
    return !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '.';
    });
}

/// The next `count` numbers. @pre they are there, and aligned
template<class Number>
std::span<const Number> takeNumbers(ByteCursor& cursor, std::uint64_t count)
{
    const auto bytes = *cursor.take(count * sizeof(Number));
    return {reinterpret_cast<const Number*>(bytes.data()), static_cast<std::size_t>(count)};
}

}  // namespace

Result<InputFile> InputFile::open(const std::filesystem::path& folder, const InputFileReference& reference)
{
    const auto path = folder / reference.name;
    if (!isPlainName(reference.name))
        return failure(ErrorCode::Malformed, folder.string(), "the study names a file there that is none of its own");
    auto mapped = MappedFile::openBelow(folder, reference.name);
    if (!mapped)
        return tl::unexpected(mapped.error());
    InputFile file;
    file.m_file = std::move(*mapped);
    const auto bytes = file.m_file->bytes();
    if (bytes.size() < reference.bytes)
        return failure(ErrorCode::Truncated, path.string(),
            "has " + std::to_string(bytes.size()) + " bytes of the " + std::to_string(reference.bytes)
                + " that the study saved there",
            bytes.size());
    if (bytes.size() > reference.bytes || bytes.size() < kChecksumBytes)
        return failure(ErrorCode::Conflict, path.string(), "is not the file that the study saved there");
    const auto content = bytes.first(bytes.size() - kChecksumBytes);
    FingerprintHasher hasher;
    hasher.add(content);
    const auto checksum = hasher.hex();
    const std::string_view own(reinterpret_cast<const char*>(bytes.data() + content.size()), kChecksumBytes);
    if (checksum != own)
        return damaged(path, "its checksum does not match, it is damaged");
    if (checksum != reference.checksum)
        return failure(ErrorCode::Conflict, path.string(), "is not the file that the study saved there");

    ByteCursor cursor(content);
    const auto magic = cursor.take(kInputMagic.size());
    if (!magic || std::string_view(reinterpret_cast<const char*>(magic->data()), magic->size()) != kInputMagic)
        return damaged(path, "is not a file of inputs");
    std::uint64_t figures[5] = {};
    for (auto& figure : figures) {
        const auto number = cursor.read<std::uint64_t>();
        if (!number)
            return damaged(path, "ends inside its header");
        figure = *number;
    }
    const auto [columns, tokens, sampled, moments, reserved] = figures;
    std::uint64_t sampleBytes = 0, momentBytes = 0, perToken = 0, all = 0;
    if (reserved != 0 || columns == 0 || (moments != 0 && moments != MomentLayout::sizeFor(columns))
        || __builtin_mul_overflow(columns, std::uint64_t {sizeof(float)}, &perToken)
        || __builtin_add_overflow(perToken, std::uint64_t {sizeof(std::uint64_t)}, &perToken)
        || __builtin_mul_overflow(sampled, perToken, &sampleBytes)
        || __builtin_mul_overflow(moments, std::uint64_t {sizeof(float)}, &momentBytes)
        || __builtin_add_overflow(sampleBytes, momentBytes, &all) || all != cursor.remaining())
        return damaged(path, "its parts are not as large as its header says");
    file.m_columns = columns;
    file.m_tokens = tokens;
    file.m_numbers = takeNumbers<std::uint64_t>(cursor, sampled);
    file.m_sample = takeNumbers<float>(cursor, sampled * columns);
    file.m_moments = takeNumbers<float>(cursor, moments);
    return file;
}

Result<InputFileReference> writeInputFile(const std::filesystem::path& folder, const std::string& name,
    std::uint64_t tokens, const SecondMoments& moments, const TokenSample& sample, std::stop_token stop)
{
    const auto path = folder / name;
    InputFileReference reference {.name = name};
    auto written = replaceFileAtomically(path, [&](const std::filesystem::path& temporary) -> Result<void> {
        errno = 0;
        SummedWriter writer(temporary);
        writer.write<char>(kInputMagic);
        const std::uint64_t figures[] = {sample.columns(), tokens, sample.numbers().size(), moments.values().size(), 0};
        writer.write<std::uint64_t>(figures);
        writer.write<std::uint64_t>(sample.numbers());
        writer.write<float>(sample.rows());
        if (auto done = writeMoments(writer, moments.values(), path.string(), stop); !done)
            return done;
        reference.checksum = writer.finish();
        reference.bytes = writer.bytes();
        return reference.checksum.empty() ? Result<void>(systemFailure(ErrorCode::CannotWrite, path)) : Result<void>();
    });
    if (!written)
        return tl::unexpected(written.error());
    return reference;
}

}  // namespace quantloupe
