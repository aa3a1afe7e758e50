// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/analyze.h"

#include <limits>

namespace quantloupe::cli {
namespace {

struct StatsOptions {
    std::string model;
    bool perChannel = false;
};

double ratio(std::uint64_t part, std::uint64_t whole)
{
    return whole == 0 ? std::numeric_limits<double>::quiet_NaN()
                      : static_cast<double>(part) / static_cast<double>(whole);
}

Json profile(const std::vector<float>& values)
{
    Json list = Json::array();
    for (const float value : values)
        list.push_back(number(static_cast<double>(value)));
    return list;
}

Json jsonOf(const std::string& name, const WeightStatistics& weights, bool perChannel)
{
    const auto& moments = weights.moments;
    Json json {
        {"name", name},
        {"count", moments.count},
        {"min", number(weights.minimum)},
        {"max", number(weights.maximum)},
        {"mean", number(moments.mean())},
        {"std", number(moments.standardDeviation())},
        {"absmax", number(weights.absMax)},
        {"skewness", number(moments.skewness())},
        {"kurtosis", number(moments.excessKurtosis())},
        {"zeros", weights.zeros},
        {"nonfinite", weights.nonFinite},
        {"outlier_ratio_3sigma", number(ratio(weights.beyond3Sigma, moments.count))},
        {"outlier_ratio_6sigma", number(ratio(weights.beyond6Sigma, moments.count))},
        {"outlier_channels", weights.outlierRows},
        {"outlier_input_channels", weights.outlierColumns},
        {"percentile_1", number(weights.percentile1)},
        {"percentile_99", number(weights.percentile99)},
    };
    if (perChannel) {
        json["channel_absmax"] = profile(weights.rowAbsMax);
        json["input_channel_absmax"] = profile(weights.columnAbsMax);
    }
    return json;
}

/// Measures what is asked for and not in the study yet.
Result<void> measure(const Session& session, const Model& model, const std::vector<std::size_t>& work, Study* study,
    StudySnapshot& found)
{
    Progress progress;
    for (const auto i : work)
        progress.totalBytes += model.tensors[i].bytes();
    progress.totalItems = static_cast<std::uint32_t>(work.size());
    const ProgressPrinter printer(progress, session.options.quiet);
    for (const auto i : work) {
        const auto& tensor = model.tensors[i];
        auto weights = measureWeights(tensor, session.stop, progress);
        if (!weights)
            return tl::unexpected(weights.error());
        TensorMeasurement measurement {tensor.name, std::move(*weights), {}};
        if (study) {
            if (auto kept = study->append(measurement); !kept)
                return kept;
        } else {
            found.add(measurement);
        }
        releaseBytes(tensor.view);
        ++progress.doneItems;
    }
    return {};
}

Result<void> stats(const Session& session, const StatsOptions& options)
{
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto model = openNamedModel(session, options.model);
    if (!model)
        return tl::unexpected(model.error());
    auto study = openStudy(session, **model);
    if (!study)
        return tl::unexpected(study.error());

    StudySnapshot found = *study ? *(*study)->snapshot() : StudySnapshot {};
    std::vector<std::size_t> wanted, work;
    Json warnings = Json::array();
    for (std::size_t i = 0; i < (*model)->tensors.size(); ++i) {
        const auto& tensor = (*model)->tensors[i];
        if (!session.wants(tensor.name))
            continue;
        if (!tensor.view.decodable()) {
            warnings.push_back(
                tensor.name + " is left out: " + std::string(nameOf(tensor.view.dtype)) + " is not decoded yet");
            continue;
        }
        wanted.push_back(i);
        if (!found.findWeights(tensor.name))
            work.push_back(i);
    }
    if (wanted.empty() && !session.options.tensors.empty())
        session.warn("no tensor that can be decoded matches --tensors");
    auto measured = measure(session, **model, work, study->get(), found);
    if (*study) {
        found = *(*study)->snapshot();
        if (auto closed = (*study)->close(); !closed && measured)
            measured = closed;
    }
    if (!measured)
        return measured;

    Findings findings;
    Json tensors = Json::array();
    findings.table = TextTable({"name", "min", "max", "mean", "std", "skewness", "kurtosis", "zeros", "nonfinite",
        ">3σ", ">6σ", "outlier channels"});
    for (const auto i : wanted) {
        const auto& name = (*model)->tensors[i].name;
        const auto& weights = *found.findWeights(name);
        tensors.push_back(jsonOf(name, weights, options.perChannel));
        const auto& moments = weights.moments;
        findings.table.add(
            {name, weights.minimum, weights.maximum, moments.mean(), moments.standardDeviation(), moments.skewness(),
                moments.excessKurtosis(), weights.zeros, weights.nonFinite, ratio(weights.beyond3Sigma, moments.count),
                ratio(weights.beyond6Sigma, moments.count), std::uint64_t {weights.outlierRows.size()}});
    }
    findings.text = findings.table.text();
    for (const auto& warning : warnings)
        session.warn(printable(warning.get<std::string>()));
    findings.json = {{"tensors", std::move(tensors)}, {"warnings", std::move(warnings)}};
    return present(session, findings);
}

Action setUpStats(CLI::App& command)
{
    auto options = std::make_shared<StatsOptions>();
    command.add_option("MODEL", options->model, "Checkpoint to measure")->required();
    command.add_flag("--per-channel", options->perChannel, "List the largest weight of every channel as well (JSON)");
    command.footer("Outlier channels are output channels (rows) whose largest weight exceeds three times the median\n"
                   "over all channels; outlier input channels (columns) likewise. Kurtosis is excess.");
    return [options](Session& session) { return stats(session, *options); };
}

}  // namespace

extern const Command statsCommand;
const Command statsCommand {"stats", "Weight distributions: moments, kurtosis, outliers, ranges, per-channel figures",
    StudyOption | OutOption | TensorsOption | ThreadsOption, setUpStats};

}  // namespace quantloupe::cli
