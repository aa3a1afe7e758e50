// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/analysis/benchmark.h"

namespace quantloupe::cli {
namespace {

Findings findingsOf(const BenchmarkResult& result)
{
    Findings findings;
    Json operations = Json::array(), schemes = Json::array();
    TextTable table({"operation", "GB/s", "of memory read"});
    for (const auto& rate : result.operations) {
        operations.push_back({{"operation", rate.operation}, {"gb_per_s", number(rate.gigabytesPerSecond)},
            {"of_memory_read", number(rate.ofMemoryRead)}});
        table.add({rate.operation, {rate.gigabytesPerSecond, 3}, {rate.ofMemoryRead, 3}});
    }
    findings.table =
        TextTable({"scheme", "GB/s", "without histogram", "of memory read", "without, of read", "two threads"});
    for (const auto& rate : result.schemes) {
        schemes.push_back({{"scheme", rate.scheme}, {"gb_per_s", number(rate.full)},
            {"gb_per_s_without_histogram", number(rate.withoutHistogram)},
            {"of_memory_read", number(rate.fullOfMemoryRead)},
            {"without_histogram_of_memory_read", number(rate.withoutHistogramOfMemoryRead)},
            {"speed_up_of_two_threads", number(rate.speedUpOfTwoThreads)}});
        findings.table.add({rate.scheme, {rate.full, 3}, {rate.withoutHistogram, 3}, {rate.fullOfMemoryRead, 3},
            {rate.withoutHistogramOfMemoryRead, 3}, {rate.speedUpOfTwoThreads, 3}});
    }
    findings.text = table.text() + "\n" + findings.table.text() + "\nPer core, of FP32 weights ("
        + std::to_string(result.weights) + " of them), medians over " + std::to_string(result.rounds)
        + " rounds. Compare figures of one run only.\n";
    findings.json = {{"weights", result.weights}, {"rounds", result.rounds}, {"operations", std::move(operations)},
        {"schemes", std::move(schemes)}};
    return findings;
}

Findings findingsOf(const AllSchemesResult& result)
{
    Findings findings;
    Json schemes = Json::array();
    findings.table = TextTable(
        {"scheme", "bits", "GB/s", "without histogram", "of memory read", "SQNR Gaussian dB", "SQNR heavy-tailed dB"});
    for (const auto& review : result.schemes) {
        schemes.push_back({{"scheme", review.scheme}, {"bits_per_weight", number(review.bitsPerWeight)},
            {"gb_per_s", number(review.full)}, {"gb_per_s_without_histogram", number(review.withoutHistogram)},
            {"without_histogram_of_memory_read", number(review.withoutHistogramOfMemoryRead)},
            {"sqnr_gaussian_db", number(review.sqnrGaussianDb)},
            {"sqnr_heavy_tailed_db", number(review.sqnrHeavyTailedDb)}});
        findings.table.add({review.scheme, {review.bitsPerWeight, 4}, {review.full, 3}, {review.withoutHistogram, 3},
            {review.withoutHistogramOfMemoryRead, 3}, {review.sqnrGaussianDb, 4}, {review.sqnrHeavyTailedDb, 4}});
    }
    findings.text = findings.table.text() + "\nPer core, of FP32 weights, medians over " + std::to_string(result.rounds)
        + " rounds; plain memory read in the same run: " + std::to_string(result.memoryRead)
        + " GB/s. Rates hold all error figures, profiles by row and column, and the 256-bin histogram or none."
          " Compare figures of one run only.\n";
    findings.json = {{"weights", result.weights}, {"rounds", result.rounds},
        {"memory_read_gb_per_s", number(result.memoryRead)}, {"schemes", std::move(schemes)}};
    return findings;
}

Findings findingsOf(const ProductBenchmark& result)
{
    Findings findings;
    Json products = Json::array();
    findings.table = TextTable({"product", "tokens", "GOP/s", "times float32", "largest difference", "RMS difference"});
    for (const auto& rate : result.products) {
        products.push_back({{"product", rate.operation}, {"tokens", rate.tokens},
            {"gop_per_s", number(rate.gigaOperations)}, {"times_float32", number(rate.ofFloat)},
            {"largest_difference", number(rate.largestDifference)}, {"rms_difference", number(rate.rmsDifference)}});
        findings.table.add({rate.operation, std::to_string(rate.tokens), {rate.gigaOperations, 4}, {rate.ofFloat, 3},
            {rate.largestDifference, 2}, {rate.rmsDifference, 2}});
    }
    findings.text = findings.table.text() + "\nPer core, weights of " + std::to_string(result.rows) + "×"
        + std::to_string(result.columns) + ", medians over " + std::to_string(result.rounds) + " rounds; integers by "
        + result.instructions
        + ". Differences are to fake-quantized matrices multiplied in float32, relative to the RMS of that product."
          " Compare figures of one run only.\n";
    findings.json = {{"rows", result.rows}, {"columns", result.columns}, {"rounds", result.rounds},
        {"instructions", result.instructions}, {"products", std::move(products)}};
    return findings;
}

struct BenchOptions {
    std::vector<std::string> schemes;
    bool all = false, products = false;
    BenchmarkOptions benchmark;
};

Result<void> bench(const Session& session, BenchOptions options)
{
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    auto schemes = parseSchemes(options.schemes, Calibration::Absent);
    if (!schemes)
        return tl::unexpected(schemes.error());
    options.benchmark.schemes = std::move(*schemes);
    if (options.products) {
        const auto result = benchmarkProducts(options.benchmark, session.stop);
        if (!result)
            return tl::unexpected(result.error());
        return present(session, findingsOf(*result));
    }
    if (options.all) {
        const auto review = reviewEveryScheme(options.benchmark, session.stop);
        if (!review)
            return tl::unexpected(review.error());
        return present(session, findingsOf(*review));
    }
    const auto result = runBenchmark(options.benchmark, session.stop);
    if (!result)
        return tl::unexpected(result.error());
    return present(session, findingsOf(*result));
}

Action setUpBench(CLI::App& command)
{
    auto options = std::make_shared<BenchOptions>();
    command.add_option("--scheme", options->schemes, "Scheme to measure (repeatable; default: one of each kind)")
        ->type_name("SCHEME")
        ->expected(1)
        ->take_all();
    command.add_flag("--all", options->all, "Speed and error of every scheme (some minutes), or of those named");
    command.add_flag("--products", options->products, "Linear layers in integers (W8A8, W4A8) against float32");
    command.add_option("--rows", options->benchmark.rows, "Rows of the matrix")
        ->check(CLI::Range(std::uint64_t {1}, std::uint64_t {65536}))
        ->capture_default_str();
    command.add_option("--columns", options->benchmark.columns, "Columns of the matrix")
        ->check(CLI::Range(std::uint64_t {1}, std::uint64_t {16384}))
        ->capture_default_str();
    command.add_option("--rounds", options->benchmark.rounds, "Rounds to take the median of")
        ->check(CLI::Range(1U, 1000U))
        ->capture_default_str();
    return [options](Session& session) { return bench(session, *options); };
}

}  // namespace

extern const Command benchCommand;
const Command benchCommand {"bench", "Throughput of the kernels on this machine", OutOption, setUpBench};

}  // namespace quantloupe::cli
