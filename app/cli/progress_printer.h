// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"

#include <chrono>
#include <string>
#include <thread>

namespace quantloupe::cli {

/// What a Progress counts: tensors and their bytes, or the steps of a training.
enum class ProgressUnit { Tensors, Steps };

/// Shows a Progress on standard error while it lives: a bar that redraws itself on a terminal, one line every few
/// seconds elsewhere, nothing when quiet.
class ProgressPrinter
{
public:
    ProgressPrinter(const Progress& progress, bool quiet, ProgressUnit unit = ProgressUnit::Tensors);
    ProgressPrinter(const ProgressPrinter&) = delete;
    ProgressPrinter& operator=(const ProgressPrinter&) = delete;
    ~ProgressPrinter();

private:
    std::jthread m_thread;
};

/// "17 of 45 tensors, 43 %, 1.2 GB/s, 12 s left", or "17 of 45 steps, 37 %, 12 s left", from what was done in
/// `elapsed`.
std::string progressLine(const Progress& progress, std::chrono::duration<double> elapsed, ProgressUnit unit);

}  // namespace quantloupe::cli
