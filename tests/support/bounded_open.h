// SPDX-License-Identifier: GPL-3.0-or-later
// Opening a file of unknown origin must cost little, whatever is in it.
#pragma once

#include "core/file_formats/file_format.h"

#include <cstdint>
#include <ctime>
#include <fstream>
#include <optional>
#include <string>

namespace quantloupe::tests {

#if defined(QUANTLOUPE_SHADOW_MEMORY)
inline constexpr unsigned kAllowance = 8;  ///< sanitizers take several times the time and memory
#else
inline constexpr unsigned kAllowance = 1;
#endif

/// Tests are compiled without optimisation, and with them what they share with the readers, on machines that are busy.
/// What grows faster than its file takes minutes on the largest files here.
inline constexpr double kSeconds = 4.0;

/// What opening a file cost.
struct BoundedOpen {
    Result<ModelPointer> model;
    double seconds = 0.0;     ///< of processor time
    std::uint64_t bytes = 0;  ///< by which the largest resident memory exceeds what was resident before

    /// The house's limits: a second where nothing else runs, and 256 MB.
    bool cheap() const { return seconds < kSeconds * kAllowance && bytes < std::uint64_t {256} * kAllowance << 20U; }
    std::string cost() const { return std::to_string(seconds) + " s, " + std::to_string(bytes >> 10U) + " kB"; }
};

namespace bounded {

/// A line of /proc/self/status, in bytes.
inline std::uint64_t status(const std::string& key)
{
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(key + ":"))
            return std::stoull(line.substr(key.size() + 1)) * 1024;
    return 0;
}

inline double processorTime()
{
    std::timespec now {};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

}  // namespace bounded

inline BoundedOpen openBounded(const std::filesystem::path& path)
{
    std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
    const auto before = bounded::status("VmRSS");
    const auto start = bounded::processorTime();
    auto model = openModel(path);
    const auto seconds = bounded::processorTime() - start;
    const auto peak = bounded::status("VmHWM");
    return {std::move(model), seconds, peak > before ? peak - before : 0};
}

}  // namespace quantloupe::tests

/// Opens `path` within the limits and expects an error of this code whose reason holds this text.
#define QUANTLOUPE_REFUSES(path, expectedCode, text)                                                                   \
    do {                                                                                                               \
        const auto opened = quantloupe::tests::openBounded(path);                                                      \
        QVERIFY2(opened.cheap(), opened.cost().c_str());                                                               \
        QVERIFY2(!opened.model, "was opened");                                                                         \
        const auto& refusal = opened.model.error();                                                                    \
        QVERIFY2(refusal.code == (expectedCode), describe(refusal).c_str());                                           \
        QVERIFY2(refusal.reason.find(text) != std::string::npos, describe(refusal).c_str());                           \
        QVERIFY(!refusal.where.empty());                                                                               \
    } while (false)
