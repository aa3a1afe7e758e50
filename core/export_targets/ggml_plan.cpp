// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/ggml_plan.h"

#include "core/export_targets/ggml_types.h"

#include <algorithm>

namespace quantloupe {
namespace {

/// The ggml type of what stays as stored.
DType storedType(DType type)
{
    switch (type) {
    case DType::F64:
    case DType::F32: return DType::F32;
    case DType::F16: return DType::F16;
    default: return isBlockType(type) ? type : DType::BF16;
    }
}

Result<DType> chooseType(const PlannedTensor& planned, const CatalogTensor& tensor, Remarks& remarks)
{
    if (!planned.scheme)
        return storedType(tensor.dtype);
    const auto choice = ggmlTypeFor(*planned.scheme);
    if (!choice)
        return failure(ErrorCode::Unsupported, tensor.name,
            "ggml has no type for " + planned.scheme->toString() + ", choose another scheme for this tensor");
    const auto type = ggmlTypeName(choice->type);
    if (!choice->difference.empty())
        remarks.add(planned.scheme->toString() + " becomes " + type + " (" + std::string(choice->difference) + ")",
            tensor.name);
    if (planned.scheme->range.kind != RangeEstimator::Kind::MinMax || !planned.scheme->algorithms.empty())
        remarks.add("the range and algorithm of " + planned.scheme->toString()
                + " do not travel, llama-quantize rounds by its own rules",
            tensor.name);
    if (planned.activations)
        remarks.add("activation schemes do not travel", tensor.name);
    return choice->type;
}

}  // namespace

Result<std::vector<GgmlTarget>> collectGgmlTargets(const Plan& plan, const ModelCatalog& model, Remarks& remarks)
{
    std::vector<GgmlTarget> targets;
    std::map<std::string, std::size_t> byName;
    for (const auto index : emissionOrder(model)) {
        const auto& planned = plan.tensors[index];
        const auto& tensor = model.tensors[index];
        const auto name = ggufName(tensor.name, model.config.architecture);
        if (!name) {
            if (planned.scheme)
                return failure(ErrorCode::Unsupported, tensor.name, "has no counterpart in GGUF");
            continue;  // stays as it is, or is not converted at all
        }
        if (!isPlainName(*name) || std::any_of(name->begin(), name->end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
            return failure(ErrorCode::Unsupported, tensor.name,
                "rules of llama-quantize are lower-cased and cannot name this tensor");
        if (ggmlLeavesAlone(*name, tensor.shape.size(), tensor.matrix.rows)) {
            if (planned.scheme)
                remarks.add("llama-quantize leaves these unquantized", *name);
            continue;
        }
        const auto type = chooseType(planned, tensor, remarks);
        if (!type)
            return tl::unexpected<Error>(type.error());
        const auto [entry, added] = byName.try_emplace(*name, targets.size());
        if (added)
            targets.push_back({.name = *name, .type = *type, .columns = tensor.matrix.columns});
        auto& target = targets[entry->second];
        target.parameters += tensor.parameters();
        target.requantized = target.requantized || (isBlockType(tensor.dtype) && *type != tensor.dtype);
        target.mixed = target.mixed || *type != target.type;
        if (bitsPerElement(*type) > bitsPerElement(target.type))
            target.type = *type;
    }
    for (auto& target : targets) {
        if (target.mixed)
            remarks.add("GGUF stacks experts, which so share the widest type asked for, " + ggmlTypeName(target.type),
                target.name);
        const auto fallback = ggmlTypeForRow(target.type, target.columns);
        if (fallback != target.type)
            remarks.add("rows of " + std::to_string(target.columns) + " weights do not fill blocks of "
                    + ggmlTypeName(target.type) + ", " + ggmlTypeName(fallback) + " takes its place",
                target.name);
        target.type = fallback;
    }
    return targets;
}

DType ggmlBaseType(const std::vector<GgmlTarget>& targets)
{
    std::map<DType, std::uint64_t> parameters;
    for (const auto& target : targets)
        if (isBlockType(target.type) && !ggmlFileType(target.type).empty())
            parameters[target.type] += target.parameters;
    if (!parameters.empty())
        return std::max_element(parameters.begin(), parameters.end(), [](const auto& left, const auto& right) {
            return left.second < right.second;
        })->first;
    const bool uniform = !targets.empty() && std::all_of(targets.begin(), targets.end(), [&](const GgmlTarget& target) {
        return target.type == targets.front().type;
    });
    return uniform ? targets.front().type : DType::Q8_0;
}

const GgmlTarget* findGgmlTarget(const std::vector<GgmlTarget>& targets, std::string_view name)
{
    const auto found =
        std::find_if(targets.begin(), targets.end(), [&](const GgmlTarget& target) { return target.name == name; });
    return found == targets.end() ? nullptr : &*found;
}

std::vector<std::pair<DType, std::vector<std::string>>> ggmlRules(const std::vector<GgmlTarget>& targets)
{
    std::vector<std::pair<DType, std::vector<std::string>>> byType;
    for (const auto& target : targets) {
        if (target.name == kGgmlEmbedding || target.name == kGgmlOutput)
            continue;
        auto group =
            std::find_if(byType.begin(), byType.end(), [&](const auto& entry) { return entry.first == target.type; });
        if (group == byType.end())
            group = byType.insert(byType.end(), {target.type, {}});
        group->second.push_back(target.name);
    }
    return byType;
}

}  // namespace quantloupe
