// SPDX-License-Identifier: GPL-3.0-or-later
// The quantized model that `evaluate` runs beside the one as stored.
#pragma once

#include "app/cli/inputs.h"

#include "core/analysis/integer_layers.h"
#include "core/analysis/quantized_model.h"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe::cli {

struct EvaluatedOptions {
    RecipeChoice recipe;
    std::string keyValueCache, inject, smoothing = "0.5";
    bool integer = false;
};

void addEvaluatedOptions(CLI::App& command, EvaluatedOptions& options);

/// What the recipe comes to; nothing without one.
struct Quantized {
    std::optional<Plan> plan {};
    std::optional<Scheme> keyValueCache {};
    std::vector<std::string> injected {};  ///< tensors whose error alone is let in
    std::optional<IntegerPlan> integers {};
    std::map<std::size_t, double> smoothed {};  ///< α with which norms divide, by their tensors
    ForwardHooks hooks {};
};

/// `calibration`: ranges of layers' inputs, for static activations, and their sizes, for smoothing; layers without
/// ranges take those of the tokens at hand.
/// Errors: usage, naming the option; those of quantizedModel().
Result<Quantized> quantizeBy(
    const Session& session, const EvaluatedOptions& options, const Model& model, const ModelCalibration& calibration);

}  // namespace quantloupe::cli
