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
    /// Memory read first, from front to back, which is what shares are of. "eight schemes": uniform integers, in one
    /// pass; rates are of the weights, counted once.
    std::vector<OperationRate> operations;
    std::vector<SchemeRate> schemes;
};

/// The schemes whose kernels differ: int4:g128, int8, int4:g32:asym, fp8_e4m3, nf4, fp16, …
std::vector<Scheme> defaultBenchmarkSchemes();

/// Takes some ten seconds and 200 MB. Errors: Unsupported (a scheme that is not built), InvalidArgument (nothing to
/// measure), Cancelled.
Result<BenchmarkResult> runBenchmark(const BenchmarkOptions& options, std::stop_token stop);

/// One way of multiplying activations [tokens × columns] with weights [rows × columns], on one core: quantizing and
/// packing the activations included, packing the weights not.
struct ProductRate {
    std::string operation;  ///< "float32", "float32, matrix by vector" (of one token alone), "int8/int8:token", …
    std::uint64_t tokens = 0;
    double gigaOperations = 0.0;  ///< 10⁹ multiplications and additions per second
    double ofFloat = 0.0;         ///< times the rate of the quickest float32 product of as many tokens
    /// Against fake-quantized matrices multiplied in float32, relative to the RMS of that product. 0 for float32.
    double largestDifference = 0.0, rmsDifference = 0.0;
};

struct ProductBenchmark {
    std::uint64_t rows = 0, columns = 0;
    unsigned rounds = 0;
    std::string instructions;  ///< what multiplies the bytes
    std::vector<ProductRate> products;
};

/// Linear layers in integers against OpenBLAS in float32, for 512 tokens and for one. `schemes` of the options are not
/// looked at. Errors: InvalidArgument (nothing to measure), Cancelled.
Result<ProductBenchmark> benchmarkProducts(const BenchmarkOptions& options, std::stop_token stop);

/// One scheme in the table over all of them.
struct SchemeReview {
    std::string scheme;
    double bitsPerWeight = 0.0;     ///< on the reference matrices
    double full = 0.0;              ///< as in SchemeRate
    double withoutHistogram = 0.0;  ///< likewise
    double withoutHistogramOfMemoryRead = 0.0;
    double sqnrGaussianDb = 0.0;     ///< on a matrix of Gaussian weights
    double sqnrHeavyTailedDb = 0.0;  ///< on one of Student's t with four degrees of freedom
};

struct AllSchemesResult {
    std::uint64_t weights = 0;
    unsigned rounds = 0;
    double memoryRead = 0.0;  ///< 10⁹ bytes per second
    std::vector<SchemeReview> schemes;
};

/// Every format, and the granularities, symmetries, ranges, scale storages and algorithms once each. A scheme that
/// takes long is timed on fewer rows. Takes some minutes. Errors: InvalidArgument, Cancelled.
Result<AllSchemesResult> reviewEveryScheme(const BenchmarkOptions& options, std::stop_token stop);

}  // namespace quantloupe
