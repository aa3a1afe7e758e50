// SPDX-License-Identifier: GPL-3.0-or-later
// Where parallel work of this room runs. For use inside this room.
#pragma once

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <optional>
#include <thread>

namespace quantloupe {

/// An arena of so many threads; 0: all the process may use.
class WorkArena
{
public:
    explicit WorkArena(unsigned threads)
        : m_arena(threads == 0 ? tbb::task_arena::automatic : static_cast<int>(threads))
    {
        // An arena alone never gets more workers than the machine has; more are given where they are asked for.
        if (threads > std::max(1U, std::thread::hardware_concurrency()))
            m_wider.emplace(tbb::global_control::max_allowed_parallelism, threads);
    }

    template<class Work>
    auto execute(const Work& work)
    {
        return m_arena.execute(work);
    }

private:
    std::optional<tbb::global_control> m_wider {};
    tbb::task_arena m_arena;
};

}  // namespace quantloupe
