// SPDX-License-Identifier: GPL-3.0-or-later
// Speed of products in integers, and how far they are from those of fake-quantized matrices.
#include "core/analysis/benchmark.h"
#include "core/analysis/benchmark_weights.h"
#include "core/analysis/thread_time.h"
#include "core/inference/integer_layer.h"
#include "core/statistics/median.h"

#include <tbb/task_arena.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <span>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::array benchmarkTokens {std::size_t {512}, std::size_t {1}};
constexpr std::array productSchemes {"int8/int8:token", "int8:channel:asym/int8:token:asym", "int4:g128/int8:token",
    "int4:g32/int8:token", "int4:channel/int8:token"};
/// A product of one token is over so soon that one run says little.
constexpr std::size_t runsOfOneToken = 8;

/// Whole matrices of floats with their quantized selves.
struct FakeMatrix {
    std::vector<float> rounded {};
    std::vector<std::uint32_t> codes {};
    std::vector<UnitGrid> grids {};

    FakeMatrix(Scheme scheme, std::span<const float> values, std::size_t rows)
        : rounded(values.size())
        , codes(values.size())
    {
        if (scheme.granularity.kind == Granularity::Kind::Token)
            scheme.granularity.kind = Granularity::Kind::Channel;  // a token is a row
        const auto quantizer = Quantizer::create(scheme, values.size() / rows).value();
        grids.resize(quantizer.gridCount(rows));
        quantizer.fit(values, rows, grids);
        quantizer.fakeQuantize(values, rows, grids, rounded);
        quantizer.encode(values, rows, grids, codes);
    }
};

/// What is measured on.
struct ProductOperands {
    std::size_t rows, columns;
    std::vector<float> weights, inputs;

    kernels::ConstMatrix weightMatrix() const { return {weights.data(), rows, columns, columns}; }
    kernels::ConstMatrix inputMatrix(std::size_t tokens) const { return {inputs.data(), tokens, columns, columns}; }
};

ProductOperands drawOperands(const BenchmarkOptions& options)
{
    const auto drawn = [&](std::uint64_t rows, WeightShape shape) {
        const BenchmarkTensor tensor(rows, options.columns, DType::F32, shape);
        std::vector<float> values(static_cast<std::size_t>(rows * options.columns));
        decodeRows(tensor.tensor().view, 0, rows, values);
        return values;
    };
    return {.rows = static_cast<std::size_t>(options.rows),
        .columns = static_cast<std::size_t>(options.columns),
        .weights = drawn(options.rows, WeightShape::Bell),
        .inputs = drawn(benchmarkTokens.front(), WeightShape::Gaussian)};
}

/// One thing to time for one number of tokens.
struct TimedProduct {
    ProductRate rate {};
    std::function<void()> run {};
    std::vector<double> seconds {};
};

/// An integer layer and its distance from fake quantization.
class ComparedLayer
{
public:
    ComparedLayer(const char* text, const ProductOperands& operands)
        : m_text(text)
        , m_operands(operands)
        , m_plan(LayerPlan::parse(text).value())
        , m_layer(IntegerLayer::create(m_plan.weights, *m_plan.activations, operands.rows, operands.columns).value())
    {
        FakeMatrix weights(m_plan.weights, operands.weights, operands.rows);
        m_layer.setRows(0, weights.codes, weights.grids);
        m_rounded = std::move(weights.rounded);
    }

    void run(std::size_t tokens, std::vector<float>& result) const
    {
        m_layer.run(m_operands.inputMatrix(tokens), 0, {result.data(), tokens, m_operands.rows, m_operands.rows}, {});
    }

    /// Of so many tokens; a few are enough for all of an output's weights.
    ProductRate compare(std::size_t tokens) const
    {
        const auto few = std::min<std::size_t>(tokens, 32);
        const auto columns = m_operands.columns;
        const FakeMatrix inputs(*m_plan.activations, std::span(m_operands.inputs).first(few * columns), few);
        std::vector<float> expected(few * m_operands.rows), found(expected.size());
        kernels::multiplyByTransposed({inputs.rounded.data(), few, columns, columns},
            {m_rounded.data(), m_operands.rows, columns, columns},
            {expected.data(), few, m_operands.rows, m_operands.rows});
        run(few, found);
        double largest = 0.0, squares = 0.0, size = 0.0;
        for (std::size_t i = 0; i < found.size(); ++i) {
            const double value = static_cast<double>(expected[i]);
            const double difference = static_cast<double>(found[i]) - value;
            largest = std::max(largest, std::abs(difference));
            squares += difference * difference;
            size += value * value;
        }
        const auto count = static_cast<double>(found.size());
        const double rms = std::sqrt(size / count);
        return {.operation = m_text,
            .tokens = tokens,
            .largestDifference = rms > 0.0 ? largest / rms : 0.0,
            .rmsDifference = rms > 0.0 ? std::sqrt(squares / count) / rms : 0.0};
    }
    void forgetRounded() { m_rounded = {}; }

private:
    const char* m_text;
    const ProductOperands& m_operands;
    LayerPlan m_plan;
    IntegerLayer m_layer;
    std::vector<float> m_rounded {};
};

