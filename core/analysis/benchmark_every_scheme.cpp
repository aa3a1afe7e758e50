// SPDX-License-Identifier: GPL-3.0-or-later
// Speed and error of every scheme, in one table.
#include "core/analysis/analyze.h"
#include "core/analysis/benchmark.h"
#include "core/analysis/benchmark_weights.h"
#include "core/analysis/measure.h"
#include "core/analysis/prepared_scheme.h"
#include "core/analysis/thread_time.h"
#include "core/kernels/memory_read.h"
#include "core/statistics/median.h"

#include <tbb/task_arena.h>

#include <algorithm>
#include <array>

namespace quantloupe {

namespace {

constexpr std::uint64_t referenceRows = 256;
constexpr std::size_t errorBins = 256;
/// Rows are halved until one pass takes no longer than this, seconds.
constexpr double longestPass = 0.15;
constexpr std::uint64_t fewestRows = 16;

/// What is not the default of any format.
constexpr std::array moreSchemes {"int4:tensor", "int4:channel", "int4:g32", "int4:g128:symf", "int4:g128:asym",
    "int4:g128:asymf", "int4:b128x128", "int4:g128:mse", "int4:channel:p99.9", "int8:entropy", "int8:tensor:mse",
    "int4:s32", "int4:sbf16", "int4:se8m0", "int4:s8", "nf4:s8", "fp8_e4m3:tensor", "fp4_e2m1:g32", "ternary:channel",
    "lut4:g256", "int4+hadamard", "int4:g64:asymf+hqq", "int4+biascorr"};

std::vector<Scheme> everySchemeForReview()
{
    std::vector<Scheme> schemes;
    for (const Format format : allFormats())
        schemes.push_back(Scheme::of(format));
    for (const auto* text : moreSchemes)
        schemes.push_back(Scheme::parse(text).value());
    std::erase_if(schemes, [](const Scheme& scheme) { return !requireBuilt(scheme).has_value(); });
    return schemes;
}

Result<double> sqnrOn(const ModelTensor& tensor, const Scheme& scheme, std::stop_token stop)
{
    Progress unseen;
    const auto weights = measureWeights(tensor, stop, unseen);
    if (!weights)
        return tl::unexpected(weights.error());
    const auto measured = measureSchemes(tensor, *weights, {&scheme, 1}, std::move(stop), unseen);
    if (!measured)
        return tl::unexpected(measured.error());
    return measured->front().error.sqnrDb();
}

/// One scheme, prepared on as many rows as it can do in a short time.
class TimedScheme
{
public:
    static Result<TimedScheme> create(
        const BenchmarkTensor& tensor, std::uint64_t allRows, const Scheme& scheme, std::stop_token stop)
    {
        TimedScheme timed;
        for (std::uint64_t rows = std::min(allRows, fewestRows);; rows = std::min(allRows, rows * 4)) {
            timed.m_tensor = tensor.firstRows(rows);
            Progress unseen;
            ProgressShare share(unseen, 0);
            const auto weights = measureWeights(timed.m_tensor, stop, unseen);
            if (!weights)
                return tl::unexpected(weights.error());
            auto prepared = prepareSchemes(timed.m_tensor, *weights, {&scheme, 1}, nullptr, stop, share);
            if (!prepared)
                return tl::unexpected(prepared.error());
            timed.m_prepared = std::move(*prepared);
            const auto seconds = timed.run(errorBins, stop);
            if (!seconds)
                return tl::unexpected(seconds.error());
            if (rows == allRows || 4.0 * *seconds > longestPass)
                return timed;
        }
    }

    Result<void> round(const std::stop_token& stop)
    {
        for (auto* times : {&m_full, &m_plain}) {
            const auto seconds = run(times == &m_full ? errorBins : 0, stop);
            if (!seconds)
                return tl::unexpected(seconds.error());
            times->push_back(*seconds);
        }
        return {};
    }

    double fullRate() const { return rate(m_full); }
    double plainRate() const { return rate(m_plain); }

private:
    Result<double> run(std::size_t histogramBins, const std::stop_token& stop)
    {
        Progress unseen;
        const double begin = threadSeconds();
        auto measured = m_arena->execute(
            [&] { return measureErrors(m_tensor, m_prepared, histogramBins, stop, ProgressShare(unseen, 0)); });
        if (!measured)
            return tl::unexpected(measured.error());
        return threadSeconds() - begin;
    }
    double rate(const std::vector<double>& seconds) const
    {
        return 4e-9 * static_cast<double>(m_tensor.parameters()) / median(seconds);
    }

    ModelTensor m_tensor {};
    std::vector<PreparedScheme> m_prepared {};
    std::vector<double> m_full {}, m_plain {};
    std::shared_ptr<tbb::task_arena> m_arena = std::make_shared<tbb::task_arena>(1);
};

}  // namespace

Result<AllSchemesResult> reviewEveryScheme(const BenchmarkOptions& options, std::stop_token stop)
{
    if (options.rows == 0 || options.columns == 0 || options.rounds == 0)
        return failure(ErrorCode::InvalidArgument, "bench", "needs at least one weight and one round");
    const BenchmarkTensor tensor(options.rows, options.columns, DType::F32);
    const BenchmarkTensor gaussian(referenceRows, options.columns, DType::F32, WeightShape::Gaussian);
    const BenchmarkTensor heavy(referenceRows, options.columns, DType::F32, WeightShape::HeavyTailed);
    const MatrixShape shape {referenceRows, options.columns};
    const auto schemes = options.schemes.empty() ? everySchemeForReview() : options.schemes;

    AllSchemesResult result {
        .weights = options.rows * options.columns, .rounds = options.rounds, .memoryRead = 0.0, .schemes = {}};
    std::vector<TimedScheme> timed;
    for (const auto& scheme : schemes) {
        SchemeReview review {.scheme = scheme.toString(), .bitsPerWeight = scheme.bitsPerWeight(shape)};
        for (const auto& [reference, figure] :
            {std::pair {&gaussian, &review.sqnrGaussianDb}, {&heavy, &review.sqnrHeavyTailedDb}}) {
            const auto sqnr = sqnrOn(reference->tensor(), scheme, stop);
            if (!sqnr)
                return tl::unexpected(sqnr.error());
            *figure = *sqnr;
        }
        result.schemes.push_back(std::move(review));
        auto ready = TimedScheme::create(tensor, options.rows, scheme, stop);
        if (!ready)
            return tl::unexpected(ready.error());
        timed.push_back(std::move(*ready));
    }
    // Round by round, so that a slow spell of the machine meets all alike.
    std::vector<double> reads;
    for (unsigned round = 0; round < options.rounds; ++round) {
        // Once before, so that the weights are as near as they are for the schemes, each of which finds them just read.
        kernels::readMemory(tensor.tensor().view.bytes);
        const double begin = threadSeconds();
        kernels::readMemory(tensor.tensor().view.bytes);
        reads.push_back(threadSeconds() - begin);
        for (auto& one : timed)
            if (auto done = one.round(stop); !done)
                return tl::unexpected(done.error());
    }
    result.memoryRead = 4e-9 * static_cast<double>(result.weights) / median(reads);
    for (std::size_t i = 0; i < timed.size(); ++i) {
        auto& review = result.schemes[i];
        review.full = timed[i].fullRate();
        review.withoutHistogram = timed[i].plainRate();
        review.withoutHistogramOfMemoryRead = review.withoutHistogram / result.memoryRead;
    }
    return result;
}

}  // namespace quantloupe
