// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

namespace quantloupe {

/// Numbers that begin as 0. Large arrays come from the system as pages that are cleared when they are first touched:
/// whoever fills one in parallel clears it in parallel, and a stop is not kept waiting for gigabytes of zeros.
template<class Number>
class ZeroedArray
{
    static_assert(std::is_arithmetic_v<Number>);

public:
    ZeroedArray() = default;
    /// Throws std::bad_alloc.
    explicit ZeroedArray(std::size_t size)
        : m_values(size == 0 ? nullptr : static_cast<Number*>(std::calloc(size, sizeof(Number))))
        , m_size(size)
    {
        if (size > 0 && !m_values)
            throw std::bad_alloc();
    }

    std::size_t size() const { return m_size; }
    bool empty() const { return m_size == 0; }
    Number* data() { return m_values.get(); }
    const Number* data() const { return m_values.get(); }
    Number& operator[](std::size_t index) { return m_values.get()[index]; }
    const Number& operator[](std::size_t index) const { return m_values.get()[index]; }
    Number* begin() { return data(); }
    Number* end() { return data() + m_size; }
    const Number* begin() const { return data(); }
    const Number* end() const { return data() + m_size; }
    std::span<Number> part(std::size_t first, std::size_t count) { return std::span(*this).subspan(first, count); }

private:
    struct Free {
        void operator()(Number* values) const { std::free(values); }
    };
    std::unique_ptr<Number, Free> m_values {};
    std::size_t m_size = 0;
};

}  // namespace quantloupe
