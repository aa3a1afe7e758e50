// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/keras_variables.h"

#include "core/base/text.h"
#include "core/model/name_components.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>

namespace quantloupe {
namespace {

using PathParts = std::vector<std::string_view>;

PathParts pathPartsOf(std::string_view path)
{
    PathParts parts;
    for (;;) {
        const auto slash = path.find('/');
        parts.push_back(path.substr(0, slash));
        if (slash == std::string_view::npos)
            return parts;
        path.remove_prefix(slash + 1);
    }
}

std::string joinedPath(const std::string& front, std::string_view back)
{
    return front.empty() ? std::string(back) : front + "/" + std::string(back);
}

bool isAnyOf(std::string_view text, std::initializer_list<std::string_view> names)
{
    return std::find(names.begin(), names.end(), text) != names.end();
}

/// "dense" of "dense_12".
std::string_view withoutNumber(std::string_view name)
{
    const auto underscore = name.rfind('_');
    const bool numbered = underscore != std::string_view::npos && indexIn(name.substr(underscore + 1));
    return numbered ? name.substr(0, underscore) : name;
}

/// All texts of an attribute, also when it is continued in numbered ones; nullopt when it is absent.
std::optional<std::vector<std::string>> attributeTexts(
    const Hdf5Contents& contents, const std::string& group, const std::string& attribute)
{
    if (const auto whole = contents.attributes.find({group, attribute}); whole != contents.attributes.end())
        return whole->second;
    std::optional<std::vector<std::string>> texts;
    for (std::size_t i = 0;; ++i) {
        const auto piece = contents.attributes.find({group, attribute + std::to_string(i)});
        if (piece == contents.attributes.end())
            return texts;
        if (!texts)
            texts.emplace();
        texts->insert(texts->end(), piece->second.begin(), piece->second.end());
    }
}

const Hdf5Dataset* datasetAt(const std::map<std::string_view, const Hdf5Dataset*>& byPath, std::string_view path)
{
    const auto found = byPath.find(path);
    return found == byPath.end() ? nullptr : found->second;
}

/// The readable name of a weight of a legacy file, which begins with its layer's.
std::string readableName(std::string_view layer, std::string_view weight)
{
    if (const auto colon = weight.rfind(':'); colon != std::string_view::npos && indexIn(weight.substr(colon + 1)))
        weight = weight.substr(0, colon);
    const auto parts = pathPartsOf(weight);
    std::size_t first = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
        if (parts[i] == layer || withoutNumber(parts[i]) == layer) {
            first = i + 1;
            break;
        }
    std::string name(layer);
    for (std::size_t i = first; i < parts.size(); ++i)
        name.append("/").append(parts[i]);
    // "layer_._0" of Transformers.
    std::string_view rest = name;
    std::string plain;
    for (std::size_t at; (at = rest.find("_._")) != std::string_view::npos; rest.remove_prefix(at + 3))
        plain.append(rest.substr(0, at)).append("/");
    return plain.append(rest);
}

/// What the variables of a layer are called, in the order Keras 3 stores them. Source: the `build` methods of its
/// layers.
std::vector<std::string_view> variableNames(std::string_view kind, std::size_t count)
{
    if (isAnyOf(kind, {"depthwise_conv1d", "depthwise_conv2d"}))
        return {"depthwise_kernel", "bias"};
    if (isAnyOf(kind, {"separable_conv1d", "separable_conv2d"}))
        return {"depthwise_kernel", "pointwise_kernel", "bias"};
    if (kind == "dense" || kind == "einsum_dense" || kind.starts_with("conv"))
        return {"kernel", "bias"};
    if (isAnyOf(kind, {"lstm", "gru", "simple_rnn"}))
        return {"kernel", "recurrent_kernel", "bias"};
    if (isAnyOf(kind, {"embedding", "reversible_embedding"}))
        return {"embeddings"};
    if (kind == "batch_normalization" && count == 4)
        return {"gamma", "beta", "moving_mean", "moving_variance"};
    if (isAnyOf(kind, {"layer_normalization", "group_normalization"}) && count == 2)
        return {"gamma", "beta"};
    return {};
}

/// Follows the path of a group that owns variables, from the model inward.
struct KerasPlace {
    std::string layer, kind;

    static KerasPlace of(const PathParts& path, const KerasLayer& model, const KerasLayerIndex& index)
    {
        KerasPlace place;
        const KerasLayer* around = &model;
        for (std::size_t i = 0; i < path.size(); ++i) {
            const auto part = path[i].substr(path[i].starts_with("_") ? 1 : 0);
            const bool list = isAnyOf(part, {"layers", "layer_checkpoint_dependencies"});
            if (list && i + 1 < path.size()) {
                const auto key = path[++i];
                around = around ? index.byKey(*around, key) : nullptr;
                place.enter(around && !around->name.empty() ? std::string_view(around->name) : key,
                    around ? around->kind() : std::string(withoutNumber(key)));
            } else if (part == "functional" && i == 0) {
                continue;  // a model that is built when first called keeps the one that it builds
            } else if (part == "cell" && isAnyOf(place.kind, {"lstm", "gru", "simple_rnn"})) {
                continue;
            } else if (isAnyOf(part, {"forward_layer", "backward_layer", "layer"}) && around
                && !around->wrapped.empty()) {
                around = &around->wrapped.front();
                place.enter(part, around->kind());
            } else if (isAnyOf(part, {"query_dense", "key_dense", "value_dense"})) {
                place.enter(part.substr(0, part.size() - 6), "einsum_dense");
            } else if (part == "output_dense") {
                place.enter("attention_output", "einsum_dense");
            } else {
                around = nullptr;
                place.enter(part, std::string(withoutNumber(part)));
            }
        }
        return place;
    }

