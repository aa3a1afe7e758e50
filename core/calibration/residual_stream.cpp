// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/residual_stream.h"

#include "core/base/atomic_file.h"
#include "core/base/byte_cursor.h"
#include "core/base/hash.h"

#include <algorithm>
#include <fstream>
#include <string_view>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kStreamMagic = "QLSTREAM";
constexpr std::size_t kHashText = 32;

/// Bytes that are copied, written or summed up together: a stop is noticed between.
constexpr std::size_t kStreamPieceBytes = std::size_t {1} << 23U;

tl::unexpected<Error> streamStopped(const std::filesystem::path& path)
{
    return failure(ErrorCode::Cancelled, path.string(), "stopped on request");
}

/// work(piece) for pieces of some values. Errors: Cancelled, those of the work.
template<class Work>
Result<void> forPieces(
    std::span<const float> values, const std::filesystem::path& path, const std::stop_token& stop, const Work& work)
{
    constexpr auto step = kStreamPieceBytes / sizeof(float);
    for (std::size_t first = 0; first < values.size(); first += step) {
        if (stop.stop_requested())
            return streamStopped(path);
        if (auto done = work(values.subspan(first, std::min(step, values.size() - first))); !done)
            return done;
    }
    return {};
}

std::string_view textAt(Bytes bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

ResidualStream::ResidualStream(std::filesystem::path path, std::string identity, std::size_t tokens, std::size_t hidden)
    : m_path(std::move(path))
    , m_identity(std::move(identity))
    , m_tokens(tokens)
    , m_hidden(hidden)
{
}

ResidualStream ResidualStream::inMemory(std::size_t tokens, std::size_t hidden)
{
    return {{}, {}, tokens, hidden};
}

ResidualStream ResidualStream::inFile(std::filesystem::path path, std::string identity, std::size_t tokens,
    std::size_t hidden, const std::stop_token& stop)
{
    ResidualStream stream(std::move(path), std::move(identity), tokens, hidden);
    if (!stream.read(false, stop))
        stream.restart();
    return stream;
}

void ResidualStream::restart()
{
    m_nextBlock.reset();
    m_stream = {};
    m_file.reset();
    m_values.clear();
}

std::span<const float> ResidualStream::rows(std::size_t first, std::size_t count) const
{
    return m_stream.subspan(first * m_hidden, count * m_hidden);
}

bool ResidualStream::read(bool trusted, const std::stop_token& stop)
{
    const auto mapped = MappedFile::open(m_path);
    if (!mapped || (*mapped)->bytes().size() < kHashText)
        return false;
    const auto bytes = (*mapped)->bytes();
    ByteCursor cursor(bytes.first(bytes.size() - kHashText));
    const auto magic = cursor.take(kStreamMagic.size());
    const auto identity = cursor.take(kHashText);
    const auto next = cursor.read<std::uint64_t>(), tokens = cursor.read<std::uint64_t>(),
               hidden = cursor.read<std::uint64_t>();
    if (!magic || textAt(*magic) != kStreamMagic || !identity || textAt(*identity) != m_identity || !hidden
        || *tokens != m_tokens || *hidden != m_hidden
        || cursor.remaining() != std::uint64_t {m_tokens} * m_hidden * sizeof(float))
        return false;
    if (!trusted) {
        FingerprintHasher hasher;
        const auto content = bytes.first(bytes.size() - kHashText);
        for (std::size_t first = 0; first < content.size() && !stop.stop_requested(); first += kStreamPieceBytes)
            hasher.add(content.subspan(first, std::min(kStreamPieceBytes, content.size() - first)));
        if (textAt(bytes.last(kHashText)) != hasher.hex())
            return false;
    }
    const auto values = *cursor.take(cursor.remaining());
    m_file = *mapped;
    m_stream = {reinterpret_cast<const float*>(values.data()), m_tokens * m_hidden};
    m_nextBlock = static_cast<std::size_t>(*next);
    return true;
}

Result<void> ResidualStream::writeFile(const std::filesystem::path& file, std::size_t next,
    const std::function<Result<void>(const Append&)>& produce, const std::stop_token& stop) const
{
    std::ofstream out(file, std::ios::binary);
    FingerprintHasher hasher;
    std::uint64_t written = 0;
    const auto write = [&](Bytes bytes) -> Result<void> {
        errno = 0;
        hasher.add(bytes);
        out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        out.flush();
        writeOut(file, written, bytes.size());
        written += bytes.size();
        return out ? Result<void>() : Result<void>(systemFailure(ErrorCode::CannotWrite, m_path));
    };
    const std::uint64_t figures[] = {next, m_tokens, m_hidden};
    for (const Bytes bytes : std::initializer_list<Bytes> {std::as_bytes(std::span(kStreamMagic)),
             std::as_bytes(std::span(m_identity)), std::as_bytes(std::span(figures))})
        if (auto done = write(bytes); !done)
            return done;
    const Append append = [&](std::span<const float> values) {
        return forPieces(values, m_path, stop, [&](auto piece) { return write(std::as_bytes(piece)); });
    };
    if (auto done = produce(append); !done)
        return done;
    errno = 0;
    out << hasher.hex();
    out.close();
    return out ? Result<void>() : Result<void>(systemFailure(ErrorCode::CannotWrite, m_path));
}

Result<void> ResidualStream::replaceInMemory(
    const std::function<Result<void>(const Append&)>& produce, const std::stop_token& stop)
{
    std::vector<float> values;
    values.reserve(m_tokens * m_hidden);
    const Append append = [&](std::span<const float> more) {
        return forPieces(more, m_path, stop, [&](auto piece) -> Result<void> {
            values.insert(values.end(), piece.begin(), piece.end());
            return {};
        });
    };
    if (auto done = produce(append); !done)
        return done;
    m_values = std::move(values);
    m_stream = m_values;
    return {};
}

Result<void> ResidualStream::replace(
    std::size_t next, const std::function<Result<void>(const Append&)>& produce, const std::stop_token& stop)
{
    if (isInMemory()) {
        auto done = replaceInMemory(produce, stop);
        if (done)
            m_nextBlock = next;
        return done;
    }
    auto written = replaceFileAtomically(
        m_path, [&](const std::filesystem::path& file) { return writeFile(file, next, produce, stop); });
    if (!written)
        return written;
    restart();
    if (!read(true, stop))
        return failure(ErrorCode::CannotWrite, m_path.string(), "what was written there cannot be read back");
    return {};
}

void ResidualStream::remove()
{
    restart();
    std::error_code ignored;
    if (!isInMemory())
        std::filesystem::remove(m_path, ignored);
}

}  // namespace quantloupe
