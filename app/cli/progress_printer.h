// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"

#include <chrono>
#include <string>
#include <thread>

namespace quantloupe::cli {

/// Shows a Progress on standard error while it lives: a bar that redraws itself on a terminal, one line every few
/// seconds elsewhere, nothing when quiet.
class ProgressPrinter
{
public:
    ProgressPrinter(const Progress& progress, bool quiet);
    ProgressPrinter(const ProgressPrinter&) = delete;
    ProgressPrinter& operator=(const ProgressPrinter&) = delete;
    ~ProgressPrinter();

private:
    std::jthread m_thread;
};

/// "17 of 45 tensors, 43 %, 1.2 GB/s, 12 s left", from what was done in `elapsed`.
std::string progressLine(const Progress& progress, std::chrono::duration<double> elapsed);

}  // namespace quantloupe::cli
