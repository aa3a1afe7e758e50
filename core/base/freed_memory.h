// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

namespace quantloupe {

/// Has the allocator keep what is freed, up to 64 MiB for each of its arenas, for what is allocated next. For the start
/// of a program: a pass over a tensor makes and drops its sums strip by strip, and glibc would return their pages to
/// the system and get them anew each time. Does nothing with another C library.
void keepFreedMemory();

}  // namespace quantloupe
