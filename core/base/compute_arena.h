// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

namespace quantloupe {

/// Threads for one job: those asked for, whatever the machine has; 0 for all the process may use.
class ComputeArena
{
public:
    explicit ComputeArena(unsigned threads)
        : m_arena(threads == 0 ? tbb::task_arena::automatic : static_cast<int>(threads))
    {
        // An arena alone never gets more workers than the machine has; more are given where they are asked for.
        if (threads > std::max(1U, std::thread::hardware_concurrency()))
            m_wider.emplace(tbb::global_control::max_allowed_parallelism, threads);
    }

    template<class Work>
    auto execute(Work&& work)
    {
        return m_arena.execute(std::forward<Work>(work));
    }

private:
    std::optional<tbb::global_control> m_wider;
    tbb::task_arena m_arena;
};

}  // namespace quantloupe
