// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/projection/model_figures.h"
#include "core/projection/projection.h"

#include <string_view>
#include <vector>

namespace quantloupe {

/// What one pass over the model does with each of its parts, before any device is known.
struct OperationCost {
    std::string_view name;
    double bytes = 0.0;
    /// Operations by operand type, a multiply-add counts two.
    std::vector<std::pair<std::string_view, double>> operations {};

    void compute(std::string_view type, double count);
    double totalOperations() const;
};

/// The pass to cost: `tokens` run through the blocks, of which `heads` reach the output head.
struct Pass {
    double tokens = 1.0;
    double heads = 1.0;
    double attendedTokens = 0.0;  ///< tokens attended to, summed over the tokens of the pass
    double cacheBytes = 0.0;      ///< of the KV cache, read or written
};

/// Of one tensor by itself. `standsForHead`: an embedding that is read again where the output head is.
std::vector<OperationCost> operationCosts(const ModelCatalog& model, const PlannedTensor& planned,
    const ModelFigures& figures, const Pass& pass, bool standsForHead);

/// Whether no output head but the embedding is read.
bool embeddingStandsForHead(const ModelCatalog& model, const Plan& plan);

/// Of the whole pass, by kind of operation.
std::vector<OperationCost> operationCosts(
    const ModelCatalog& model, const Plan& plan, const ModelFigures& figures, const Pass& pass);

}  // namespace quantloupe
