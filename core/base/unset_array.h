// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace quantloupe {

/// Numbers that begin as anything: for what is written whole before it is read.
template<class Number>
class UnsetArray
{
    static_assert(std::is_arithmetic_v<Number>);

public:
    UnsetArray() = default;
    /// Throws std::bad_alloc.
    explicit UnsetArray(std::size_t size)
        : m_values(std::make_unique_for_overwrite<Number[]>(size))
        , m_size(size)
    {
    }
    /// What was moved from is empty.
    UnsetArray(UnsetArray&& other) noexcept
        : m_values(std::move(other.m_values))
        , m_size(std::exchange(other.m_size, 0))
    {
    }
    UnsetArray& operator=(UnsetArray&& other) noexcept
    {
        m_values = std::move(other.m_values);
        m_size = std::exchange(other.m_size, 0);
        return *this;
    }
    UnsetArray(const UnsetArray&) = delete;
    UnsetArray& operator=(const UnsetArray&) = delete;
    ~UnsetArray() = default;

    std::size_t size() const { return m_size; }
    bool empty() const { return m_size == 0; }
    Number* data() { return m_values.get(); }
    const Number* data() const { return m_values.get(); }
    Number* begin() { return data(); }
    Number* end() { return data() + m_size; }
    const Number* begin() const { return data(); }
    const Number* end() const { return data() + m_size; }

private:
    std::unique_ptr<Number[]> m_values {};
    std::size_t m_size = 0;
};

}  // namespace quantloupe
