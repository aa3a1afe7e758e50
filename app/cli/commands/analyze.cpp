// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/analysis_details.h"
#include "app/cli/analysis_work.h"
#include "app/cli/importance_option.h"
#include "app/cli/inputs.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/analyze.h"
#include "core/analysis/findings.h"
#include "core/recipes/plan.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

namespace quantloupe::cli {
namespace {

struct AnalyzeOptions {
    std::string model;
    std::vector<std::string> schemes;
    std::string imatrix;
    bool details = false, cures = false;
};

/// A sentence per stored type that cannot be decoded: such matrices count as stored in every total.
std::vector<std::string> leftOut(const Session& session, const Model& model)
{
    std::map<std::string_view, std::size_t> counts;
    for (const auto& tensor : model.tensors)
        if (session.wants(tensor.name) && tensor.view.shape.size() > 1 && !tensor.view.decodable())
            ++counts[nameOf(tensor.view.dtype)];
    std::vector<std::string> sentences;
    for (const auto& [type, count] : counts)
        sentences.push_back(std::to_string(count) + (count == 1 ? " matrix" : " matrices") + " of type "
            + std::string(type) + (count == 1 ? " is" : " are")
            + " left out and counted as stored: the type is not decoded yet");
    return sentences;
}

Json resultOf(const std::string& tensor, const std::string& scheme, const SchemeMeasurement& measurement)
{
    const auto& error = measurement.error;
    return {
        {"tensor", tensor},
        {"scheme", scheme},
        {"mse", number(error.mse())},
        {"sqnr_db", number(error.sqnrDb())},
        {"relative_error", number(error.relativeError())},
        {"cosine", number(error.cosine())},
        {"max_abs_error", number(error.maxAbsError)},
        {"bits_per_weight", number(measurement.bitsPerWeight)},
        {"bytes", measurement.storedBytes},
        {"clipped_ratio", number(error.clippedRatio())},
        {"output_error", number(measurement.outputError.relative())},
        {"nonfinite", error.nonFinite},
        {"imatrix", measurement.importance != 0},
        {"calibrated", measurement.calibration != 0},
    };
}

struct Total {
    std::uint64_t bytes = 0;
    double bitsPerWeight = 0.0;
    double sqnrDb = 0.0;
    double compressionRatio = 0.0;
};

/// The whole model with the tensors of this analysis under one scheme and all others as stored.
Total totalOf(
    const ModelCatalog& catalog, const Assignment& assignment, const std::string& scheme, const StudySnapshot& found)
{
    ErrorStatistics error;
    Recipe recipe;
    recipe.defaultPlan = {Scheme::parse(scheme).value(), std::nullopt};
    std::vector<bool> chosen(catalog.tensors.size());
    for (const auto i : assignment.tensors) {
        chosen[i] = true;
        error += found.find(catalog.tensors[i].name, scheme)->error;
    }
    // Kept by flag rather than by glob: a name may hold characters that a glob takes for wildcards.
    auto restricted = catalog;
    for (std::size_t i = 0; i < chosen.size(); ++i)
        restricted.tensors[i].quantizable = chosen[i];
    const auto plan = resolve(recipe, restricted);
    return {plan.bytes, plan.bitsPerWeight, error.sqnrDb(),
        plan.bytes == 0 ? std::numeric_limits<double>::quiet_NaN()
                        : static_cast<double>(plan.baseBytes) / static_cast<double>(plan.bytes)};
}

/// What --details adds; empty without it.
struct Details {
    std::vector<Json> results;  ///< tensor by tensor, scheme by scheme
    std::vector<Finding> findings;
};

Result<Details> detailsOf(const Session& session, const Model& model, const Assignment& assignment,
    const StudySnapshot& found, bool withCures)
{
    std::vector<ResultName> names;
    for (const auto tensor : assignment.tensors)
        for (const auto& scheme : assignment.schemes)
            names.push_back({tensor, scheme});
    auto results = resultDetails(session, model, names, found, withCures);
    if (!results)
        return tl::unexpected(results.error());
    auto findings = curedFindings(session, model, found);
    if (!findings)
        return tl::unexpected(findings.error());
    return Details {std::move(*results), std::move(*findings)};
}

/// What --cures found for a result, for people: why, and what helps.
std::string explained(const Json& result)
{
    constexpr std::size_t shown = 5;
    auto text =
        "\n" + printable(result["tensor"].get<std::string>()) + ", " + result["scheme"].get<std::string>() + "\n";
    for (const auto& sentence : result["causes"]["sentences"])
        text += "  " + sentence.get<std::string>() + "\n";
    const auto& cures = result["cures"];
    for (std::size_t i = 0; i < std::min(shown, cures.size()); ++i)
        text += "  " + std::to_string(i + 1) + ". " + cures[i]["text"].get<std::string>() + "\n";
    return text;
}

/// The sentences, in the JSON and the text of `findings`.
void addSentences(const std::vector<Finding>& sentences, bool withCures, Findings& findings)
{
    Json list = Json::array();
    for (const auto& finding : sentences) {
        list.push_back({{"tensor", finding.tensor},
            {"scheme", finding.scheme.empty() ? Json(nullptr) : Json(finding.scheme)}, {"text", finding.text}});
        if (withCures)
            list.back()["cure"] = cureJson(finding.cure);
        findings.text += (list.size() == 1 ? "\nWorth knowing:\n" : "")
            + printable(finding.tensor + (finding.tensor.empty() ? "" : ": ") + finding.text) + "\n";
    }
    findings.json["findings"] = std::move(list);
}

Findings findingsOf(
    const Model& model, const Assignment& assignment, const StudySnapshot& found, const std::optional<Details>& details)
{
    Findings findings;
    const auto& catalog = found.model;
    Json results = Json::array(), totals = Json::array();
    findings.table = TextTable({"tensor", "scheme", "sqnr_db", "relative_error", "cosine", "max_abs_error", "mse",
        "bits_per_weight", "bytes", "clipped_ratio"});
    for (const auto i : assignment.tensors) {
        const auto& tensor = model.tensors[i].name;
        for (const auto& scheme : assignment.schemes) {
            const auto& measurement = *found.find(tensor, scheme);
            const auto& error = measurement.error;
            results.push_back(resultOf(tensor, scheme, measurement));
            if (details)
                results.back().update(details->results[results.size() - 1]);
            findings.table.add(
                {tensor, scheme, error.sqnrDb(), error.relativeError(), {error.cosine(), 7}, error.maxAbsError,
                    error.mse(), measurement.bitsPerWeight, measurement.storedBytes, error.clippedRatio()});
        }
    }
    TextTable totalTable({"whole model", "bytes", "size", "bits per weight", "SQNR dB", "compression"});
    for (const auto& scheme : assignment.schemes) {
        const auto total = totalOf(catalog, assignment, scheme, found);
        totals.push_back({
            {"scheme", scheme},
            {"bytes", total.bytes},
            {"bits_per_weight", number(total.bitsPerWeight)},
            {"sqnr_db", number(total.sqnrDb)},
            {"compression_ratio", number(total.compressionRatio)},
        });
        totalTable.add({scheme, total.bytes, byteText(static_cast<double>(total.bytes)), total.bitsPerWeight,
            total.sqnrDb, total.compressionRatio});
    }
    findings.text = findings.table.text() + "\n" + totalTable.text();
    for (const auto& result : results)
        if (result.contains("cures"))
            findings.text += explained(result);
    findings.json = {{"results", std::move(results)}, {"totals", std::move(totals)}};
    addSentences(details ? details->findings : quantloupe::findingsOf(found), details.has_value(), findings);
    return findings;
}

Result<void> analyzeModel(const Session& session, const AnalyzeOptions& options)
{
    const auto start = std::chrono::steady_clock::now();
    const auto schemes = parseSchemes(options.schemes, Calibration::Given);
    if (!schemes)
        return tl::unexpected(schemes.error());
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto known = openCalibratedModel(session, options.model);
    if (!known)
        return tl::unexpected(known.error());
    if (auto enough = requireCalibration(*known->model, *schemes); !enough)
        return enough;
    const auto weighed = weighModel(session, options.imatrix, known->model);
    if (!weighed)
        return tl::unexpected(weighed.error());
    const auto& model = *weighed->model;
    auto study = openStudy(session, model);
    if (!study)
        return tl::unexpected(study.error());

    StudySnapshot found = *study ? *(*study)->snapshot() : StudySnapshot {};
    found.model = catalogOf(model);
    const auto assignment = assign(session, model, *schemes, found);
    if (assignment.tensors.empty())
        session.warn(
            "no tensor to quantize" + std::string(session.options.tensors.empty() ? "" : " matches --tensors"));
    auto left = leftOut(session, model);
    left.insert(left.end(), weighed->warnings.begin(), weighed->warnings.end());
    for (const auto& warning : left)
        session.warn(printable(warning));
    auto measured = measure(session, model, assignment, study->get(), found);
    if (*study) {
        found = *(*study)->snapshot();
        if (auto closed = (*study)->close(); !closed && measured)
            measured = closed;
        if (!measured && measured.error().code == ErrorCode::Cancelled)
            session.warn("what is finished is kept in " + session.options.study.string() + " ("
                + std::to_string(found.measurements.size()) + " tensors); the same command goes on from there");
    }
    if (!measured)
        return measured;

    std::optional<Details> details;
    if (options.details || options.cures) {
        auto more = detailsOf(session, model, assignment, found, options.cures);
        if (!more)
            return tl::unexpected(more.error());
        details = std::move(*more);
    }
    auto findings = findingsOf(model, assignment, found, details);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    findings.json["elapsed_s"] = elapsed.count();
    findings.json["threads"] = session.threads();
    findings.json["warnings"] = left;
    findings.json["imatrix"] = weighed->imatrix;
    findings.json["from_study"] = assignment.already;
    return present(session, findings);
}

Action setUpAnalyze(CLI::App& command)
{
    auto options = std::make_shared<AnalyzeOptions>();
    command.add_option("MODEL", options->model, "Checkpoint to analyze")->required();
    command.add_option("--scheme", options->schemes, "Scheme to quantize by, such as int4:g32:asym:mse (repeatable)")
        ->type_name("SCHEME")
        ->required()
        ->expected(1)
        ->take_all();
    addImportanceOption(command, options->imatrix);
    command.add_flag("--details", options->details,
        "Add to each result where its error lies and how well its codes are used, and to the findings what was\n"
        "found to help when tried on the tensor");
    command.add_flag("--cures", options->cures,
        "With the details, everything that may help each result, tried on the tensor and ranked by gain per byte");
    command.footer(
        "With --study finished tensors are kept as work goes on, and what it already holds, weighed by the same\n"
        "importance, is not computed again. Totals are of the whole model: the tensors of this analysis under the\n"
        "scheme, scales, zero points and padding included, all others (norms, biases, tensors that --tensors leaves\n"
        "out) as stored; a tied output head counts once. compression_ratio is the stored size of the checkpoint's\n"
        "tensors over that; sqnr_db is over the quantized tensors together.");
    return [options](Session& session) { return analyzeModel(session, *options); };
}

}  // namespace

extern const Command analyzeCommand;
const Command analyzeCommand {"analyze", "Quantizes by every scheme given, with error figures per tensor",
    StudyOption | OutOption | TensorsOption | ThreadsOption, setUpAnalyze};

}  // namespace quantloupe::cli