    void enter(std::string_view name, std::string itsKind)
    {
        layer = joinedPath(layer, name);
        kind = std::move(itsKind);
    }
};

/// Layers in the order in which they were written: that of their largest arrays, small ones lie together elsewhere.
/// Where some are packed, nothing is known of it, and the order of names stays.
template<class Groups>
void sortByPlace(Groups& groups)
{
    const auto place = [](const auto& group) {
        const auto& variables = group.second;
        return (*std::max_element(variables.begin(), variables.end(), [](const auto* a, const auto* b) {
            return a->bytes < b->bytes;
        }))->offset;
    };
    if (std::all_of(groups.begin(), groups.end(), [&](const auto& group) { return place(group).has_value(); }))
        std::stable_sort(
            groups.begin(), groups.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
}

/// A layer of an unknown class with a matrix and as many numbers as the matrix has columns: a dense one.
bool looksDense(const std::vector<const Hdf5Dataset*>& variables)
{
    return variables.size() == 2 && variables[0]->shape.size() >= 2 && variables[1]->shape.size() == 1
        && variables[1]->shape[0] == variables[0]->shape.back();
}

}  // namespace

Result<std::optional<KerasVariables>> legacyKerasVariables(
    const Hdf5Contents& contents, const KerasLayer& model, const std::string& where)
{
    std::string root = "model_weights";
    auto layers = attributeTexts(contents, root, "layer_names");
    if (!layers) {
        root.clear();
        layers = attributeTexts(contents, root, "layer_names");
    }
    if (!layers)
        return std::nullopt;
    std::map<std::string_view, const Hdf5Dataset*> byPath;
    for (const auto& dataset : contents.datasets)
        byPath[dataset.path] = &dataset;
    if (attributeTexts(contents, joinedPath(root, "top_level_model_weights"), "weight_names"))
        layers->emplace_back("top_level_model_weights");

    const KerasLayerIndex index(model);
    KerasVariables found;
    std::set<std::string_view> seenLayers;
    std::set<const Hdf5Dataset*> seenWeights;
    for (const auto& layer : *layers) {
        if (!seenLayers.insert(layer).second)
            return failure(ErrorCode::Malformed, where, "layer " + inQuotes(layer) + " is listed twice");
        const auto group = joinedPath(root, layer);
        const auto weights = attributeTexts(contents, group, "weight_names");
        if (!weights)
            return failure(
                ErrorCode::Malformed, where, "layer " + inQuotes(layer) + " does not say what weights it has");
        const auto* described = index.byName(layer);
        for (const auto& weight : *weights) {
            const auto* dataset = datasetAt(byPath, joinedPath(group, weight));
            if (!dataset)
                return failure(ErrorCode::Malformed, where,
                    "layer " + inQuotes(layer) + " names the weight " + inQuotes(weight)
                        + ", which is no array of numbers here");
            if (!seenWeights.insert(dataset).second)
                return failure(ErrorCode::Malformed, where, "weight " + inQuotes(weight) + " is listed twice");
            auto name = readableName(layer, weight);
            const auto slash = name.rfind('/');
            found.variables.push_back({dataset, name.substr(0, slash), name.substr(slash + 1),
                described ? described->kind() : std::string()});
        }
    }
    return found;
}

std::optional<KerasVariables> keras3Variables(const Hdf5Contents& contents, const KerasLayer& model)
{
    const KerasLayerIndex index(model);
    KerasVariables found;
    std::map<std::string, std::vector<const Hdf5Dataset*>> byGroup;
    for (const auto& dataset : contents.datasets) {
        const auto slash = dataset.path.rfind('/');
        if (slash == std::string::npos || !indexIn(std::string_view(dataset.path).substr(slash + 1)))
            continue;
        const auto group = dataset.path.substr(0, slash);
        if (group != "vars" && !group.ends_with("/vars"))
            continue;
        if (group.starts_with("optimizer/"))
            ++found.leftOut;
        else
            byGroup[group].push_back(&dataset);
    }
    if (byGroup.empty() && found.leftOut == 0)
        return std::nullopt;
    const auto number = [](const Hdf5Dataset* dataset) {
        return indexIn(std::string_view(dataset->path).substr(dataset->path.rfind('/') + 1)).value_or(0);
    };
    std::vector<std::pair<std::string, std::vector<const Hdf5Dataset*>>> groups(byGroup.begin(), byGroup.end());
    sortByPlace(groups);
    for (auto& [group, datasets] : groups) {
        std::sort(
            datasets.begin(), datasets.end(), [&](const auto* a, const auto* b) { return number(a) < number(b); });
        auto path = pathPartsOf(group);
        path.pop_back();
        const auto place = KerasPlace::of(path, model, index);
        auto names = variableNames(place.kind, datasets.size());
        if (names.empty() && looksDense(datasets))
            names = {"kernel", "bias"};
        for (const auto* dataset : datasets) {
            const auto which = number(dataset);
            found.variables.push_back({dataset, place.layer,
                which < names.size() ? std::string(names[which]) : "vars/" + std::to_string(which), place.kind});
        }
    }
    return found;
}

}  // namespace quantloupe
