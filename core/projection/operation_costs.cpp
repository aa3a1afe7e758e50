// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/projection/operation_costs.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

enum Part : std::size_t {
    EmbeddingPart,
    AttentionPart,
    CachePart,
    DensePart,
    ExpertPart,
    OtherPart,
    HeadPart,
    PartCount
};

bool isSmallFloat(Format format)
{
    return format == Format::Fp8E4M3 || format == Format::Fp8E5M2;
}

std::string_view storedType(DType type)
{
    switch (type) {
    case DType::F64:
    case DType::F32: return "fp32";
    case DType::BF16: return "bf16";
    default: return "fp16";  // halves, and whatever is decoded to them
    }
}

/// Both operands must be narrow for a narrow product: weight-only schemes are decoded and computed at FP16.
std::string_view operandType(const PlannedTensor& planned, DType stored)
{
    if (!planned.scheme)
        return storedType(stored);
    if (!planned.activations)
        return planned.scheme->format == Format::Fp32 ? "fp32"
            : planned.scheme->format == Format::Bf16  ? "bf16"
                                                      : "fp16";
    const auto weights = planned.scheme->format, inputs = planned.activations->format;
    if (isSmallFloat(weights) && isSmallFloat(inputs))
        return "fp8";
    if (!isInteger(weights) || !isInteger(inputs) || codeBits(weights) > 8.0 || codeBits(inputs) > 8.0)
        return "fp16";
    return codeBits(weights) <= 4.0 && codeBits(inputs) <= 4.0 ? "int4" : "int8";
}

Part partOf(const NameParts& parts)
{
    switch (parts.role) {
    case TensorRole::Embedding:
    case TensorRole::Position: return EmbeddingPart;
    case TensorRole::LmHead: return HeadPart;
    case TensorRole::Query:
    case TensorRole::Key:
    case TensorRole::Value:
    case TensorRole::Output:
    case TensorRole::QueryKeyValue: return AttentionPart;
    case TensorRole::Gate:
    case TensorRole::Up:
    case TensorRole::Down:
    case TensorRole::GateUp: return parts.expert || parts.expertStack ? ExpertPart : DensePart;
    default: return OtherPart;
    }
}

constexpr std::string_view partNames[PartCount] {
    "embedding", "attention weights", "kv cache", "mlp weights", "expert weights", "norms and others", "lm_head"};

std::vector<OperationCost> noCosts()
{
    std::vector<OperationCost> costs(PartCount);
    for (std::size_t part = 0; part < PartCount; ++part)
        costs[part].name = partNames[part];
    return costs;
}

void dropEmpty(std::vector<OperationCost>& costs)
{
    std::erase_if(costs, [](const OperationCost& cost) { return cost.bytes == 0.0 && cost.totalOperations() == 0.0; });
}

/// Adds what a tensor's bytes and products are in a pass.
class CostAdder
{
public:
    CostAdder(const ModelCatalog& model, const ModelFigures& figures, const Pass& pass, bool standsForHead)
        : m_model(model)
        , m_pass(pass)
        , m_standsForHead(standsForHead)
    {
        if (figures.experts == 0)
            return;
        // Independent uniform choices: an expert is left out by one token with probability 1 − k/E.
        m_expertShare = double(figures.expertsPerToken) / double(figures.experts);
        m_readShare = 1.0 - std::pow(1.0 - m_expertShare, pass.tokens);
    }

    void add(const PlannedTensor& planned, std::vector<OperationCost>& costs) const
    {
        const auto& tensor = m_model.tensors[planned.tensor];
        const auto part = partOf(tensor.parts);
        auto& cost = costs[part];
        const double bytes = double(planned.bytes), weights = double(tensor.parameters());
        const auto type = operandType(planned, tensor.dtype);
        switch (part) {
        case EmbeddingPart:  // a look-up: one row per token
            cost.bytes += bytes / double(std::max<std::uint64_t>(1, tensor.matrix.rows)) * m_pass.tokens;
            if (m_standsForHead && isTokenMatrix(tensor)) {
                costs[HeadPart].bytes += bytes;
                costs[HeadPart].compute(type, 2.0 * weights * m_pass.heads);
            }
            break;
        case HeadPart:
            if (planned.bytes == 0)
                break;  // tied: the embedding is read in its place
            cost.bytes += bytes;
            cost.compute(type, 2.0 * weights * m_pass.heads);
            break;
        case ExpertPart:
            cost.bytes += bytes * m_readShare;
            cost.compute(type, 2.0 * weights * m_expertShare * m_pass.tokens);
            break;
        default:
            cost.bytes += bytes;
            cost.compute(type, 2.0 * weights * m_pass.tokens);
            break;
        }
    }

    static bool isTokenMatrix(const CatalogTensor& tensor)
    {
        return tensor.parts.role == TensorRole::Embedding && tensor.shape.size() == 2;
    }

private:
    const ModelCatalog& m_model;
    const Pass& m_pass;
    bool m_standsForHead;
    double m_expertShare = 1.0, m_readShare = 1.0;
};

}  // namespace

void OperationCost::compute(std::string_view type, double count)
{
    const auto found =
        std::find_if(operations.begin(), operations.end(), [&](const auto& entry) { return entry.first == type; });
    if (found == operations.end())
        operations.emplace_back(type, count);
    else
        found->second += count;
}

double OperationCost::totalOperations() const
{
    double sum = 0.0;
    for (const auto& [type, count] : operations)
        sum += count;
    return sum;
}

bool embeddingStandsForHead(const ModelCatalog& model, const Plan& plan)
{
    return std::none_of(plan.tensors.begin(), plan.tensors.end(), [&](const PlannedTensor& planned) {
        const auto& tensor = model.tensors[planned.tensor];
        return planned.bytes > 0 && tensor.shape.size() == 2 && partOf(tensor.parts) == HeadPart;
    });
}

std::vector<OperationCost> operationCosts(const ModelCatalog& model, const PlannedTensor& planned,
    const ModelFigures& figures, const Pass& pass, bool standsForHead)
{
    auto costs = noCosts();
    CostAdder(model, figures, pass, standsForHead).add(planned, costs);
    dropEmpty(costs);
    return costs;
}

std::vector<OperationCost> operationCosts(
    const ModelCatalog& model, const Plan& plan, const ModelFigures& figures, const Pass& pass)
{
    auto costs = noCosts();
    // Of several embeddings the last one stands for the head.
    const bool standsForHead = embeddingStandsForHead(model, plan);
    const auto last = std::find_if(plan.tensors.rbegin(), plan.tensors.rend(),
        [&](const PlannedTensor& planned) { return CostAdder::isTokenMatrix(model.tensors[planned.tensor]); });
    const CostAdder once(model, figures, pass, false), twice(model, figures, pass, true);
    for (const auto& planned : plan.tensors) {
        const bool head = standsForHead && last != plan.tensors.rend() && &planned == &*last;
        (head ? twice : once).add(planned, costs);
    }
    // Scores and their weighted sum: a multiply-add per query value and attended token each.
    costs[CachePart].bytes = pass.cacheBytes;
    costs[CachePart].compute("fp16", 4.0 * pass.attendedTokens * double(figures.queryWidth) * double(figures.layers));
    dropEmpty(costs);
    return costs;
}

}  // namespace quantloupe
