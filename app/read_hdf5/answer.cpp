// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/answer.h"

#include "core/base/helper_records.h"

#include <cerrno>
#include <chrono>
#include <cstring>

#include <unistd.h>

namespace quantloupe::read_hdf5 {
namespace {

constexpr std::size_t kGathered = 1 << 16;
constexpr std::int64_t kMilliseconds = 100;

std::int64_t now()
{
    using namespace std::chrono;
    return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

template<class Number>
void append(std::vector<char>& bytes, Number number)
{
    const auto* begin = reinterpret_cast<const char*>(&number);
    bytes.insert(bytes.end(), begin, begin + sizeof(number));
}

}  // namespace

RecordBytes& RecordBytes::u8(std::uint8_t number)
{
    append(m_bytes, number);
    return *this;
}

RecordBytes& RecordBytes::u64(std::uint64_t number)
{
    append(m_bytes, number);
    return *this;
}

RecordBytes& RecordBytes::text(std::string_view text)
{
    u64(text.size());
    m_bytes.insert(m_bytes.end(), text.begin(), text.end());
    return *this;
}

void Answer::send(Hdf5Record kind, std::span<const char> bytes)
{
    append(m_pending, HelperRecordHeader {static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(bytes.size())});
    m_pending.insert(m_pending.end(), bytes.begin(), bytes.end());
    if (m_pending.size() >= kGathered || now() - m_lastFlush >= kMilliseconds)
        flush();
}

void Answer::fail(ErrorCode code, std::string_view reason)
{
    send(Hdf5Record::Failed, RecordBytes().u8(static_cast<std::uint8_t>(code)).text(reason).bytes());
}

void Answer::flush()
{
    std::size_t done = 0;
    while (done < m_pending.size()) {
        const auto written = ::write(STDOUT_FILENO, m_pending.data() + done, m_pending.size() - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            ::_exit(1);
        done += static_cast<std::size_t>(written);
    }
    m_pending.clear();
    m_lastFlush = now();
}

}  // namespace quantloupe::read_hdf5
