// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

/// What a job has come to so far, for whoever watches it: the job appends, a view takes what is new. Any thread.
template<class T>
class LiveList
{
public:
    void append(T value)
    {
        const std::lock_guard lock(m_mutex);
        m_values.push_back(std::move(value));
    }

    /// All from number `first` on.
    std::vector<T> since(std::size_t first) const
    {
        const std::lock_guard lock(m_mutex);
        if (first >= m_values.size())
            return {};
        return {m_values.begin() + static_cast<std::ptrdiff_t>(first), m_values.end()};
    }

private:
    mutable std::mutex m_mutex;
    std::vector<T> m_values;
};
