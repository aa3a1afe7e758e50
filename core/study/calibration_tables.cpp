// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/calibration_tables.h"

#include "core/study/hdf5_values.h"

#include <utility>

namespace quantloupe {
namespace {

using hdf5::GroupReader;
using hdf5::GroupWriter;

constexpr const char* kCalibration = "/calibration";
constexpr const char* kActivation = "activation units";
constexpr const char* kActivationSquared = "activation units squared";

/// One column of ChannelSums: its name in the file and where it is; the last two are of inputs only.
template<class Number>
struct ChannelColumn {
    const char* name;
    hdf5::Meaning meaning;
    std::vector<Number> ChannelSums::*member;
};
constexpr ChannelColumn<double> kSums[] = {
    {"sum", {kActivation, "sum of x over the tokens, by channel"}, &ChannelSums::sum},
    {"squares", {kActivationSquared, "sum of x^2"}, &ChannelSums::squares},
};
constexpr ChannelColumn<float> kExtremes[] = {
    {"minimum", {kActivation, "smallest x"}, &ChannelSums::minimum},
    {"maximum", {kActivation, "largest x"}, &ChannelSums::maximum},
};
constexpr ChannelColumn<double> kAbsSum {"abs_sum", {kActivation, "sum of |x|"}, &ChannelSums::absSum};
constexpr ChannelColumn<std::uint64_t> kActive {
    "active", {"tokens", "at which |x| is above 1/254 of the token's largest"}, &ChannelSums::active};

std::string groupOf(std::size_t input)
{
    return std::string(kCalibration) + "/" + std::to_string(input);
}

void writeChannels(GroupWriter& group, const ChannelSums& sums)
{
    for (const auto& column : kSums)
        group.numbers<double>(column.name, sums.*column.member, column.meaning);
    for (const auto& column : kExtremes)
        group.numbers<float>(column.name, sums.*column.member, column.meaning);
}

ChannelSums readChannels(GroupReader& group)
{
    ChannelSums sums;
    for (const auto& column : kSums)
        sums.*column.member = group.numbers<double>(column.name);
    for (const auto& column : kExtremes)
        sums.*column.member = group.numbers<float>(column.name);
    return sums;
}

void writeTexts(GroupWriter& group, const std::vector<CalibrationText>& texts)
{
    std::vector<std::string> names, identities;
    std::vector<std::uint64_t> tokens, contexts;
    std::vector<std::uint8_t> moments, complete;
    for (const auto& text : texts) {
        names.push_back(text.name);
        identities.push_back(text.identity);
        tokens.push_back(text.tokens);
        contexts.push_back(text.context);
        moments.push_back(text.moments ? 1 : 0);
        complete.push_back(text.complete ? 1 : 0);
    }
    group.texts("text_name", names, {"", "texts that the model was run on"});
    group.texts("text_identity", identities, {"", "hash of the tokens and windows"});
    group.numbers<std::uint64_t>("text_tokens", tokens, {"tokens", "in the windows of the text"});
    group.numbers<std::uint64_t>("text_context", contexts, {"tokens", "in a window"});
    group.numbers<std::uint8_t>("text_moments", moments, {"0 or 1", "whether second moments were gathered"});
    group.numbers<std::uint8_t>("text_complete", complete, {"0 or 1", "whether all layers are in"});
}

std::vector<CalibrationText> readTexts(GroupReader& group)
{
    auto names = group.texts("text_name"), identities = group.texts("text_identity");
    const auto tokens = group.numbers<std::uint64_t>("text_tokens"),
               contexts = group.numbers<std::uint64_t>("text_context");
    const auto moments = group.numbers<std::uint8_t>("text_moments"),
               complete = group.numbers<std::uint8_t>("text_complete");
    const auto count = names.size();
    if (group.good()
        && (identities.size() != count || tokens.size() != count || contexts.size() != count || moments.size() != count
            || complete.size() != count))
        group.fail("text_name", "has another length than its table");
    std::vector<CalibrationText> texts;
    for (std::size_t i = 0; group.good() && i < count; ++i)
        texts.push_back(
            {std::move(names[i]), std::move(identities[i]), tokens[i], contexts[i], moments[i] != 0, complete[i] != 0});
    return texts;
}

bool writeInput(hid_t file, std::size_t index, const InputFigures& figures)
{
    GroupWriter group(file, groupOf(index).c_str());
    group.attribute("texts", figures.texts);
    group.attribute("tokens", figures.inputs.tokens);
    group.attribute("zero_tokens", figures.tokenRanges.zeros);
    group.attribute("token_range_first_bin", figures.tokenRanges.firstBin);
    group.attribute("earlier_tokens", figures.earlier.tokens);
    group.attribute("file", figures.file.name);
    group.attribute("file_bytes", figures.file.bytes);
    group.attribute("file_checksum", figures.file.checksum);
    writeChannels(group, figures.inputs);
    group.numbers<double>(kAbsSum.name, figures.inputs.absSum, kAbsSum.meaning);
    group.numbers<std::uint64_t>(kActive.name, figures.inputs.active, kActive.meaning);
    group.numbers<std::uint64_t>("token_range_counts", figures.tokenRanges.counts,
        {"tokens", "by largest |x|, sixteen bins to a factor of two"});
    group.numbers<double>(
        "earlier_squares", figures.earlier.squares, {kActivationSquared, "sum of x^2 after earlier_tokens"});
    group.numbers<float>("earlier_absmax", figures.earlier.absMax, {kActivation, "largest |x| after earlier_tokens"});
    std::vector<std::string> tensors;
    std::vector<std::int64_t> experts;
    std::vector<std::uint64_t> tokens;
    for (const auto& [layer, sums] : figures.layers) {
        tensors.push_back(layer.tensor);
        experts.push_back(layer.expert ? std::int64_t {*layer.expert} : -1);
        tokens.push_back(sums.tokens);
    }
    group.texts("tensor", tensors, {"", "layers that read these inputs"});
    group.numbers<std::int64_t>("expert", experts, {"index", "matrix of a stack of experts, -1: none"});
    group.numbers<std::uint64_t>("output_tokens", tokens, {"tokens", "whose outputs were seen, by layer"});
    bool good = group.good();
    for (std::size_t i = 0; good && i < figures.layers.size(); ++i) {
        GroupWriter outputs(file, (groupOf(index) + "/" + std::to_string(i)).c_str());
        writeChannels(outputs, figures.layers[i].sums);
        good = outputs.good();
    }
    return good;
}

void readLayers(hid_t file, std::uint64_t bytes, std::size_t index, GroupReader& group, InputFigures& figures)
{
    auto tensors = group.texts("tensor");
    const auto experts = group.numbers<std::int64_t>("expert");
    const auto tokens = group.numbers<std::uint64_t>("output_tokens");
    if (group.good() && (experts.size() != tensors.size() || tokens.size() != tensors.size()))
        group.fail("tensor", "has another length than its table");
    for (std::size_t i = 0; group.good() && i < tensors.size(); ++i) {
        GroupReader outputs(file, groupOf(index) + "/" + std::to_string(i), bytes);
        LayerOutputs layer {{std::move(tensors[i]), std::nullopt}, readChannels(outputs)};
        if (experts[i] >= 0)
            layer.layer.expert = static_cast<std::uint32_t>(experts[i]);
        layer.sums.tokens = tokens[i];
        figures.layers.push_back(std::move(layer));
        if (!outputs.good())
            group.fail("tensor", "a layer's outputs cannot be read: " + outputs.problem());
    }
}

InputFigures readInput(hid_t file, std::uint64_t bytes, std::size_t index, std::string& problem)
{
    GroupReader group(file, groupOf(index), bytes);
    InputFigures figures;
    figures.texts = group.numberAttribute("texts");
    figures.inputs = readChannels(group);
    figures.inputs.tokens = group.numberAttribute("tokens");
    figures.inputs.absSum = group.numbers<double>(kAbsSum.name);
    figures.inputs.active = group.numbers<std::uint64_t>(kActive.name);
    figures.tokenRanges.zeros = group.numberAttribute("zero_tokens");
    figures.tokenRanges.firstBin = group.numberAttribute("token_range_first_bin");
    figures.tokenRanges.counts = group.numbers<std::uint64_t>("token_range_counts");
    figures.earlier.tokens = group.numberAttribute("earlier_tokens");
    figures.earlier.squares = group.numbers<double>("earlier_squares");
    figures.earlier.absMax = group.numbers<float>("earlier_absmax");
    figures.file.name = group.textAttribute("file");
    figures.file.bytes = group.numberAttribute("file_bytes");
    figures.file.checksum = group.textAttribute("file_checksum");
    readLayers(file, bytes, index, group, figures);
    if (group.good() && !isWhole(figures))
        group.fail("", "its arrays are of unequal lengths");
    problem = group.problem();
    return figures;
}

}  // namespace

bool writeCalibration(hid_t file, const ModelCalibration& calibration)
{
    if (calibration.texts.empty())
        return true;
    const auto inputs = calibration.inputs();
    GroupWriter group(file, kCalibration);
    group.attribute("inputs", std::uint64_t {inputs.size()});
    writeTexts(group, calibration.texts);
    bool good = group.good();
    for (std::size_t i = 0; good && i < inputs.size(); ++i)
        good = writeInput(file, i, *inputs[i]);
    return good;
}

tl::expected<ModelCalibration, std::string> readCalibration(hid_t file, std::uint64_t bytes)
{
    ModelCalibration calibration;
    if (H5Lexists(file, kCalibration, H5P_DEFAULT) <= 0)
        return calibration;
    GroupReader group(file, kCalibration, bytes);
    const auto inputs = group.numberAttribute("inputs");
    calibration.texts = readTexts(group);
    if (!group.good())
        return tl::unexpected(group.problem());
    for (std::uint64_t i = 0; i < inputs; ++i) {
        std::string problem;
        auto figures = readInput(file, bytes, static_cast<std::size_t>(i), problem);
        if (!problem.empty())
            return tl::unexpected(problem);
        calibration.set(std::make_shared<const InputFigures>(std::move(figures)));
    }
    return calibration;
}

}  // namespace quantloupe