std::vector<TimedProduct> productsOf(std::size_t tokens, const ProductOperands& operands,
    std::span<const ComparedLayer> layers, std::vector<ProductRate>& compared, std::vector<float>& result)
{
    const kernels::MutableMatrix matrix {result.data(), tokens, operands.rows, operands.rows};
    std::vector<TimedProduct> products;
    products.push_back({.rate = {.operation = "float32", .tokens = tokens}, .run = [&operands, matrix, tokens] {
                            kernels::multiplyByTransposed(
                                operands.inputMatrix(tokens), operands.weightMatrix(), matrix);
                        }});
    if (tokens == 1)
        products.push_back(
            {.rate = {.operation = "float32, matrix by vector", .tokens = tokens}, .run = [&operands, &result] {
                 kernels::multiplyByVector(operands.weightMatrix(), std::span(operands.inputs).first(operands.columns),
                     std::span(result).first(operands.rows));
             }});
    for (std::size_t i = 0; i < layers.size(); ++i)
        products.push_back({.rate = std::move(compared[i]),
            .run = [&layer = layers[i], tokens, &result] { layer.run(tokens, result); }});
    return products;
}

void finishRates(std::span<TimedProduct> products, double operations, std::vector<ProductRate>& rates)
{
    double floats = 0.0;
    for (auto& product : products) {
        product.rate.gigaOperations = 1e-9 * operations / median(product.seconds);
        if (product.rate.operation.starts_with("float32"))
            floats = std::max(floats, product.rate.gigaOperations);
    }
    for (auto& product : products) {
        product.rate.ofFloat = product.rate.gigaOperations / floats;
        rates.push_back(std::move(product.rate));
    }
}

}  // namespace

Result<ProductBenchmark> benchmarkProducts(const BenchmarkOptions& options, std::stop_token stop)
{
    if (options.rows == 0 || options.columns == 0 || options.rounds == 0)
        return failure(ErrorCode::InvalidArgument, "bench", "needs at least one weight and one round");
    if (options.columns > 32'768)
        return failure(ErrorCode::InvalidArgument, "bench", "sums of so many products may exceed 32 bits");
    const auto operands = drawOperands(options);
    tbb::task_arena one(1);
    std::vector<ComparedLayer> layers;
    std::array<std::vector<ProductRate>, benchmarkTokens.size()> compared;
    for (const auto* text : productSchemes) {
        if (stop.stop_requested())
            return failure(ErrorCode::Cancelled, "bench", "stopped on request");
        auto& layer = layers.emplace_back(text, operands);
        for (std::size_t i = 0; i < benchmarkTokens.size(); ++i)
            compared[i].push_back(one.execute([&] { return layer.compare(benchmarkTokens[i]); }));
        layer.forgetRounded();
    }
    ProductBenchmark benchmark {.rows = options.rows,
        .columns = options.columns,
        .rounds = options.rounds,
        .instructions = std::string(kernels::bestTiles(kernels::CodeWidth::Byte).name),
        .products = {}};
    std::vector<float> result(benchmarkTokens.front() * operands.rows);
    for (std::size_t i = 0; i < benchmarkTokens.size(); ++i) {
        const auto tokens = benchmarkTokens[i];
        auto products = productsOf(tokens, operands, layers, compared[i], result);
        const auto rounds = options.rounds * (tokens == 1 ? runsOfOneToken : 1);
        // Round by round, so that a slow spell of the machine meets all alike.
        for (std::size_t round = 0; round < rounds; ++round)
            for (auto& product : products) {
                if (stop.stop_requested())
                    return failure(ErrorCode::Cancelled, "bench", "stopped on request");
                product.seconds.push_back(one.execute([&] {
                    const double begin = threadSeconds();
                    product.run();
                    return threadSeconds() - begin;
                }));
            }
        finishRates(products,
            2.0 * static_cast<double>(tokens) * static_cast<double>(options.rows)
                * static_cast<double>(options.columns),
            benchmark.products);
    }
    return benchmark;
}

}  // namespace quantloupe
