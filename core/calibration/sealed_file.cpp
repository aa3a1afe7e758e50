// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/sealed_file.h"

#include "core/base/atomic_file.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

namespace quantloupe {
namespace {

constexpr std::size_t kChecksumBytes = 32;
/// Numbers converted together, and bytes read or written together: a stop is noticed between.
constexpr std::size_t kPiece = std::size_t {1} << 20U;
constexpr std::size_t kPieceBytes = std::size_t {1} << 23U;

tl::unexpected<Error> stoppedAt(const std::filesystem::path& path)
{
    return failure(ErrorCode::Cancelled, path.string(), "stopped on request");
}

/// Nothing: stopped.
std::optional<std::string> checksumOf(Bytes bytes, const std::stop_token& stop)
{
    FingerprintHasher hasher;
    for (std::size_t first = 0; first < bytes.size(); first += kPieceBytes) {
        if (stop.stop_requested())
            return std::nullopt;
        hasher.add(bytes.subspan(first, std::min(kPieceBytes, bytes.size() - first)));
    }
    return hasher.hex();
}

/// Nothing that could lead elsewhere.
bool isPlainName(std::string_view name)
{
    return !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '.';
    });
}

}  // namespace

SealedWriter::SealedWriter(const std::filesystem::path& path, std::stop_token stop)
    : m_path(path)
    , m_stop(std::move(stop))
    , m_file(path, std::ios::binary)
{
}

void SealedWriter::writeBytes(std::span<const std::byte> bytes)
{
    while (!bytes.empty() && !m_stop.stop_requested()) {
        const auto piece = bytes.first(std::min(kPieceBytes, bytes.size()));
        m_hasher.add(piece);
        m_file.write(reinterpret_cast<const char*>(piece.data()), static_cast<std::streamsize>(piece.size()));
        m_bytes += piece.size();
        bytes = bytes.subspan(piece.size());
        if (m_bytes - m_writtenOut >= kPieceBytes) {
            m_file.flush();
            writeOut(m_path, m_writtenOut, m_bytes - m_writtenOut);
            m_writtenOut = m_bytes;
        }
    }
}

Result<void> SealedWriter::writeRounded(
    std::span<const double> values, const std::string& where, const std::string& tooLarge)
{
    std::vector<float> piece;
    for (std::size_t first = 0; first < values.size() && !m_stop.stop_requested(); first += kPiece) {
        const auto part = values.subspan(first, std::min(kPiece, values.size() - first));
        piece.resize(part.size());
        std::transform(part.begin(), part.end(), piece.begin(), [](double x) { return static_cast<float>(x); });
        if (!std::all_of(piece.begin(), piece.end(), [](float x) { return std::isfinite(x); }))
            return failure(ErrorCode::Malformed, where, tooLarge);
        write<float>(piece);
    }
    return {};
}

std::string SealedWriter::finish()
{
    auto checksum = m_hasher.hex();
    m_file << checksum;
    m_bytes += checksum.size();
    m_file.close();
    return m_file ? checksum : std::string();
}

Result<InputFileReference> writeSealedFile(const std::filesystem::path& folder, const std::string& name,
    const std::function<Result<void>(SealedWriter& writer)>& content, const std::stop_token& stop)
{
    const auto path = folder / name;
    InputFileReference reference {.name = name};
    auto written = replaceFileAtomically(path, [&](const std::filesystem::path& temporary) -> Result<void> {
        errno = 0;
        SealedWriter writer(temporary, stop);
        if (auto done = content(writer); !done)
            return done;
        if (stop.stop_requested())
            return stoppedAt(path);
        reference.checksum = writer.finish();
        reference.bytes = writer.bytes();
        return reference.checksum.empty() ? Result<void>(systemFailure(ErrorCode::CannotWrite, path)) : Result<void>();
    });
    if (!written)
        return tl::unexpected(written.error());
    return reference;
}

tl::unexpected<Error> damagedFile(const std::filesystem::path& path, std::string reason)
{
    return failure(ErrorCode::Malformed, path.string(), std::move(reason) + ": calibrate again with --fresh");
}

Result<SealedFile> openSealedFile(
    const std::filesystem::path& folder, const InputFileReference& reference, const std::stop_token& stop)
{
    const auto path = folder / reference.name;
    if (!isPlainName(reference.name))
        return failure(ErrorCode::Malformed, folder.string(), "the study names a file there that is none of its own");
    auto mapped = MappedFile::openBelow(folder, reference.name);
    if (!mapped)
        return tl::unexpected(mapped.error());
    SealedFile sealed {.file = std::move(*mapped)};
    const auto bytes = sealed.file->bytes();
    if (bytes.size() < reference.bytes)
        return failure(ErrorCode::Truncated, path.string(),
            "has " + std::to_string(bytes.size()) + " bytes of the " + std::to_string(reference.bytes)
                + " that the study saved there",
            bytes.size());
    if (bytes.size() > reference.bytes || bytes.size() < kChecksumBytes)
        return failure(ErrorCode::Conflict, path.string(), "is not the file that the study saved there");
    sealed.content = bytes.first(bytes.size() - kChecksumBytes);
    const auto checksum = checksumOf(sealed.content, stop);
    if (!checksum)
        return stoppedAt(path);
    const std::string_view own(reinterpret_cast<const char*>(bytes.data() + sealed.content.size()), kChecksumBytes);
    if (*checksum != own)
        return damagedFile(path, "its checksum does not match, it is damaged");
    if (*checksum != reference.checksum)
        return failure(ErrorCode::Conflict, path.string(), "is not the file that the study saved there");
    return sealed;
}

bool takeMagic(ByteCursor& cursor, std::string_view magic)
{
    const auto bytes = cursor.take(magic.size());
    return bytes && std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()) == magic;
}

}  // namespace quantloupe
