// SPDX-License-Identifier: GPL-3.0-or-later
// For helper programs, which look at bytes of unknown origin with libraries that may break down on them.
#pragma once

#include <cstdint>

namespace quantloupe {

/// What a confined process may use up.
struct Confinement {
    std::uint64_t memory = 0;            ///< bytes of address space
    std::uint64_t processorSeconds = 0;  ///< it is killed after as many
};

/// Shuts the calling process in for good. From then on it opens no file, writes none, makes no connection and no
/// process, maps no code and leaves no core dump; what is open stays readable, and pipes writable. Where the kernel has
/// no seccomp (or we no list for this machine), only the limits hold. Under sanitizers, which need terabytes of
/// addresses, memory is not limited.
/// @return 0, or the errno of a limit that the system refused; then the process is not to read anything.
int confineThisProcess(const Confinement& confinement);

}  // namespace quantloupe
