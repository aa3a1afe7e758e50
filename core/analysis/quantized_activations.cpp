// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/quantized_activations.h"

#include "core/analysis/prepared_scheme.h"
#include "core/number_formats/packed_matrix.h"
#include "core/number_formats/tensor_range_search.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <utility>

namespace quantloupe {
namespace {

using Kind = Granularity::Kind;

tl::unexpected<Error> refuseInputs(const Scheme& scheme, std::string reason)
{
    return failure(ErrorCode::Unsupported, "activations '" + scheme.toString() + "'", std::move(reason));
}

tl::unexpected<Error> refuseCache(const Scheme& scheme, std::string reason)
{
    return failure(ErrorCode::Unsupported, "KV cache '" + scheme.toString() + "'", std::move(reason));
}

/// The same scheme with another granularity, for messages.
std::string with(Scheme scheme, Granularity granularity)
{
    scheme.granularity = granularity;
    return scheme.toString();
}
std::string perToken(const Scheme& scheme)
{
    return "'" + with(scheme, {.kind = Kind::Token}) + "'";
}

/// Why numbers that are rounded as they come cannot take this scheme; empty if they can.
std::string refusalOfRunning(const Scheme& scheme)
{
    if (!scheme.algorithms.empty())
        return std::string(nameOf(scheme.algorithms.front()))
            + " prepares weights beforehand: these numbers are rounded as they come";
    if (traitsOf(scheme.format).family == FormatFamily::LookUpTable)
        return "its levels are fitted to the numbers, which nobody does while the model runs: use int4 or fp4_e2m1";
    if (scheme.granularity.kind == Kind::Block)
        return "blocks span several tokens, which do not come together: use gN";
    if (scheme.range.kind == RangeEstimator::Kind::Mse || scheme.range.kind == RangeEstimator::Kind::Entropy)
        return "such ranges are searched for, which nobody does while the model runs: use minmax or a percentile";
    if (scheme.scales == ScaleStorage::Double8)
        return "s8 quantizes the scales of a whole tensor together: use s32, s16, sbf16 or se8m0";
    return {};
}

/// Rows by themselves: the quantizer's channel is a row, which is a token or a head.
Result<Quantizer> quantizerOfRows(Scheme scheme, std::size_t columns)
{
    if (scheme.granularity.kind == Kind::Token)
        scheme.granularity = {.kind = Kind::Channel};
    return Quantizer::create(scheme, columns);
}

/// Rounds rows in place, a few at a time: each(rows, count, out).
template<class Each>
void inSteps(std::span<float> rows, std::size_t columns, const Each& each)
{
    const auto count = rows.size() / columns;
    const auto step = rowsPerStep(columns);
    std::vector<float> out(std::min(count, step) * columns);
    for (std::size_t row = 0; row < count; row += step) {
        const auto some = std::min(step, count - row);
        const auto part = rows.subspan(row * columns, some * columns);
        each(part, some, std::span(out).first(part.size()));
        std::copy_n(out.begin(), part.size(), part.begin());
    }
}

void roundRows(const Quantizer& quantizer, bool storesScales, std::span<float> rows)
{
    inSteps(rows, quantizer.columns(), [&](std::span<const float> part, std::size_t count, std::span<float> out) {
        std::vector<UnitGrid> grids(quantizer.gridCount(count));
        quantizer.fit(part, count, grids);
        if (storesScales)
            grids = storedGrids(quantizer.scheme(), grids);
        quantizer.fakeQuantize(part, count, grids, out);
    });
}

/// Gradients of what lies beyond the outermost levels of its unit. @pre the grids are of `count` rows, or one
void dropClipped(const Quantizer& quantizer, std::span<const UnitGrid> grids, std::span<const float> rows,
    std::size_t count, std::span<float> gradient)
{
    constexpr float infinity = std::numeric_limits<float>::infinity();
    std::vector<float> beyond(rows.size()), lowest(rows.size()), highest(rows.size());
    std::fill(beyond.begin(), beyond.end(), -infinity);
    quantizer.fakeQuantize(beyond, count, grids, lowest);
    std::fill(beyond.begin(), beyond.end(), infinity);
    quantizer.fakeQuantize(beyond, count, grids, highest);
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (rows[i] < lowest[i] || rows[i] > highest[i])
            gradient[i] = 0.0F;
}

/// The same of rows that find their grids by themselves.
void dropClippedRows(const Quantizer& quantizer, std::span<const float> rows, std::span<float> gradient)
{
    const auto count = rows.size() / quantizer.columns();
    std::vector<UnitGrid> grids(quantizer.gridCount(count));
    quantizer.fit(rows, count, grids);
    dropClipped(quantizer, grids, rows, count, gradient);
}

/// The one grid of a quantizer of tensors. @pre its range is minmax
UnitGrid gridOf(const Quantizer& quantizer, const kernels::FiniteRange& range)
{
    return TensorRangeSearch(quantizer, range.minimum, range.maximum, range.empty() ? 0 : 1).grid();
}

kernels::FiniteRange wholeRange(const ChannelRanges& ranges)
{
    return {*std::min_element(ranges.low.begin(), ranges.low.end()),
        *std::max_element(ranges.high.begin(), ranges.high.end())};
}

InputReplacer ofRows(Quantizer quantizer, const ChannelRanges* ranges)
{
    const bool isStatic = quantizer.needsTensorAbsMax() && ranges != nullptr;
    if (isStatic)
        quantizer.setTensorAbsMax(wholeRange(*ranges).absMax());
    InputReplacer replacer;
    if (quantizer.needsTensorAbsMax() && !isStatic) {
        replacer.needsRange = true;
        replacer.replace = [quantizer = std::move(quantizer)](
                               std::span<float> rows, const kernels::FiniteRange& range) {
            auto own = quantizer;
            own.setTensorAbsMax(range.absMax());
            roundRows(own, false, rows);
        };
        return replacer;
    }
    replacer.replace = [quantizer](
                           std::span<float> rows, const kernels::FiniteRange&) { roundRows(quantizer, false, rows); };
    if (isStatic || quantizer.scheme().range.kind == RangeEstimator::Kind::Percentile)
        replacer.clip = [quantizer = std::move(quantizer)](std::span<const float> rows, const kernels::FiniteRange&,
                            std::span<float> gradient) { dropClippedRows(quantizer, rows, gradient); };
    return replacer;
}

void roundByOneGrid(const Quantizer& quantizer, const UnitGrid& grid, std::span<float> rows)
{
    inSteps(rows, quantizer.columns(), [&](std::span<const float> part, std::size_t count, std::span<float> out) {
        quantizer.fakeQuantize(part, count, {&grid, 1}, out);
    });
}

InputReplacer ofTensor(Quantizer quantizer, const ChannelRanges* ranges)
{
    if (ranges) {
        const auto grid = gridOf(quantizer, wholeRange(*ranges));
        return {.replace = [grid, quantizer](std::span<float> rows,
                               const kernels::FiniteRange&) { roundByOneGrid(quantizer, grid, rows); },
            .clip =
                [grid, quantizer](std::span<const float> rows, const kernels::FiniteRange&, std::span<float> gradient) {
                    dropClipped(quantizer, {&grid, 1}, rows, rows.size() / quantizer.columns(), gradient);
                }};
    }
    return {.needsRange = true,
        .replace = [quantizer = std::move(quantizer)](std::span<float> rows, const kernels::FiniteRange& range) {
            roundByOneGrid(quantizer, gridOf(quantizer, range), rows);
        }};
}

/// Groups of one column whose grids are the same for every token.
Result<InputReplacer> ofChannels(Scheme scheme, const Quantizer& ofTensors, const ChannelRanges& ranges)
{
    const auto columns = ofTensors.columns();
    scheme.granularity = {.kind = Kind::Group, .columns = 1};
    auto quantizer = Quantizer::create(scheme, columns);
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    std::vector<UnitGrid> grids;
    for (std::size_t i = 0; i < columns; ++i)
        grids.push_back(gridOf(ofTensors, {ranges.low[i], ranges.high[i]}));
    return InputReplacer {.replace =
                              [quantizer = *quantizer, grids](std::span<float> rows, const kernels::FiniteRange&) {
                                  std::vector<float> out(quantizer.columns());
                                  for (std::size_t first = 0; first < rows.size(); first += out.size()) {
                                      quantizer.fakeQuantize(rows.subspan(first, out.size()), 1, grids, out);
                                      std::copy(
                                          out.begin(), out.end(), rows.begin() + static_cast<std::ptrdiff_t>(first));
                                  }
                              },
        .clip =
            [quantizer = *quantizer, grids](
                std::span<const float> rows, const kernels::FiniteRange&, std::span<float> gradient) {
                const auto width = quantizer.columns();
                for (std::size_t first = 0; first < rows.size(); first += width)
                    dropClipped(quantizer, grids, rows.subspan(first, width), 1, gradient.subspan(first, width));
            }};
}

/// Of schemes whose scales reach over many tokens.
std::string refusalOfKnownRanges(const Scheme& scheme, const ChannelRanges* ranges)
{
    if (traitsOf(scheme.format).family == FormatFamily::Ternary)
        return "its scale is the mean size, which ranges do not tell: use " + perToken(scheme);
    if (scheme.range.kind != RangeEstimator::Kind::MinMax)
        return "of a whole tensor and of channels no more than the ends are known: use minmax, or " + perToken(scheme);
    if (scheme.granularity.kind == Kind::Channel && !ranges)
        return "a scale per input channel must be known before the tokens come: calibrate, or use " + perToken(scheme);
    return {};
}

}  // namespace

ChannelRanges ChannelRanges::dividedBy(std::span<const float> divisors) const
{
    ChannelRanges divided = *this;
    for (auto* end : {&divided.low, &divided.high})
        for (std::size_t i = 0; i < std::min(end->size(), divisors.size()); ++i)
            (*end)[i] /= divisors[i];
    return divided;
}

ActivationRanges activationRangesOf(const ModelCalibration& calibration)
{
    ActivationRanges ranges;
    if (!calibration.isComplete())
        return ranges;  // of some layers only: one model must not be half static
    for (const auto& [layer, figures] : calibration.layers) {
        const auto& seen = figures->inputs;
        if (seen.tokens == 0)
            continue;
        auto& known = ranges[layer.tensor];
        if (known.low.empty()) {
            known = {.low = seen.minimum, .high = seen.maximum};
            continue;
        }
        for (std::size_t i = 0; i < known.low.size(); ++i) {
            known.low[i] = std::min(known.low[i], seen.minimum[i]);
            known.high[i] = std::max(known.high[i], seen.maximum[i]);
        }
    }
    return ranges;
}

Result<InputReplacer> quantizedInputs(const Scheme& scheme, std::size_t columns, const ChannelRanges* ranges)
{
    if (auto reason = refusalOfRunning(scheme); !reason.empty())
        return refuseInputs(scheme, std::move(reason));
    if (ranges && (ranges->low.size() != columns || ranges->high.size() != columns || columns == 0))
        return failure(ErrorCode::InvalidArgument, "activation ranges",
            "they are of " + std::to_string(ranges->low.size()) + " channels, the layer has "
                + std::to_string(columns));
    const auto kind = scheme.granularity.kind;
    if (kind != Kind::Tensor && kind != Kind::Channel) {
        auto quantizer = quantizerOfRows(scheme, columns);
        if (!quantizer)
            return tl::unexpected(quantizer.error());
        if (!quantizer->hasGrids() && scheme.format != Format::Q8_0)
            return refuseInputs(scheme, "llama.cpp rounds activations to q8_0: the other blocks are for weights");
        return ofRows(std::move(*quantizer), ranges);
    }
    if (auto reason = refusalOfKnownRanges(scheme, ranges); !reason.empty())
        return refuseInputs(scheme, std::move(reason));
    auto ofTensors = scheme;
    ofTensors.granularity = {.kind = Kind::Tensor};
    auto quantizer = Quantizer::create(ofTensors, columns);
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    if (kind == Kind::Tensor)
        return ofTensor(std::move(*quantizer), ranges);
    return ofChannels(scheme, *quantizer, *ranges);
}

Result<CacheReplacer> quantizedCache(const Scheme& scheme, std::size_t headDimension)
{
    if (auto reason = refusalOfRunning(scheme); !reason.empty())
        return refuseCache(scheme, std::move(reason));
    if (scheme.granularity.kind == Kind::Tensor || scheme.format == Format::Nvfp4)
        return refuseCache(scheme,
            "a cache grows token by token, so that nothing of the whole is known beforehand: use 'int8:token', one "
            "scale per token and head, or gN");
    auto quantizer = quantizerOfRows(scheme, headDimension);
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    if (!quantizer->hasGrids()) {
        constexpr std::array kept {Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::Q8_0};
        if (std::find(kept.begin(), kept.end(), scheme.format) == kept.end())
            return refuseCache(scheme,
                "llama.cpp keeps q8_0, q5_1, q5_0, q4_1 and q4_0 in a cache: the others are "
                "for weights");
        if (const auto block = traitsOf(scheme.format).blockElements; headDimension % block != 0)
            return refuseCache(scheme,
                "heads of " + std::to_string(headDimension) + " are no multiple of its blocks of "
                    + std::to_string(block) + ": use int8 or int4:g8");
    }
    return CacheReplacer(
        [quantizer = std::move(*quantizer)](std::span<float> heads) { roundRows(quantizer, true, heads); });
}

Result<InputHook> quantizedInputs(const Model& model, const Plan& plan, const ActivationRanges& ranges)
{
    struct Made {
        Scheme scheme;
        std::size_t columns = 0;
        const ChannelRanges* ranges = nullptr;
        std::shared_ptr<const InputReplacer> replacer {};
    };
    if (plan.tensors.size() != model.tensors.size())
        return failure(ErrorCode::Conflict, model.path.string(), "the plan was made for another model");
    const bool hasHead = std::any_of(model.tensors.begin(), model.tensors.end(),
        [](const ModelTensor& tensor) { return tensor.parts.role == TensorRole::LmHead; });
    std::vector<Made> made;
    InputReplacers replacers;
    for (const auto& planned : plan.tensors) {
        const auto& tensor = model.tensors[planned.tensor];
        const bool isTable =
            tensor.parts.role == TensorRole::Position || (tensor.parts.role == TensorRole::Embedding && hasHead);
        if (!planned.activations || isTable)
            continue;
        const auto columns = static_cast<std::size_t>(matrixShape(tensor.view).columns);
        const auto found = ranges.find(tensor.name);
        const auto* own = found == ranges.end() ? nullptr : &found->second;
        auto same = std::find_if(made.begin(), made.end(), [&](const Made& other) {
            const bool alike = own && other.ranges ? *own == *other.ranges : own == other.ranges;
            return alike && other.columns == columns && other.scheme == *planned.activations;
        });
        if (same == made.end()) {
            auto replacer = quantizedInputs(*planned.activations, columns, own);
            if (!replacer) {
                auto error = replacer.error();
                error.reason = error.where + ": " + error.reason;
                error.where = tensor.name;
                return tl::unexpected(std::move(error));
            }
            made.push_back(
                {*planned.activations, columns, own, std::make_shared<const InputReplacer>(std::move(*replacer))});
            same = made.end() - 1;
        }
        replacers.emplace(planned.tensor, same->replacer);
    }
    if (replacers.empty())
        return InputHook();
    return InputHook(
        [replacers = std::move(replacers)](std::size_t tensor) -> Result<std::shared_ptr<const InputReplacer>> {
            const auto found = replacers.find(tensor);
            return found == replacers.end() ? nullptr : found->second;
        });
}

}  // namespace quantloupe
