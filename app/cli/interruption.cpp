// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/interruption.h"

#include "app/cli/session.h"

#include <csignal>
#include <ctime>

#include <unistd.h>

namespace quantloupe::cli {
namespace {

sigset_t watchedSignals()
{
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    return signals;
}

void watch(const std::stop_token& done, std::stop_source source)
{
    const auto signals = watchedSignals();
    // Wakes up now and then to see whether the program is over; a signal handler could do nearly nothing safely.
    const timespec moment {0, 100'000'000};
    while (!done.stop_requested()) {
        if (::sigtimedwait(&signals, nullptr, &moment) < 0)
            continue;
        if (source.stop_requested())
            ::_exit(Interrupted);
        source.request_stop();
    }
}

}  // namespace

Interruption::Interruption()
{
    const auto signals = watchedSignals();
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    m_watcher = std::jthread([source = m_source](const std::stop_token& done) { watch(done, source); });
}

Interruption::~Interruption()
{
    m_watcher.request_stop();
}

}  // namespace quantloupe::cli
