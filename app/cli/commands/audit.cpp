// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/audit.h"

#include <chrono>

namespace quantloupe::cli {
namespace {

struct AuditCommandOptions {
    std::string original, quantized;
    bool noSchemes = false;
};

Json checkpointJson(const Model& model)
{
    return {{"path", model.path.string()}, {"format", model.format}, {"fingerprint", model.fingerprint},
        {"parameters", model.parameters()}, {"bytes", model.bytes()}};
}

/// The figures of `error` under the names that `analyze` gives them.
Json errorJson(const ErrorStatistics& error)
{
    return {
        {"mse", number(error.mse())},
        {"sqnr_db", number(error.sqnrDb())},
        {"relative_error", number(error.relativeError())},
        {"cosine", number(error.cosine())},
        {"max_abs_error", number(error.maxAbsError)},
        {"nonfinite", error.nonFinite},
    };
}

Json bestJson(const std::optional<BestScheme>& best)
{
    if (!best)
        return nullptr;
    return {
        {"scheme", best->scheme.toString()},
        {"bits_per_weight", number(best->bitsPerWeight)},
        {"sqnr_db", number(best->sqnrDb)},
        {"audited_sqnr_db", number(best->auditedSqnrDb)},
        {"gain_db", number(best->gain())},
        {"rows_measured", best->measuredRows},
        {"rows", best->rows},
    };
}

/// [least, most] of the factors that channels were multiplied by.
Json rescaledJson(const std::optional<RescaledChannels>& rescaled)
{
    if (!rescaled)
        return nullptr;
    const auto range = [](const FactorRange& factors) -> Json {
        return {number(static_cast<double>(factors.least)), number(static_cast<double>(factors.most))};
    };
    return {{"output_channels", range(rescaled->rows)}, {"input_channels", range(rescaled->columns)}};
}

Json tensorJson(const AuditedTensor& tensor)
{
    const bool readable = tensor.verdict != AuditVerdict::Unreadable;
    Json json {
        {"tensor", tensor.original},
        {"quantized_tensor", tensor.quantized},
        {"role", nameOf(tensor.parts.role)},
        {"block", orNull(tensor.parts.block)},
        {"matrix", {tensor.shape.rows, tensor.shape.columns}},
        {"dtype", nameOf(tensor.originalType)},
        {"scheme", tensor.storedAs},
        {"bits_per_weight", number(tensor.bitsPerWeight)},
        {"bytes", tensor.bytes},
        {"original_bytes", tensor.originalBytes},
        {"quantizable", tensor.quantizable},
        {"verdict", nameOf(tensor.verdict)},
        {"note", tensor.note.empty() ? Json(nullptr) : Json(tensor.note)},
        {"rotary_rows_reordered", tensor.rotaryRowsReordered},
        {"rescaled", rescaledJson(tensor.rescaled)},
        {"best", bestJson(tensor.best)},
    };
    auto figures = errorJson(tensor.error);
    for (auto& [name, value] : figures.items())
        json[name] = readable ? value : Json(nullptr);
    return json;
}

Json totalsJson(const Audit& found)
{
    Json totals {
        {"tensors", found.tensors.size()},
        {"quantized", found.count(AuditVerdict::Quantized)},
        {"kept", found.count(AuditVerdict::Kept)},
        {"left_unquantized", found.leftUnquantized()},
        {"different", found.count(AuditVerdict::Different)},
        {"unreadable", found.count(AuditVerdict::Unreadable)},
        {"shape_mismatches", found.mismatched.size()},
        {"missing", found.missing.size()},
        {"extra", found.extra.size()},
        {"bits_per_weight", number(found.bitsPerWeight())},
    };
    totals.update(errorJson(found.weightError()));
    return totals;
}

Json auditJson(const Audit& found)
{
    Json tensors = Json::array(), unquantized = Json::array(), mismatched = Json::array();
    for (const auto& tensor : found.tensors) {
        tensors.push_back(tensorJson(tensor));
        if (tensor.verdict == AuditVerdict::Kept && tensor.quantizable)
            unquantized.push_back(tensor.original);
    }
    for (const auto& pair : found.mismatched)
        mismatched.push_back({{"tensor", pair.original}, {"quantized_tensor", pair.quantized},
            {"shape", pair.originalShape}, {"quantized_shape", pair.quantizedShape}});
    return {{"tensors", std::move(tensors)}, {"left_unquantized", std::move(unquantized)},
        {"shape_mismatches", std::move(mismatched)}, {"missing", found.missing}, {"extra", found.extra},
        {"totals", totalsJson(found)}, {"clean", found.isClean()}};
}

TextTable auditTable(const Audit& found)
{
    TextTable table({"tensor", "scheme", "verdict", "bits_per_weight", "sqnr_db", "relative_error", "cosine",
        "max_abs_error", "mse", "best_scheme", "best_sqnr_db", "gain_db"});
    const auto nothing = [] { return Cell(""); };
    for (const auto& tensor : found.tensors) {
        const auto& error = tensor.error;
        const auto& best = tensor.best;
        table.add({tensor.original, tensor.storedAs, nameOf(tensor.verdict), tensor.bitsPerWeight, error.sqnrDb(),
            error.relativeError(), {error.cosine(), 7}, error.maxAbsError, error.mse(),
            best ? Cell(best->scheme.toString()) : nothing(), best ? Cell(best->sqnrDb) : nothing(),
            best ? Cell(best->gain(), 3) : nothing()});
    }
    return table;
}

std::string shapeWords(const Shape& shape)
{
    std::string text;
    for (const auto extent : shape)
        text += (text.empty() ? "" : "×") + std::to_string(extent);
    return text.empty() ? "a scalar" : text;
}

std::string auditText(const Audit& found)
{
    auto text = auditTable(found).text() + "\n";
    const auto error = found.weightError();
    TextTable totals({"weight matrices", "bits per weight", "SQNR dB", "relative error", "cosine"});
    std::uint64_t matrices = 0;
    for (const auto& tensor : found.tensors)
        matrices += tensor.quantizable ? 1 : 0;
    totals.add({matrices, found.bitsPerWeight(), error.sqnrDb(), error.relativeError(), {error.cosine(), 7}});
    text += totals.text() + "\n";
    if (const auto left = found.leftUnquantized(); left > 0)
        text += std::to_string(left) + " of them are stored as in the original or in 16 bits and more.\n";
    std::uint64_t rescaled = 0;
    for (const auto& tensor : found.tensors)
        rescaled += tensor.rescaled ? 1 : 0;
    if (rescaled > 0)
        text += "Channels of " + std::to_string(rescaled)
            + " tensors were multiplied before they were quantized, as AWQ and SmoothQuant do: their errors are "
              "without\n"
              "those factors.\n";
    for (const auto& tensor : found.tensors)
        if (!tensor.note.empty())
            text += printable(tensor.original + " " + tensor.note) + ".\n";
    for (const auto& pair : found.mismatched)
        text += printable(pair.original + " is " + shapeWords(pair.originalShape) + " in the original and "
                    + shapeWords(pair.quantizedShape) + " in the checkpoint")
            + ".\n";
    for (const auto& name : found.missing)
        text += printable(name + " is missing in the checkpoint") + ".\n";
    for (const auto& name : found.extra)
        text += printable(name + " is not in the original") + ".\n";
    if (found.isClean())
        text += "Every tensor has its counterpart, and none differs by more than its storage explains.\n";
    return text;
}

Result<void> auditCheckpoint(const Session& session, const AuditCommandOptions& options)
{
    const auto start = std::chrono::steady_clock::now();
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto original = openNamedModel(session, options.original);
    if (!original)
        return tl::unexpected(original.error());
    const auto quantized = openNamedModel(session, options.quantized);
    if (!quantized)
        return tl::unexpected(quantized.error());
    const auto found = [&] {
        Progress progress;
        const ProgressPrinter printer(progress, session.options.quiet);
        return audit(**original, **quantized,
            {.threads = session.threads(),
                .wants = [&](const std::string& tensor) { return session.wants(tensor); },
                .compareWithSchemes = !options.noSchemes},
            session.stop, progress);
    }();
    if (!found)
        return tl::unexpected(found.error());
    if (found->tensors.empty() && found->mismatched.empty() && found->missing.empty())
        return usageError("--tensors", "no tensor of the original matches");

    Findings findings;
    findings.json = {{"original", checkpointJson(**original)}, {"quantized", checkpointJson(**quantized)}};
    findings.json.update(auditJson(*found));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    findings.json["elapsed_s"] = elapsed.count();
    findings.json["threads"] = session.threads();
    findings.json["warnings"] = (*quantized)->warnings;
    findings.table = auditTable(*found);
    findings.text = auditText(*found);
    return present(session, findings);
}

Action setUpAudit(CLI::App& command)
{
    auto options = std::make_shared<AuditCommandOptions>();
    command.add_option("MODEL", options->original, "The original, in full precision")->required();
    command.add_option("QUANTIZED", options->quantized, "Somebody's quantized checkpoint of it")->required();
    command.add_flag("--no-schemes", options->noSchemes,
        "Leave out what the best scheme of the same size would give, which takes most of the time");
    command.footer(
        "The two may be of different formats: names, fused and split matrices, stacked experts and the order of\n"
        "rows within attention heads are brought together, and factors that AWQ or SmoothQuant moved between layers\n"
        "are taken out. scheme is how the checkpoint stores a tensor, its bits\n"
        "per weight count scales and zero points. best is the best of the largest schemes of each family that take\n"
        "no more bits, measured on the same rows. The status is 0 whatever the audit finds; clean says whether\n"
        "every tensor has its counterpart and none differs by more than its storage explains.");
    return [options](Session& session) { return auditCheckpoint(session, *options); };
}

}  // namespace

extern const Command auditCommand;
const Command auditCommand {"audit", "Compares a quantized checkpoint with its original, layer by layer",
    OutOption | TensorsOption | ThreadsOption, setUpAudit};

}  // namespace quantloupe::cli
