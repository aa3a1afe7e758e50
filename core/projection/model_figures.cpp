// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/projection/model_figures.h"

#include <algorithm>
#include <set>

namespace quantloupe {
namespace {

/// Sums over the blocks of what attention projects to, read from the matrices themselves.
struct AttentionShapes {
    std::uint64_t blocks = 0;
    std::uint64_t keyValue = 0;  ///< rows of all k and v
    std::uint64_t latent = 0;    ///< rows of the compressed KV projections
    std::uint64_t query = 0;     ///< width of one block's queries
};

bool isLatent(const std::string& name)
{
    return name.find("kv_a_proj_with_mqa") != std::string::npos || name.find("attn_kv_a_mqa") != std::string::npos;
}

AttentionShapes attentionShapes(const ModelCatalog& model)
{
    AttentionShapes shapes;
    std::set<unsigned> blocks;
    std::uint64_t fusedRows = 0, fusedQuery = 0;
    for (const auto& tensor : model.tensors) {
        if (!tensor.parts.block)
            continue;
        blocks.insert(*tensor.parts.block);
        if (tensor.shape.size() < 2)
            continue;
        const auto& matrix = tensor.matrix;
        if (isLatent(tensor.name)) {
            shapes.latent += matrix.rows;
            continue;
        }
        switch (tensor.parts.role) {
        case TensorRole::Key:
        case TensorRole::Value: shapes.keyValue += matrix.rows; break;
        case TensorRole::Query: shapes.query = std::max(shapes.query, matrix.rows); break;
        case TensorRole::QueryKeyValue: fusedRows += matrix.rows; break;
        case TensorRole::Output: fusedQuery += matrix.columns; break;
        default: break;
        }
    }
    shapes.blocks = blocks.size();
    // A fused matrix holds q, k and v; the output projection takes as many columns as there are query values.
    if (fusedRows > fusedQuery && fusedQuery > 0) {
        shapes.keyValue += fusedRows - fusedQuery;
        shapes.query = std::max(shapes.query, fusedQuery / std::max<std::uint64_t>(1, shapes.blocks));
    }
    return shapes;
}

bool isMixture(const ModelCatalog& model)
{
    return std::any_of(model.tensors.begin(), model.tensors.end(),
        [](const auto& tensor) { return tensor.parts.expert || tensor.parts.expertStack; });
}

std::uint64_t expertsIn(const ModelCatalog& model)
{
    std::uint64_t experts = 0;
    for (const auto& tensor : model.tensors) {
        if (tensor.parts.expert)
            experts = std::max<std::uint64_t>(experts, *tensor.parts.expert + 1);
        else if (tensor.parts.expertStack && tensor.shape.size() == 3)
            experts = std::max(experts, tensor.shape.front());
    }
    // Stacks of other ranks do not say how many they are.
    return experts == 0 && isMixture(model) ? model.config.experts.value_or(0) : experts;
}

void takeAttention(ModelFigures& figures, const ModelCatalog& model)
{
    const auto& config = model.config;
    const auto shapes = attentionShapes(model);
    figures.layers = config.layers.value_or(shapes.blocks);
    const bool known = config.heads && (config.headDimension || (config.hiddenSize && *config.heads > 0));
    const auto headSize = config.headDimension ? *config.headDimension : known ? *config.hiddenSize / *config.heads : 0;
    figures.queryWidth = known ? *config.heads * headSize : shapes.query;
    if (shapes.latent > 0) {
        figures.cachedPerToken = shapes.latent;
        figures.keyValueWidth = shapes.latent / std::max<std::uint64_t>(1, shapes.blocks);
        figures.assumptions.emplace_back("The KV cache is counted as compressed (multi-head latent attention).");
    } else if (known) {
        figures.keyValueWidth = config.keyValueHeads.value_or(*config.heads) * headSize;
        figures.cachedPerToken = 2 * figures.layers * figures.keyValueWidth;
    } else if (shapes.keyValue > 0) {
        figures.cachedPerToken = shapes.keyValue;
        figures.keyValueWidth = shapes.keyValue / 2 / std::max<std::uint64_t>(1, shapes.blocks);
        figures.assumptions.emplace_back(
            "Head counts are not given: the KV cache follows the shapes of the k and v weights.");
    } else {
        figures.assumptions.emplace_back("Head counts are unknown: the KV cache is left out.");
    }
    figures.slidingWindow = config.slidingWindow.value_or(0);
    if (figures.slidingWindow > 0)
        figures.assumptions.push_back(
            "Every layer is taken to use the sliding window of " + std::to_string(figures.slidingWindow) + " tokens.");
}

}  // namespace

ModelFigures figuresOf(const ModelCatalog& model)
{
    ModelFigures figures;
    takeAttention(figures, model);
    std::uint64_t embeddingRows = 0, embeddingColumns = 0, denseColumns = 0, expertColumns = 0;
    for (const auto& tensor : model.tensors) {
        if (tensor.parts.role == TensorRole::Embedding && tensor.shape.size() == 2) {
            embeddingRows = tensor.matrix.rows;
            embeddingColumns = tensor.matrix.columns;
        } else if (tensor.parts.role == TensorRole::Down && !tensor.parts.sharedExpert && tensor.shape.size() <= 3) {
            auto& widest = tensor.parts.expert || tensor.parts.expertStack ? expertColumns : denseColumns;
            widest = std::max(widest, tensor.matrix.columns);
        }
    }
    figures.hidden = model.config.hiddenSize.value_or(embeddingColumns);
    figures.vocabulary = model.config.vocabulary.value_or(embeddingRows);
    figures.experts = expertsIn(model);
    // The matrices first: in a mixture the configuration's figure may be that of the dense blocks.
    figures.intermediate = denseColumns;
    figures.expertIntermediate = expertColumns;
    if (denseColumns == 0 && expertColumns == 0)
        (figures.experts > 0 ? figures.expertIntermediate : figures.intermediate) =
            model.config.intermediateSize.value_or(0);
    if (figures.experts > 0) {
        figures.expertsPerToken = model.config.expertsPerToken.value_or(0);
        if (figures.expertsPerToken == 0) {
            figures.expertsPerToken = std::min<std::uint64_t>(2, figures.experts);
            figures.assumptions.push_back(
                "Experts per token are not given: " + std::to_string(figures.expertsPerToken) + " are assumed.");
        }
        figures.expertsPerToken = std::min(figures.expertsPerToken, figures.experts);
    } else if (isMixture(model)) {
        figures.assumptions.emplace_back(
            "The number of experts is not given: every step is taken to read and compute all of them.");
    }
    if (figures.hidden == 0)
        figures.assumptions.emplace_back("The hidden size is unknown: activations are left out.");
    return figures;
}

}  // namespace quantloupe
