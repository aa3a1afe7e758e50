// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/analysis_work.h"
#include "app/cli/inputs.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"
#include "app/cli/text_input.h"

#include "core/analysis/layer_divergence.h"
#include "core/statistics/rank_correlation.h"
#include "core/study/error_metric.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace quantloupe::cli {
namespace {

struct SensitivityOptions {
    std::string model, text, metric;
    std::vector<std::string> schemes;
    TextWindows window {.tokens = 8192};
    std::uint64_t memory = EvaluationLimits().memory;
};

/// What is known, and where it is kept: in the study, or for this run alone.
struct Known {
    ModelPointer model;
    std::unique_ptr<Study> study;
    StudySnapshot found;

    void refresh()
    {
        if (study)
            found = *study->snapshot();
        found.model = catalogOf(*model);
    }
};

bool needsText(ErrorMetric metric)
{
    return metric == ErrorMetric::OnePointKl || metric == ErrorMetric::MeasuredKl;
}

bool knowsMoments(const ModelCalibration& calibration)
{
    return calibration.isComplete() && calibration.texts.back().moments;
}

/// Whether all calibrated layers, but for experts that no token may reach, have gradients of one text.
bool knowsGradients(const ModelCalibration& calibration)
{
    const auto& gradients = calibration.gradients;
    if (gradients.empty() || !calibration.isComplete())
        return false;
    const auto& identity = gradients.begin()->second->text.identity;
    return std::all_of(calibration.layers.begin(), calibration.layers.end(), [&](const auto& layer) {
        const auto found = gradients.find(layer.first);
        return found == gradients.end() ? layer.first.expert.has_value() : found->second->text.identity == identity;
    });
}

/// What outputs lose takes the second moments of inputs; K-FAC takes gradients too.
Result<ErrorMetric> metricOf(const SensitivityOptions& options, const ModelCalibration& calibration)
{
    const bool calibrated = knowsMoments(calibration);
    if (options.metric.empty()) {
        if (calibrated && knowsGradients(calibration))
            return ErrorMetric::Kfac;
        if (options.text.empty())
            return calibrated ? ErrorMetric::OutputError : ErrorMetric::RelativeError;
        return calibrated ? ErrorMetric::OnePointKl : ErrorMetric::MeasuredKl;
    }
    const auto metric = metricNamed(options.metric);
    const auto where = "--metric " + options.metric;
    if (!metric) {
        std::string names;
        for (const auto one : allErrorMetrics())
            names.append(names.empty() ? "" : ", ").append(nameOf(one));
        return usageError(where, "no such metric; there are " + names);
    }
    if (needsText(*metric) && options.text.empty())
        return usageError(where, "is measured on a text: give --text");
    if ((*metric == ErrorMetric::Kfac || *metric == ErrorMetric::Fisher) && !knowsGradients(calibration))
        return usageError(where,
            "goes by gradients of all layers on one text: run 'calibrate --gradients' into a --study to its end, and "
            "name it here");
    if (!calibrated
        && (*metric == ErrorMetric::Kfac || *metric == ErrorMetric::OutputError || *metric == ErrorMetric::OnePointKl))
        return usageError(where,
            "goes by what a layer's inputs are: run 'calibrate' into a --study, and name it here; measured_kl needs "
            "none");
    return *metric;
}

/// Measures what is missing; each is durable before the next begins.
Result<void> measureMissing(const Session& session, const SensitivityOptions& options, const Assignment& assignment,
    const std::vector<Scheme>& schemes, Known& known)
{
    const auto decoder = describeDecoder(*known.model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    const auto text = readWindows(session, *known.model, options.text, options.window);
    if (!text)
        return tl::unexpected(text.error());
    const auto layers = withoutDivergence(*known.model, known.found, assignment.tensors, schemes, *text);
    const auto before = known.found;  // each layer is measured once
    Progress progress;
    const ProgressPrinter printer(progress, session.options.quiet);
    return measureLayerDivergences(*decoder, *text, layers, {session.threads(), options.memory}, session.stop, progress,
        [&](std::size_t index, const MeasuredDivergence& divergence) -> Result<void> {
            const auto updated = withDivergence(*known.model, before, layers[index], divergence);
            if (!updated)
                return tl::unexpected(updated.error());
            if (known.study)
                return known.study->append(*updated);
            known.found.add(*updated);
            return {};
        });
}

struct RankedLayer {
    std::string tensor, scheme;
    double value = 0.0;
    double standardError = 0.0;  ///< 0: not known
};

/// Most sensitive first.
std::vector<RankedLayer> rank(
    const Known& known, const Assignment& assignment, ErrorMetric metric, const MetricContext& context)
{
    std::vector<RankedLayer> layers;
    for (const auto tensor : assignment.tensors) {
        const auto& name = known.model->tensors[tensor].name;
        const auto& all = known.found.of(name);
        for (const auto& scheme : assignment.schemes) {
            const auto measured = all.find(scheme);
            if (measured == all.end())
                continue;
            const double value = valueOf(metric, all, *measured->second, context);
            auto source = metric == ErrorMetric::OnePointKl ? all.find(context.measuredScheme) : measured;
            const bool scales = needsText(metric) && source != all.end() && source->second->divergence.mean > 0.0;
            layers.push_back({name, scheme, value,
                scales ? source->second->divergence.standardError * value / source->second->divergence.mean : 0.0});
        }
    }
    std::stable_sort(layers.begin(), layers.end(), [&](const RankedLayer& a, const RankedLayer& b) {
        if (std::isnan(a.value) || std::isnan(b.value))
            return std::isnan(b.value) && !std::isnan(a.value);
        return higherIsBetter(metric) ? a.value < b.value : a.value > b.value;
    });
    return layers;
}

/// One-point estimates start from what was just measured, whatever else the study holds.
MetricContext contextOf(const Known& known)
{
    auto context = metricContext(known.found);
    context.measuredScheme = onePointScheme().toString();
    return context;
}

/// How alike two metrics rank the layers, scheme by scheme: mean rank correlation over the schemes.
double agreementOf(const Known& known, const Assignment& assignment, ErrorMetric a, ErrorMetric b)
{
    const auto context = contextOf(known);
    double sum = 0.0;
    std::size_t schemes = 0;
    for (const auto& scheme : assignment.schemes) {
        std::vector<double> first, second;
        for (const auto tensor : assignment.tensors) {
            const auto& all = known.found.of(known.model->tensors[tensor].name);
            const auto measured = all.find(scheme);
            if (measured == all.end())
                continue;
            const auto valueIn = [&](ErrorMetric metric) {
                return (higherIsBetter(metric) ? -1.0 : 1.0) * valueOf(metric, all, *measured->second, context);
            };
            if (std::isnan(valueIn(a)) || std::isnan(valueIn(b)))
                continue;
            first.push_back(valueIn(a));
            second.push_back(valueIn(b));
        }
        if (const double correlation = rankCorrelation(first, second); !std::isnan(correlation)) {
            sum += correlation;
            ++schemes;
        }
    }
    return schemes == 0 ? std::nan("") : sum / static_cast<double>(schemes);
}

/// Whether the text cannot tell two neighbours apart: their difference is less than two standard errors.
bool isTie(const RankedLayer& a, const RankedLayer& b)
{
    return (a.standardError > 0.0 || b.standardError > 0.0)
        && std::abs(a.value - b.value) < 2.0 * std::hypot(a.standardError, b.standardError);
}

Findings sensitivityFindings(const Known& known, const Assignment& assignment, ErrorMetric metric)
{
    const auto context = contextOf(known);
    const auto layers = rank(known, assignment, metric, context);
    Json list = Json::array();
    Findings findings;
    findings.table = TextTable({"tensor", "scheme", std::string(nameOf(metric)), "standard error", "like the next"});
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const auto& layer = layers[i];
        const bool tie = i + 1 < layers.size() && isTie(layer, layers[i + 1]);
        const double error = layer.standardError > 0.0 ? layer.standardError : std::nan("");
        list.push_back({{"tensor", layer.tensor}, {"scheme", layer.scheme}, {"value", number(layer.value)},
            {"standard_error", number(error)}, {"tied_with_next", tie}});
        findings.table.add({layer.tensor, layer.scheme, Cell(layer.value, 4), Cell(error, 2), tie ? "tie" : ""});
    }
    Json agreement = Json::array();
    TextTable agreementTable({"metric", "rank correlation with " + std::string(nameOf(metric))});
    for (const auto other : allErrorMetrics()) {
        const double correlation = other == metric ? std::nan("") : agreementOf(known, assignment, metric, other);
        if (std::isnan(correlation))
            continue;
        agreement.push_back({{"metric", nameOf(other)}, {"rank_correlation", number(correlation)}});
        agreementTable.add({std::string(nameOf(other)), Cell(correlation, 3)});
    }
    const auto unknown =
        std::count_if(layers.begin(), layers.end(), [](const RankedLayer& layer) { return std::isnan(layer.value); });
    findings.text = findings.table.text() + "\n" + (agreement.empty() ? std::string() : agreementTable.text() + "\n");
    if (unknown > 0)
        findings.text += std::to_string(unknown) + " of " + std::to_string(layers.size()) + " have no "
            + std::string(nameOf(metric))
            + (metric == ErrorMetric::Fisher ? ": 'calibrate --gradients' gathers it, without --no-fisher\n"
                                             : ": what it goes by is not known of them\n");
    if (!predictsKl(metric))
        findings.text +=
            "Errors of weights and outputs say little about which layers matter to predictions: give --text.\n";
    findings.json = {{"metric", nameOf(metric)},
        {"reference_scheme", metric == ErrorMetric::OnePointKl ? Json(context.measuredScheme) : Json(nullptr)},
        {"layers", std::move(list)}, {"agreement", std::move(agreement)}};
    return findings;
}

Result<void> work(const Session& session, const SensitivityOptions& options, const std::vector<Scheme>& asked,
    ErrorMetric metric, Known& known)
{
    auto schemes = asked;
    const auto& reference = onePointScheme();
    const bool onePoint = metric == ErrorMetric::OnePointKl;
    if (onePoint && std::find(schemes.begin(), schemes.end(), reference) == schemes.end())
        schemes.push_back(reference);
    auto assignment = assign(session, *known.model, schemes, known.found);
    if (auto done = measure(session, *known.model, assignment, known.study.get(), known.found); !done)
        return done;
    known.refresh();
    if (needsText(metric)) {
        const auto measured = onePoint ? std::vector<Scheme> {reference} : asked;
        if (auto done = measureMissing(session, options, assignment, measured, known); !done)
            return done;
        known.refresh();
    }
    return {};
}

Result<void> rankLayers(const Session& session, const SensitivityOptions& options)
{
    const auto start = std::chrono::steady_clock::now();
    const auto schemes = parseSchemes(options.schemes, Calibration::Given);
    if (!schemes)
        return tl::unexpected(schemes.error());
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto calibrated = openCalibratedModel(session, options.model);
    if (!calibrated)
        return tl::unexpected(calibrated.error());
    const auto& model = *calibrated->model;
    if (auto enough = requireCalibration(model, *schemes); !enough)
        return enough;
    const auto metric = metricOf(options, calibrated->calibration);
    if (!metric)
        return tl::unexpected(metric.error());
    auto study = openStudy(session, model);
    if (!study)
        return tl::unexpected(study.error());
    Known known {.model = calibrated->model, .study = std::move(*study), .found = {}};
    known.refresh();
    auto done = work(session, options, *schemes, *metric, known);
    if (known.study)
        if (auto closed = known.study->close(); !closed && done)
            done = closed;
    if (!done)
        return tl::unexpected(namedByOption(done.error(), options.text));
    auto findings = sensitivityFindings(known, assign(session, model, *schemes, known.found), *metric);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    findings.json["elapsed_s"] = elapsed.count();
    findings.json["threads"] = session.threads();
    return present(session, findings);
}

Action setUpSensitivity(CLI::App& command)
{
    auto options = std::make_shared<SensitivityOptions>();
    command.add_option("MODEL", options->model, "Checkpoint, with its tokenizer where a text is given")->required();
    command.add_option("--scheme", options->schemes, "Scheme to rank layers under (repeatable)")
        ->type_name("SCHEME")
        ->required()
        ->expected(1)
        ->take_all();
    command.add_option("--text", options->text, "Text to predict (UTF-8)")->type_name("FILE");
    command
        .add_option("--metric", options->metric,
            "sqnr, relative_error, mse, max_abs_error, model_error, output_error, fisher, kfac,\n"
            "one_point_kl, measured_kl (default: kfac where gradients were taken, else with a text one_point_kl where "
            "the study is calibrated, else measured_kl)")
        ->type_name("METRIC");
    addContextOption(command, options->window);
    command.add_option("--tokens", options->window.tokens, "No more than the first so many tokens of the text")
        ->type_name("N")
        ->default_str("8192");
    addMemoryOption(command, options->memory);
    command.footer(
        "measured_kl quantizes one layer at a time and runs the blocks behind it; its standard error is that over the\n"
        "windows of the text. one_point_kl measures each layer once, under int3:g32:asym, and scales that by what\n"
        "the layer's outputs lose. kfac and fisher say the same without running any changed model, from one backward\n"
        "pass: 'calibrate --gradients'. Of a tied table they see what the output head does. With --study all "
        "measurements are kept, and 'allocate' finds recipes from them.");
    return [options](Session& session) { return rankLayers(session, *options); };
}

}  // namespace

extern const Command sensitivityCommand;
const Command sensitivityCommand {"sensitivity", "Which layers quantization hurts most",
    StudyOption | OutOption | TensorsOption | ThreadsOption, setUpSensitivity};

}  // namespace quantloupe::cli
