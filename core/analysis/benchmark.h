// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/schemes/scheme.h"

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

/// What to measure. The weights are drawn from a fixed seed.
struct BenchmarkOptions {
    std::uint64_t rows = 8192, columns = 4096;  ///< 128 MiB of FP32: more than caches hold
    unsigned rounds = 7;                        ///< interleaved; medians are given
    std::vector<Scheme> schemes {};             ///< empty: defaultBenchmarkSchemes()
};

/// All rates are 10⁹ bytes of FP32 weights per second, medians over the rounds. One core: processor time of the one
/// thread, so that other programs disturb little. Compare rates of one run only: machines are shared and throttle.
struct OperationRate {
    std::string operation;  ///< "memory read", "decode f32", …
    double gigabytesPerSecond = 0.0;
    double ofMemoryRead = 0.0;  ///< share of the plain read's rate in the same run
};

struct SchemeRate {
    std::string scheme;
    double full = 0.0;  ///< decode, fit, quantize, all error figures, profiles and the 256-bin histogram
    double withoutHistogram = 0.0;
    double fullOfMemoryRead = 0.0;
    double withoutHistogramOfMemoryRead = 0.0;
    double speedUpOfTwoThreads = 0.0;  ///< of `full`, by the clock on the wall
};

struct BenchmarkResult {
    std::uint64_t weights = 0;
    unsigned rounds = 0;
    /// Memory read first. "eight schemes": uniform integers, in one pass; rates are of the weights, counted once.
    std::vector<OperationRate> operations;
    std::vector<SchemeRate> schemes;
};

/// The schemes whose kernels differ: int4:g128, int8, int4:g32:asym, fp8_e4m3, nf4, fp16, …
std::vector<Scheme> defaultBenchmarkSchemes();

/// Takes some ten seconds and 200 MB. Errors: Unsupported (a scheme that is not built), InvalidArgument (nothing to
/// measure), Cancelled.
Result<BenchmarkResult> runBenchmark(const BenchmarkOptions& options, std::stop_token stop);

}  // namespace quantloupe
