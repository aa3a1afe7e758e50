// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/catalog.h"

#include <cstdint>
#include <string>
#include <vector>

namespace quantloupe {

/// What a projection needs to know of an architecture: from the configuration, else from tensor shapes.
struct ModelFigures {
    std::uint64_t layers = 0;
    std::uint64_t hidden = 0;
    std::uint64_t intermediate = 0;        ///< of the widest MLP that is always run whole; 0 where all are mixtures
    std::uint64_t expertIntermediate = 0;  ///< of one expert in a mixture
    std::uint64_t vocabulary = 0;
    std::uint64_t queryWidth = 0;      ///< heads × head size
    std::uint64_t cachedPerToken = 0;  ///< values cached per token, all layers; 0 when unknown
    std::uint64_t keyValueWidth = 0;   ///< KV heads × head size, one layer
    std::uint64_t experts = 0;         ///< 0: no mixture
    std::uint64_t expertsPerToken = 0;
    std::uint64_t slidingWindow = 0;       ///< tokens; 0: none
    std::vector<std::string> assumptions;  ///< sentences
};

ModelFigures figuresOf(const ModelCatalog& model);

}  // namespace quantloupe
