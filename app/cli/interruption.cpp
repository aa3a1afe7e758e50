// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/interruption.h"

#include "app/cli/session.h"

#include <cerrno>
#include <csignal>

#include <semaphore.h>
#include <unistd.h>

namespace quantloupe::cli {
namespace {

/// Counts signals. Posting is among the few things that a signal handler may do.
sem_t g_signals;

void noteSignal(int)
{
    const int kept = errno;
    ::sem_post(&g_signals);
    errno = kept;
}

void watch(const std::stop_token& done, std::stop_source source)
{
    while (!done.stop_requested()) {
        if (::sem_wait(&g_signals) != 0 || done.stop_requested())
            continue;
        if (source.stop_requested())
            ::_exit(Interrupted);
        source.request_stop();
    }
}

}  // namespace

Interruption::Interruption()
{
    ::sem_init(&g_signals, 0, 0);
    // A handler, not a mask: libraries start threads before main(), and a signal goes to any thread that takes it.
    struct sigaction action {
    };
    action.sa_handler = noteSignal;
    action.sa_flags = SA_RESTART;
    for (const int signal : {SIGINT, SIGTERM})
        ::sigaction(signal, &action, nullptr);
    m_watcher = std::jthread([source = m_source](const std::stop_token& done) { watch(done, source); });
}

Interruption::~Interruption()
{
    m_watcher.request_stop();
    ::sem_post(&g_signals);  // wakes the watcher
}

}  // namespace quantloupe::cli
