// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/model/catalog.h"

namespace quantloupe::cli {
namespace {

std::string shapeText(const Shape& shape)
{
    std::string text;
    for (const auto extent : shape)
        text += (text.empty() ? "" : "×") + std::to_string(extent);
    return text.empty() ? "scalar" : text;
}

Json configOf(const ModelConfig& config)
{
    return {
        {"hidden_size", orNull(config.hiddenSize)},
        {"layers", orNull(config.layers)},
        {"heads", orNull(config.heads)},
        {"key_value_heads", orNull(config.keyValueHeads)},
        {"head_dimension", orNull(config.headDimension)},
        {"intermediate_size", orNull(config.intermediateSize)},
        {"vocabulary", orNull(config.vocabulary)},
        {"context_length", orNull(config.contextLength)},
        {"experts", orNull(config.experts)},
        {"experts_per_token", orNull(config.expertsPerToken)},
        {"sliding_window", orNull(config.slidingWindow)},
        {"tied_embeddings", config.tiedEmbeddings},
    };
}

Json modelOf(const Model& model)
{
    Json files = Json::array();
    for (const auto& file : model.files)
        files.push_back(file.string());
    return {
        {"path", model.path.string()},
        {"format", model.format},
        {"architecture", model.config.architecture.empty() ? Json(nullptr) : Json(model.config.architecture)},
        {"fingerprint", model.fingerprint},
        {"parameters", model.parameters()},
        {"bytes", model.bytes()},
        {"synthetic", model.synthetic},
        {"config", configOf(model.config)},
        {"files", std::move(files)},
    };
}

/// What a study already holds for the model; null without --study.
Result<Json> studyOf(const Session& session, const Model& model)
{
    if (session.options.study.empty())
        return Json(nullptr);
    const auto study = Study::read(session.options.study);
    if (!study)
        return tl::unexpected(study.error());
    if ((*study)->model.fingerprint != model.fingerprint)
        return failure(ErrorCode::Conflict, session.options.study.string(),
            "belongs to another model: it has fingerprint " + (*study)->model.fingerprint + ", this model has "
                + model.fingerprint);
    return Json {{"path", session.options.study.string()}, {"tensors_measured", (*study)->weights.size()},
        {"schemes", (*study)->schemes()}};
}

Result<void> inspect(const Session& session, const std::string& name)
{
    const auto model = openNamedModel(session, name);
    if (!model)
        return tl::unexpected(model.error());
    auto study = studyOf(session, **model);
    if (!study)
        return tl::unexpected(study.error());

    Findings findings;
    Json tensors = Json::array();
    findings.table =
        TextTable({"name", "role", "block", "shape", "dtype", "packing", "bits_per_weight", "parameters", "bytes"});
    const auto catalog = catalogOf(**model);
    for (std::size_t i = 0; i < catalog.tensors.size(); ++i) {
        const auto& tensor = (*model)->tensors[i];
        if (!session.wants(tensor.name))
            continue;
        const auto role = nameOf(tensor.parts.role);
        const auto type = nameOf(tensor.view.dtype);
        const auto& packing = catalog.tensors[i].packing;
        const auto bits = catalog.tensors[i].bitsPerWeight();
        tensors.push_back({
            {"name", tensor.name},
            {"role", role},
            {"block", orNull(tensor.parts.block)},
            {"shape", tensor.view.shape},
            {"matrix", {matrixShape(tensor.view).rows, matrixShape(tensor.view).columns}},
            {"dtype", type},
            {"packing", packing.empty() ? Json(nullptr) : Json(packing)},
            {"bits_per_weight", number(bits)},
            {"parameters", tensor.parameters()},
            {"bytes", tensor.bytes()},
            {"quantizable", tensor.quantizable()},
            {"expert", orNull(tensor.parts.expert)},
            {"fused_group", tensor.parts.fusedGroup.empty() ? Json(nullptr) : Json(tensor.parts.fusedGroup)},
        });
        findings.table.add(
            {tensor.name, role, tensor.parts.block ? Cell(std::uint64_t {*tensor.parts.block}) : Cell(""),
                shapeText(tensor.view.shape), type, packing, bits, tensor.parameters(), tensor.bytes()});
    }
    const auto& m = **model;
    findings.text = printable(m.path.string()) + "\n" + m.format + ", "
        + (m.config.architecture.empty() ? "unknown architecture" : printable(m.config.architecture)) + ", "
        + std::to_string(m.tensors.size()) + " tensors, " + std::to_string(m.parameters()) + " parameters, "
        + byteText(static_cast<double>(m.bytes())) + (m.synthetic ? ", synthetic weights" : "") + "\nfingerprint "
        + m.fingerprint + "\n\n" + findings.table.text();
    if (tensors.empty() && !session.options.tensors.empty())
        session.warn("no tensor matches --tensors");
    for (const auto& warning : session.options.quiet ? std::vector<std::string>() : m.warnings)
        findings.text += "\nWarning: " + printable(warning) + "\n";

    Json metadata = Json::array();
    for (const auto& [key, value] : m.metadata)
        metadata.push_back({{"key", key}, {"value", value}});
    findings.json = {{"model", modelOf(m)}, {"tensors", std::move(tensors)}, {"metadata", std::move(metadata)},
        {"warnings", m.warnings}};
    if (!study->is_null())
        findings.json["study"] = std::move(*study);
    return present(session, findings);
}

Action setUpInspect(CLI::App& command)
{
    auto name = std::make_shared<std::string>();
    command.add_option("MODEL", *name, "Checkpoint to list")->required();
    return [name](Session& session) { return inspect(session, *name); };
}

}  // namespace

extern const Command inspectCommand;
const Command inspectCommand {"inspect", "Lists tensors: name, role, block, shape, dtype, parameters, bytes",
    StudyOption | OutOption | TensorsOption, setUpInspect};

}  // namespace quantloupe::cli
