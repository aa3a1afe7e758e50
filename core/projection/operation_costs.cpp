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

std::vector<OperationCost> operationCosts(
    const ModelCatalog& model, const Plan& plan, const ModelFigures& figures, const Pass& pass)
{
    std::vector<OperationCost> costs(PartCount);
    costs[EmbeddingPart].name = "embedding";
    costs[AttentionPart].name = "attention weights";
    costs[CachePart].name = "kv cache";
    costs[DensePart].name = "mlp weights";
    costs[ExpertPart].name = "expert weights";
    costs[OtherPart].name = "norms and others";
    costs[HeadPart].name = "lm_head";

    const double experts = double(figures.experts), perToken = double(figures.expertsPerToken);
    // Independent uniform choices: an expert is left out by one token with probability 1 − k/E.
    const double readShare = figures.experts > 0 ? 1.0 - std::pow(1.0 - perToken / experts, pass.tokens) : 1.0;
    const PlannedTensor* embedding = nullptr;
    bool head = false;
    for (const auto& planned : plan.tensors) {
        const auto& tensor = model.tensors[planned.tensor];
        const auto part = partOf(tensor.parts);
        auto& cost = costs[part];
        const double bytes = double(planned.bytes), weights = double(tensor.parameters());
        const auto type = operandType(planned, tensor.dtype);
        switch (part) {
        case EmbeddingPart:  // a look-up: one row per token
            cost.bytes += bytes / double(std::max<std::uint64_t>(1, tensor.matrix.rows)) * pass.tokens;
            if (tensor.parts.role == TensorRole::Embedding && tensor.shape.size() == 2)
                embedding = &planned;
            break;
        case HeadPart:
            if (planned.bytes == 0)
                break;  // tied: the embedding is read in its place
            head = head || tensor.shape.size() == 2;
            cost.bytes += bytes;
            cost.compute(type, 2.0 * weights * pass.heads);
            break;
        case ExpertPart:
            cost.bytes += bytes * readShare;
            cost.compute(type, 2.0 * weights * (experts > 0.0 ? perToken / experts : 1.0) * pass.tokens);
            break;
        default:
            cost.bytes += bytes;
            cost.compute(type, 2.0 * weights * pass.tokens);
            break;
        }
    }
    if (!head && embedding) {
        costs[HeadPart].bytes += double(embedding->bytes);
        const auto& tensor = model.tensors[embedding->tensor];
        costs[HeadPart].compute(operandType(*embedding, tensor.dtype), 2.0 * double(tensor.parameters()) * pass.heads);
    }
    // Scores and their weighted sum: a multiply-add per query value and attended token each.
    costs[CachePart].bytes = pass.cacheBytes;
    costs[CachePart].compute("fp16", 4.0 * pass.attendedTokens * double(figures.queryWidth) * double(figures.layers));

    std::erase_if(costs, [](const OperationCost& cost) { return cost.bytes == 0.0 && cost.totalOperations() == 0.0; });
    return costs;
}

}  // namespace quantloupe
