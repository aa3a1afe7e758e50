// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <new>

namespace quantloupe {

/// For vectors that begin with a cache line, so that no register full of them lies across two.
template<class T>
struct LineAllocator {
    using value_type = T;
    static constexpr std::align_val_t line {64};

    LineAllocator() = default;
    template<class U>
    LineAllocator(const LineAllocator<U>& /*other*/)
    {
    }
    T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), line)); }
    void deallocate(T* at, std::size_t /*count*/) { ::operator delete(at, line); }
    bool operator==(const LineAllocator&) const = default;
};

}  // namespace quantloupe
