// SPDX-License-Identifier: GPL-3.0-or-later
// How llama-quantize applies its rules. Source: interop notes on recipes, sections 1.2 and 1.3.
#include "core/export_targets/ggml_plan.h"
#include "core/export_targets/ggml_types.h"

#include <algorithm>
#include <array>
#include <regex>
#include <sstream>

namespace quantloupe {
namespace {

std::string lowered(std::string_view text)
{
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
        [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return lower;
}

/// Types are spelt as schemes are, but for case.
std::optional<Scheme> schemeOfType(std::string_view type)
{
    static constexpr std::array<std::string_view, 4> kElsewhere {"f32", "f16", "bf16", "mxfp4"};
    static constexpr std::array<std::string_view, 4> kHere {"fp32", "fp16", "bf16", "mxfp4"};
    const auto name = lowered(type);
    const auto* const found = std::find(kElsewhere.begin(), kElsewhere.end(), name);
    const auto spelling = found == kElsewhere.end() ? std::string_view(name)
                                                    : kHere[static_cast<std::size_t>(found - kElsewhere.begin())];
    const bool block = name.starts_with("q") || name.starts_with("iq");
    const auto scheme = Scheme::parse(spelling);
    return scheme && (block || found != kElsewhere.end()) ? std::optional(*scheme) : std::nullopt;
}

struct TypeRule {
    std::regex pattern;
    std::string text, type;
    bool used = false;
};

struct TypeRules {
    std::vector<TypeRule> rules {};
    std::string embedding {}, output {};  ///< types of the two options
};

Result<void> addRule(TypeRules& rules, const std::string& token, const std::string& where)
{
    const auto equals = token.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == token.size())
        return failure(ErrorCode::Malformed, where, "'" + token + "' is not of the form regex=type");
    try {
        rules.rules.push_back({std::regex(lowered(token.substr(0, equals))), token, token.substr(equals + 1)});
    } catch (const std::regex_error&) {
        return failure(ErrorCode::Malformed, where, "'" + token + "' does not begin with a regular expression");
    }
    return {};
}

Result<TypeRules> rulesFrom(std::string_view text, const std::string& where)
{
    TypeRules rules;
    std::istringstream stream {std::string(text)};
    bool command = false;
    for (std::string token; stream >> token;) {
        // Quotes are the shell's.
        std::erase(token, '\'');
        std::erase(token, '"');
        if (token == "llama-quantize")
            command = true;
        else if (token == "--token-embedding-type")
            stream >> rules.embedding;
        else if (token == "--output-tensor-type")
            stream >> rules.output;
        else if (command && token.starts_with("--") && token != "--tensor-type")
            continue;
        else if (token.find('=') != std::string::npos || !command) {
            if (auto added = addRule(rules, token, where); !added)
                return tl::unexpected<Error>(added.error());
        }
    }
    return rules;
}

std::string typeFor(TypeRules& rules, const std::string& name, bool tied)
{
    if (name == kGgmlEmbedding && tied && !rules.output.empty())
        return rules.output;
    if (name == kGgmlEmbedding && !rules.embedding.empty())
        return rules.embedding;
    if (name == kGgmlOutput && !rules.output.empty())
        return rules.output;
    for (auto& rule : rules.rules)
        if (std::regex_search(name, rule.pattern)) {
            rule.used = true;
            return rule.type;
        }
    return {};
}

bool isStoredAs(const CatalogTensor& tensor, const Scheme& scheme)
{
    switch (tensor.dtype) {
    case DType::F32: return scheme.format == Format::Fp32;
    case DType::F16: return scheme.format == Format::Fp16;
    case DType::BF16: return scheme.format == Format::Bf16;
    default: return false;
    }
}

}  // namespace

Result<ImportedPlans> readLlamaCppRules(std::string_view text, const ModelCatalog& model, const std::string& where)
{
    auto rules = rulesFrom(text, where);
    if (!rules)
        return tl::unexpected<Error>(rules.error());
    ImportedPlans imported {.plans = std::vector<std::optional<LayerPlan>>(model.tensors.size()), .warnings = {}};
    const bool tied = std::none_of(model.tensors.begin(), model.tensors.end(),
        [](const CatalogTensor& tensor) { return tensor.parts.role == TensorRole::LmHead; });
    Remarks remarks;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        const auto name = ggufName(tensor.name, model.config.architecture);
        if (!name || !tensor.quantizable || ggmlLeavesAlone(*name, tensor.shape.size(), tensor.matrix.rows))
            continue;
        const auto type = typeFor(*rules, *name, tied);
        const auto scheme = schemeOfType(type);
        if (type.empty())
            remarks.add("no rule names these, the tool's own mixture decides", *name);
        else if (!scheme)
            remarks.add("type " + type + " has no scheme here", *name);
        else if (!isStoredAs(tensor, *scheme))
            imported.plans[i] = LayerPlan {*scheme, std::nullopt};
    }
    for (const auto& rule : rules->rules)
        if (!rule.used)
            remarks.add("rules that match no tensor, or come after others", rule.text);
    imported.warnings = remarks.lines();
    return imported;
}

}  // namespace quantloupe
