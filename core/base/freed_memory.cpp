// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/freed_memory.h"

#include <cstdlib>  // tells which library it is
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace quantloupe {

void keepFreedMemory()
{
#ifdef __GLIBC__
    constexpr int mebibyte = 1 << 20;
    mallopt(M_TRIM_THRESHOLD, 64 * mebibyte);
    // The most there is, where glibc itself would end; setting one threshold keeps it from moving the other.
    mallopt(M_MMAP_THRESHOLD, 32 * mebibyte);
#endif
}

}  // namespace quantloupe
