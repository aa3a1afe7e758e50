// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/progress_printer.h"

#include "app/cli/text_table.h"

#include <cmath>
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include <unistd.h>

namespace quantloupe::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kLine = std::chrono::seconds(3);

double shareDone(const Progress& progress)
{
    const auto total = progress.totalBytes.load();
    if (total == 0)
        return 0.0;
    return std::min(1.0, static_cast<double>(progress.doneBytes.load()) / static_cast<double>(total));
}

void drawBar(const Progress& progress, std::chrono::duration<double> elapsed, ProgressUnit unit)
{
    constexpr std::size_t width = 24;
    const auto filled = static_cast<std::size_t>(shareDone(progress) * width);
    const auto bar = std::string(filled, '#') + std::string(width - filled, '-');
    std::fprintf(stderr, "\r[%s] %s\x1b[K", bar.c_str(), progressLine(progress, elapsed, unit).c_str());
    std::fflush(stderr);
}

void show(const std::stop_token& done, const Progress& progress, bool terminal, ProgressUnit unit)
{
    const auto start = Clock::now();
    std::mutex mutex;
    std::condition_variable_any ended;
    std::unique_lock lock(mutex);
    while (!ended.wait_for(lock, done, terminal ? Clock::duration(kRedraw) : Clock::duration(kLine),
        [&] { return done.stop_requested(); })) {
        const std::chrono::duration<double> elapsed = Clock::now() - start;
        if (terminal)
            drawBar(progress, elapsed, unit);
        else if (progress.totalBytes != 0)
            std::fprintf(stderr, "%s\n", progressLine(progress, elapsed, unit).c_str());
    }
    if (terminal)
        std::fputs("\r\x1b[K", stderr);  // the result takes the bar's place
}

}  // namespace

ProgressPrinter::ProgressPrinter(const Progress& progress, bool quiet, ProgressUnit unit)
{
    if (quiet)
        return;
    const bool terminal = ::isatty(STDERR_FILENO) == 1;
    m_thread = std::jthread(
        [&progress, terminal, unit](const std::stop_token& done) { show(done, progress, terminal, unit); });
}

ProgressPrinter::~ProgressPrinter() = default;  // the thread is asked to stop and joined

std::string progressLine(const Progress& progress, std::chrono::duration<double> elapsed, ProgressUnit unit)
{
    const double share = shareDone(progress);
    auto line = std::to_string(progress.doneItems.load()) + " of " + std::to_string(progress.totalItems.load())
        + (unit == ProgressUnit::Steps ? " steps, " : " tensors, ") + std::to_string(static_cast<int>(share * 100.0))
        + " %";
    const double seconds = elapsed.count();
    if (share <= 0.0 || seconds <= 0.0)
        return line;
    const auto left = std::lround(seconds * (1.0 - share) / share);
    if (unit == ProgressUnit::Tensors)
        line += ", " + byteText(static_cast<double>(progress.doneBytes.load()) / seconds) + "/s";
    line += ", ";
    line += left >= 120 ? std::to_string((left + 30) / 60) + " min left" : std::to_string(left) + " s left";
    return line;
}

}  // namespace quantloupe::cli
