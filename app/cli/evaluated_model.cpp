// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/evaluated_model.h"

#include "core/analysis/smoothing.h"
#include "core/base/compute_arena.h"
#include "core/base/glob.h"
#include "core/recipes/plan.h"

#include <charconv>
#include <system_error>
#include <utility>

namespace quantloupe::cli {
namespace {

/// The recipe with the cache of --kv-cache, which may stand alone.
Result<std::optional<Recipe>> chooseEvaluated(
    const Session& session, const EvaluatedOptions& options, const ModelCatalog& catalog)
{
    auto recipe = chooseRecipe(session, options.recipe, catalog);
    if (!recipe || options.keyValueCache.empty())
        return recipe;
    const auto refused = [&](const Error& error) {
        return usageError("--kv-cache " + options.keyValueCache, error.reason);
    };
    const auto scheme = Scheme::parse(options.keyValueCache);
    if (!scheme)
        return refused(scheme.error());
    constexpr std::size_t someDimension = 128;
    if (auto cache = quantizedCache(*scheme, someDimension); !cache)
        return refused(cache.error());
    if (!*recipe)
        recipe->emplace().keep = {"*"};
    (*recipe)->keyValueCache = *scheme;
    return recipe;
}

/// Leaves only the error of tensors that --inject names.
Result<void> injectOnly(Quantized& quantized, const EvaluatedOptions& options, const Model& model)
{
    if (options.inject.empty())
        return {};
    const auto where = "--inject " + options.inject;
    if (!quantized.plan)
        return usageError(where, "there is no error to let in: give --scheme or --recipe");
    for (auto& planned : quantized.plan->tensors) {
        const auto& name = model.tensors[planned.tensor].name;
        if (planned.scheme && globMatches(options.inject, name)) {
            quantized.injected.push_back(name);
        } else {
            planned.scheme.reset();
            planned.activations.reset();
        }
    }
    if (quantized.injected.empty())
        return usageError(where, "no tensor that is quantized has such a name");
    quantized.keyValueCache.reset();
    return {};
}

/// The strength of SmoothQuant, or nothing where it is searched for.
Result<std::optional<double>> chooseAlpha(const std::string& text)
{
    if (text == "search")
        return std::optional<double>();
    double alpha = -1.0;
    const auto* last = text.data() + text.size();
    const auto read = std::from_chars(text.data(), last, alpha);
    if (read.ec != std::errc() || read.ptr != last || !(alpha >= 0.0 && alpha <= 1.0))
        return usageError("--smooth-alpha " + text, "is neither a number in 0 ... 1 nor 'search'");
    return std::optional<double>(alpha);
}

/// The layers that can be, in integers.
Result<void> planInIntegers(Quantized& quantized, const Model& model)
{
    const auto decoder = describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    quantized.integers = planIntegers(*decoder, *quantized.plan);
    const auto& integers = *quantized.integers;
    if (!integers.integers.empty())
        return {};
    return failure(ErrorCode::InvalidArgument, "--integer",
        integers.floating.empty() ? "no layer has quantized inputs: give activations, as int8:channel/int8:token"
                                  : model.tensors[integers.floating.front().tensor].name
                + " cannot be computed in integers: " + integers.floating.front().reason);
}

}  // namespace

void addEvaluatedOptions(CLI::App& command, EvaluatedOptions& options)
{
    addRecipeOptions(command, options.recipe);
    command.add_option("--kv-cache", options.keyValueCache, "Keys and values of the cache, such as int8 or int4:g32")
        ->type_name("SCHEME");
    command.add_option("--inject", options.inject, "Only the error of these tensors, to see what becomes of it")
        ->type_name("GLOB");
    command
        .add_option("--smooth-alpha", options.smoothing,
            "How much of the outliers of activations SmoothQuant moves into weights: 0 ... 1, or 'search' for the "
            "strength of least output error behind each norm")
        ->type_name("ALPHA")
        ->capture_default_str();
    command.add_flag("--integer", options.integer, "Compute W8A8, W4A8 and narrower layers in integers");
}

Result<Quantized> quantizeBy(
    const Session& session, const EvaluatedOptions& options, const Model& model, const ModelCalibration& calibration)
{
    const auto catalog = catalogOf(model);
    const auto recipe = chooseEvaluated(session, options, catalog);
    if (!recipe)
        return tl::unexpected(recipe.error());
    Quantized quantized;
    if (*recipe)
        quantized = {.plan = resolve(**recipe, catalog), .keyValueCache = (*recipe)->keyValueCache};
    if (auto done = injectOnly(quantized, options, model); !done)
        return tl::unexpected(done.error());
    if (options.integer && !quantized.plan)
        return failure(ErrorCode::InvalidArgument, "--integer",
            "needs a recipe whose layers have activations, as int8:channel/int8:token");
    if (!quantized.plan)
        return quantized;
    if (options.integer)
        if (auto done = planInIntegers(quantized, model); !done)
            return tl::unexpected(done.error());
    const auto alpha = chooseAlpha(options.smoothing);
    if (!alpha)
        return tl::unexpected(alpha.error());
    const auto& plan = quantized.integers ? quantized.integers->rest : *quantized.plan;
    ComputeArena arena(session.threads());
    auto runtime = arena.execute(
        [&] { return runtimeModel(model, plan, quantized.keyValueCache, calibration, *alpha, session.stop); });
    if (!runtime && runtime.error().code == ErrorCode::Unsupported && !options.recipe.scheme.empty())
        return usageError("--scheme " + options.recipe.scheme, runtime.error().where + ": " + runtime.error().reason);
    if (!runtime)
        return tl::unexpected(runtime.error());
    quantized.smoothed = std::move(runtime->alphas);
    quantized.hooks = std::move(runtime->hooks);
    if (quantized.integers)
        quantized.hooks.weights =
            integerWeights(model, *quantized.integers, std::move(quantized.hooks.weights), session.stop);
    return quantized;
}

}  // namespace quantloupe::cli
