// SPDX-License-Identifier: GPL-3.0-or-later
// A tensor-type file for llama-quantize: one rule per family of tensors, `regex=type`. The tool lower-cases each regex,
// searches (std::regex, ECMAScript) the GGUF name and takes the first that matches. Here every tensor that it would
// quantize gets exactly one rule, anchored at both ends, so that its own mixing never decides.
#include "core/export_targets/emission.h"
#include "core/export_targets/ggml_types.h"

#include <algorithm>
#include <map>

namespace quantloupe::export_targets {

extern const ExportTarget llama_cpp;

namespace {

constexpr std::string_view kEmbedding = "token_embd.weight";
constexpr std::string_view kOutput = "output.weight";

/// One tensor of the GGUF file, perhaps a stack of several of ours.
struct Target {
    std::string name;
    DType type = DType::F16;
    std::uint64_t columns = 0;
    std::uint64_t parameters = 0;
    bool requantized = false;  ///< the checkpoint holds it quantized already, in another type
    bool mixed = false;        ///< its parts were to have different types
};

/// Warnings about many tensors at once, one line per kind.
class Remarks
{
public:
    void add(const std::string& kind, const std::string& tensor) { m_tensors[kind].push_back(tensor); }
    std::vector<std::string> lines() const
    {
        std::vector<std::string> lines;
        lines.reserve(m_tensors.size());
        for (const auto& [kind, tensors] : m_tensors)
            lines.push_back(kind + ": " + shortList(tensors));
        return lines;
    }

private:
    std::map<std::string, std::vector<std::string>> m_tensors;
};

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

Result<std::vector<Target>> collect(const Plan& plan, const ModelCatalog& model, Remarks& remarks)
{
    std::vector<Target> targets;
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

/// The quantized type that holds most parameters: rules apply only under a quantized base type.
DType baseType(const std::vector<Target>& targets)
{
    std::map<DType, std::uint64_t> parameters;
    for (const auto& target : targets)
        if (isBlockType(target.type) && !ggmlFileType(target.type).empty())
            parameters[target.type] += target.parameters;
    if (!parameters.empty())
        return std::max_element(parameters.begin(), parameters.end(), [](const auto& left, const auto& right) {
            return left.second < right.second;
        })->first;
    const bool uniform = !targets.empty() && std::all_of(targets.begin(), targets.end(), [&](const Target& target) {
        return target.type == targets.front().type;
    });
    return uniform ? targets.front().type : DType::Q8_0;
}

const Target* find(const std::vector<Target>& targets, std::string_view name)
{
    const auto found =
        std::find_if(targets.begin(), targets.end(), [&](const Target& target) { return target.name == name; });
    return found == targets.end() ? nullptr : &*found;
}

std::string rulesOf(const std::vector<Target>& targets)
{
    // Types in order of appearance, so that the file reads from input to output.
    std::vector<std::pair<DType, std::vector<std::string>>> byType;
    for (const auto& target : targets) {
        if (target.name == kEmbedding || target.name == kOutput)
            continue;  // options of their own take precedence over rules
        auto group =
            std::find_if(byType.begin(), byType.end(), [&](const auto& entry) { return entry.first == target.type; });
        if (group == byType.end())
            group = byType.insert(byType.end(), {target.type, {}});
        group->second.push_back(target.name);
    }
    std::string rules;
    for (const auto& [type, names] : byType)
        for (const auto& regex : exactRegexes(names))
            rules.append("^").append(regex).append("$=").append(ggmlTypeName(type)).append("\n");
    return rules;
}

std::string commandOf(const std::vector<Target>& targets, const ModelCatalog& model)
{
    std::string command("llama-quantize");
    if (std::any_of(targets.begin(), targets.end(), [](const Target& target) { return target.requantized; }))
        command += " --allow-requantize";
    const auto* embedding = find(targets, kEmbedding);
    // Where the embedding serves as output head too, the tool may treat it as either, so both options say the same.
    const auto* output = find(targets, kOutput) ? find(targets, kOutput) : embedding;
    if (embedding)
        command.append(" --token-embedding-type ").append(ggmlTypeName(embedding->type));
    if (output)
        command.append(" --output-tensor-type ").append(ggmlTypeName(output->type));
    const auto rules = defaultExportName(llama_cpp, model);
    const auto stem = rules.substr(0, rules.size() - llama_cpp.suffix.size());
    const auto input = model.format == "gguf" && !model.path.empty() ? model.path : stem + ".gguf";
    command.append(" --tensor-type-file ").append(shellQuoted(rules));
    command.append(" ").append(shellQuoted(input)).append(" ").append(shellQuoted(stem + "-quantized.gguf"));
    return command.append(" ").append(ggmlFileType(baseType(targets)));
}

/// The type label inside the GGUF file stays that of the base type, so the truth is written down beside it.
std::string readmeOf(const std::vector<Target>& targets, const std::string& command, const ModelCatalog& model)
{
    std::map<std::string, std::pair<std::size_t, std::uint64_t>> byType;
    std::uint64_t bytes = 0;
    for (const auto& target : targets) {
        const auto size = byteCount(target.parameters, target.type).value_or(0);
        auto& entry = byType[ggmlTypeName(target.type)];
        ++entry.first;
        entry.second += size;
        bytes += size;
    }
    std::string text("Tensor types for llama-quantize, made by Quantloupe.\n\n");
    if (model.format != "gguf")
        text += "Convert the checkpoint to GGUF first, in its own precision.\n";
    text += "Run: " + command + "\n\nTensors and bytes by type, small unquantized tensors aside:\n";
    for (const auto& [type, entry] : byType)
        text +=
            "  " + type + ": " + std::to_string(entry.first) + " tensors, " + std::to_string(entry.second) + " bytes\n";
    return text + "  total: " + std::to_string(bytes) + " bytes\n";
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    Remarks remarks;
    const auto targets = collect(plan, model, remarks);
    if (!targets)
        return tl::unexpected<Error>(targets.error());
    if (targets->empty())
        return failure(
            ErrorCode::Unsupported, model.path, "the model holds no tensor that llama-quantize would quantize");
    if (recipe.keyValueCache)
        remarks.add("the KV cache is chosen when llama.cpp runs, with --cache-type-k and --cache-type-v",
            recipe.keyValueCache->toString());
    ExportResult result;
    result.command = commandOf(*targets, model);
    result.files = {
        {"", rulesOf(*targets)}, {".readme.txt", readmeOf(*targets, result.command, model)}, planFile(recipe)};
    result.warnings = remarks.lines();
    return result;
}

}  // namespace

const ExportTarget llama_cpp {
    .name = "llama.cpp",
    .title = "llama.cpp tensor types",
    .description =
        "A rule file for llama-quantize and the command that uses it. It knows ggml types only: integer schemes "
        "become the nearest one, activation schemes and range estimators do not travel.",
    .suffix = ".tensor-types.txt",
    .write = &write,
};

}  // namespace quantloupe::export_targets
