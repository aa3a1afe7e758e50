// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/report_context.h"

#include <algorithm>

namespace quantloupe {

namespace {

struct Definition {
    const char* name;
    const char* text;
};

constexpr Definition definitions[] = {
    {"w, ŵ",
        "A weight as stored, and what the scheme makes of it (quantized and decoded again). Sums run over the finite "
        "weights of a tensor; "
        "NaN and infinities are counted apart."},
    {"Relative error",
        "Σ(w−ŵ)²/Σw². 0 is lossless; lower is better. For the whole model the sums run over all quantizable tensors, "
        "so that large "
        "tensors count for more."},
    {"SQNR (dB)",
        "Signal-to-quantization-noise ratio, 10·log10(Σw²/Σ(w−ŵ)²). Higher is better; one bit more is worth about 6 "
        "dB. ∞ is lossless."},
    {"Mean squared error",
        "Σ(w−ŵ)²/n in squared weight units. It follows the tensor's scale, so it does not compare between tensors."},
    {"Largest error", "max|w−ŵ| in weight units."},
    {"Clipped (%)", "Weights outside the range of their scale, stored as its end."},
    {"Bits per weight",
        "Stored bits over all weights, with scales, zero points and padding. For the model, kept tensors included."},
    {"Beyond 6σ (ppm)",
        "Weights further than six standard deviations from the mean, per million. A normal distribution has 0.002."},
    {"Prefill, decode",
        "Tokens per second while the prompt is read, and while new tokens are made for the whole batch. An operation "
        "takes the longer of "
        "moving its bytes and doing its arithmetic; operations of a step add up (Williams, Waterman and Patterson, "
        "CACM 52(4), 2009)."},
    {"Energy", "Joules per decoded token: bytes moved, operations done and idle power over the time of a step."},
};

std::size_t weighedMeasurements(const StudySnapshot& study)
{
    std::size_t count = 0;
    for (const auto& [tensor, schemes] : study.measurements)
        count += static_cast<std::size_t>(std::count_if(
            schemes->begin(), schemes->end(), [](const auto& entry) { return entry.second->importance != 0; }));
    return count;
}

}  // namespace

std::vector<ReportBlock> methodBlocks(const ReportContext& context)
{
    ReportTable table {"definitions", "What the figures mean", {"Figure", "Meaning"}, {}};
    for (const Definition& definition : definitions)
        table.rows.push_back({std::string(definition.name), std::string(definition.text)});

    std::string measured =
        "Measured: weight statistics and quantization errors, from every weight of every tensor listed as measured ("
        + std::to_string(context.study.measurements.size()) + " of "
        + std::to_string(context.study.model.tensors.size())
        + " tensors). Sizes are exact. Nothing here ran the model: no perplexity and no task accuracy is claimed.";
    if (const auto weighed = weighedMeasurements(context.study); weighed > 0)
        measured += " In " + std::to_string(weighed) + (weighed == 1 ? " result" : " results")
            + " scales and codes were chosen by errors weighed by an importance matrix; error figures are not "
              "weighed.";
    return {ReportParagraph {std::move(measured)},
        ReportParagraph {
            "Projected: memory beyond the weights, speed and energy. They follow from the devices' published figures."},
        std::move(table),
        ReportParagraph {
            "Made by Quantloupe " QUANTLOUPE_VERSION ". Model fingerprint " + context.study.model.fingerprint + "."}};
}

}  // namespace quantloupe
