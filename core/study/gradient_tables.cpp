// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/gradient_tables.h"

#include "core/study/hdf5_values.h"

#include <utility>
#include <vector>

namespace quantloupe {
namespace {

constexpr const char* kGradients = "/gradients";

/// A column of numbers: its name in the file and where it is.
struct GradientColumn {
    const char* name;
    hdf5::Meaning meaning;
    std::uint64_t& (*member)(GradientFigures& figures);
};
constexpr GradientColumn kGradientColumns[] = {
    {"predictions", {"predictions", "whose losses were summed up"},
        [](GradientFigures& f) -> std::uint64_t& { return f.text.predictions; }},
    {"windows", {"windows", "of the text"}, [](GradientFigures& f) -> std::uint64_t& { return f.text.windows; }},
    {"columns", {"channels", "of the layer's inputs"}, [](GradientFigures& f) -> std::uint64_t& { return f.columns; }},
    {"file_bytes", {"bytes", "of the file of the large parts"},
        [](GradientFigures& f) -> std::uint64_t& { return f.file.bytes; }},
};

/// A column of texts.
struct GradientTextColumn {
    const char* name;
    const char* meaning;
    std::string& (*member)(GradientFigures& figures);
};
constexpr GradientTextColumn kGradientTextColumns[] = {
    {"tensor", "of the layer", [](GradientFigures& f) -> std::string& { return f.layer.tensor; }},
    {"text_name", "text that the gradients were taken on",
        [](GradientFigures& f) -> std::string& { return f.text.name; }},
    {"text_identity", "hash of the tokens and windows",
        [](GradientFigures& f) -> std::string& { return f.text.identity; }},
    {"file", "in the folder beside the study", [](GradientFigures& f) -> std::string& { return f.file.name; }},
    {"file_checksum", "XXH3-128 of that file", [](GradientFigures& f) -> std::string& { return f.file.checksum; }},
};

}  // namespace

bool writeGradients(hid_t file, const ModelCalibration& calibration)
{
    if (calibration.gradients.empty())
        return true;
    std::vector<GradientFigures> all;
    for (const auto& [layer, figures] : calibration.gradients)
        all.push_back(*figures);
    hdf5::GroupWriter group(file, kGradients);
    for (const auto& column : kGradientTextColumns) {
        std::vector<std::string> values;
        for (auto& figures : all)
            values.push_back(column.member(figures));
        group.texts(column.name, values, {"", column.meaning});
    }
    for (const auto& column : kGradientColumns) {
        std::vector<std::uint64_t> values;
        for (auto& figures : all)
            values.push_back(column.member(figures));
        group.numbers<std::uint64_t>(column.name, values, column.meaning);
    }
    std::vector<std::int64_t> experts;
    std::vector<std::uint64_t> outputs;
    std::vector<double> squares;
    for (const auto& figures : all) {
        experts.push_back(figures.layer.expert ? std::int64_t {*figures.layer.expert} : -1);
        outputs.push_back(figures.outputs());
        squares.insert(squares.end(), figures.squares.begin(), figures.squares.end());
    }
    group.numbers<std::int64_t>("expert", experts, {"index", "matrix of a stack of experts, -1: none"});
    group.numbers<std::uint64_t>("outputs", outputs, {"channels", "of the layer"});
    group.numbers<double>("squares", squares,
        {"nats squared per output unit squared", "sum of g^2 over the tokens by output, layer behind layer"});
    return group.good();
}

tl::expected<decltype(ModelCalibration::gradients), std::string> readGradients(hid_t file, std::uint64_t bytes)
{
    decltype(ModelCalibration::gradients) gradients;
    if (H5Lexists(file, kGradients, H5P_DEFAULT) <= 0)
        return gradients;
    hdf5::GroupReader group(file, kGradients, bytes);
    const auto experts = group.numbers<std::int64_t>("expert");
    const auto outputs = group.numbers<std::uint64_t>("outputs");
    const auto squares = group.numbers<double>("squares");
    std::vector<GradientFigures> all(experts.size());
    const auto fits = [&](const char* name, std::size_t size) {
        if (group.good() && size != all.size())
            group.fail(name, "has another length than its table");
        return group.good();
    };
    fits("outputs", outputs.size());
    for (const auto& column : kGradientTextColumns) {
        auto values = group.texts(column.name);
        for (std::size_t i = 0; fits(column.name, values.size()) && i < all.size(); ++i)
            column.member(all[i]) = std::move(values[i]);
    }
    for (const auto& column : kGradientColumns) {
        const auto values = group.numbers<std::uint64_t>(column.name);
        for (std::size_t i = 0; fits(column.name, values.size()) && i < all.size(); ++i)
            column.member(all[i]) = values[i];
    }
    std::size_t first = 0;
    for (std::size_t i = 0; group.good() && i < all.size(); ++i) {
        if (outputs[i] > squares.size() - first) {
            group.fail("squares", "is shorter than outputs says");
            break;
        }
        const auto begin = squares.begin() + static_cast<std::ptrdiff_t>(first);
        all[i].squares.assign(begin, begin + static_cast<std::ptrdiff_t>(outputs[i]));
        first += static_cast<std::size_t>(outputs[i]);
        if (experts[i] >= 0)
            all[i].layer.expert = static_cast<std::uint32_t>(experts[i]);
        if (!isWhole(all[i]))
            group.fail("tensor", "a layer has no name, outputs or predictions");
        const auto layer = all[i].layer;
        gradients[layer] = std::make_shared<const GradientFigures>(std::move(all[i]));
    }
    if (!group.good())
        return tl::unexpected(group.problem());
    return gradients;
}

}  // namespace quantloupe
