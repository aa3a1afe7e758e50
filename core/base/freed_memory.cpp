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
    mallopt(M_MMAP_THRESHOLD, mebibyte);  // what is larger has pages of its own, returned at once
#endif
}

}  // namespace quantloupe
